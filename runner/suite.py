"""Play many cases on one event loop: number and date what happens, stop at a signal, clean up before leaving."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING

from runner import __version__
from runner.clock import Clock, LoopClock
from runner.engine import play
from runner.events import AttemptEnded, CaseEnded, CaseStarted, Emit, Envelope, Event, SuiteEnded, SuiteStarted
from runner.model import Outcome
from runner.targets import Connection, Target, open_target
from runner.values import dataclass

if TYPE_CHECKING:
    from runner.model import Flow
    from runner.plan import Case
    from runner.tools import Ask

__all__ = ["SavePicture", "run"]

SavePicture = Callable[[str, int, int, bytes], str]
"""Case name, step, index and bytes of a picture to the path it was written to, as Gallery.save does; raises OSError."""


def run(
    cases: Sequence["Case"],
    connection: Connection,
    emit: Callable[[Envelope], None],
    *,
    environment: Mapping[str, str],
    save_picture: SavePicture | None = None,
    trace: Callable[[str], None] | None = None,
    clock: Clock | None = None,
    wall: Callable[[], float] = time.time,
    trusted: "Callable[[Flow], bool] | None" = None,
    ask: "Ask | None" = None,
) -> None:
    """Play the cases one after another and emit what happens, from SuiteStarted to SuiteEnded.

    `trusted` says whether a flow's code and URLs may be used; none may unless told. `ask` reaches the person at the terminal.
    Raises ConnectionProblem before anything is emitted or sent. An exception that is a bug leaves after SuiteEnded.
    """
    target = open_target(connection, environment, trace=trace)
    suite = Suite(cases, target, connection, emit, save_picture, clock or LoopClock(), wall, trusted, ask, trace is not None)
    asyncio.run(suite.play())


@dataclass(slots=True)
class Suite:
    """The cases under way, and the signal that ends them early."""

    cases: Sequence["Case"]
    target: Target
    connection: Connection
    emit: Callable[[Envelope], None]
    save_picture: SavePicture | None
    clock: Clock
    wall: Callable[[], float]
    trusted: "Callable[[Flow], bool] | None" = None
    ask: "Ask | None" = None
    debug: bool = False
    signal: int = 0
    deaf: bool = False
    playing: set[asyncio.Task[object]] = field(default_factory=set)

    async def play(self) -> None:
        tell = self.envelopes(0)
        began = self.clock.now()
        tell(
            SuiteStarted(
                version=__version__,
                target=self.connection.target,
                base_url=self.connection.base_url,
                reason=self.connection.reason,
                cases=len(self.cases),
                simulated=self.target.simulated,
            )
        )
        with self.signals():
            try:
                for number, case in enumerate(self.cases, 1):
                    if self.signal:
                        break
                    await self.play_case(number, case)
            finally:
                try:
                    tell(SuiteEnded(self.clock.now() - began, self.signal))
                finally:
                    await self.target.close()

    async def play_case(self, number: int, case: "Case") -> None:
        name = " ".join(filter(None, (case.flow.name or case.flow.path.stem, case.label)))

        def save_image(step: int, index: int, data: bytes) -> str:
            assert self.save_picture is not None
            return self.save_picture(name, step, index, data)

        emit = self.envelopes(number)
        began = self.clock.now()
        outcome: Outcome = Outcome.ERROR
        reason = ""

        def tell(event: Event) -> None:
            nonlocal reason
            if isinstance(event, AttemptEnded):
                reason = event.reason
            emit(event)

        flow = case.flow
        emit(
            CaseStarted(
                path=str(flow.path),
                flow=flow.name or flow.path.stem,
                label=case.label,
                tags=flow.tags,
                target=self.connection.target,
                model=flow.assistant.model or "",
                steps=len(flow.steps),
            )
        )
        task = asyncio.ensure_future(
            play(
                case,
                self.target,
                tell,
                clock=self.clock,
                save_image=save_image if self.save_picture else None,
                streaming=self.connection.streaming,
                trusted=self.trusted is not None and self.trusted(case.flow),
                ask=self.ask,
                debug=self.debug,
            )
        )
        self.playing.add(task)
        try:
            outcome = await task
        except asyncio.CancelledError:
            if not self.signal:
                raise
        finally:
            self.playing.discard(task)
            emit(CaseEnded(outcome, self.clock.now() - began, reason))

    def envelopes(self, case: int) -> Emit:
        sequence = 0

        def emit(event: Event) -> None:
            nonlocal sequence
            sequence += 1
            try:
                self.emit(Envelope(case, sequence, self.wall(), event))
            except Exception:
                # The first failure ends the suite; those after it must not keep us from cleaning up.
                if not self.deaf:
                    self.deaf = True
                    raise

        return emit

    def stop(self, number: int) -> None:
        """The first signal stops starting and cancels what is under way, which then cleans up; the next cuts that short."""
        self.signal = self.signal or number
        for task in self.playing:
            task.cancel()

    @contextmanager
    def signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, object] = {}

        def hear(number: int, _frame: object) -> None:
            loop.call_soon_threadsafe(self.stop, number)

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, hear)
        except ValueError:
            # Not the main thread: signals are somebody else's.
            before.clear()
        try:
            yield
        finally:
            for number, handler in before.items():
                with suppress(ValueError, TypeError):
                    signal.signal(number, handler)  # type: ignore[arg-type]
