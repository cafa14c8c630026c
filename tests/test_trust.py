"""What is trusted, what takes the trust away again, and that a store which is not the user's alone permits nothing."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from runner.model import Assistant, ByHttp, ByPython, Flow, Function, PythonFunction, Returns, RunOverrides, Step, Tool
from runner.trust import Standing, Store, TrustProblem, fingerprint, importable, needs
from tests.test_cli import Ended, run

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def tool(name: str, answer: ByPython | ByHttp | Returns) -> Tool:
    return Tool("function", function=Function(name, {"type": "object"}, answer))


def python(name: str, file: str = "tools.py") -> Tool:
    return tool(name, ByPython(PythonFunction(file, name)))


def flow(folder: Path, *tools: Tool, files: Mapping[str, str] = {}) -> Flow:
    """A flow `shop.yaml` with these tools, and what lies beside it."""
    for name, text in {"shop.yaml": "a: b\n", "tools.py": "def count(): return 1\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return Flow(Assistant(model="m", tools=tools), (Step(user="x"),), path=folder / "shop.yaml")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / "runflow" / "trust")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    return tmp_path / "flows"


def test_a_flow_needs_permission_for_every_function_url_and_check_once_and_in_order(folder: Path) -> None:
    own = (python("count"), tool("send", ByHttp("https://shop.example/send")), tool("fixed", Returns(1)), python("count"))
    shop = flow(folder, *own)
    later = Step(user="y", run=RunOverrides(tools=(python("weigh", "scales/weigh.py"),)))
    shop = replace(shop, steps=(*shop.steps, later))
    assert ("tools.py:count", "https://shop.example/send", "scales/weigh.py:weigh") == needs(shop)


def test_a_flow_without_code_and_urls_needs_no_trust(folder: Path, store: Store) -> None:
    shop = flow(folder, tool("fixed", Returns({"a": 1})))
    assert ((), Standing.UNNEEDED, True) == (needs(shop), store.standing(shop), store.permits(shop))


def test_trust_is_given_holds_and_is_taken_back(folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    assert (Standing.NEVER, False) == (store.standing(shop), store.permits(shop))
    store.allow(shop)
    assert (Standing.TRUSTED, True) == (store.standing(shop), store.permits(shop))
    assert [(os.path.realpath(shop.path), ("tools.py:count",))] == [(kept.path, kept.needs) for kept in store.all()]
    assert (True, False) == (store.forget(shop.path), store.forget(shop.path))
    assert Standing.NEVER is store.standing(shop)


@pytest.mark.parametrize(
    "name",
    [
        "shop.yaml",
        "tools.py",
        "deep/er/helper.py",
        "new.py",
        "__init__.py",
        "compiled.pyc",
        "fast.so",
        "fast.pyd",
        "window.pyw",
        "json.py",
        "json/__init__.py",
        "not-an-identifier/x.py",
    ],
)
def test_one_changed_byte_asks_again(name: str, folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"), files={"deep/er/helper.py": "x"})
    store.allow(shop)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + " ")
    assert (Standing.CHANGED, False) == (store.standing(shop), store.permits(shop))
    store.allow(shop)
    assert Standing.TRUSTED is store.standing(shop)
    path.unlink()
    assert not store.permits(shop)


@pytest.mark.parametrize("name", ["rows.csv", "__pycache__/tools.cpython-311.pyc", ".venv/lib/x.py", "other.yaml"])
def test_what_python_cannot_import_from_there_may_change(name: str, folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    assert Standing.TRUSTED is store.standing(shop)


def test_a_function_in_a_hidden_folder_is_watched_too(folder: Path, store: Store) -> None:
    shop = flow(folder, python("count", ".own/tools.py"), files={".own/tools.py": "a"})
    store.allow(shop)
    (folder / ".own/tools.py").write_text("b")
    assert Standing.CHANGED is store.standing(shop)


def test_another_url_or_function_in_the_same_file_is_another_flow(folder: Path, store: Store) -> None:
    store.allow(flow(folder, python("count")))
    others = (python("weigh"), tool("count", ByHttp("https://elsewhere.example/")))
    assert [Standing.CHANGED, Standing.CHANGED] == [store.standing(flow(folder, other)) for other in others]


def test_what_a_linked_folder_holds_is_watched(folder: Path, store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "helper.py").write_text("a")
    shop = flow(folder, python("count"))
    (folder / "linked").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    assert ("linked/helper.py", "round", "tools.py") == importable(folder)
    store.allow(shop)
    (elsewhere / "helper.py").write_text("b")
    assert Standing.CHANGED is store.standing(shop)


def test_a_link_that_leads_elsewhere_asks_again(folder: Path, store: Store) -> None:
    shop = flow(folder, python("count", "chosen.py"), files={"one.py": "x", "two.py": "x"})
    (folder / "chosen.py").symlink_to("one.py")
    store.allow(shop)
    (folder / "chosen.py").unlink()
    (folder / "chosen.py").symlink_to("two.py")
    assert Standing.CHANGED is store.standing(shop)


def test_a_function_outside_the_folder_is_never_trusted(folder: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("x")
    shop = flow(folder, python("count", "inside.py"))
    (folder / "inside.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(TrustProblem, match=r"^`inside.py:count` lies outside .*flows, the flow's folder$"):
        store.allow(shop)
    assert [] == list(store.all())


def test_what_cannot_be_read_as_code_never_blocks(folder: Path) -> None:
    shop = flow(folder, python("count"))
    before = fingerprint(shop)
    os.mkfifo(folder / "pipe.py")
    (folder / "nowhere.py").symlink_to("missing")
    assert before != fingerprint(shop)


def test_a_folder_with_too_much_in_it_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.trust.MOST", 1)
    with pytest.raises(TrustProblem, match="more than 1 Python files below"):
        fingerprint(flow(folder, python("count"), files={"other.py": ""}))


def test_a_link_to_the_flow_is_the_flow(folder: Path, store: Store, tmp_path: Path) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    (tmp_path / "link.yaml").symlink_to(shop.path)
    assert Standing.TRUSTED is store.standing(replace(shop, path=tmp_path / "link.yaml"))


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_store_is_its_owners_alone(folder: Path, store: Store) -> None:
    store.allow(flow(folder, python("count")))
    [kept] = store.folder.iterdir()
    assert (0o600, 0o700, 0o700) == tuple(path.stat().st_mode & 0o777 for path in (kept, store.folder, store.folder.parent))


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '"\ud800"',
        '{"format": "runflow-trust/2", "path": "x", "needs": [], "fingerprint": "x"}',
        '{"format": "runflow-trust/1", "path": 1, "needs": [], "fingerprint": "x"}',
        '{"format": "runflow-trust/1", "path": "x", "needs": "x", "fingerprint": "x"}',
        '{"format": "runflow-trust/1", "path": "/another", "needs": [], "fingerprint": "x"}',
        "[" * 100_000,
    ],
)
def test_a_damaged_permission_permits_nothing(damage: str, folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    [kept] = store.folder.iterdir()
    kept.write_text(damage, "utf-8", "surrogatepass")
    with pytest.raises(TrustProblem, match=f"^{kept} is damaged, so that it permits nothing; delete it, then trust the flow"):
        store.standing(shop)
    assert not store.permits(shop)
    store.allow(shop)
    assert store.permits(shop)


def test_a_permission_copied_to_another_flow_permits_nothing(folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    [kept] = store.folder.iterdir()
    (folder / "b").mkdir()
    other = flow(folder / "b", python("count"))
    kept.rename(store.place(str(other.path)))
    assert not store.permits(other)


@pytest.mark.parametrize("which", ["file", "folder", "above"])
def test_a_store_that_others_can_write_to_permits_nothing(which: str, folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    [kept] = store.folder.iterdir()
    place = {"file": kept, "folder": store.folder, "above": store.folder.parent}[which]
    place.chmod(place.stat().st_mode | 0o002)
    with pytest.raises(TrustProblem, match=f"^{place} can be written by others, so that nothing in it is trusted; make it"):
        store.standing(shop)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_store_of_somebody_else_permits_nothing(which: str, folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    [kept] = store.folder.iterdir()
    place = {"file": kept, "folder": store.folder}[which]
    os.chown(place, 12345, 12345)
    with pytest.raises(TrustProblem, match=f"^{place} belongs to another user, so that nothing in it is trusted$"):
        store.standing(shop)


def test_a_permission_that_is_a_link_permits_nothing(folder: Path, store: Store, tmp_path: Path) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    [kept] = store.folder.iterdir()
    kept.rename(tmp_path / "elsewhere.json")
    kept.symlink_to(tmp_path / "elsewhere.json")
    assert not store.permits(shop)


def test_a_store_that_cannot_be_made_is_said_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    store = Store(tmp_path / "state" / "runflow" / "trust")
    with pytest.raises(TrustProblem, match=r"^the permission cannot be kept in .*trust: Not a directory$"):
        store.allow(flow(folder, python("count")))


def test_a_permission_holds_no_more_than_it_says(folder: Path, store: Store) -> None:
    shop = flow(folder, python("count"))
    store.allow(shop)
    [kept] = store.folder.iterdir()
    assert {
        "format": "runflow-trust/1",
        "path": os.path.realpath(shop.path),
        "needs": ["tools.py:count"],
        "fingerprint": fingerprint(shop),
    } == json.loads(kept.read_text())


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────

CHECKED = """\
assistant:
  model: qwen-max
steps:
  - user: Draw a cat.
    sample: Here is your tabby.
    expect: {python: %s}
"""


def checked(folder: Path, name: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(CHECKED % f"{name}.py:fine")
    (folder / f"{name}.py").write_text(f"def fine(answer):\n    {code}\n")


def test_trust_belongs_to_a_file_whatever_it_is_called_from_where(tmp_path: Path) -> None:
    checked(tmp_path / "shop", "order", "return True")
    assert 0 == run(tmp_path, "trust", "shop/order.yaml").code
    state = {"XDG_STATE_HOME": f"{tmp_path}/home/state"}
    assert 0 == run(tmp_path / "shop", "../shop/order.yaml", **state).code
    assert 0 == run(tmp_path / "shop", str(tmp_path / "shop" / "order.yaml"), **state).code


@pytest.mark.parametrize("changed", ["order.yaml", "order.py"])
def test_one_byte_more_is_exit_3_before_anything_is_sent(changed: str, tmp_path: Path) -> None:
    checked(tmp_path, "order", "return True")
    run(tmp_path, "trust", "order.yaml")
    with (tmp_path / changed).open("a") as file:
        file.write("\n")
    ended = run(tmp_path, "order.yaml", "--events", "-")
    assert (3, "") == (ended.code, ended.stdout)
    assert "order.yaml, or a file it takes in or could import, changed since it was trusted; it would\n" in ended.stderr


@pytest.mark.parametrize("changed", ["shared/shop.yaml", "prompt.md", "step.md", "rows.csv"])
def test_what_a_flow_takes_in_is_part_of_it(changed: str, tmp_path: Path) -> None:
    texts = {
        "shared/shop.yaml": "model: m\ntools: [stock: {parameters: {colour: [red]}, python: 'shop.py:stock'}]\n",
        "prompt.md": "Sell paint.",
        "step.md": "Be brief.",
        "rows.csv": "colour\nred\n",
        "shop.py": "def stock(colour): return colour\n",
        "order.yaml": "assistant: {use: shared/shop.yaml, instructions: {file: prompt.md}}\ncases: {file: rows.csv}\n"
        "steps: [{user: 'Is ${colour} there?', run: {instructions: {file: step.md}}, expect: red}]\n",
    }
    (tmp_path / "shared").mkdir()
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert 0 == run(tmp_path, "trust", "order.yaml").code
    assert 3 != run(tmp_path, "order.yaml").code
    with (tmp_path / changed).open("a") as file:
        file.write("\n")
    ended = run(tmp_path, "order.yaml")
    assert 3 == ended.code
    assert "order.yaml, or a file it takes in or could import, changed since it was trusted" in ended.stderr


def test_what_changes_during_a_run_is_not_run(tmp_path: Path) -> None:
    checked(tmp_path / "a", "first", "open('b/second.py', 'a').write('open(\"proof\", \"w\")\\n')\n    return True")
    checked(tmp_path / "b", "second", "return True")
    assert 0 == run(tmp_path, "trust", "a", "b").code
    ended = run(tmp_path, "a", "b")
    assert 4 == ended.code, ended.stdout
    assert "2 flows: 1 passed, 0 flaky, 0 failed, 1 error" in ended.stdout
    assert not (tmp_path / "proof").exists()


def test_a_damaged_or_open_store_is_a_sentence(tmp_path: Path) -> None:
    checked(tmp_path, "order", "return True")
    run(tmp_path, "trust", "order.yaml")
    folder = tmp_path / "home" / "state" / "runflow" / "trust"
    [kept] = folder.iterdir()
    whole = kept.read_text()
    kept.write_text(whole[:-20])
    damaged = f"{kept} is damaged, so that it permits nothing; delete it, then trust the flow again"
    assert (3, f"runflow: {damaged}; nothing was sent\n") == said(run(tmp_path, "order.yaml"))
    assert (3, f"runflow: {damaged}\n") == said(run(tmp_path, "trust", "--list"))
    kept.write_text(whole)
    folder.chmod(0o777)
    opened = f"{folder} can be written by others, so that nothing in it is trusted; make it yours alone: chmod go-w {folder}"
    assert (3, f"runflow: {opened}; nothing was sent\n") == said(run(tmp_path, "order.yaml"))
    assert (3, f"runflow: {opened}\n") == said(run(tmp_path, "trust", "order.yaml"))
    folder.chmod(0o700)
    assert 0 == run(tmp_path, "order.yaml").code


def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    checked(tmp_path, "order", "return True")
    (tmp_path / "home").write_text("a file")
    where = tmp_path / "home" / "state" / "runflow" / "trust"
    ended = said(run(tmp_path, "trust", "order.yaml"))
    assert (3, f"runflow: the permission cannot be kept in {where}: Not a directory\n") == ended


def said(ended: Ended) -> tuple[int, str]:
    return ended.code, ended.stderr


# ── the environment in texts ─────────────────────────────────────────────────────────────────────────────────────────

TOKEN = {"SHOP_TOKEN": "sesame-opens-this-cave"}
ENVIRONMENT = """\
assistant:
  model: qwen-max
  instructions: The token is ${env.SHOP_TOKEN}.
steps:
  - user: My favourite colour is ${env.SHOP_TOKEN}.
    expect: ${env.SHOP_TOKEN}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "runflow.toml").write_text('env = ["SHOP_TOKEN", "SHOP_CITY"]\n')
    (tmp_path / "shop.yaml").write_text(ENVIRONMENT)
    return tmp_path


NOT_TRUSTED = "runflow: runflow.toml lets texts use `SHOP_TOKEN` of the environment, and is not trusted\n"


def test_a_text_uses_the_environment_once_its_configuration_is_trusted(shop: Path) -> None:
    advice = "nothing was sent; read it, then write `runflow trust runflow.toml`, or give `--allow-tools` for one run\n"
    assert (3, NOT_TRUSTED + advice) == said(run(shop, "shop.yaml", **TOKEN))
    assert (
        "runflow.toml may\n"
        "  put SHOP_TOKEN into texts that say ${env.SHOP_TOKEN}\n"
        "  put SHOP_CITY into texts that say ${env.SHOP_CITY}\n"
        "trusted until runflow.toml changes\n"
    ) == run(shop, "trust", "runflow.toml").stdout
    assert 0 == run(shop, "shop.yaml", **TOKEN).code
    with (shop / "runflow.toml").open("a") as file:
        file.write("\n")
    changed = "it changed since it was trusted; nothing was sent; read it, then write `runflow trust runflow.toml`\n"
    assert (3, NOT_TRUSTED + changed) == said(run(shop, "shop.yaml", **TOKEN))
    assert 0 == run(shop, "shop.yaml", "--allow-tools", **TOKEN).code


def test_in_ci_only_the_flag_lets_texts_use_the_environment(shop: Path) -> None:
    assert 0 == run(shop, "trust", "runflow.toml").code
    ended = said(run(shop, "shop.yaml", "--target", "embedded", CI="true", **TOKEN))
    assert (3, NOT_TRUSTED + "nothing was sent; CI is set, where only `--allow-tools` permits this\n") == ended
    assert 0 == run(shop, "shop.yaml", "--target", "embedded", "--allow-tools", CI="true", **TOKEN).code


def test_what_texts_take_from_the_environment_is_written_nowhere(shop: Path) -> None:
    run(shop, "trust", "runflow.toml")
    reports = ("--json", "r.json", "--junit", "r.xml", "--events", "e.jsonl")
    ended = run(shop, "shop.yaml", "-vv", *reports, **TOKEN)
    written = ended.stdout + ended.stderr + "".join((shop / name).read_text() for name in reports[1::2])
    assert (0, True, False) == (ended.code, "favourite colour is ***" in written, "sesame" in written)


def test_a_plan_names_the_variable_and_reads_nothing(shop: Path) -> None:
    ended = run(shop, "plan", "shop.yaml", **TOKEN)
    assert (0, "") == (ended.code, ended.stderr)
    assert "content: My favourite colour is {env.SHOP_TOKEN}." in ended.stdout
    assert "sesame" not in ended.stdout


def test_a_variable_that_is_not_set_is_named(shop: Path) -> None:
    sentence = "runflow: the environment variable SHOP_TOKEN, which a text uses, is not set; nothing was sent\n"
    assert (3, sentence) == said(run(shop, "shop.yaml", "--allow-tools"))
    assert (3, sentence) == said(run(shop, "shop.yaml", "--allow-tools", SHOP_TOKEN=""))


def test_a_variable_that_no_configuration_names_is_refused(shop: Path) -> None:
    assert "1 file: no problems" == run(shop, "validate", "shop.yaml").stdout.splitlines()[-1].partition(",")[0]
    (shop / "runflow.toml").write_text('env = ["SHOP_CITY"]\n')
    for command in (["validate", "shop.yaml"], ["shop.yaml", "--allow-tools"], ["plan", "shop.yaml"]):
        ended = run(shop, *command, **TOKEN)
        assert 3 == ended.code
        assert "the environment variable `SHOP_TOKEN` is not allowed in texts" in ended.stdout + ended.stderr


def test_a_configuration_that_names_none_needs_no_trust(shop: Path) -> None:
    (shop / "runflow.toml").write_text('target = "embedded"\n')
    sentence = "runflow.toml needs no trust: it names no variable of the environment\n"
    assert sentence == run(shop, "trust", "runflow.toml").stdout
    assert "no flow is trusted\n" == run(shop, "trust", "--list").stdout


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ('"SHOP_TOKEN"', '`env` is a list of names; write `env = ["SHOP_TOKEN"]`'),
        ("[1]", '`env` is a list of names; write `env = ["SHOP_TOKEN"]`'),
        ('["A B"]', "`A B` is no name of a variable; write it like `SHOP_TOKEN`"),
        ('["DASHSCOPE_API_KEY"]', "`DASHSCOPE_API_KEY` is never put into a text: it holds a key, or is runflow's own"),
        ('["dashscope_api_key"]', "`dashscope_api_key` is never put into a text: it holds a key, or is runflow's own"),
        ('["RUNFLOW_TOKEN"]', "`RUNFLOW_TOKEN` is never put into a text: it holds a key, or is runflow's own"),
    ],
)
def test_names_that_texts_may_never_use(env: str, sentence: str, shop: Path) -> None:
    (shop / "runflow.toml").write_text(f"env = {env}\n")
    for command in (["trust", "runflow.toml"], ["targets"]):
        ended = run(shop, *command)
        assert (3, f"runflow.toml:1:7: {sentence} [setting-value]") == (ended.code, ended.stderr.splitlines()[0])
