"""Settings: from configuration, environment and command line to one connection, or to a sentence that says why not."""

from pathlib import Path

import pytest

from runner import settings
from runner.diagnostics import Problems, render
from runner.settings import Settings, SettingsProblem

VENDOR = "https://dashscope-intl.aliyuncs.com/api/v1"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def complaints(path: Path) -> list[str]:
    with pytest.raises(Problems) as caught:
        settings.load(path.parent, {})
    lines = path.read_text(encoding="utf-8").splitlines()
    return [render(found, lines).replace(f"{path.parent}/", "") for found in caught.value.diagnostics]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_file_everything_is_default(tmp_path: Path) -> None:
    found = settings.load(tmp_path, {})
    assert (None, None, True, "runflow-out") == (found.target, found.base_url, found.streaming, found.out)


def test_the_nearest_file_upwards_holds(tmp_path: Path) -> None:
    write(tmp_path, "runflow.toml", 'target = "dashscope"\n')
    write(tmp_path, "shop/pyproject.toml", '[tool.runflow]\ntarget = "dashscope-cn"\nstreaming = false\n')
    write(tmp_path, "shop/flows/pyproject.toml", '[project]\nname = "other"\n')
    below = settings.load(tmp_path / "shop" / "flows", {})
    assert ("dashscope-cn", False, "pyproject.toml") == (below.target, below.streaming, below.path and below.path.name)
    assert "dashscope" == settings.load(tmp_path, {}).target


def test_runflow_toml_wins_over_pyproject_toml_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "runflow.toml", 'target = "embedded"\n')
    write(tmp_path, "pyproject.toml", '[tool.runflow]\ntarget = "dashscope"\n')
    assert "embedded" == settings.load(tmp_path, {}).target


def test_every_wrong_setting_is_shown_at_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "runflow.toml", '# ours\ntagret = "dashscope"\nstreaming = "no"\nout = "../elsewhere"\n')
    assert [
        "runflow.toml:2:1: unknown setting `tagret` [unknown-setting]\n"
        "  |\n"
        '2 | tagret = "dashscope"\n'
        "  | ^^^^^^ did you mean `target`?",
        'runflow.toml:3:13: `streaming` is true or false [setting-value]\n  |\n3 | streaming = "no"\n  |             ^^^^',
        "runflow.toml:4:7: pictures are saved below this folder only; `--out` may name any folder [setting-value]\n"
        "  |\n"
        '4 | out = "../elsewhere"\n'
        "  |       ^^^^^^^^^^^^^^",
    ] == complaints(path)


def test_a_setting_of_another_table_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    path = write(tmp_path, "pyproject.toml", '[project]\ntarget = "x"\n\n[tool.runflow]\ntarget = 1\n')
    assert [
        'pyproject.toml:5:10: `target` is a text; write `target = "…"` [setting-value]\n  |\n5 | target = 1\n  |          ^'
    ] == complaints(path)


def test_an_unknown_setting_is_told_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "runflow.toml", 'umwelt = ["HOME"]\n')
    assert [
        "runflow.toml:1:1: unknown setting `umwelt` [unknown-setting]\n"
        "  |\n"
        '1 | umwelt = ["HOME"]\n'
        "  | ^^^^^^ the settings are `target`, `base_url`, `workspace`, `streaming`, `out`, `env`"
    ] == complaints(path)


def test_what_is_not_toml_is_named_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, "runflow.toml", "target = dashscope\n")
    assert [
        "runflow.toml:1:10: this is not TOML: invalid value [toml-syntax]\n"
        "  |\n"
        "1 | target = dashscope\n"
        '  |          ^ write `name = "value"`, one on a line'
    ] == complaints(path)


def test_a_pyproject_of_others_is_not_our_business(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[project\nbroken")
    assert Settings() == settings.load(tmp_path, {})


# ── .env ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dotenv_sets_key_variables_and_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        ".env",
        "DASHSCOPE_API_KEY=sk-one\nRUNFLOW_TARGET=dashscope-cn\nHTTPS_PROXY=http://evil\nDASHSCOPE_HTTP_BASE_URL=x\n",
    )
    assert {"DASHSCOPE_API_KEY": "sk-one"} == settings.load(tmp_path, {}).with_keys({})


def test_the_real_environment_wins_over_dotenv(tmp_path: Path) -> None:
    write(tmp_path, ".env", "DASHSCOPE_API_KEY=sk-one\n")
    assert {"DASHSCOPE_API_KEY": "sk-two"} == settings.load(tmp_path, {}).with_keys({"DASHSCOPE_API_KEY": "sk-two"})


def test_a_dotenv_is_not_interpolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "leaked")
    write(tmp_path, ".env", "DASHSCOPE_API_KEY=sk-${OTHER}\n")
    assert {"DASHSCOPE_API_KEY": "sk-${OTHER}"} == settings.load(tmp_path, {}).with_keys({})


def test_keys_do_not_show_in_a_settings_text(tmp_path: Path) -> None:
    write(tmp_path, ".env", "DASHSCOPE_API_KEY=sk-one\n")
    assert "sk-one" not in repr(settings.load(tmp_path, {}))


# ── which target ─────────────────────────────────────────────────────────────────────────────────────────────────────

CONFIGURED = Settings(target="dashscope-cn", path=Path("runflow.toml"))
KEY = {"DASHSCOPE_API_KEY": "sk-one"}


@pytest.mark.parametrize(
    ("option", "environment", "flow", "configured", "expected"),
    [
        ("embedded", {"RUNFLOW_TARGET": "dashscope", **KEY}, "dashscope", CONFIGURED, ("embedded", "named by --target")),
        (None, {"RUNFLOW_TARGET": "dashscope", **KEY}, "embedded", CONFIGURED, ("dashscope", "named by RUNFLOW_TARGET")),
        (None, KEY, "embedded", CONFIGURED, ("embedded", "named in the flow")),
        (None, KEY, None, CONFIGURED, ("dashscope-cn", "named in runflow.toml")),
        (None, KEY, None, Settings(), ("dashscope", "DASHSCOPE_API_KEY is set")),
        (None, {**KEY, "CI": "true"}, None, Settings(), ("dashscope", "DASHSCOPE_API_KEY is set")),
        (None, {}, None, Settings(keys=KEY), ("dashscope", "DASHSCOPE_API_KEY is set")),
        (None, {"DASHSCOPE_API_KEY": ""}, None, Settings(), ("embedded", "no DASHSCOPE_API_KEY is set")),
        (None, {"CI": ""}, None, Settings(), ("embedded", "no DASHSCOPE_API_KEY is set")),
        (None, {"CI": "true"}, "embedded", Settings(), ("embedded", "named in the flow")),
    ],
)
def test_the_target_is_chosen_in_this_order(
    option: str | None, environment: dict[str, str], flow: str | None, configured: Settings, expected: tuple[str, str]
) -> None:
    chosen = settings.choose(flow, option, environment=environment, settings=configured)
    assert expected == (chosen.target, chosen.reason)


def refusal(flow: str | None = None, option: str | None = None, base_url: str | None = None, **given: object) -> str:
    environment = given.get("environment", {})
    configured = given.get("settings", Settings())
    assert isinstance(environment, dict) and isinstance(configured, Settings)
    with pytest.raises(SettingsProblem) as caught:
        settings.choose(flow, option, environment=environment, settings=configured, base_url=base_url)
    return str(caught.value)


def test_ci_does_not_fall_back_on_the_embedded_service() -> None:
    assert (
        "CI is set and nothing names a target; a pass on the embedded service would say nothing about a model. "
        "write `--target embedded` to check the flows alone, or set DASHSCOPE_API_KEY"
    ) == refusal(environment={"CI": "true"})


def test_an_unknown_target_gets_the_nearest_name() -> None:
    assert "unknown target `dashscop` (named in the flow); did you mean `dashscope`?" == refusal("dashscop")


def test_a_missing_key_is_named() -> None:
    assert ("target `dashscope` (named by --target) needs a key; set the environment variable DASHSCOPE_API_KEY") == refusal(
        option="dashscope"
    )


@pytest.mark.parametrize("key", ["sk-“one”", "sk-one\nsk-two", "sk-\x00"])
def test_what_cannot_be_a_key_is_not_sent(key: str) -> None:
    expected = "DASHSCOPE_API_KEY holds characters that no key has; copy it again"
    assert expected == refusal("dashscope", environment={"DASHSCOPE_API_KEY": key})


def test_a_plan_needs_no_key() -> None:
    chosen = settings.choose("dashscope", environment={}, settings=Settings(), needs_key=False)
    assert (VENDOR, "DASHSCOPE_API_KEY") == (chosen.base_url, chosen.key_variable)


# ── where it is ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:8765/api/v1", "http://[::1]:8765/api/v1", "https://example.org/api/v1/", "http://localhost/api/v1"],
)
def test_the_command_line_may_name_any_safe_host(base_url: str) -> None:
    chosen = settings.choose("dashscope", environment=KEY, settings=Settings(), base_url=base_url)
    assert base_url.rstrip("/") == chosen.base_url


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        (
            "http://example.org/api/v1",
            "`http://example.org/api/v1` is not encrypted; write `https`: only this machine may be reached by http",
        ),
        ("https://user:secret@example.org/", "a base URL holds no user name and no password"),
        ("example.org", "`example.org` is not a URL; write it like `https://host/api/v1`"),
        ("https://example.org:port/", "`https://example.org:port/` is not a URL"),
        ("https://example.org/?a=b", "a base URL ends with its path; leave out what follows `?` or `#`"),
        ("file:///etc/passwd", "`file:///etc/passwd` is not a URL; write it like `https://host/api/v1`"),
        (
            "http://127.999.0.1/api/v1",
            "`http://127.999.0.1/api/v1` is not encrypted; write `https`: only this machine may be reached by http",
        ),
        (
            "http://127.0.0.1.example.org/",
            "`http://127.0.0.1.example.org/` is not encrypted; write `https`: only this machine may be reached by http",
        ),
    ],
)
def test_an_unsafe_base_url_is_refused(base_url: str, expected: str) -> None:
    assert expected == refusal("dashscope", base_url=base_url, environment=KEY)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://dashscope.aliyuncs.com/api/v1",
        "https://ws-1.ap-southeast-1.maas.aliyuncs.com/api/v1",
        "http://127.0.0.1:8765/api/v1",
    ],
)
def test_configuration_may_name_the_vendors_hosts_and_this_machine(base_url: str) -> None:
    chosen = settings.choose("dashscope", environment=KEY, settings=Settings(base_url=base_url, path=Path("runflow.toml")))
    assert base_url == chosen.base_url


@pytest.mark.parametrize(
    "host", ["example.org", "dashscope.aliyuncs.com.example.org", "bucket.oss-cn-beijing.aliyuncs.com", "maas.aliyuncs.com"]
)
def test_configuration_sends_no_key_to_other_hosts(host: str) -> None:
    found = Settings(base_url=f"https://{host}/api/v1", path=Path("runflow.toml"))
    assert (
        f"runflow.toml sends DASHSCOPE_API_KEY to {host}, which is not the vendor's; "
        f"give `--base-url https://{host}/api/v1` yourself if you trust it"
    ) == refusal("dashscope", environment=KEY, settings=found)


def test_the_variable_of_the_sdk_is_heard_below_the_command_line_and_above_configuration() -> None:
    environment = {**KEY, "DASHSCOPE_HTTP_BASE_URL": "http://127.0.0.1:8765/api/v1"}
    found = Settings(base_url="https://dashscope.aliyuncs.com/api/v1", path=Path("runflow.toml"))
    chosen = settings.choose(None, environment=environment, settings=found)
    assert ("http://127.0.0.1:8765/api/v1", "DASHSCOPE_API_KEY is set; base URL from DASHSCOPE_HTTP_BASE_URL") == (
        chosen.base_url,
        chosen.reason,
    )
    given = settings.choose(None, environment=environment, settings=found, base_url="https://example.org/api/v1")
    assert "https://example.org/api/v1" == given.base_url
    assert "http://embedded.invalid/api/v1" == settings.choose("embedded", environment=environment, settings=found).base_url


def test_the_variable_of_the_sdk_names_a_safe_url_or_none() -> None:
    environment = {**KEY, "DASHSCOPE_HTTP_BASE_URL": "http://example.org/api/v1"}
    assert "`http://example.org/api/v1` is not encrypted; write `https`: only this machine may be reached by http" == refusal(
        "dashscope", environment=environment
    )


def test_the_embedded_service_has_no_base_url() -> None:
    assert ("`embedded` runs inside runflow and has no base URL; leave it out, or write another `--target`") == refusal(
        base_url="http://127.0.0.1:1/api/v1"
    )


def test_workspace_and_streaming_reach_the_connection() -> None:
    found = Settings(workspace="ws-1", streaming=False)
    chosen = settings.choose("dashscope", environment=KEY, settings=found)
    assert ("ws-1", False) == (chosen.workspace, chosen.streaming)
    assert not settings.choose("dashscope", environment=KEY, settings=Settings(), streaming=False).streaming


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PAGES = Path(settings.__file__).parent / "explain"


@pytest.mark.parametrize("code", ["unknown-setting", "setting-value", "toml-syntax"])
def test_the_page_of_a_code_shows_a_wrong_and_a_right_file(code: str, tmp_path: Path) -> None:
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    wrong, right = (page.partition(f"```toml {kind}\n")[2].partition("```")[0] for kind in ("wrong", "right"))
    write(tmp_path, "right/runflow.toml", right)
    assert settings.load(tmp_path / "right", {}).path
    write(tmp_path, "wrong/runflow.toml", wrong)
    with pytest.raises(Problems) as caught:
        settings.load(tmp_path / "wrong", {})
    assert [code] == [found.code for found in caught.value.diagnostics]
