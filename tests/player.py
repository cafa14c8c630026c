"""Plays flows as `runflow run` does, with a ledger and an archive; and kills itself at any event or reply, or
sends itself another signal, if told to.

    RUNFLOW_STATE_DIR=… python -m tests.player [--resume] [--keep] [--jobs N] [--processes N] [--max-failures N]
        [--calls N] [--kill event:N|reply:N [--signal N]] FLOW…

writes the report as JSON to standard output. With several processes, events are counted where all of them are told, replies by
each process for itself.
"""

import itertools
import os
import signal
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

from runner import crew, plan, resume, settings, suite
from runner.budget import Budget
from runner.clean import Redactor
from runner.cli import output
from runner.events import Envelope
from runner.ledger import Book
from runner.load import load
from runner.report import Fold
from runner.reporters import Audience, open_reporter
from runner.state import state_folder
from runner.suite import Job, Limits
from runner.wire import assistant_api as wire

NOTHING = 5


def main() -> int:
    parser = ArgumentParser()
    parser.add_argument("flows", nargs="+")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--max-failures", type=int)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--kill", default="never:0")
    parser.add_argument("--signal", type=int, default=int(signal.SIGKILL))
    given = parser.parse_args()
    output.prepare()

    found = settings.load(Path(), os.environ)
    connection = settings.choose(None, environment=os.environ, settings=found)
    state, project = state_folder(), found.folder
    cases = [case for path in plan.collect(given.flows) for case in plan.cases(load(path), {})]
    digests = resume.Digests(project)
    jobs = [Job(n, case, connection, digests.of(case, connection)) for n, case in enumerate(cases, 1)]
    archive = resume.unfinished(state, project) if given.resume else resume.begin(state, project)
    if archive is None:
        print("nothing to take up", file=sys.stderr)
        return NOTHING

    redactor = Redactor([os.environ["DASHSCOPE_API_KEY"]])
    redact = redactor.redact
    fold = Fold(archive)
    audience = Audience(fold, (), redactor)
    book = Book(state / "ledger", redact=redact)
    kind, _, at = given.kill.partition(":")
    doomed = itertools.count(1)

    def die(what: str) -> None:
        if what == kind and next(doomed) == int(at):
            os.kill(os.getpid(), given.signal)

    def receive(envelope: Envelope) -> None:
        die("event")
        audience.receive(envelope)
        archive.receive(envelope)

    decode = wire.decode_json

    def decode_json(data: bytes | str) -> object:
        die("reply")
        return decode(data)

    wire.decode_json = decode_json
    suite.run(
        jobs,
        receive,
        environment=os.environ,
        limits=Limits(jobs=given.jobs, keep=given.keep, max_failures=given.max_failures, budget=Budget(calls=given.calls)),
        ledger=book,
        finished=resume.finished(archive, jobs) if given.resume else {},
        warn=lambda sentence: print(sentence, file=sys.stderr),
        player=partial(crew.play, count=given.processes),
    )

    report = fold.report()
    open_reporter("json", "-", fold, redact).close()
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
