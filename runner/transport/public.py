"""Fetch a picture from a public address, and from nowhere else: the URL was chosen by a model."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from runner.transport.network import TooLarge, body_of
from runner.words import _

__all__ = ["IMAGE_LIMIT", "IMAGE_SECONDS", "Unreachable", "fetch", "fetch_public", "is_public"]

IMAGE_LIMIT = 10_000_000
IMAGE_SECONDS = 10

Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]

TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64: the last four bytes are an IPv4 address."""


class Unreachable(Exception):
    """A picture that could not be had, or must not be asked for; carries a sentence."""


def is_public(address: str) -> bool:
    """Whether an IP address is one the whole internet may reach, also by the IPv4 address it carries inside."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip in TRANSLATED:
            return is_public(str(IPv4Address(ip.packed[-4:])))
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


async def resolve(host: str, port: int) -> tuple[str, ...]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(str(address[0]) for *_rest, address in found)


async def fetch_public(url: str, transport: httpx.AsyncBaseTransport | None = None, look_up: Resolve = resolve) -> bytes:
    """The bytes at an https URL whose host has only public addresses; raises Unreachable.

    The host is resolved once and the connection goes to that address, so that a second answer of its name server cannot
    lead elsewhere. No proxy, credential, cookie or redirect.
    """
    try:
        place = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unreachable(_("its address is not a URL")) from error
    host = place.raw_host.decode("ascii")
    if place.scheme != "https" or not host or place.userinfo:
        raise Unreachable(_("only https addresses are fetched"))
    try:
        async with asyncio.timeout(IMAGE_SECONDS):
            addresses = await look_up(host, place.port or 443)
            if not addresses or not all(map(is_public, addresses)):
                raise Unreachable(_("{host} is not a public address").format(host=host))
            async with transport or httpx.AsyncHTTPTransport(trust_env=False) as way:
                request = httpx.Request(
                    "GET",
                    place.copy_with(host=addresses[0]),
                    headers={"Host": place.netloc.decode("ascii"), "Accept-Encoding": "identity"},
                    extensions={"sni_hostname": host, "timeout": httpx.Timeout(IMAGE_SECONDS).as_dict()},
                )
                return await fetch(way, request)
    except TimeoutError as error:
        raise Unreachable(_("it did not come within {seconds} s").format(seconds=IMAGE_SECONDS)) from error
    except (OSError, UnicodeError) as error:
        raise Unreachable(_("{host} is not known").format(host=host)) from error


async def fetch(way: httpx.AsyncBaseTransport, request: httpx.Request) -> bytes:
    """The body of a 200 answer of at most IMAGE_LIMIT bytes; raises Unreachable."""
    try:
        response = await way.handle_async_request(request)
        try:
            if response.status_code != 200:
                raise Unreachable(_("the server answered {status}").format(status=response.status_code))
            return b"".join([piece async for piece in body_of(response, IMAGE_LIMIT)])
        finally:
            await response.aclose()
    except TooLarge as error:
        raise Unreachable(str(error)) from error
    except httpx.HTTPError as error:
        raise Unreachable(_("it could not be fetched: {reason}").format(reason=str(error) or type(error).__name__)) from error
