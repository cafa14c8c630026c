"""How fast, and how many at once: the pace all conversations with one model keep together, so that its service bears it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

from runner.clock import Clock
from runner.targets import Connection
from runner.values import dataclass

__all__ = ["Pace", "Paces", "Slowed"]

START = 4
"""How many conversations are at once at first."""
MARGIN = 0.04
"""How far below a known rate requests are kept: they arrive less evenly than they leave."""
LATE = 0.02
"""How many seconds a request may be behind its slot, and the next one still keep to its own."""
SECOND = 1.0
"""Limits are told per minute and enforced per second; and what a service asks to wait is rounded up to whole seconds."""
ENOUGH = 10
"""How many requests a second tell a limit from a burst that came at the wrong moment."""
GUESSES = 3
"""After how many throttles the rate is believed all the same."""
HELD, RISE = 15.0, 0.05
"""How many seconds a rate that was learnt is kept before it is raised, and by how much of itself in a second then."""
DOUBTED, DOUBTED_RISE = 1.0, 0.5
"""The same of a rate that little speaks for."""
LOWERED = 0.8
"""What is left of it at least after one throttle more."""
FIRST, SLOWEST = 1.0, 0.2
"""The lowest rate that one throttle, and that any number of them can lead to."""
STRAINED = 60.0
"""How long a service that throttled is taken to be short of breath: limits mostly clear within a minute."""
REMEMBERED = 4096
DOWN = 5
"""How many requests come to nothing when a service is out of order, rather than they unlucky."""
GONE = 120.0
"""How many seconds a service may be out of order before a run ends."""
SHORTEST_REST, LONGEST_REST = 0.5, 8.0
"""How long a service that is out of order is left alone: twice as long each time, from here to there."""


class Pace:
    """The turns of all requests with one model, and the places of conversations among those at once.

    With `rps` no more requests go in any second. Without, nothing is held back until the service throttles; what it took up
    to then says what it takes. From the first throttle on they are evenly spaced, as it may not like them in bursts.
    `ceiling` is how many conversations there may be at once. Where this is the pace of one of several `parts` of a run, both
    are its share; each part then hears of what slowed down the others, and learns its share of the rate.
    """

    def __init__(self, clock: Clock, ceiling: int, rps: float | None = None, parts: int = 1) -> None:
        self.clock = clock
        self.ceiling = max(1, ceiling)
        self.parts = parts
        self.tell: Callable[[float | None, float | None, str], None] = lambda _wait, _began, _closed: None
        """Told what slows us down, or why we are let in no more, as `hear` of the other parts is."""
        self.fastest = inf if rps is None else rps * (1 - MARGIN)
        self.rate = self.fastest
        """Requests a second."""
        self.burst: deque[float] = deque(maxlen=max(1, int(rps or 1)))
        """When the last so many requests went, which may go at once."""
        self.opens = -inf
        """When the next request may go."""
        self.queue = asyncio.Lock()
        self.taken: deque[float] = deque(maxlen=REMEMBERED)
        """When requests succeeded, the newest last."""
        self.slowed = -inf
        """When the rate was last lowered."""
        self.doubted = False
        """Whether that rate is little more than a guess."""
        self.guesses = 0
        self.strain = -inf
        """When the service last throttled."""
        self.limit = min(max(1, START // parts), self.ceiling)
        """How many conversations may be at once now."""
        self.window = 0
        """How many requests succeeded since the limit was changed."""
        self.troubled = inf
        """When the first request failed, unless one that went after it succeeded."""
        self.failures = 0
        """How many that went after it failed as well."""
        self.noted = -inf
        """When a failure was last told that was new."""
        self.rests = 0
        """How often the service was left alone since it last answered."""
        self.closed = ""
        """Why the service lets nobody in, where that is so."""
        self.inside = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def turn(self) -> float:
        """Wait until the next request may go; when that is."""
        now = self.clock.now()
        if self.rate == inf and self.opens <= now and not self.queue.locked():
            return now
        async with self.queue:
            # Others may be told to wait longer meanwhile.
            while (seconds := self.opens - self.clock.now()) > 0:
                await self.clock.sleep(seconds)
            now = self.clock.now()
            if self.strain > -inf:
                slot = self.opens if now - self.opens < LATE else now
                self.opens = slot + 1 / self.rate
            elif self.rate < inf:
                self.burst.append(now)
                if len(self.burst) == self.burst.maxlen:
                    self.opens = self.burst[0] + self.burst.maxlen / self.rate
            return now

    def pause(self, seconds: float) -> None:
        """The service asked for a pause, but did not throttle."""
        self.tell(seconds, None, "")
        self.hold(seconds)

    def hold(self, seconds: float) -> None:
        """Nobody's request goes for so long."""
        self.opens = max(self.opens, self.clock.now() + seconds)

    def succeeded(self, began: float = inf) -> None:
        """The service has answered a request that went at `began`."""
        now = self.clock.now()
        if began > self.troubled:
            self.troubled, self.failures, self.rests = inf, 0, 0
        self.taken.append(now)
        quiet = now - self.slowed
        # The longer it goes well, the less the rate that was learnt then says.
        held, rise = (DOUBTED, DOUBTED_RISE) if self.doubted else (HELD, RISE * quiet / HELD)
        if self.rate < self.fastest and quiet > held:
            # So many a second, and each raises it by so much.
            self.rate = min(self.rate + rise, self.fastest)
        self.window += 1
        if self.window >= self.limit and self.limit < self.ceiling:
            self.resize(self.limit * 2 if self.strain == -inf else self.limit + 1)

    def throttled(self, wait: float | None = None, began: float = inf) -> None:
        """The service refused a request that went at `began`, and asked for a pause of `wait` seconds if it did."""
        self.tell(wait, began, "")
        self.slow_down(wait, began)

    def failed(self, began: float, *, again: bool = False) -> bool:
        """A request that went at `began` came to nothing, perhaps `again`; whether that tells anything new: what was under way
        when the last one failed may have failed for the same reason. A service that is out of order is left alone for a while,
        by everybody."""
        now, was_down = self.clock.now(), self.down
        if self.troubled == inf:
            self.troubled = now
        elif began >= self.troubled:
            self.failures += 1
        news = began > self.noted or (began == self.noted and again)
        if news:
            self.noted = now
        if self.down and not self.gone and (news or not was_down):
            seconds = min(LONGEST_REST, SHORTEST_REST * 2**self.rests)
            self.rests += 1
            self.resize(self.limit // 2)
            self.pause(seconds * (0.5 + 0.5 * self.clock.random()))
        return news

    @property
    def down(self) -> bool:
        """Whether the service is out of order: nothing succeeds that was begun after something failed."""
        # Failures may be told sooner than successes.
        return self.failures >= max(DOWN, self.inside // 4)

    @property
    def gone(self) -> bool:
        """Whether it has been out of order for so long that nobody waits for it."""
        return self.down and self.clock.now() - self.troubled > GONE

    def hear(self, wait: float | None, began: float | None, closed: str = "") -> None:
        """Another part was slowed down: throttled if there is a `began`, else only asked to wait; or it is let in no more."""
        self.closed = self.closed or closed
        if began is not None:
            self.slow_down(wait, began)
        elif wait is not None:
            self.hold(wait)

    def slow_down(self, wait: float | None, began: float) -> None:
        now = self.clock.now()
        self.strain = now
        count, since = self.recent(now, max(SECOND, (wait or 0) - SECOND))
        # What went before the others slowed down says nothing about the rate now.
        if began >= self.slowed:
            if now - self.slowed >= SECOND:
                self.resize(self.limit // 2)
            self.guesses += 1
            self.doubted = count < ENOUGH / self.parts and self.guesses < GUESSES
            self.rate = self.lowered(count * (1 - MARGIN))
            self.slowed = now
        self.hold(since + SECOND - now if wait is None else wait)

    def lowered(self, measured: float) -> float:
        """The rate after a throttle, when so many requests a second had succeeded. One throttle alone proves little."""
        if self.rate == inf:
            return max(measured, FIRST / self.parts)
        return max(min(measured, self.rate * (1 - RISE)), self.rate * LOWERED, SLOWEST / self.parts)

    def recent(self, now: float, span: float) -> tuple[float, float]:
        """How many requests a second succeeded within the last `span` seconds, and when the first of them did."""
        count, since = 0, now
        for at in reversed(self.taken):
            if at <= now - span:
                return count / span, since
            count, since = count + 1, at
        if count == REMEMBERED and since < now:
            span = now - since
        return count / span, since

    @property
    def strained(self) -> bool:
        """Whether the service throttled a short while ago."""
        return self.clock.now() - self.strain < STRAINED

    def shut_out(self, why: str, *, surely: bool) -> None:
        """The service will not have us, and asking again does not help. Unless that is `surely` so for everybody, what it took
        before says that others may be let in."""
        if surely and not self.closed:
            self.tell(None, None, why)
        if surely or not self.taken:
            self.closed = self.closed or why

    # ── conversations ────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among the conversations at once, waited for in the order of asking."""
        if self.inside < self.limit and not self.waiting:
            self.inside += 1
        else:
            await self.wait_for_place()
        try:
            yield
        finally:
            self.inside -= 1
            self.admit()

    async def wait_for_place(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # It had the place already, and leaves it to the next one.
                self.inside -= 1
                self.admit()
            raise

    def admit(self) -> None:
        while self.waiting and self.inside < self.limit:
            turn = self.waiting.popleft()
            if not turn.cancelled():
                self.inside += 1
                turn.set_result(None)

    def resize(self, limit: int) -> None:
        self.limit = max(1, min(limit, self.ceiling))
        self.window = 0
        self.admit()


Account = tuple[str, str | None, str]
"""The base URL, the key's variable, and the model: what limits are told for."""


@dataclass(frozen=True, slots=True)
class Slowed:
    """What slowed down or ended an account's requests in one part of a run, as `Pace.hear` takes it."""

    account: Account
    wait: float | None
    began: float | None
    closed: str = ""


class Paces:
    """One pace for each model of a service with one key: limits are an account's. Where this is one of several `parts`, `tell`
    passes on what the others must hear."""

    def __init__(
        self,
        clock: Clock,
        ceiling: int,
        rps: float | None = None,
        parts: int = 1,
        tell: Callable[[Slowed], None] = lambda _slowed: None,
    ) -> None:
        self.clock = clock
        self.ceiling = ceiling
        self.rps = rps
        self.parts = parts
        self.tell = tell
        self.known: dict[Account, Pace] = {}

    def of(self, connection: Connection, model: str) -> Pace:
        return self.at((connection.base_url, connection.key_variable, model))

    def at(self, account: Account) -> Pace:
        if account not in self.known:
            self.known[account] = pace = Pace(self.clock, self.ceiling, self.rps, self.parts)
            pace.tell = lambda wait, began, closed: self.tell(Slowed(account, wait, began, closed))
        return self.known[account]

    def hear(self, slowed: Slowed) -> None:
        """Another part was slowed down."""
        self.at(slowed.account).hear(slowed.wait, slowed.began, slowed.closed)
