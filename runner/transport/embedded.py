"""Reach the embedded service in process: an httpx transport without a socket."""

from collections.abc import AsyncIterator

import httpx

from runner.embedded.faults import Cut, Fault, parse
from runner.embedded.service import Request, Service
from runner.model import Sample

__all__ = ["BASE_URL", "EmbeddedTransport"]

BASE_URL = "http://embedded.invalid/api/v1"


class Body(httpx.AsyncByteStream):
    """An event stream on its way."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self.pieces:
                yield piece
        except Cut:
            raise httpx.RemoteProtocolError("the body ended too early") from None

    async def aclose(self) -> None:
        close = getattr(self.pieces, "aclose", None)
        if close is not None:
            await close()


class EmbeddedTransport(httpx.AsyncBaseTransport):
    """Hands every request to the service. A step's sample travels as the request extension `runflow.sample`, what is to go
    wrong with one request as `runflow.fault`: a Fault or its text."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sample = request.extensions.get("runflow.sample")
        fault = request.extensions.get("runflow.fault")
        answered = await self.service.respond(
            Request(
                method=request.method,
                path=request.url.path,
                query=dict(request.url.params),
                body=await request.aread(),
                origin=f"{request.url.scheme}://{request.url.netloc.decode('ascii')}",
                sample=sample if isinstance(sample, Sample) else None,
                fault=parse(fault) if isinstance(fault, str) else fault if isinstance(fault, Fault) else None,
            )
        )
        if isinstance(answered.body, bytes):
            return httpx.Response(answered.status, headers=answered.headers, content=answered.body)
        return httpx.Response(answered.status, headers=answered.headers, stream=Body(answered.body))

    async def aclose(self) -> None:
        self.service.close()
