"""Reach a Chat Completions endpoint: one POST, whose events come as they are sent."""

from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import urlsplit

import httpx

from runner.embedded.chat import refusal
from runner.embedded.models import ModelTrouble
from runner.embedded.objects import Json
from runner.transport.network import TIMEOUTS, TooLarge, body_of, open_client, open_network
from runner.wire import WireError
from runner.wire.sse import EventDecoder

__all__ = ["ChatEndpoint"]

# A model that thinks may be silent for minutes; the run expires whatever it does.
PATIENT = httpx.Timeout(connect=TIMEOUTS.connect, write=TIMEOUTS.write, pool=TIMEOUTS.pool, read=300)
ERROR_LIMIT = 64_000
"""How many bytes of a refusal are read."""


class ChatEndpoint:
    """An endpoint below `base_url`, with the key that came from the variable `key_name`."""

    def __init__(self, base_url: str, key: str | None = None, key_name: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.host = urlsplit(base_url).netloc
        self.key = key
        self.key_name = key_name
        self.client: httpx.AsyncClient | None = None

    def redacted(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text

    async def post(self, body: Json) -> AsyncGenerator[str, None]:
        if self.client is None:
            self.client = open_client(open_network(self.base_url))
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            url = f"{self.base_url}/chat/completions"
            async with self.client.stream("POST", url, json=body, headers=headers, timeout=PATIENT) as response:
                if response.status_code != 200:
                    raise refusal(response.status_code, await beginning(response), self.key_name)
                async for data in events(response):
                    yield data
        except httpx.TimeoutException as error:
            raise ModelTrouble(f"the model endpoint at {self.host} did not answer in time") from error
        except httpx.ConnectError as error:
            raise ModelTrouble(f"the model endpoint at {self.host} cannot be reached") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ModelTrouble(f"the connection to the model endpoint at {self.host} broke") from error
        except (TooLarge, WireError) as error:
            raise ModelTrouble(f"the model endpoint at {self.host} sent too much") from error

    async def close(self) -> None:
        if self.client is not None:
            await self.client.aclose()
            self.client = None


async def events(response: httpx.Response) -> AsyncIterator[str]:
    """The data of each event, or the body when it is no stream of events."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json":
        yield b"".join([piece async for piece in body_of(response)]).decode("utf-8", "replace")
        return
    decoder = EventDecoder()
    async for piece in body_of(response):
        for event in decoder.feed(piece):
            yield event.data


async def beginning(response: httpx.Response) -> bytes:
    """As much of a body as a message may want."""
    read = b""
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) > ERROR_LIMIT:
            break
    return read[:ERROR_LIMIT]
