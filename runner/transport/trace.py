"""Tell what passes the seam, call by call: status, milliseconds and bodies, never headers."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import cast

import httpx

from runner.clean import Redactor, visible
from runner.wire import WireError
from runner.wire.assistant_api import decode_json, tokens

__all__ = ["Tracing"]

SHOWN = 2_000
"""How much of a body is told, in characters."""


class Tracing(httpx.AsyncBaseTransport):
    """Around another transport: `tell` receives a line when a call ends, with the bodies beneath it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, tell: Callable[[str], None], redactor: Redactor) -> None:
        self.inner = inner
        self.tell = tell
        self.redactor = redactor
        self.tokens: frozenset[str] = frozenset()
        """The credentials of plug-ins that were sent so far."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.tokens |= sent_tokens(request.content)
        began = time.monotonic()
        call = f"{request.method} {request.url}"
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException as error:
            self.say(f"{call}: {type(error).__name__} after {elapsed(began)}", request.content, b"")
            raise
        stream = cast(httpx.AsyncByteStream, response.stream)

        def end(kept: bytes) -> None:
            kind = response.headers.get("Content-Type", "")
            shown = kept if kind.startswith(("application/json", "text/")) or not kind else f"({kind})".encode()
            self.say(f"{call}: {response.status_code} in {elapsed(began)}", request.content, shown)

        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=Overheard(stream, end),
            extensions=response.extensions,
        )

    def say(self, line: str, asked: bytes, answered: bytes) -> None:
        lines = [line]
        for arrow, body in (("→", asked), ("←", answered)):
            # Redacted before it is cut: half a key is still a secret.
            text = Redactor(self.tokens).redact(self.redactor.redact(body.decode("utf-8", "replace")))
            lines += [f"  {arrow} {part}" for part in text[:SHOWN].splitlines() if part]
            if len(text) > SHOWN:
                lines.append(f"  {arrow} …")
        for told in lines:
            self.tell(visible(self.redactor.redact(told)))

    async def aclose(self) -> None:
        await self.inner.aclose()


class Overheard(httpx.AsyncByteStream):
    """A body passed on unchanged, of which the beginning is kept until it is closed."""

    def __init__(self, inner: httpx.AsyncByteStream, end: Callable[[bytes], None]) -> None:
        self.inner = inner
        self.end = end
        self.kept = bytearray()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.inner:
            if len(self.kept) < 4 * SHOWN:
                self.kept += piece[: 4 * SHOWN]
            yield piece

    async def aclose(self) -> None:
        self.end(bytes(self.kept))
        await self.inner.aclose()


def sent_tokens(content: bytes) -> frozenset[str]:
    try:
        body = decode_json(content)
    except WireError:
        return frozenset()
    return tokens(body) if isinstance(body, Mapping) else frozenset()


def elapsed(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
