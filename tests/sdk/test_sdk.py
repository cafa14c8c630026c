"""The official SDKs talk to `runflow serve` as they would to the real service: only the base URL differs."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chat_fixtures import Answer, call, calls, chat_server, says
from tests.embedded_fixtures import Served, clean_environment, served
from tests.sdk.environments import DASHSCOPE, OPENAI, Environment, needed

PROGRAMS = Path(__file__).parent / "programs"

# One worker makes the environments and runs the server.
pytestmark = pytest.mark.xdist_group("sdk")


@pytest.fixture(scope="session")
def service() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="session", params=DASHSCOPE, ids=lambda environment: environment.name)
def sdk(request: pytest.FixtureRequest) -> Environment:
    return needed(request.param)


def run(program: str, sdk: Environment, service: Served, *arguments: str) -> Any:
    """What a program prints, read as JSON."""
    environment = clean_environment(DASHSCOPE_HTTP_BASE_URL=service.base_url, DASHSCOPE_API_KEY=service.token)
    ended = subprocess.run(
        [sdk.python, PROGRAMS / program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert 0 == ended.returncode, ended.stderr
    return json.loads(ended.stdout)


def test_the_tutorial_ends_with_a_picture(sdk: Environment, service: Served) -> None:
    said = run("tutorial.py", sdk, service)
    assert ("completed", "assistant") == (said["status"], said["role"])
    assert said["answer"].startswith("Here is a picture of a ragdoll cat.\n\n![a ragdoll cat](" + service.origin)


def test_the_streaming_tutorial_gets_the_answer_in_pieces(sdk: Environment, service: Served) -> None:
    said = run("tutorial_streaming.py", sdk, service)
    assert ("completed", True) == (said["status"], said["joined"])
    assert said["pieces"] > 5
    assert ["thread.run.created", "thread.run.queued", "thread.run.in_progress"] == said["events"][:3]
    assert ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"] == said["events"][-3:]


def test_every_method_gets_its_answer(sdk: Environment, service: Served) -> None:
    said = run("every_method.py", sdk, service)
    assert sdk.name == f"dashscope-{said['version']}"
    assert EXPECTED | (BROKEN if said["version"].startswith("1.") else {}) == said["answers"]


# ── with a chat model behind the service ─────────────────────────────────────────────────────────────────────────────


@contextmanager
def with_model(*answers: Answer) -> Iterator[Served]:
    """The service with a chat endpoint behind it that gives these answers."""
    with chat_server(*answers) as endpoint, served("--model", "chat", "--base-url", endpoint.base_url) as running:
        yield running


def test_the_tutorial_runs_on_a_chat_model(sdk: Environment) -> None:
    drawing = calls(call("text_to_image", '{"prompt": "a ragdoll cat"}'))
    with with_model(drawing, says("Here ", "it is.")) as service:
        said = run("tutorial.py", sdk, service)
    assert {"status": "completed", "role": "assistant", "answer": "Here it is."} == said


def test_the_streaming_tutorial_runs_on_a_chat_model(sdk: Environment) -> None:
    drawing = calls(call("text_to_image", '{"prompt": "a ragdoll cat"}'))
    with with_model(drawing, says("Here ", "it ", "is.")) as service:
        said = run("tutorial_streaming.py", sdk, service)
    assert ("completed", True, 3) == (said["status"], said["joined"], said["pieces"])
    assert ["thread.run.created", "thread.run.queued", "thread.run.in_progress"] == said["events"][:3]
    assert ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"] == said["events"][-3:]


# ── the OpenAI SDK's Assistants, of which the service is a superset ──────────────────────────────────────────────────


@pytest.fixture(scope="session")
def openai() -> Environment:
    return needed(OPENAI)


def test_the_openai_sdk_gets_its_answers_too(openai: Environment, service: Served) -> None:
    assert ASSISTANTS == run("openai_assistants.py", openai, service, service.base_url)


def test_the_openai_sdks_helpers_run_on_a_chat_model(openai: Environment) -> None:
    added = calls(call("big_add", '{"left": 3, "right": 4}'), text="Let me see. ")
    with with_model(added, says("It is 7."), added, says("It ", "is 7.")) as service:
        said = run("openai_helpers.py", openai, service, service.base_url)
    assert {
        "polled": ["requires_action", "completed", "It is 7.", 26],
        "streamed": ["requires_action", "completed", "Let me see. ", "It is 7."],
        "arguments": {"left": 3, "right": 4},
    } == said


ASSISTANTS: dict[str, object] = {
    "create": ["assistant", "One", "qwen-max", ["function", "code_interpreter"], 0.5, {"a": "b"}],
    "retrieve": "One",
    "update": ["Zwei", {"a": "b"}],
    "list": ["Zwei", "One"],
    "list asc": True,
    "delete": True,
    "deleted": 404,
    "thread": ["thread", {"k": "v"}, {"k": "w"}],
    "message": ["user", "Call big_add with 3 and 4.", "In two parts."],
    "message update": {"m": "n"},
    "message list": ["Hello.", "Call big_add with 3 and 4.", "In two parts."],
    "create_and_poll": ["requires_action", "big_add", {"left": 3, "right": 4}],
    "submit_and_poll": ["completed", "According to big_add: 7.", True],
    "steps": [["tool_calls", "completed"], ["message_creation", "completed"]],
    "step call": "7",
    "step retrieve": "message_creation",
    "run retrieve": "completed",
    "run update": {"r": "1"},
    "run list": True,
    "stream": [
        "requires_action",
        ["tool_calls created", "function call created", "call delta", "call done", "end"],
        {"left": 5, "right": 6},
    ],
    "submit stream": [
        "completed",
        [
            "step done",
            "message_creation created",
            "message created",
            "text delta",
            "text done",
            "message done",
            "step done",
            "end",
        ],
        True,
    ],
    "answer": "According to big_add: 11.",
    "create_and_run_stream": ["completed", ["message_creation", "tool_calls"]],
    "create_and_run_poll": "completed",
    "plain stream": ["thread.run.created", "thread.run.completed", "completed"],
    "cancel": ["requires_action", "cancelling"],
    "cancelled": "cancelled",
    "thread delete": True,
    "wrong key": 401,
}

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
