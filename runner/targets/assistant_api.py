"""Speak the Assistant API over an httpx transport: one method a call, every fault a TargetError."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self, TypeVar
from urllib.parse import quote, urlencode

from runner import __version__
from runner.model import (
    Assistant,
    AssistantObject,
    Message,
    Role,
    Run,
    RunOverrides,
    RunStep,
    Sample,
    ServiceError,
    Thread,
    ThreadSetup,
    ToolOutput,
)
from runner.targets import Capabilities, Connection, ConnectionProblem, StreamEvent, TargetError, Unsure
from runner.transport import httpx
from runner.transport.network import TIMEOUTS, Address, TooLarge, body_of, open_network, origin, unsafe
from runner.transport.public import IMAGE_SECONDS, Unreachable, fetch, fetch_public
from runner.wire import WireError
from runner.wire import assistant_api as wire
from runner.wire.patience import retry_after
from runner.wire.sse import EventDecoder, ServerEvent
from runner.words import _

__all__ = ["AssistantApi"]

Decoded = TypeVar("Decoded")

NO_HEADERS: Mapping[str, str] = {}

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
"""With these nothing has reached the service."""
FAULTS = (httpx.HTTPError, TooLarge, WireError)
"""What goes wrong with a call."""
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
LIMITED = {"timeout": TIMEOUTS.as_dict()}
PLAIN = {"Accept-Encoding": "identity"}
PAGES, MANY_PAGES = 10, 100
"""How many pages of a list are read at most."""
NEWEST_FIRST: Mapping[str, str] = {"order": "desc"}
"""Asked for although it is the default; no `limit`, whose maximum is not published."""


class AssistantApi:
    """A service that speaks DashScope's Assistant API below `base_url`; subclasses say which one."""

    name: ClassVar[str] = "assistant-api"
    capabilities: ClassVar[Capabilities] = Capabilities()
    default_base_url: ClassVar[str] = ""
    key_variable: ClassVar[str | None] = None
    simulated: ClassVar[bool] = False
    lasting: ClassVar[bool] = True

    def __init__(self, transport: httpx.AsyncBaseTransport, connection: Connection, key: str | None = None) -> None:
        self.transport = transport
        self.connection = connection
        self.base_url = connection.base_url.rstrip("/")
        self.key = key
        self.secrets = {key} if key else set()
        """What no message may quote: the key, and the credentials of plug-ins once they were sent."""
        self.base = httpx.URL(self.base_url)
        self.root = self.base.raw_path.decode("ascii").rstrip("/")
        headers = {
            "Host": self.base.netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"runflow/{__version__}",
        }
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if connection.workspace:
            headers["X-DashScope-WorkSpace"] = connection.workspace
        self.headers = httpx.Headers(headers).raw

    @classmethod
    def open(cls, connection: Connection, environment: Mapping[str, str], trace: Callable[[str], None] | None) -> Self:
        """Raise ConnectionProblem when there is no key, it would go where it must not, or the environment bars the way."""
        variable = connection.key_variable or cls.key_variable
        if sentence := unsafe(connection.base_url, key_variable=variable):
            raise ConnectionProblem(sentence)
        key = environment.get(variable, "").strip() if variable else None
        if key == "":
            raise ConnectionProblem(
                _("{variable} is not set; target `{target}` needs its key there").format(variable=variable, target=cls.name)
            )
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConnectionProblem(_("{variable} holds characters that no key has").format(variable=variable))
        try:
            transport = cls.way(connection)
        except OSError as error:
            raise ConnectionProblem(
                _("the certificates named by SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {reason}").format(
                    reason=error.strerror or error
                )
            ) from error
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConnectionProblem(
                _("the proxy named by the environment cannot be used: {reason}").format(reason=error)
            ) from error
        if trace is not None:
            from runner.clean import Redactor
            from runner.transport.trace import Tracing

            secrets = (key, *(environment.get(name) for name in connection.hidden))
            transport = Tracing(transport, trace, Redactor(filter(None, secrets)))
        return cls(transport, connection, key)

    @classmethod
    def way(cls, connection: Connection) -> httpx.AsyncBaseTransport:
        """What carries the calls."""
        return open_network(connection.base_url)

    # ── the calls ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_assistant(self, assistant: Assistant, op: str = "") -> AssistantObject:
        body = wire.encode_assistant(assistant, op)
        return await self.call("POST", "/assistants", lambda payload: wire.decode_assistant(payload, body), body=body)

    async def find_assistant(self, op: str) -> AssistantObject | None:
        # Others make and delete assistants meanwhile. Where that behind which a page is to begin has gone, it begins behind
        # another of the page before, and where all of these have, the list is begun anew.
        query = NEWEST_FIRST
        behind: list[str] = []
        for _page in range(MANY_PAGES):
            page = await self.page_of_assistants(query)
            for item in page.items:
                if self.decoded("/assistants", wire.op_of, item) == op:
                    return self.decoded("/assistants", wire.decode_assistant, item)
            if not page.has_more if page.items else query is NEWEST_FIRST:
                return None
            behind = [wire.id_of(item) for item in page.items] or behind
            query = {**NEWEST_FIRST, "after": behind.pop()} if behind else NEWEST_FIRST
        sentence = _("the list changes faster than it can be read, or is too long")
        raise Unsure("GET /assistants", sentence, status=200, final=True)

    async def page_of_assistants(self, query: Mapping[str, str]) -> wire.Page:
        """An empty page where that behind which it is to begin is not there."""
        try:
            return await self.call("GET", "/assistants", wire.decode_page, query=query)
        except TargetError as error:
            if query is NEWEST_FIRST or error.status not in (400, 404):
                raise
            return wire.Page((), "", has_more=False)

    async def create_thread(self, setup: ThreadSetup | None, op: str = "") -> Thread:
        body = wire.encode_thread(setup, op)
        return await self.call("POST", "/threads", lambda payload: wire.decode_thread(payload, body), body=body)

    async def add_message(self, thread_id: str, text: str, role: Role = Role.USER, op: str = "") -> Message:
        body = wire.encode_message(text, role, op)
        path = f"/threads/{quoted(thread_id)}/messages"
        return await self.call("POST", path, lambda payload: wire.decode_message(payload, body), body=body)

    async def find_message(
        self, thread_id: str, op: str, text: str, newer_than: str = "", role: Role = Role.USER
    ) -> Message | None:
        alike: Message | None = None
        path = f"/threads/{quoted(thread_id)}/messages"
        async for message, its_op in self.pages(path, PAGES, lambda item: (wire.decode_message(item), wire.op_of(item))):
            if message.id == newer_than:
                break
            if its_op == op:
                return message
            if text and (message.text, message.role) == (text, role):
                alike = message
        return alike

    async def create_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: Sample | None, op: str = ""
    ) -> Run:
        body = wire.encode_run(assistant_id, overrides, stream=False, op=op)
        path = f"/threads/{quoted(thread_id)}/runs"
        return await self.call("POST", path, lambda payload: wire.decode_run(payload, body), body=body, sample=sample)

    def stream_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: Sample | None, op: str = ""
    ) -> AsyncGenerator[StreamEvent, None]:
        """The run's events until the stream ends, however it ends; a service that answers with the run itself gives one."""
        path = f"/threads/{quoted(thread_id)}/runs"
        return self.stream(path, wire.encode_run(assistant_id, overrides, stream=True, op=op), sample)

    async def find_run(self, thread_id: str, op: str, known: Collection[str] | None = None) -> Run | None:
        other: Run | None = None
        path = f"/threads/{quoted(thread_id)}/runs"
        async for run, its_op in self.pages(path, PAGES, lambda item: (wire.decode_run(item), wire.op_of(item))):
            if its_op == op:
                return run
            if known is not None and run.id not in known:
                other = run
        return other

    async def submit_outputs(self, thread_id: str, run_id: str, outputs: Sequence[ToolOutput]) -> Run:
        return await self.call(
            "POST", submission(thread_id, run_id), wire.decode_run, body=wire.encode_outputs(outputs, stream=False)
        )

    def stream_outputs(self, thread_id: str, run_id: str, outputs: Sequence[ToolOutput]) -> AsyncGenerator[StreamEvent, None]:
        """The run's events from the outputs on; see `stream_run`."""
        return self.stream(submission(thread_id, run_id), wire.encode_outputs(outputs, stream=True))

    async def stream(
        self, path: str, body: Mapping[str, object], sample: Sample | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        call = f"POST {path}"
        decoder = EventDecoder()
        # What the run echoes otherwise is told with the first that is seen of it.
        sent: Mapping[str, object] | None = body
        response = await self.answer("POST", path, body=body, sample=sample)
        try:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                run = await self.read(call, response, lambda payload: wire.decode_run(payload, body))
                yield StreamEvent(f"thread.run.{run.status}", run)
                return
            async for piece in body_of(response):
                for event in decoder.feed(piece):
                    if told := self.understood(call, event, sent):
                        sent = None if told.run else sent
                        yield told
        except FAULTS as error:
            raise self.fault(call, error) from error
        finally:
            await response.aclose()

    def understood(self, call: str, event: ServerEvent, sent: Mapping[str, object] | None) -> StreamEvent | None:
        if event.name == "error":
            raise self.refused(call, 200, event.data.encode())
        if event.name.startswith("thread.run.") and not event.name.startswith("thread.run.step."):
            return StreamEvent(event.name, wire.decode_run(wire.decode_json(event.data), sent))
        if event.name == "thread.message.delta":
            return StreamEvent(event.name, text=wire.decode_delta(wire.decode_json(event.data)))
        return None

    async def read_run(self, thread_id: str, run_id: str) -> Run:
        run = await self.call("GET", f"/threads/{quoted(thread_id)}/runs/{quoted(run_id)}", wire.decode_run)
        if run.last_error is None:
            return run
        code, message = map(self.without_secrets, (run.last_error.code, run.last_error.message))
        return replace(run, last_error=ServiceError(code, message))

    async def list_messages(self, thread_id: str, newer_than: str = "") -> tuple[Message, ...]:
        """Newest first: those after the message `newer_than`, or one page of them."""
        found: list[Message] = []
        path = f"/threads/{quoted(thread_id)}/messages"
        async for message in self.pages(path, PAGES if newer_than else 1, wire.decode_message):
            if newer_than and message.id == newer_than:
                break
            found.append(message)
        return tuple(found)

    async def list_steps(self, thread_id: str, run_id: str) -> tuple[RunStep, ...]:
        """Oldest first."""
        path = f"/threads/{quoted(thread_id)}/runs/{quoted(run_id)}/steps"
        return tuple(reversed([step async for step in self.pages(path, PAGES, wire.decode_step)]))

    async def pages(self, path: str, most: int, decode: Callable[[object], Decoded]) -> AsyncIterator[Decoded]:
        """What a list holds, newest first, out of at most so many pages."""
        query = NEWEST_FIRST
        for _page in range(most):
            page = await self.call("GET", path, wire.decode_page, query=query)
            for item in page.items:
                yield self.decoded(path, decode, item)
            if not page.has_more or not page.last_id:
                return
            query = {**NEWEST_FIRST, "after": page.last_id}

    def decoded(self, path: str, decode: Callable[[object], Decoded], item: object) -> Decoded:
        try:
            return decode(item)
        except WireError as error:
            raise self.fault(f"GET {path}", error, 200) from error

    async def cancel_run(self, thread_id: str, run_id: str) -> None:
        """Ask the run to stop. A service without that call, or a run that has ended, is no error."""
        try:
            await self.call("POST", f"/threads/{quoted(thread_id)}/runs/{quoted(run_id)}/cancel", wire.decode_run)
        except TargetError as error:
            if error.status not in (400, 404, 405, 409):
                raise

    async def delete_thread(self, thread_id: str) -> None:
        await self.delete(f"/threads/{quoted(thread_id)}")

    async def delete_assistant(self, assistant_id: str) -> None:
        await self.delete(f"/assistants/{quoted(assistant_id)}")

    async def delete(self, path: str) -> None:
        try:
            deleted = await self.call("DELETE", path, wire.decode_deleted)
        except TargetError as error:
            if error.status == 404:
                return
            raise
        if not deleted:
            raise TargetError(f"DELETE {path}", _("the service says that it was not deleted"), status=200, final=True)

    async def fetch_image(self, url: str) -> bytes:
        """The bytes of a picture, asked for without any credential; from the service itself or a public https address."""
        try:
            if origin(url) != origin(self.base_url):
                return await fetch_public(url)
            async with asyncio.timeout(IMAGE_SECONDS):
                return await fetch(self.transport, httpx.Request("GET", url, headers=PLAIN, extensions=LIMITED))
        except TimeoutError as error:
            reason = _("it did not come within {seconds} s").format(seconds=IMAGE_SECONDS)
            raise TargetError("GET", reason) from error
        except (ValueError, httpx.InvalidURL) as error:
            raise TargetError("GET", _("its address is not a URL")) from error
        except Unreachable as error:
            raise TargetError("GET", str(error)) from error

    async def close(self) -> None:
        await self.transport.aclose()

    # ── how a call is made, and what can go wrong ────────────────────────────────────────────────────────────────────

    async def call(
        self,
        method: str,
        path: str,
        decode: Callable[[object], Decoded],
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        sample: Sample | None = None,
    ) -> Decoded:
        response = await self.answer(method, path, body=body, query=query, sample=sample)
        try:
            return await self.read(f"{method} {path}", response, decode)
        finally:
            await response.aclose()

    async def answer(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        sample: Sample | None = None,
    ) -> httpx.Response:
        """A successful answer whose body is still to be read; who reads it closes it."""
        call = f"{method} {path}"
        self.secrets |= wire.tokens(body or {})
        request = self.request(method, path, body, query, sample)
        try:
            # A client around the transport would add redirects, cookies and credentials of its own, and half of the cost.
            response = await self.transport.handle_async_request(request)
        except FAULTS as error:
            raise self.fault(call, error) from error
        if response.is_success:
            return response
        try:
            refusal = b"".join([piece async for piece in body_of(response)])
        except FAULTS as error:
            raise self.fault(call, error, response.status_code) from error
        finally:
            await response.aclose()
        raise self.refused(call, response.status_code, refusal, response.headers)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        query: Mapping[str, str] | None,
        sample: Sample | None,
    ) -> httpx.Request:
        # httpx would find out headers and address by itself, at more than the cost of sending them.
        headers, content = list(self.headers), b""
        if body is not None:
            content = ENCODER.encode(body).encode()
            headers.append((b"Content-Type", b"application/json"))
        if method == "POST":
            headers.append((b"Content-Length", b"%d" % len(content)))
        extensions = LIMITED if sample is None else {**LIMITED, "runflow.sample": sample}
        request = httpx.Request(method, self.base, headers=headers, stream=httpx.ByteStream(content), extensions=extensions)
        request.url = Address(self.base, self.root + (f"{path}?{urlencode(query)}" if query else path))
        request.read()
        return request

    async def read(self, call: str, response: httpx.Response, decode: Callable[[object], Decoded]) -> Decoded:
        pieces: list[bytes] = []
        cause: Exception | None = None
        try:
            async for piece in body_of(response):
                pieces.append(piece)
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
            if not kind or "json" in kind:
                return decode(wire.decode_json(b"".join(pieces)))
        except FAULTS as error:
            cause, failure = error, self.fault(call, error, response.status_code)
        else:
            message = _("the answer is {kind} instead of JSON").format(kind=kind)
            failure = TargetError(call, message, status=response.status_code, final="html" in kind)
        failure.id = wire.begun_id(b"".join(pieces[:2]))
        raise failure from cause

    def refused(self, call: str, status: int, data: bytes, headers: Mapping[str, str] = NO_HEADERS) -> TargetError:
        """The error an answer other than 2xx, or an `error` event, stands for."""
        try:
            told = wire.decode_error(wire.decode_json(data))
        except WireError:
            told = None
        if told is None:
            kind = headers.get("Content-Type", "").partition(";")[0].strip()
            message = _("the answer is {kind} instead of an error in JSON").format(kind=kind) if kind else _("no reason given")
        else:
            message = told[0].message
        if 300 <= status < 400:
            message = _("redirected to {place}, which is not followed").format(place=headers.get("Location", "?"))
        if status == 401:
            message = ": ".join(filter(None, (message, self.advice())))
        error, request_id = told or (ServiceError("", ""), "")
        return TargetError(
            call,
            self.without_secrets(message),
            status=status,
            code=self.without_secrets(error.code),
            request_id=request_id,
            retry_after=retry_after(headers),
            final=told is None and "html" in headers.get("Content-Type", ""),
        )

    def advice(self) -> str:
        variable = self.connection.key_variable or self.key_variable
        return _("check the key in {variable}").format(variable=variable) if variable else ""

    def without_secrets(self, text: str) -> str:
        # Services like to quote the key they refuse.
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return text

    def fault(self, call: str, error: httpx.HTTPError | TooLarge | WireError, status: int = 0) -> TargetError:
        """What went wrong with a call, as its TargetError."""
        if not isinstance(error, httpx.HTTPError):
            # What is too large will not be any smaller the next time.
            return TargetError(call, str(error), status=status, final=isinstance(error, TooLarge))
        return TargetError(
            call,
            self.trouble(error),
            status=status,
            sent=not isinstance(error, NOT_SENT),
            timed_out=isinstance(error, httpx.TimeoutException),
            final=isinstance(error, httpx.UnsupportedProtocol) or bool(refused_certificate(error)),
        )

    def trouble(self, error: httpx.HTTPError) -> str:
        host = httpx.URL(self.base_url).netloc.decode()
        match error:
            case httpx.ConnectTimeout():
                return _("no connection to {host} within {seconds} s").format(host=host, seconds=TIMEOUTS.connect)
            case httpx.ConnectError():
                if certificate := refused_certificate(error):
                    return _(
                        "the certificate of {host} is not trusted: {reason}; name your own authority in SSL_CERT_FILE"
                    ).format(host=host, reason=certificate)
                return _("no connection to {host}: {reason}").format(host=host, reason=error)
            case httpx.ProxyError():
                return _("the proxy did not lead to {host}: {reason}").format(host=host, reason=error)
            case httpx.TimeoutException():
                return _("no answer from {host} within {seconds} s").format(host=host, seconds=TIMEOUTS.read)
            case httpx.DecodingError():
                return _("the answer cannot be unpacked")
            case _other:
                return _("the connection to {host} broke: {reason}").format(
                    host=host, reason=str(error) or type(error).__name__
                )


def quoted(id: str) -> str:
    return quote(id, safe="")


def submission(thread_id: str, run_id: str) -> str:
    return f"/threads/{quoted(thread_id)}/runs/{quoted(run_id)}/submit_tool_outputs"


def refused_certificate(error: BaseException | None) -> str:
    """Why a certificate was refused, if that is what lies beneath; empty if not."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""
