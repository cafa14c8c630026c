"""The example flows: each is valid, and each passes on the embedded service."""

import json
import shutil
from pathlib import Path

import pytest

from tests.test_cli import WORKFLOWS, run

FLOWS = sorted(WORKFLOWS.glob("*.yaml"))
PYTHON = ("stock.yaml",)
"""Those that run Python, which takes permission."""


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
@pytest.mark.parametrize("how", [(), ("--no-stream",)], ids=["streaming", "polling"])
def test_an_example_passes(flow: Path, how: tuple[str, ...], tmp_path: Path) -> None:
    permission = ("--allow-tools",) if flow.name in PYTHON else ()
    ended = run(tmp_path, str(flow), "--require-checks", *how, *permission)
    assert (0, "") == (ended.code, ended.stderr), ended.stdout


@pytest.mark.parametrize("name", PYTHON)
def test_an_example_with_python_runs_only_with_permission(name: str, tmp_path: Path) -> None:
    shutil.copytree(WORKFLOWS, tmp_path, dirs_exist_ok=True)
    refused = run(tmp_path, name)
    trusted = run(tmp_path, "trust", name)
    assert (3, "", 0) == (refused.code, refused.stdout, trusted.code)
    assert f"write `runflow trust {name}`" in refused.stderr
    assert 0 == run(tmp_path, name).code


def test_the_examples_have_no_findings(tmp_path: Path) -> None:
    assert f"{len(FLOWS)} files: no problems\n" == run(tmp_path, "validate", str(WORKFLOWS), "--require-checks").stdout


def test_the_first_example_ends_with_a_picture(tmp_path: Path) -> None:
    report = json.loads(run(tmp_path, str(WORKFLOWS / "paint.yaml"), "--json", "-").stdout)
    [image] = [image for step in report["cases"][0]["attempts"][0]["steps"] for image in step["images"]]
    assert (tmp_path / image["path"]).read_bytes().startswith(b"\x89PNG")


def test_the_streaming_example_adds_no_message(tmp_path: Path) -> None:
    plan = json.loads(run(tmp_path, "plan", str(WORKFLOWS / "paint-streaming.yaml"), "--json", "-").stdout)
    calls = plan["cases"][0]["calls"]
    assert {"messages": [{"role": "user", "content": "Draw a picture of a ragdoll cat."}]} == calls[1]["body"]
    assert ["/assistants", "/threads", "/threads/{thread}/runs"] == [call["path"] for call in calls if call["method"] == "POST"]


def test_the_data_driven_example_plays_every_row(tmp_path: Path) -> None:
    report = json.loads(run(tmp_path, str(WORKFLOWS / "animals.yaml"), "--json", "-").stdout)
    assert ["cat, watercolour", "heron, woodcut", "red panda, pencil sketch, unshaded"] == [
        case["label"] for case in report["cases"]
    ]


def test_the_memory_example_relies_on_the_thread(tmp_path: Path) -> None:
    text = (WORKFLOWS / "memory.yaml").read_text(encoding="utf-8")
    first = text.index("  - user:")
    second = text.index("  - user:", first + 1)
    (tmp_path / "forgetful.yaml").write_text(text[:first] + text[second:], encoding="utf-8")
    assert 1 == run(tmp_path, "forgetful.yaml").code


def test_the_sequence_example_needs_its_sequence(tmp_path: Path) -> None:
    text = (WORKFLOWS / "parcel.yaml").read_text(encoding="utf-8")
    assert "{place: Osaka, state: on its way}" in text
    (tmp_path / "once.yaml").write_text(text.replace("{place: Kyoto,", "{place: Osaka,"), encoding="utf-8")
    assert 1 == run(tmp_path, "once.yaml").code


def test_the_failing_example_tells_the_model_that_it_failed(tmp_path: Path) -> None:
    report = json.loads(run(tmp_path, str(WORKFLOWS / "refund.yaml"), "--json", "-").stdout)
    [answered] = report["cases"][0]["attempts"][0]["steps"][0]["functions"]
    assert ("fails", {"error": "the payment service does not answer"}) == (answered["by"], json.loads(answered["output"]))
