"""What a whole run may spend on a service, in calls or in tokens, shared by all its conversations."""

import re

from runner.values import dataclass
from runner.words import _

__all__ = ["Budget", "Spent", "read"]

WRITTEN = re.compile(r"([0-9][0-9_]*)\s*(tokens|calls)")


class Spent(Exception):
    """The budget is used up; the text is a sentence."""


@dataclass(slots=True)
class Budget:
    """`calls` and `tokens` are limits, None where there is none; what was used of them is counted here.

    Tokens are known when an answer has come: conversations under way may take the sum beyond its limit before it is seen. An
    answer that was paid for is still read.
    """

    calls: int | None = None
    tokens: int | None = None
    calls_used: int = 0
    tokens_used: int = 0

    def check(self) -> None:
        """Raise Spent when nothing more may be begun."""
        self.check_calls()
        if self.tokens is not None and self.tokens_used >= self.tokens:
            raise Spent(_("the budget of {count} tokens is used up").format(count=self.tokens))

    def check_calls(self) -> None:
        if self.calls is not None and self.calls_used >= self.calls:
            raise Spent(_("the budget of {count} calls is used up").format(count=self.calls))

    def call(self) -> None:
        """One call is about to be made; raise Spent when it would be one too many. Those that clean up are only counted."""
        self.check_calls()
        self.count()

    def count(self) -> None:
        self.calls_used += 1

    def take(self, tokens: int) -> None:
        """An answer took so many tokens."""
        self.tokens_used += tokens


def read(written: str) -> Budget:
    """`100000tokens` or `500calls` as a Budget; raise ValueError with a sentence for anything else, and for none."""
    match = WRITTEN.fullmatch(written.strip().lower())
    amount = int(match[1].replace("_", "")) if match else 0
    if match is None or amount == 0:
        raise ValueError(_("not a budget; write it like `100000tokens` or `500calls`"))
    return Budget(calls=amount) if match[2] == "calls" else Budget(tokens=amount)
