"""Faults on demand: what a service can do wrong, written `KIND[:VALUE][@N][/CALL]`, and the answers it then gives.

    failed expired incomplete cancelled   a run ends so; VALUE is the code of its `last_error`
    429 500 502 503 504                   a refusal; VALUE is `Retry-After` in seconds, for 429 and 503
    stall                                 VALUE seconds of silence, before an answer or within a stream
    cut                                   a connection that breaks within a body, or within an event of a stream
    html                                  the page of a broken gateway instead of JSON
    lost                                  the work is done, and the answer is an error

`@2` means only the second request, or run, that fits, `@2-4` three of them; `/CALL` only that operation.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from runner.embedded.states import ENDED
from runner.model import RunStatus
from runner.values import dataclass
from runner.words import _

__all__ = ["ERRORS", "Cut", "Fault", "Faults", "half", "interrupted", "parse"]

RUN_KINDS = tuple(str(status) for status in RunStatus if status in ENDED and status != RunStatus.COMPLETED)
ERRORS: Mapping[str, tuple[str, str]] = {
    "429": ("Throttling.RateQuota", "too many requests, on demand"),
    "500": ("InternalError", "a failure, on demand"),
    "502": ("InternalError", "a failure behind the gateway, on demand"),
    "503": ("ModelUnavailable", "unavailable, on demand"),
    "504": ("RequestTimeOut", "too late, on demand"),
    "lost": ("InternalError", "the work is done and its answer lost, on demand"),
}
"""Code and message of each kind that is refused in JSON."""
KINDS = (*RUN_KINDS, "429", "500", "502", "503", "504", "stall", "cut", "html", "lost")
CALLS = (
    "create_assistant", "create_thread", "add_message", "create_run", "read_run", "submit_tool_outputs", "list_messages",
    "list_steps", "cancel_run", "delete_thread", "delete_assistant",
)  # fmt: skip
"""The operations a fault can be kept to, as the reports name them."""
WITH_SECONDS = ("429", "503", "stall")
RUN_CALLS = ("create_run", "submit_tool_outputs")

WRITTEN = r"(?P<kind>[^:@/\s]+)(?::(?P<value>[^@/]*))?(?:@(?P<first>\d+)(?:-(?P<last>\d+))?)?(?:/(?P<call>\S*))?"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, from the `first` to the `last` request or run that fits, in one operation or in all."""

    kind: str
    value: str = ""
    first: int = 1
    last: int | None = None
    call: str = ""

    @property
    def ends_run(self) -> bool:
        """Whether it is about a run, not a request."""
        return self.kind in RUN_KINDS

    @property
    def seconds(self) -> float:
        return float(self.value or 0)

    def meets(self, number: int) -> bool:
        return self.first <= number and (self.last is None or number <= self.last)

    def fits(self, call: str) -> bool:
        """Whether it may happen in this operation; a run ends where it is created unless told."""
        return call == self.call or (not self.call and (not self.ends_run or call == "create_run"))


def parse(text: str) -> Fault:
    """The fault that is written so; raise ValueError with a sentence."""
    match = re.fullmatch(WRITTEN, text.strip())
    if match is None:
        raise ValueError(_("`{text}` is no fault; write it like `429:2@1/create_run`").format(text=text))
    kind, value, call = match["kind"], (match["value"] or "").strip(), match["call"] or ""
    if kind not in KINDS:
        raise ValueError(_("there is no fault `{kind}`; there are {kinds}").format(kind=kind, kinds=", ".join(KINDS)))
    if kind == "stall" and not value:
        raise ValueError(_("`stall` needs its seconds; write it like `stall:30`"))
    if kind in WITH_SECONDS and value and not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", value):
        raise ValueError(_("`{value}` is no number of seconds").format(value=value))
    if value and kind not in (*WITH_SECONDS, *RUN_KINDS):
        raise ValueError(_("`{kind}` takes no value").format(kind=kind))
    calls = RUN_CALLS if kind in RUN_KINDS else CALLS
    if match["call"] is not None and call not in calls:
        raise ValueError(
            _("`{kind}` cannot happen in `{call}`; it can in {calls}").format(kind=kind, call=call, calls=", ".join(calls))
        )
    first = int(match["first"] or 1)
    last = int(match["last"]) if match["last"] else first if match["first"] else None
    if first < 1 or (last is not None and last < first):
        raise ValueError(_("`{text}` never happens; the first one is `@1`").format(text=text))
    return Fault(kind, value, first, last, call)


class Faults:
    """The faults a service was told to have, and how often each could have happened."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self.met = [0] * len(self.faults)

    def request(self, call: str) -> Fault | None:
        """What goes wrong with a request of this operation, `""` being any other one."""
        return self.due(call, False)

    def run(self, call: str) -> Fault | None:
        """How the run ends that goes on in this operation, if not by itself."""
        return self.due(call, True)

    def due(self, call: str, ends_run: bool) -> Fault | None:
        found = None
        for place, fault in enumerate(self.faults):
            if fault.ends_run is ends_run and fault.fits(call):
                self.met[place] += 1
                found = found or (fault if fault.meets(self.met[place]) else None)
        return found


async def interrupted(
    stream: AsyncIterator[bytes], seconds: float, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """A stream with so much silence behind its first event."""
    begun = False
    async for piece in stream:
        if begun and seconds:
            await sleep(seconds)
            seconds = 0
        begun = True
        yield piece


class Cut(Exception):
    """A stream ends here without its end: whoever sends it has to break the connection."""


async def half(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The first event of a stream, and half of the second; then raises Cut."""
    begun = False
    async for piece in stream:
        if begun:
            yield piece[: len(piece) // 2]
            raise Cut
        begun = True
        yield piece
