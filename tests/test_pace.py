"""The pace of many conversations, against servers that allow twenty requests a second; on virtual time."""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, inf
from typing import Any, Protocol

import pytest

from runner.budget import Budget
from runner.pace import Pace, Paces, Slowed
from runner.retry import Patience, Patient, RetryBudget
from runner.targets import Connection, TargetError
from tests.engine_fixtures import SteadyClock, on_virtual_time
from tests.suite_fixtures import Dice

RATE = 20


class Limit(Protocol):
    """When a request came, how long the next one has to wait; 0 when it may be served."""

    def ask(self, now: float) -> float: ...


class FixedWindow:
    """Twenty requests in each second of the clock."""

    def __init__(self) -> None:
        self.window, self.count = -1, 0

    def ask(self, now: float) -> float:
        if int(now) != self.window:
            self.window, self.count = int(now), 0
        self.count += 1
        return 0 if self.count <= RATE else self.window + 1 - now


class SlidingWindow:
    """Twenty requests in any second."""

    def __init__(self) -> None:
        self.served: list[float] = []

    def ask(self, now: float) -> float:
        self.served = [at for at in self.served if at > now - 1]
        if len(self.served) == RATE:
            return self.served[0] + 1 - now
        self.served.append(now)
        return 0


class TokenBucket:
    """Twenty at once, and one more every twentieth of a second."""

    def __init__(self, size: int = RATE) -> None:
        self.size, self.tokens, self.at = size, float(size), 0.0

    def ask(self, now: float) -> float:
        self.tokens, self.at = min(self.size, self.tokens + (now - self.at) * RATE), now
        if self.tokens < 1:
            return (1 - self.tokens) / RATE
        self.tokens -= 1
        return 0


WISHES: dict[str, Callable[[float], float | None]] = {
    "to the millisecond": lambda wait: wait,
    "in whole seconds": lambda wait: float(ceil(wait)),
    "unsaid": lambda _wait: None,
}


def served(limit: Limit, wish: str, rps: float | None, *, begins: float, latency: float, parts: int = 1) -> tuple[float, int]:
    """The seconds it takes to play 20 conversations of 8 calls, 10 at a time, and what is left of the retry budget. With
    several `parts`, each plays its share as it would in a process of its own."""

    async def go() -> tuple[float, int]:
        clock, dice = Dice(), random.Random(2)
        retries = RetryBudget()
        shares = [
            Patience(Pace(clock, 10 // parts, rps and rps / parts, parts), retries, Budget(), clock) for _part in range(parts)
        ]
        for share in shares:
            share.pace.tell = partial(pass_on, [other.pace for other in shares if other is not share])
        target: Any = None

        async def call() -> None:
            await asyncio.sleep(latency * dice.random())
            wait = limit.ask(clock.now())
            await asyncio.sleep(latency * dice.random())
            if wait:
                raise TargetError("GET /", "", status=429, code="Throttling.RateQuota", retry_after=WISHES[wish](wait))

        async def converse(patience: Patience) -> None:
            async with patience.pace.place():
                calls = Patient(target, patience, lambda *_told: None, lambda _warning: None)
                for _call in range(8):
                    await calls.repeat(call)

        await asyncio.sleep(begins)
        await asyncio.gather(*(converse(shares[number % parts]) for number in range(20)))
        return clock.now() - begins, retries.left

    result: tuple[float, int] = on_virtual_time(go())
    return result


def pass_on(others: Sequence[Pace], wait: float | None, began: float | None, closed: str) -> None:
    for other in others:
        other.hear(wait, began, closed)


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("latency", [0.002, 0.02])
@pytest.mark.parametrize("begins", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("limit", [FixedWindow, SlidingWindow, TokenBucket])
@pytest.mark.parametrize(("rps", "least"), [(20.0, 0.90), (None, 0.60)])
def test_a_server_that_allows_so_many_requests_a_second_is_used_well(
    limit: type[Limit], wish: str, begins: float, latency: float, rps: float | None, least: float, parts: int
) -> None:
    ideal = 20 * 8 / RATE
    seconds, left = served(limit(), wish, rps, begins=begins, latency=latency, parts=parts)
    assert ideal / seconds >= least
    assert left >= 400


def test_a_small_bucket_does_not_leave_a_rate_that_is_far_too_low() -> None:
    seconds, left = served(TokenBucket(5), "in whole seconds", None, begins=0, latency=0.01)
    assert 8 / seconds >= 0.5
    assert left >= 400


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def turns(pace: Pace, count: int) -> list[float]:
    """When so many requests that all wait at once get their turn."""

    async def go() -> list[float]:
        return list(await asyncio.gather(*(pace.turn() for _turn in range(count))))

    result: list[float] = on_virtual_time(go())
    return result


def test_without_a_rate_nobody_waits() -> None:
    assert [0.0] * 50 == turns(Pace(SteadyClock(), 50), 50)


def test_no_more_requests_go_in_any_second_than_configured() -> None:
    span = 10 / 9.6
    assert pytest.approx([0.0] * 10 + [span] * 10 + [2 * span] * 5) == turns(Pace(SteadyClock(), 1, 10.0), 25)
    assert pytest.approx([0, 4 / 1.92, 8 / 1.92]) == turns(Pace(SteadyClock(), 1, 0.5), 3)


def test_an_idle_time_is_not_made_up_for() -> None:
    async def go() -> list[float]:
        pace = Pace(SteadyClock(), 1, 3.0)
        await pace.turn()
        await asyncio.sleep(60)
        return [await pace.turn() - 60 for _turn in range(5)]

    assert pytest.approx([0, 0, 0, 3 / 2.88, 3 / 2.88]) == on_virtual_time(go())


def test_after_a_throttle_requests_are_evenly_spaced() -> None:
    async def go() -> list[float]:
        pace = Pace(SteadyClock(), 4, 20.0)
        for _call in range(20):
            pace.succeeded()
        pace.throttled(1.0, await pace.turn())
        return [await pace.turn() for _turn in range(4)]

    times: list[float] = on_virtual_time(go())
    assert pytest.approx([1.0, 1 + 1 / 18.24, 1 + 2 / 18.24, 1 + 3 / 18.24]) == times


def test_a_loop_that_is_late_does_not_shift_all_turns_after_it() -> None:
    class Late(SteadyClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds + 0.01)

    async def go() -> list[float]:
        pace = Pace(Late(), 4)
        for _call in range(20):
            pace.succeeded()
        pace.throttled(1.0, await pace.turn())
        return [await pace.turn() for _turn in range(4)]

    assert pytest.approx([1.01 + each / 19.2 for each in range(4)]) == on_virtual_time(go())


def test_a_wish_to_be_left_alone_pauses_everybody_also_those_who_wait_already() -> None:
    async def go() -> list[float]:
        pace = Pace(SteadyClock(), 4, 1.0)
        await pace.turn()
        waiting = [asyncio.ensure_future(pace.turn()) for _each in range(3)]
        await asyncio.sleep(0.1)
        pace.pause(5.0)
        return [await each for each in waiting]

    assert pytest.approx([5.1, 5.1 + 1 / 0.96, 5.1 + 2 / 0.96]) == on_virtual_time(go())


def test_a_rate_is_learnt_from_what_succeeded_and_recovers_slowly_at_first() -> None:
    async def go() -> list[float]:
        clock = SteadyClock()
        pace, rates = Pace(clock, 4), []
        for _call in range(30):
            pace.succeeded()
        pace.throttled(1.0, await pace.turn())
        for seconds in (0.0, 14.9, 0.2, 10.0):
            await clock.sleep(seconds)
            pace.succeeded()
            rates.append(pace.rate)
        return rates

    assert pytest.approx([28.8, 28.8, 28.8 + 0.05 * 15.1 / 15, 28.8 + 0.05 * (15.1 + 25.1) / 15]) == on_virtual_time(go())


def test_a_rate_that_a_single_throttle_speaks_for_recovers_fast() -> None:
    async def go() -> list[float]:
        clock = SteadyClock()
        pace, rates = Pace(clock, 4), []
        pace.throttled(None, await pace.turn())
        for seconds in (0.9, 0.2, 0.1):
            await clock.sleep(seconds)
            pace.succeeded()
            rates.append(pace.rate)
        return rates

    assert [1.0, 1.5, 2.0] == on_virtual_time(go())


def test_the_third_throttle_is_believed_however_little_had_succeeded() -> None:
    async def go() -> list[bool]:
        pace, doubted = Pace(SteadyClock(), 4), []
        for _throttle in range(4):
            pace.throttled(0.0, await pace.turn())
            doubted.append(pace.doubted)
        return doubted

    assert [True, True, False, False] == on_virtual_time(go())


def test_a_limit_a_minute_is_learnt_from_the_pause_it_takes() -> None:
    async def go() -> float:
        pace = Pace(SteadyClock(), 4)
        for _call in range(60):
            pace.succeeded()
            await asyncio.sleep(0.05)
        pace.throttled(57.0, 3.0)
        return pace.rate

    assert pytest.approx(60 / 56 * 0.96) == on_virtual_time(go())


def test_requests_that_went_before_the_others_slowed_down_lower_the_rate_once() -> None:
    async def go() -> list[float]:
        pace, rates = Pace(SteadyClock(), 4), []
        for _call in range(30):
            pace.succeeded()
        began = [await pace.turn() for _request in range(4)]
        await asyncio.sleep(0.1)
        for at in began:
            pace.throttled(1.0, at)
            rates.append(pace.rate)
        await asyncio.sleep(1.0)
        pace.throttled(1.0, await pace.turn())
        return [*rates, pace.rate]

    assert pytest.approx([28.8] * 4 + [28.8 * 0.8]) == on_virtual_time(go())


def test_a_service_is_short_of_breath_for_a_minute() -> None:
    async def go() -> list[bool]:
        pace = Pace(SteadyClock(), 4)
        seen = [pace.strained]
        pace.throttled(0.0)
        for seconds in (0.0, 59.0, 2.0):
            await asyncio.sleep(seconds)
            seen.append(pace.strained)
        return seen

    assert [False, True, True, False] == on_virtual_time(go())


def test_a_service_out_of_order_is_left_alone_ever_longer_by_everybody_until_it_answers() -> None:
    async def go() -> list[tuple[float, int, int]]:
        pace, other = Pace(SteadyClock(), 32), Pace(SteadyClock(), 32)
        pace.tell = partial(pass_on, [other])
        pace.limit, seen = 32, []
        for _wave in range(8):
            began = await pace.turn()
            await asyncio.sleep(0.125)
            news = [pace.failed(began, again=_wave > 0) for _each in range(5)]
            seen.append((other.opens - pace.clock.now(), pace.limit, sum(news)))
        assert pace.down
        # What was under way before says nothing.
        pace.succeeded(0.0)
        assert pace.down
        pace.succeeded(pace.clock.now())
        assert not pace.down
        return seen

    # The dice show 0, which halves each rest. Of each wave one tells something new.
    rests = [(-inf, 32), (0.25, 16), (0.5, 8), (1, 4), (2, 2), (4, 1), (4, 1), (4, 1)]
    assert [(*rest, 1) for rest in rests] == on_virtual_time(go())


def test_a_model_that_lets_nobody_in_is_closed_in_the_other_parts_too() -> None:
    async def go() -> None:
        pace, other = Pace(SteadyClock(), 4), Pace(SteadyClock(), 4)
        pace.tell = partial(pass_on, [other])
        pace.shut_out("not here", surely=False)
        assert ("not here", "") == (pace.closed, other.closed)
        pace.closed = ""
        other.succeeded()
        pace.shut_out("nowhere", surely=True)
        assert ("nowhere", "nowhere") == (pace.closed, other.closed)

    on_virtual_time(go())


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def limits(ceiling: int, *told: str) -> list[int]:
    """How many places there are at first, and after each of these; `second` is one that passes."""

    async def go() -> list[int]:
        pace = Pace(SteadyClock(), ceiling)
        seen = [pace.limit]
        for each in told:
            match each.split():
                case [times, "succeeded"]:
                    for _time in range(int(times)):
                        pace.succeeded()
                case ["throttled"]:
                    pace.throttled(0.0)
                case ["second"]:
                    await asyncio.sleep(1)
            seen.append(pace.limit)
        return seen

    result: list[int] = on_virtual_time(go())
    return result


def test_places_double_after_each_full_window_until_the_first_throttle() -> None:
    assert [4, 4, 8, 16, 32, 50] == limits(50, "3 succeeded", "1 succeeded", "8 succeeded", "16 succeeded", "32 succeeded")


def test_places_are_halved_at_most_once_a_second_and_grow_by_one_from_then_on() -> None:
    told = ("12 succeeded", "throttled", "throttled", "second", "throttled", "4 succeeded", "5 succeeded", "4 succeeded")
    assert [4, 16, 8, 8, 8, 4, 5, 6, 6] == limits(50, *told)


def test_there_is_always_one_place_and_never_more_than_the_ceiling() -> None:
    assert [1, 1, 1] == limits(1, "throttled", "9 succeeded")
    assert [3, 3, 1, 1] == limits(3, "9 succeeded", "throttled", "throttled")


def test_places_are_given_in_the_order_of_asking_and_passed_on_by_those_who_leave() -> None:
    async def go() -> tuple[list[int], int]:
        pace, came = Pace(SteadyClock(), 1), []

        async def converse(number: int) -> None:
            async with pace.place():
                came.append(number)

        async with pace.place():
            tasks = [asyncio.ensure_future(converse(number)) for number in range(4)]
            await asyncio.sleep(1)
            tasks[1].cancel()
            await asyncio.sleep(1)
        # The place is given to the first one just now, who cannot take it any more.
        tasks[0].cancel()
        async with asyncio.timeout(1):
            await asyncio.gather(*tasks, return_exceptions=True)
        return came, pace.inside

    assert ([2, 3], 0) == on_virtual_time(go())


def test_no_more_are_inside_than_there_are_places() -> None:
    async def go() -> int:
        pace, most = Pace(SteadyClock(), 50), 0

        async def converse() -> None:
            nonlocal most
            async with pace.place():
                most = max(most, pace.inside)
                await asyncio.sleep(1)

        await asyncio.gather(*(converse() for _each in range(20)))
        return most

    assert 4 == on_virtual_time(go())


def test_a_pace_is_shared_by_what_one_key_may_do_with_one_model() -> None:
    paces = Paces(SteadyClock(), 4)
    one = Connection("dashscope", "https://one.test/api/v1", "for tests", "KEY")
    same = Connection("dashscope-cn", "https://one.test/api/v1", "for other tests", "KEY")
    assert paces.of(one, "qwen-max") is paces.of(same, "qwen-max")
    others = [
        paces.of(one, "qwen-plus"),
        paces.of(Connection("dashscope", "https://two.test/api/v1", "", "KEY"), "qwen-max"),
        paces.of(Connection("dashscope", "https://one.test/api/v1", "", "OTHER"), "qwen-max"),
    ]
    assert 4 == len({id(pace) for pace in (paces.of(one, "qwen-max"), *others)})


def test_what_slows_down_one_part_of_a_run_slows_down_the_others() -> None:
    connection = Connection("dashscope", "https://service.test/api/v1", "for tests")

    async def go() -> tuple[list[float], int, list[Slowed]]:
        told: list[Slowed] = []
        here = Paces(SteadyClock(), 8, parts=2, tell=told.append)
        there = Paces(SteadyClock(), 8, parts=2, tell=lambda _slowed: pytest.fail("what was heard is not told again"))
        pace = here.of(connection, "qwen-max")
        pace.throttled(3.0, began=0.0)
        there.hear(told[-1])
        turns = [await there.of(connection, model).turn() for model in ("qwen-plus", "qwen-max")]
        pace.pause(2.0)
        there.hear(told[-1])
        return [*turns, await there.of(connection, "qwen-max").turn()], there.of(connection, "qwen-max").limit, told

    turns, limit, told = on_virtual_time(go())
    assert ([0.0, 3.0, 5.0], 1) == (turns, limit)
    account = ("https://service.test/api/v1", None, "qwen-max")
    assert [Slowed(account, 3.0, 0.0), Slowed(account, 2.0, None)] == told
