"""The targets: what they ask, whom they send the key, what they lack."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.clean import Redactor
from runner.model import Assistant, Flow, Function, Run, RunOverrides, Sample, ServiceError, Step, ThreadSetup, Tool
from runner.needs import Needs
from runner.registry import targets
from runner.targets import Capabilities, Connection, ConnectionProblem, TargetError, Unsure, lacking, open_target
from runner.targets.assistant_api import AssistantApi, refused_certificate
from runner.targets.dashscope import DashScope, DashScopeChina
from runner.targets.embedded import Embedded
from runner.transport.trace import Tracing
from tests.engine_fixtures import Talk, message, on_virtual_time, page, run, target

KEY = "sk-tested-key-1234"
INTERNATIONAL = "https://dashscope-intl.aliyuncs.com/api/v1"


def connection(name: str = "dashscope", base_url: str = INTERNATIONAL, **more: Any) -> Connection:
    return Connection(name, base_url, "for tests", **more)


def test_the_built_in_targets_are_found_by_name() -> None:
    assert {"dashscope", "dashscope-cn", "embedded"} <= set(targets)
    assert INTERNATIONAL == targets["dashscope"].default_base_url
    assert "https://dashscope.aliyuncs.com/api/v1" == targets["dashscope-cn"].default_base_url
    assert ("DASHSCOPE_API_KEY", "DASHSCOPE_API_KEY", None) == tuple(
        targets[name].key_variable for name in ("dashscope", "dashscope-cn", "embedded")
    )
    assert [False, True] == [targets[name].simulated for name in ("dashscope", "embedded")]


@pytest.mark.parametrize(
    ("base_url", "environment", "sentence"),
    [
        (INTERNATIONAL, {}, "DASHSCOPE_API_KEY is not set; target `dashscope` needs its key there"),
        (INTERNATIONAL, {"DASHSCOPE_API_KEY": " \n"}, "DASHSCOPE_API_KEY is not set; target `dashscope` needs its key there"),
        (INTERNATIONAL, {"DASHSCOPE_API_KEY": "ключ"}, "DASHSCOPE_API_KEY holds characters that no key has"),
        (INTERNATIONAL, {"DASHSCOPE_API_KEY": "a\nb"}, "DASHSCOPE_API_KEY holds characters that no key has"),
        (
            "http://dashscope-intl.aliyuncs.com/api/v1",
            {"DASHSCOPE_API_KEY": KEY},
            "the key in DASHSCOPE_API_KEY is not sent over plain http; write https://dashscope-intl.aliyuncs.com",
        ),
    ],
)
def test_a_connection_that_must_not_be_made_is_refused(base_url: str, environment: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(ConnectionProblem) as raised:
        open_target(connection(base_url=base_url), environment)
    assert sentence == str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("HTTPS_PROXY", "foo://anna:secret@127.0.0.1:1", "the proxy named by the environment cannot be used: Unknown scheme"),
        ("HTTPS_PROXY", "http://[::1", "the proxy named by the environment cannot be used: Invalid port"),
        (
            "SSL_CERT_FILE",
            "nowhere.pem",
            "the certificates named by SSL_CERT_FILE or SSL_CERT_DIR cannot be read: No such file",
        ),
        ("SSL_CERT_FILE", __file__, "the certificates named by SSL_CERT_FILE or SSL_CERT_DIR cannot be read: "),
    ],
)
def test_a_way_to_the_network_that_cannot_be_used_is_said_before_the_first_call(
    variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConnectionProblem) as raised:
        open_target(connection(), {"DASHSCOPE_API_KEY": KEY})
    assert str(raised.value).startswith(sentence)
    assert "secret" not in str(raised.value)


def test_another_key_variable_may_be_named() -> None:
    with pytest.raises(ConnectionProblem, match="MY_KEY is not set"):
        open_target(connection(key_variable="MY_KEY"), {"DASHSCOPE_API_KEY": KEY})


def test_an_unknown_target_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        open_target(connection("bedrock"), {})


def asked(kind: type[AssistantApi], given: Connection, answer: httpx.Response) -> httpx.Request:
    """The request that creating an assistant makes."""
    requests: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer

    async def go() -> None:
        service = kind(httpx.MockTransport(serve), given, KEY)
        await service.create_assistant(Assistant(model="qwen-max"))
        await service.close()

    on_virtual_time(go())
    return requests[0]


def test_a_call_carries_the_key_and_the_workspace() -> None:
    request = asked(
        DashScope, connection(base_url=INTERNATIONAL + "/", workspace="ws-1"), httpx.Response(200, json={"id": "a1"})
    )
    assert f"{INTERNATIONAL}/assistants" == str(request.url)
    assert f"Bearer {KEY}" == request.headers["Authorization"]
    assert "ws-1" == request.headers["X-DashScope-WorkSpace"]
    assert ("application/json", "application/json") == (request.headers["Accept"], request.headers["Content-Type"])
    assert request.headers["User-Agent"].startswith("runflow/")


def test_without_a_workspace_there_is_no_such_header() -> None:
    request = asked(DashScope, connection(), httpx.Response(200, json={"id": "a1"}))
    assert "X-DashScope-WorkSpace" not in request.headers


@pytest.mark.parametrize("kind", [DashScope, DashScopeChina])
def test_a_refused_key_is_reported_after_one_request_with_its_variable_and_both_sites(kind: type[AssistantApi]) -> None:
    body = {"code": "InvalidApiKey", "message": f"Invalid API-key {KEY} provided.", "request_id": "q1"}
    with pytest.raises(TargetError) as raised:
        asked(kind, connection(), httpx.Response(401, json=body))
    assert (
        "POST /assistants: 401 InvalidApiKey: Invalid API-key … provided.: check the key in DASHSCOPE_API_KEY; a key belongs "
        "to one site: target `dashscope` is the international one, `dashscope-cn` China's (request id q1)"
    ) == raised.value.sentence


def called(talk: Talk, call: str, *arguments: Any) -> Any:
    async def go() -> Any:
        service = target(talk)
        result = await getattr(service, call)(*arguments)
        await service.close()
        return result

    result = on_virtual_time(go())
    assert [] == talk.exchanges
    return result


def test_messages_are_read_page_by_page_down_to_the_one_named() -> None:
    first = {**page(message("c", id="m4"), message("b", id="m3")), "has_more": True, "last_id": "m3"}
    second = {**page(message("a", id="m2"), message("u", id="m1"), message("old", id="m0")), "has_more": True, "last_id": "m0"}
    talk = Talk().asks("GET", "/threads/t1/messages").answers(**first).asks("GET", "/threads/t1/messages").answers(**second)
    assert ["c", "b", "a"] == [found.text for found in called(talk, "list_messages", "t1", "m1")]
    assert ["order=desc", "order=desc&after=m3"] == [request.url.query.decode() for request in talk.requests]


def test_messages_of_an_existing_thread_are_read_one_page_when_none_is_named() -> None:
    talk = Talk().asks("GET", "/threads/t1/messages").answers(**{**page(message("b")), "has_more": True, "last_id": "m2"})
    assert ["b"] == [found.text for found in called(talk, "list_messages", "t1")]


def test_a_list_that_never_ends_is_left_after_ten_pages() -> None:
    talk = Talk()
    for each in range(10):
        steps = {**page({"id": f"s{each}"}), "has_more": True, "last_id": f"s{each}"}
        talk.asks("GET", "/threads/t1/runs/r1/steps").answers(**steps)
    assert 10 == len(called(talk, "list_steps", "t1", "r1"))


def assistants(*ids: str, more: bool = True) -> dict[str, object]:
    listed = page(*({"id": id, "object": "assistant", "metadata": {"runflow_op": f"op of {id}"}} for id in ids))
    return {**listed, "has_more": more}


@pytest.mark.parametrize("status", [200, 400, 404])
def test_an_assistant_is_found_though_that_behind_which_a_page_begins_is_deleted_meanwhile(status: int) -> None:
    def vanishes(talk: Talk) -> Talk:
        talk = talk.asks("GET", "/assistants")
        return talk.answers(**page()) if status == 200 else talk.answers(status, code="NotFound", message="not there")

    talk = Talk().asks("GET", "/assistants").answers(**assistants("d", "c"))
    # First `c` has gone, then `d` as well, and in the end `f`.
    talk = vanishes(vanishes(talk)).asks("GET", "/assistants").answers(**assistants("e", "f"))
    talk = vanishes(talk).asks("GET", "/assistants").answers(**assistants("b", "a", more=False))
    assert "a" == called(talk, "find_assistant", "op of a").id
    asked = [request.url.query.decode().removeprefix("order=desc") for request in talk.requests]
    assert ["", "&after=c", "&after=d", "", "&after=f", "&after=e"] == asked


@pytest.mark.parametrize("listed", [[assistants("b", more=False)], [page()], [assistants("b"), assistants("c", more=False)]])
def test_an_assistant_is_not_there_when_the_list_came_to_its_end(listed: list[dict[str, object]]) -> None:
    talk = Talk()
    for each in listed:
        talk.asks("GET", "/assistants").answers(**each)
    assert called(talk, "find_assistant", "op of a") is None


def test_a_list_that_changes_all_the_time_does_not_tell_whether_an_assistant_is_there() -> None:
    talk = Talk()
    for _each in range(50):
        talk.asks("GET", "/assistants").answers(**assistants("b"))
        talk.asks("GET", "/assistants").answers(**page())
    with pytest.raises(Unsure) as raised:
        called(talk, "find_assistant", "op of a")
    told = "GET /assistants: 200: the list changes faster than it can be read, or is too long"
    assert told == raised.value.sentence


@pytest.mark.parametrize(
    ("call", "path", "arguments", "due"),
    [
        ("find_assistant", "/assistants", ("op",), "object"),
        ("find_message", "/threads/t1/messages", ("t1", "op", ""), "thread.message"),
        ("find_run", "/threads/t1/runs", ("t1", "op"), "thread.run"),
        ("list_messages", "/threads/t1/messages", ("t1",), "thread.message"),
        ("list_steps", "/threads/t1/runs/r1/steps", ("t1", "r1"), "thread.run.step"),
    ],
)
def test_an_item_of_a_list_that_is_no_object_is_an_error_of_the_call(
    call: str, path: str, arguments: tuple[str, ...], due: str
) -> None:
    with pytest.raises(TargetError) as raised:
        called(Talk().asks("GET", path).answers(**page(7)), call, *arguments)
    assert f"GET {path}: 200: a JSON object was due for the {due}, not a number" == raised.value.sentence


def test_steps_are_given_oldest_first() -> None:
    talk = Talk().asks("GET", "/threads/t1/runs/r1/steps").answers(**page({"id": "s2"}, {"id": "s1"}))
    assert ["s1", "s2"] == [step.id for step in called(talk, "list_steps", "t1", "r1")]


@pytest.mark.parametrize("status", [400, 404, 405, 409])
def test_a_run_that_cannot_be_cancelled_is_let_be(status: int) -> None:
    called(
        Talk().asks("POST", "/threads/t1/runs/r1/cancel").answers(status, code="NotFound", message="no"),
        "cancel_run",
        "t1",
        "r1",
    )


def test_ids_are_quoted_in_paths() -> None:
    talk = Talk().asks("GET", "/threads/t/1 ?/runs/r#1").answers(**run("completed"))
    called(talk, "read_run", "t/1 ?", "r#1")
    assert b"/api/v1/threads/t%2F1%20%3F/runs/r%231" == talk.requests[0].url.raw_path


def test_a_sample_travels_beside_the_request_and_not_in_it() -> None:
    talk = Talk().asks("POST", "/threads/t1/runs", assistant_id="a1", stream=False).answers(**run("queued"))
    called(talk, "create_run", "t1", "a1", None, Sample("Here is your cat."))
    assert Sample("Here is your cat.") == talk.requests[0].extensions["runflow.sample"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://127.0.0.1/1.png", "127.0.0.1 is not a public address"),
        ("https://service.test:444/1.png", "service.test is not known"),
        ("http://service.test/1.png", "only https addresses are fetched"),
        ("http://service.test:x/1.png", "its address is not a URL"),
        ("https://[/1.png", "its address is not a URL"),
    ],
)
def test_a_picture_from_another_origin_must_be_public(url: str, sentence: str) -> None:
    async def go() -> None:
        await target(Talk()).fetch_image(url)

    with pytest.raises(TargetError) as raised:
        asyncio.run(go())
    assert sentence == raised.value.message


def test_what_a_flow_needs_and_a_target_lacks_is_said_before_the_first_call() -> None:
    needy = Flow(
        assistant=Assistant(id="a1", tools=(Tool("text_to_image"), Tool("my-plugin")), top_k=5),
        steps=(Step(user="Hi.", run=RunOverrides(tools=(Tool("my-plugin"), Tool("rag")), max_tokens=9)),),
        thread=ThreadSetup(id="t1"),
        path=Path("x.yaml"),
    )
    little = Capabilities(tools=frozenset({"text_to_image"}), sampling=frozenset({"max_tokens"}), existing=False)
    assert [
        "target `small` runs no plug-ins; `my-plugin` would run with `--target dashscope` or `--target dashscope-cn`",
        "target `small` has no tool `rag`",
        "target `small` knows no `top_k`",
        "target `small` cannot use an existing assistant by `id`",
        "target `small` cannot use an existing thread by `id`",
    ] == list(lacking(Needs.of(needy), "small", little))
    assert [] == list(lacking(Needs.of(needy), "dashscope", DashScope.capabilities))
    assert [
        "target `embedded` runs no plug-ins; `my-plugin` would run with `--target dashscope` or `--target dashscope-cn`"
    ] == list(lacking(Needs.of(needy), "embedded", Embedded.capabilities))


def test_a_target_without_functions_is_refused_a_flow_with_one() -> None:
    asking = Flow(
        assistant=Assistant(model="m", tools=(Tool("function", function=Function("get_order", {"type": "object"})),)),
        steps=(Step(user="Hi."),),
        path=Path("x.yaml"),
    )
    assert ["target `small` cannot call functions"] == list(lacking(Needs.of(asking), "small", Capabilities(functions=False)))
    assert [] == list(lacking(Needs.of(asking), "embedded", Embedded.capabilities))


def test_the_reason_of_a_refused_certificate_is_found_beneath() -> None:
    import ssl

    refused = ssl.SSLCertVerificationError("refused")
    refused.verify_message = "self-signed certificate"
    try:
        try:
            raise refused
        except ssl.SSLError as error:
            raise httpx.ConnectError("all attempts failed") from error
    except httpx.ConnectError as error:
        assert "self-signed certificate" == refused_certificate(error)
    assert "" == refused_certificate(httpx.ConnectError("no route"))


def test_a_plug_ins_token_is_quoted_nowhere() -> None:
    plugin = Tool("my-plugin", None, {"auth": {"type": "user_http", "user_token": "t-secret-1"}})
    lines: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        assert b"t-secret-1" in request.content
        return httpx.Response(400, json={"code": "t-secret-1", "message": "t-secret-1 of user_http is not valid"})

    async def go() -> TargetError:
        told = Tracing(httpx.MockTransport(refuse), lines.append, Redactor(()))
        service = DashScope(told, connection(), KEY)
        with pytest.raises(TargetError) as raised:
            await service.create_assistant(Assistant(model="qwen-max", tools=(plugin,)))
        await service.close()
        return raised.value

    error: TargetError = on_virtual_time(go())
    assert "POST /assistants: 400 …: … of user_http is not valid" == error.sentence
    assert [
        '  → {"model":"qwen-max","tools":[{"type":"my-plugin","auth":{"type":"user_http","user_token":"***"}}]}',
        '  ← {"code":"***","message":"*** of user_http is not valid"}',
    ] == lines[1:]


def test_a_plug_ins_token_is_no_part_of_why_a_run_failed() -> None:
    plugin = Tool("my-plugin", None, {"auth": {"type": "user_http", "user_token": "t-secret-1"}})
    error = {"code": "PluginFailed", "message": "my-plugin refused t-secret-1"}
    failed = {"id": "r1", "object": "thread.run", "thread_id": "t1", "status": "failed", "last_error": error}

    async def go() -> Run:
        service = DashScope(httpx.MockTransport(lambda _request: httpx.Response(200, json=failed)), connection(), KEY)
        await service.create_run("t1", "a1", RunOverrides(tools=(plugin,)), None)
        found = await service.read_run("t1", "r1")
        await service.close()
        return found

    assert ServiceError("PluginFailed", "my-plugin refused …") == on_virtual_time(go()).last_error
