"""A real model behind the service: SmolLM2 in the process of `runflow serve --model local`. What it says is its own affair;
that answers arrive, are counted and can be stopped is ours."""

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.embedded_fixtures import Served, parsed, served
from tests.sdk.environments import LOCAL, needed

# One worker makes the environment and loads the model.
pytestmark = pytest.mark.xdist_group("local")

SHORT = 12
"""Tokens of an answer: enough to tell pieces from a whole."""


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    packages = needed(LOCAL).packages
    with served("--model", "local", environment={"PYTHONPATH": os.pathsep.join(["", str(packages)])}) as running:
        yield running


@pytest.fixture
def client(service: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.base_url, headers=dict(service.headers), trust_env=False, timeout=120) as opened:
        yield opened


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def assistant(client: httpx.Client, **more: Any) -> str:
    return str(post(client, "/assistants", model="any", instructions="Be brief.", **more)["id"])


def thread(client: httpx.Client, text: str) -> str:
    return str(post(client, "/threads", messages=[{"role": "user", "content": text}])["id"])


def streamed(client: httpx.Client, thread: str, assistant: str) -> list[tuple[str, Any]]:
    answer = client.post(f"/threads/{thread}/runs", json={"assistant_id": assistant, "stream": True})
    return parsed(answer.text)


def test_an_answer_arrives_in_pieces_and_is_the_one_that_is_kept(client: httpx.Client) -> None:
    where = thread(client, "Tell me a long story about a cat.")
    events = streamed(client, where, assistant(client, max_tokens=SHORT))
    said = [data["delta"]["content"][0]["text"]["value"] for name, data in events if name == "thread.message.delta"]
    run = events[-1][1]
    assert len(said) > 1
    # It stops by itself, or at the limit.
    assert run["status"] in {"completed", "incomplete"}
    message = client.get(f"/threads/{where}/messages").json()["data"][0]
    assert ("assistant", "".join(said)) == (message["role"], message["content"][0]["text"]["value"])
    polled = client.get(f"/threads/{where}/runs/{run['id']}").json()
    assert {name: value for name, value in run.items() if name != "request_id"} == {
        name: value for name, value in polled.items() if name != "request_id"
    }


def test_what_it_costs_is_counted(client: httpx.Client) -> None:
    usage = streamed(client, thread(client, "Hello."), assistant(client, max_tokens=SHORT))[-1][1]["usage"]
    assert usage["input_tokens"] > 5
    assert 0 < usage["output_tokens"] <= SHORT
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]


def test_a_longer_thread_costs_more(client: httpx.Client) -> None:
    where, who = thread(client, "Hello."), assistant(client, max_tokens=SHORT)
    first = streamed(client, where, who)[-1][1]["usage"]["input_tokens"]
    post(client, f"/threads/{where}/messages", content="And then?")
    assert streamed(client, where, who)[-1][1]["usage"]["input_tokens"] > first


def test_functions_are_accepted(client: httpx.Client) -> None:
    tools = [{"type": "calculator"}, {"type": "function", "function": {"name": "now"}}]
    run = streamed(client, thread(client, "Hello."), assistant(client, tools=tools, max_tokens=SHORT))[-1][1]
    assert run["status"] in {"completed", "incomplete", "requires_action"}


def test_a_cancelled_run_stops_the_model(client: httpx.Client) -> None:
    # Without chance in it this answer is hundreds of tokens long.
    where, who = thread(client, "Write a long story about a cat and a dog."), assistant(client, temperature=0)
    seen: list[str] = []
    run = ""
    with client.stream("POST", f"/threads/{where}/runs", json={"assistant_id": who, "stream": True}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:{") and not run:
                run = json.loads(line.removeprefix("data:"))["id"]
            if line.startswith("event:"):
                seen.append(line.removeprefix("event:"))
            if seen and seen[-1] == "thread.message.delta":
                post(client, f"/threads/{where}/runs/{run}/cancel")
    assert "thread.run.cancelled" == seen[-2]
    assert "cancelled" == client.get(f"/threads/{where}/runs/{run}").json()["status"]
    # The model is free for the next one.
    other = streamed(client, thread(client, "Hello."), assistant(client, max_tokens=SHORT))
    assert other[-1][1]["status"] in {"completed", "incomplete"}


def test_it_is_called_a_toy(service: Served) -> None:
    assert service.process.stdout is not None
    label = "SmolLM2-135M-Instruct.Q4_1.gguf, in this process: a toy that shows how models behave, not what they know"
    assert f"answers come from {label}" == service.process.stdout.readline().strip()
