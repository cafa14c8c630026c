"""The official DashScope SDKs talk to `runflow serve` as they would to the real service: only the base URL differs."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.embedded_fixtures import Served, clean_environment, served
from tests.sdk import environments

PROGRAMS = Path(__file__).parent / "programs"

# One worker makes the environments and runs the server.
pytestmark = pytest.mark.xdist_group("sdk")


@pytest.fixture(scope="session")
def service() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="session", params=environments.VERSIONS)
def sdk(request: pytest.FixtureRequest) -> str:
    version: str = request.param
    if not environments.present(version):
        if not os.environ.get("CI"):
            pytest.skip(f"DashScope SDK {version} is not there; `python -m tests.sdk.environments` installs it")
        environments.make(version)
    return version


def run(program: str, sdk: str, service: Served) -> Any:
    """What a program prints, read as JSON."""
    environment = clean_environment(DASHSCOPE_HTTP_BASE_URL=service.base_url, DASHSCOPE_API_KEY=service.token)
    python = environments.python(environments.folder(sdk))
    ended = subprocess.run(
        [python, PROGRAMS / program], env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert 0 == ended.returncode, ended.stderr
    return json.loads(ended.stdout)


def test_the_tutorial_ends_with_a_picture(sdk: str, service: Served) -> None:
    said = run("tutorial.py", sdk, service)
    assert ("completed", "assistant") == (said["status"], said["role"])
    assert said["answer"].startswith("Here is a picture of a ragdoll cat.\n\n![a ragdoll cat](" + service.origin)


def test_the_streaming_tutorial_gets_the_answer_in_pieces(sdk: str, service: Served) -> None:
    said = run("tutorial_streaming.py", sdk, service)
    assert ("completed", True) == (said["status"], said["joined"])
    assert said["pieces"] > 5
    assert ["thread.run.created", "thread.run.queued", "thread.run.in_progress"] == said["events"][:3]
    assert ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"] == said["events"][-3:]


def test_every_method_gets_its_answer(sdk: str, service: Served) -> None:
    said = run("every_method.py", sdk, service)
    assert sdk == said["version"]
    assert EXPECTED | (BROKEN if sdk.startswith("1.") else {}) == said["answers"]


BROKEN: dict[str, object] = {"Steps.get": "TypeError", "assistant Files.get": "AttributeError"}
"""What 1.20.14 cannot do with any service."""

EXPECTED: dict[str, object] = {
    "Assistants.create": {"name": "One", "model": "qwen-max"},
    "Assistants.call": {"name": "Two", "model": "qwen-plus"},
    "Assistants.get": {"name": "One"},
    "Assistants.retrieve": {"name": "One"},
    "Assistants.update": {"name": "Uno", "model": "qwen-max", "metadata": {"a": "b"}},
    "Assistants.update again": {"name": "Uno", "description": "Adds", "metadata": {"a": "b"}},
    "Assistants.list": {"has_more": True, "newest first": True},
    "Assistants.list after": {"status_code": 200, "older": True},
    "Assistants.delete": {"deleted": True, "object": "assistant.deleted"},
    "Assistants.get deleted": {"status": 404, "code": "NotFound"},
    "Threads.create": {"metadata": {"k": "v"}, "object": "thread"},
    "Threads.call": {"object": "thread"},
    "Threads.get": {"metadata": {"k": "v"}},
    "Threads.retrieve": {"metadata": {"k": "v"}},
    "Threads.update": {"metadata": {"k": "w"}},
    "Messages.create": {"role": "user"},
    "Messages.call": {"role": "user"},
    "Messages.get": {"role": "user"},
    "Messages.retrieve": {"role": "user"},
    "Messages.update": {"metadata": {"m": "n"}},
    "Messages.list": {"has_more": False, "texts": ["Call big_add with 3 and 4.", "Please."]},
    "Runs.create": {"status": "queued", "metadata": {"r": "1"}},
    "Runs.wait": {"status": "requires_action"},
    "required_action": [["big_add", {"left": 3, "right": 4}]],
    "Runs.get": {"status": "requires_action"},
    "Runs.retrieve": {"status": "requires_action"},
    "Runs.update": {"metadata": {"r": "2"}},
    "Runs.submit_tool_outputs": {"status": "in_progress"},
    "after outputs": {"status": "completed", "answer": "According to big_add: 7."},
    "Steps.list": {"has_more": False, "types": ["message_creation", "tool_calls"]},
    "Steps.retrieve": {"type": "message_creation", "status": "completed"},
    "Steps.get": {"type": "message_creation"},
    "Runs.list": {"has_more": False, "own": True},
    "Runs.call streamed": {
        "events": [
            "thread.run.created",
            "thread.run.queued",
            "thread.run.in_progress",
            "thread.run.step.created",
            "thread.run.step.in_progress",
            "thread.run.requires_action",
        ],
        "status": "requires_action",
    },
    "Runs.submit_tool_outputs streamed": {
        "events": [
            "thread.run.step.completed",
            "thread.run.queued",
            "thread.run.in_progress",
            "thread.run.step.created",
            "thread.run.step.in_progress",
            "thread.message.created",
            "thread.message.in_progress",
            "thread.message.completed",
            "thread.run.step.completed",
            "thread.run.completed",
        ],
        "status": "completed",
    },
    "Runs.cancel": {"status": "cancelling"},
    "cancelled": "cancelled",
    "a refused stream": {"event": None, "code": "NotFound", "status": 404},
    "Threads.create_and_run": {"status": "queued", "end": "completed"},
    "Runs.create_thread_and_run": {"status": "queued"},
    "calculated": "6 * 7 = 42.",
    "Runs.create_thread_and_run streamed": {"first": "thread.created", "status": "completed"},
    "assistant Files.create": {"id": "file-1"},
    "assistant Files.call": {"id": "file-2"},
    "assistant Files.list": {"has_more": False, "ids": ["file-1", "file-2"]},
    "assistant Files.get": "file-1",
    "assistant Files.retrieve": {"id": "file-1"},
    "assistant Files.delete": {"deleted": True},
    "message Files.list": {"has_more": False, "ids": ["file-1"]},
    "message Files.get": {"id": "file-1"},
    "message Files.retrieve": {"id": "file-1"},
    "Threads.delete": {"deleted": True, "object": "thread.deleted"},
    "wrong key": {"status": 401, "code": "InvalidApiKey"},
}
