"""What a whole run may spend on a service, in calls or in tokens, shared by all its conversations."""

import re
from dataclasses import field

from runner.values import dataclass
from runner.words import _

__all__ = ["Budget", "Count", "Spent", "read"]

WRITTEN = re.compile(r"([0-9][0-9_]*)\s*(tokens|calls)")


class Spent(Exception):
    """The budget is used up; the text is a sentence."""


class Count:
    """A number that all processes of a run add to. Each has a place of its own, which no other writes."""

    def __init__(self, number: int = 0) -> None:
        self.places: list[int] | memoryview[int] = [number]
        self.own = 0

    def add(self, number: int) -> None:
        self.places[self.own] += number

    @property
    def total(self) -> int:
        return sum(self.places)

    def spread(self, processes: int) -> None:
        """From now on so many processes that are divided from this one can add, each once it has set `own` to its place."""
        import mmap

        before, places = self.total, memoryview(mmap.mmap(-1, 8 * processes)).cast("q")
        places[self.own] = before
        self.places = places


@dataclass(slots=True)
class Budget:
    """`calls` and `tokens` are limits, None where there is none; what was used of them is counted here.

    Tokens are known when an answer has come: conversations under way may take the sum beyond its limit before it is seen. An
    answer that was paid for is still read.
    """

    calls: int | None = None
    tokens: int | None = None
    calls_used: Count = field(default_factory=Count)
    tokens_used: Count = field(default_factory=Count)

    def check(self) -> None:
        """Raise Spent when nothing more may be begun."""
        if self.calls is not None and self.calls_used.total >= self.calls:
            raise self.no_more_calls()
        if self.tokens is not None and self.tokens_used.total >= self.tokens:
            raise Spent(_("the budget of {count} tokens is used up").format(count=self.tokens))

    def call(self) -> None:
        """One call is about to be made; raise Spent when it would be one too many. Those that clean up are only counted."""
        # Counted first, so that no two processes take the last one.
        self.count()
        if self.calls is not None and self.calls_used.total > self.calls:
            self.calls_used.add(-1)
            raise self.no_more_calls()

    def no_more_calls(self) -> Spent:
        return Spent(_("the budget of {count} calls is used up").format(count=self.calls))

    def count(self) -> None:
        self.calls_used.add(1)

    def take(self, tokens: int) -> None:
        """An answer took so many tokens."""
        self.tokens_used.add(tokens)


def read(written: str) -> Budget:
    """`100000tokens` or `500calls` as a Budget; raise ValueError with a sentence for anything else, and for none."""
    match = WRITTEN.fullmatch(written.strip().lower())
    amount = int(match[1].replace("_", "")) if match else 0
    if match is None or amount == 0:
        raise ValueError(_("not a budget; write it like `100000tokens` or `500calls`"))
    return Budget(calls=amount) if match[2] == "calls" else Budget(tokens=amount)
