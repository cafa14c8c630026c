"""Open an httpx client for a service: time-outs, proxies, no redirects, no cookies, and no key where others can read it."""

import ssl
from collections.abc import AsyncIterator
from http.cookiejar import DefaultCookiePolicy
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from runner.hosts import is_loopback
from runner.words import _

__all__ = ["BODY_LIMIT", "TIMEOUTS", "Address", "TooLarge", "body_of", "open_client", "open_network", "origin", "unsafe"]

BODY_LIMIT = 16_000_000
"""The longest body, in bytes after decoding."""

TIMEOUTS = httpx.Timeout(connect=5, write=30, pool=10, read=60)


class TooLarge(Exception):
    """A body went on beyond its limit, or would not say how it is packed."""


def unsafe(base_url: str, *, key_variable: str | None) -> str | None:
    """Why no call may go there, carrying the key of that variable if there is one; None when it may.

    Which hosts may have a key is decided where it is known who named the base URL: in the settings.
    """
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname or "", parts.port
        httpx.URL(base_url)
    except (ValueError, httpx.InvalidURL):
        return _("`{url}` is not an address like https://host/api/v1").format(url=without_user(base_url))
    if not host or parts.scheme not in ("http", "https"):
        return _("`{url}` is not an address like https://host/api/v1").format(url=without_user(base_url))
    if parts.username is not None or parts.password is not None:
        return _("the base URL must not hold a user name or password; write https://{host}").format(host=host)
    if key_variable is not None and parts.scheme != "https" and not is_loopback(host):
        return _("the key in {variable} is not sent over plain http; write https://{host}").format(
            variable=key_variable, host=host
        )
    return None


def without_user(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; raises ValueError for what is no URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class Address(httpx.URL):
    """A path and query below an origin, both as they are sent. httpx takes an address apart for every call, which is a third of
    what a request costs; here that is done when somebody asks for more than the way to it."""

    def __init__(self, origin: httpx.URL, target: str) -> None:
        self.origin = origin
        self.target = target

    @property
    def raw_scheme(self) -> bytes:
        return self.origin.raw_scheme

    @property
    def raw_host(self) -> bytes:
        return self.origin.raw_host

    @property
    def port(self) -> int | None:
        return self.origin.port

    @property
    def raw_path(self) -> bytes:
        return self.target.encode("ascii")

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or "whole" in vars(self):
            raise AttributeError(name)
        whole = httpx.URL(f"{self.origin.scheme}://{self.origin.netloc.decode('ascii')}{self.target}")
        vars(self).update(vars(whole), whole=whole)
        return getattr(self, name)


def open_network(base_url: str) -> httpx.AsyncBaseTransport:
    """The way to a service over the network.

    Raises OSError for certificates in the environment that cannot be read, and ValueError, ImportError or httpx.InvalidURL for
    a proxy there that cannot be used.
    """
    parts = urlsplit(base_url)
    # Proxies come from the environment, but no proxy has a way to this machine.
    if not is_loopback(parts.hostname or "") and not {parts.scheme, "all"}.isdisjoint(getproxies()):
        return Proxied()
    from runner.transport.connections import Connections

    return Connections(base_url, trusted() if parts.scheme == "https" else None)


def trusted() -> ssl.SSLContext:
    """Whose certificates are believed: the authorities that SSL_CERT_FILE or SSL_CERT_DIR name, or the usual ones."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Proxied(httpx.AsyncBaseTransport):
    """httpx's own way, which knows proxies, and the hosts that NO_PROXY keeps from them."""

    def __init__(self) -> None:
        self.client = httpx.AsyncClient()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.client.send(request, stream=True, follow_redirects=False)

    async def aclose(self) -> None:
        await self.client.aclose()


def open_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """A client for what `transport` leads to. It holds no credential: those are given call by call; and takes no cookie."""
    client = httpx.AsyncClient(transport=transport, timeout=TIMEOUTS, trust_env=False, headers={"Accept-Encoding": "identity"})
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


async def body_of(response: httpx.Response, limit: int = BODY_LIMIT) -> AsyncIterator[bytes]:
    """The pieces of a body, counted after decoding while they come; raise TooLarge beyond `limit`.

    Nothing but `identity` is asked for. One layer of packing is undone all the same, as some gateways insist; two could
    unfold a thousandfold twice within one piece.
    """
    packed = response.headers.get("Content-Encoding", "")
    if "," in packed:
        raise TooLarge(_("the answer is packed more than once"))
    total = 0
    # What is not packed need not pass httpx's decoders.
    async for piece in response.aiter_bytes() if packed else cast(httpx.AsyncByteStream, response.stream):
        total += len(piece)
        if total > limit:
            raise TooLarge(_("the answer is longer than {limit} MB").format(limit=limit // 1_000_000))
        yield piece
