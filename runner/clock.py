"""Time as the engine, the retries and the suite know it; a test turns it by hand."""

import asyncio
import random
from typing import Protocol

__all__ = ["Clock", "LoopClock"]


class Clock(Protocol):
    """Monotonic seconds, waiting, limits, and the dice for uneven pauses."""

    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def timeout(self, seconds: float) -> asyncio.Timeout: ...
    def random(self) -> float: ...


class LoopClock:
    """The event loop's own clock."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(seconds)

    def random(self) -> float:
        return random.random()
