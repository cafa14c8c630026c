"""Time given to work that others can make long; whoever spends it too fast is stopped."""

from collections.abc import Callable
from time import monotonic

__all__ = ["Allowance", "TookTooLong"]


class TookTooLong(Exception):
    """The time was used up before there was a result."""


class Allowance:
    """So many seconds from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.end = clock() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left; raise TookTooLong when there are none."""
        left = self.end - self.clock()
        if left <= 0:
            raise TookTooLong
        return left
