"""Post JSON to a URL that the author wrote, and to no other: no redirect, no credential, no cookie."""

import asyncio
import codecs
import json
from urllib.parse import urlsplit

import httpx

from runner.transport.network import TooLarge, body_of, open_client, open_network
from runner.words import _

__all__ = ["Unanswered", "posted"]

ENDLESS = ("idna", "punycode")
"""Encodings that no server writes in; to decode a megabyte of them takes minutes."""
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/*;q=0.9", "User-Agent": "runflow"}


class Unanswered(Exception):
    """A server that gave no answer, or one that is neither JSON nor text; carries a sentence."""


async def posted(url: str, body: bytes, *, limit: int, seconds: float) -> tuple[int, str]:
    """The status and the text of the answer, of at most `limit` bytes within `seconds`; raise Unanswered.

    Any address is allowed, this machine's and private ones too: who wrote the file is trusted with it. A 2xx answer is JSON or
    text; of any other status the text may be anything, as far as it can be read.
    """
    check(url)
    try:
        async with asyncio.timeout(seconds), open_client(open_network(url)) as client:
            request = client.build_request("POST", url, content=body, headers=HEADERS, timeout=seconds)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                answer = b"".join([piece async for piece in body_of(response, limit)])
            finally:
                await response.aclose()
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Unanswered(_("`{url}` did not answer within {seconds:g} s").format(url=url, seconds=seconds)) from error
    except TooLarge as error:
        raise Unanswered(_("`{url}`: {reason}").format(url=url, reason=error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        # The last two are about proxies in the environment that httpx cannot use.
        reason = str(error) or type(error).__name__
        raise Unanswered(_("`{url}` could not be reached: {reason}").format(url=url, reason=reason)) from error
    return response.status_code, read(url, response, answer)


def check(url: str) -> None:
    """Raise Unanswered unless it is a plain http or https URL."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise Unanswered(_("`{url}` is not a URL").format(url=url)) from None
    if parts.scheme not in ("http", "https") or not host:
        raise Unanswered(_("`{url}` is not a URL; write it like `http://localhost:8000/orders`").format(url=url))
    if parts.username is not None or parts.password is not None:
        raise Unanswered(_("a URL with a user name or a password is not used"))


def read(url: str, response: httpx.Response, body: bytes) -> str:
    """The body as text; raise Unanswered when a 2xx answer is neither JSON nor text, or says that it is JSON and is not."""
    good = response.is_success
    kind = response.headers.get("Content-Type", "text/plain").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if good and body and not is_json and (not kind.startswith("text/") or kind == "text/html"):
        raise Unanswered(
            _("`{url}` answered with {kind}, which is neither JSON nor plain text").format(url=url, kind=kind or "?")
        )
    try:
        text = decoded(body, response.charset_encoding or "utf-8", "strict" if good else "replace")
    except ValueError as error:
        raise Unanswered(_("`{url}` answered with text that is not UTF-8").format(url=url)) from error
    if good and is_json:
        try:
            json.loads(text, parse_constant=no_number)
        except (ValueError, RecursionError) as error:
            raise Unanswered(_("`{url}` answered with JSON that cannot be read").format(url=url)) from error
    return text


def decoded(body: bytes, charset: str, errors: str) -> str:
    """The body as text, by UTF-8 where no such encoding is known; raise ValueError for what it cannot decode."""
    try:
        codec = codecs.lookup(charset).name
        return body.decode("utf-8" if codec in ENDLESS else codec, errors)
    except LookupError:
        return body.decode("utf-8", errors)


def no_number(name: str) -> object:
    raise ValueError(name)
