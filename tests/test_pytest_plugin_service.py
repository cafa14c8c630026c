"""What flows under pytest are permitted, and what they leave at a service that keeps things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leftovers_fixtures import FLOW, Ended, Place, place

JUDGED = FLOW.replace("- contains: cat", "- python: judge.py:judge")
JUDGE = "from pathlib import Path\n\n\ndef judge(answer):\n    Path(__file__).with_name('ran').touch()\n    return True\n"
ONLY_HERE = (
    "ERROR: `--runflow-allow-tools` counts on the command line only: what lies beside the flows cannot permit them anything"
)


REFUSING = """\
import os, signal, threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Refuse(BaseHTTPRequestHandler):
    def do_DELETE(self):
        self.send_error(401)


def judge(answer):
    os.kill({pid}, signal.SIGKILL)
    HTTPServer.allow_reuse_address = True
    server = HTTPServer(("127.0.0.1", {port}), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return True
"""
"""A check after which nothing can be deleted."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as found:
        yield found


def under_pytest(here: Place, *arguments: str, ini: str = "", **environment: str) -> Ended:
    (here.folder / "pytest.ini").write_text(f"[pytest]\nrunflow_flows = *.yaml\n{ini}", encoding="utf-8")
    return here.command("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, **environment)


def judged(here: Place) -> Path:
    """A flow that runs Python, and the file that shows that it did."""
    here.flow("judged.yaml", JUDGED)
    (here.folder / "judge.py").write_text(JUDGE, encoding="utf-8")
    return here.folder / "ran"


# ── permission ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("more", [[], ["-n", "1"]])
def test_the_folder_of_the_flows_permits_them_nothing(here: Place, more: list[str]) -> None:
    ran = judged(here)
    ended = under_pytest(here, *more, ini="addopts = --runflow-allow-tools\n")
    assert (4, [ONLY_HERE, ""]) == (ended.code, ended.stderr.splitlines())
    assert not ran.exists()


@pytest.mark.parametrize("more", [[], ["-n", "1"]])
def test_the_command_line_permits_them(here: Place, more: list[str]) -> None:
    ran = judged(here)
    assert 0 == under_pytest(here, "--runflow-allow-tools", *more, CI="true").code
    assert ran.exists()


def test_a_permission_that_was_kept_counts_but_not_in_ci(here: Place) -> None:
    ran = judged(here)
    assert 0 == here.command("-m", "runner", "trust", "judged.yaml").code
    refused = under_pytest(here, CI="true")
    assert 1 == refused.code
    assert "nothing was sent; CI is set, where only `--runflow-allow-tools` permits this" in refused.stdout
    assert not ran.exists()
    assert 0 == under_pytest(here).code
    assert ran.exists()


# ── at the service ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_left_at_the_service(here: Place) -> None:
    here.flow("a.yaml")
    here.flow("b.yaml", FLOW.replace("contains: cat", "contains: tabby"))
    ended = under_pytest(here)
    assert 1 == ended.code
    assert ended.stdout.splitlines()[-1].startswith("1 failed, 1 passed in ")
    assert "runflow: target dashscope (DASHSCOPE_API_KEY is set; base URL from DASHSCOPE_HTTP_BASE_URL)" in ended.stdout
    assert here.server.token not in ended.stdout + ended.stderr
    assert ([], []) == (here.held(), here.ledgers())


def test_collecting_only_sends_nothing(here: Place) -> None:
    here.flow("a.yaml")
    ended = under_pytest(here, "--collect-only", DASHSCOPE_HTTP_BASE_URL="http://127.0.0.1:9/api/v1")
    assert (0, "a.yaml::a") == (ended.code, ended.stdout.splitlines()[0])
    assert not here.state.exists()


def test_what_could_not_be_deleted_is_named_and_noted_down(here: Place) -> None:
    here.flow("judged.yaml", JUDGED)
    port = here.server.origin.rpartition(":")[2]
    (here.folder / "judge.py").write_text(REFUSING.format(pid=here.server.process.pid, port=port), encoding="utf-8")
    ended = under_pytest(here, "--runflow-allow-tools")
    assert (1, 1) == (ended.code, len(here.ledgers()))
    left = [str(each["id"]) for each in here.held()]
    assert 2 == len(left)
    at = ended.lines.index("! left at the service:")
    assert [*(f"    · {id}" for id in left), "  `runflow clean` deletes them"] == ended.lines[at + 1 : at + 4]
    assert ended.lines[-1].startswith("1 error in ")
