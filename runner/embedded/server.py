"""The embedded service over HTTP, on loopback, closed to everyone who does not hold the token.

A web page open in the same browser can send requests to loopback too: so the Host must be ours, an Origin must be our own,
a body must say that it is JSON, and nothing changes by GET.
"""

import hmac
import ipaddress
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from runner import DISTRIBUTION
from runner.embedded.faults import Fault, parse
from runner.embedded.service import BASE, Request, Response, Service, failure
from runner.embedded.store import Store, StoreProblem
from runner.hosts import is_loopback
from runner.values import dataclass
from runner.words import _

if TYPE_CHECKING:
    from starlette.requests import Request as HttpRequest
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn import Server

    from runner.embedded.models import Model

__all__ = ["Announce", "Guard", "ServeProblem", "ServeSettings", "application", "chosen_token", "serve"]

Announce = Callable[[str, str], None]
"""Called once the port is open, with the base URL and the token."""

LARGEST_BODY = 4 * 1024 * 1024
SHORTEST_TOKEN = 16
"""For a server that others can reach."""

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class ServeProblem(Exception):
    """Why there is no server; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve. Port 0 takes a free one; without a token a random one is made; without `db` nothing is kept.

    `latency` is how long a run of the script takes, in seconds; `faults` are what goes wrong, as `--fault` has them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    db: Path | None = None
    token: str | None = None
    latency: float = 0.5
    faults: tuple[str, ...] = ()


def chosen_token(environment: Mapping[str, str], name: str | None = None, given: str | None = None) -> str | None:
    """The token to require: as given, from the variable `name`, from RUNFLOW_TOKEN, or None; raise ServeProblem if `name`
    is not set."""
    if given:
        return given
    if name and not environment.get(name):
        raise ServeProblem(_("the variable {name} is not set; it should hold the token").format(name=name))
    return environment.get(name or "RUNFLOW_TOKEN") or None


def serve(settings: ServeSettings, announce: Announce, model: "Model | None" = None) -> None:
    """Serve until SIGINT or SIGTERM, answered by the model or by the script; raise ServeProblem when it cannot begin."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        hint = f"pip install '{DISTRIBUTION}[server]'"
        raise ServeProblem(_("serving needs more packages: {command}").format(command=hint)) from error

    refuse_open_door(settings)
    token = settings.token or secrets.token_urlsafe(32)
    faults = wanted_faults(settings)
    try:
        store = Store(settings.db)
    except StoreProblem as error:
        raise ServeProblem(str(error)) from error
    with closing(store), closing(listening(settings)) as listener:
        port = listener.getsockname()[1]
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        service = Service(store, latency=settings.latency, faults=faults, model=model)
        app = application(service, Guard(token, settings.host, port))
        quiet = {"log_config": None, "log_level": "critical", "access_log": False, "server_header": False}
        plain = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off"}
        config = uvicorn.Config(app, timeout_graceful_shutdown=1, **quiet, **plain)  # type: ignore[arg-type]
        server = uvicorn.Server(config)

        def stop(number: int, frame: object) -> None:
            server.should_exit = True

        # uvicorn raises the signal again when it has stopped: with our own handlers that is no more than a note.
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            announce(f"http://{shown}:{port}{BASE}", token)
            run(server, listener, service)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def run(server: "Server", listener: socket.socket, service: Service) -> None:
    """Serve to the end, and hang up on the model within the same event loop."""
    import asyncio

    async def session() -> None:
        try:
            await server.serve(sockets=[listener])
        finally:
            await service.hang_up()

    asyncio.run(session())


def wanted_faults(settings: ServeSettings) -> list[Fault]:
    try:
        return [parse(text) for text in settings.faults]
    except ValueError as error:
        raise ServeProblem(str(error)) from error


def refuse_open_door(settings: ServeSettings) -> None:
    """Raise ServeProblem when others could reach the server without a token of the owner's choice."""
    if is_loopback(settings.host):
        return
    if settings.token is None:
        raise ServeProblem(
            _("{host} can be reached by others; set a token with --token-env NAME or RUNFLOW_TOKEN").format(host=settings.host)
        )
    if len(settings.token) < SHORTEST_TOKEN:
        raise ServeProblem(
            _("{host} can be reached by others; use a token of {count} characters or more").format(
                host=settings.host, count=SHORTEST_TOKEN
            )
        )


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listening(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small answers at once only on sockets that say they are TCP; else each waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ServeProblem(
            _("cannot listen on {host}, port {port}: {reason}").format(host=settings.host, port=settings.port, reason=reason)
        ) from error
    return listener


# ── who may come in ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Guard:
    """Refuses what does not come from the token's holder, or was sent by a web page on someone's behalf."""

    token: str
    host: str
    port: int

    def refusal(self, request: "HttpRequest") -> Response | None:
        """The answer to a request that may not pass, before its body is read."""
        headers = request.headers
        host = headers.get("host", "")
        if not self.ours(host):
            return failure(403, "AccessDenied", "the Host header names another server")
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return failure(403, "AccessDenied", "requests from web pages of another origin are refused")
        if request.url.path.startswith("/images/") and request.method == "GET":
            return None
        scheme, _space, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            return failure(401, "InvalidApiKey", "no valid API key; send the server's token as `Authorization: Bearer TOKEN`")
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if has_body and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return failure(415, "InvalidParameter", "the body's Content-Type is not application/json")
        return None

    def ours(self, host: str) -> bool:
        """Whether a Host header names this server. Beyond loopback any address does: only names can be rebound."""
        name, port = split_port(host)
        if port != str(self.port):
            return False
        if is_loopback(self.host):
            return name in {"127.0.0.1", "localhost", "::1", self.host}
        return name == self.host or name == socket.gethostname() or is_address(name)


def split_port(host: str) -> tuple[str, str]:
    """The name and the port of a Host header; the port of plain HTTP when there is none."""
    if host.endswith("]") or ":" not in host:
        return host.strip("[]"), "80"
    name, _colon, port = host.rpartition(":")
    return name.strip("[]"), port


# ── HTTP on one side, the service on the other ───────────────────────────────────────────────────────────────────────


def application(service: Service, guard: Guard) -> "ASGIApp":
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response as HttpResponse
    from starlette.responses import StreamingResponse

    async def app(scope: "Scope", receive: "Receive", send: "Send") -> None:
        request = HttpRequest(scope, receive)
        answer = guard.refusal(request) or await answered(service, request)
        headers = {**HEADERS, **answer.headers}
        if isinstance(answer.body, bytes):
            await HttpResponse(answer.body, answer.status, headers)(scope, receive, send)
        else:
            await StreamingResponse(answer.body, answer.status, headers)(scope, receive, send)

    return app


async def answered(service: Service, request: "HttpRequest") -> Response:
    body = await limited_body(request)
    if body is None:
        return failure(413, "InvalidParameter", f"the body is larger than {LARGEST_BODY} bytes")
    return await service.respond(
        Request(
            method=request.method,
            path=request.url.path,
            query=dict(request.query_params),
            body=body,
            origin=f"http://{request.headers['host']}",
        )
    )


async def limited_body(request: "HttpRequest") -> bytes | None:
    """The whole body, or None as soon as it is too large."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > LARGEST_BODY:
            return None
        pieces.append(piece)
    return b"".join(pieces)
