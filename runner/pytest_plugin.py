"""Flow files as tests of pytest, one for each conversation: `workflows/animals.yaml::dog`.

Nothing is collected, played or even loaded until pytest's configuration names the flows: `runflow_flows = ["workflows/"]`.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from runner.gallery import Gallery
    from runner.load import Examined
    from runner.plan import Stock
    from runner.report import CaseReport, Report
    from runner.targets import Connection

__all__ = ["FlowFile", "FlowItem"]

THEIRS = {"filterwarnings", "parametrize", "skip", "skipif", "tryfirst", "trylast", "usefixtures", "xfail"}
"""Marks that pytest itself obeys; a tag is only a word."""


class NotPassed(Exception):
    """A conversation that failed, told as the command tells it."""


class NoVerdict(Exception):
    """A conversation that came to no verdict, or was never begun, and why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "runflow_flows", "flow files, folders and patterns that runflow plays, below the root folder", type="linelist"
    )
    group = parser.getgroup("runflow", "conversations with an LLM assistant, once `runflow_flows` names flows")
    group.addoption("--runflow-target", metavar="NAME", help="the service to play them against")
    group.addoption(
        "--runflow-allow-tools",
        action="store_true",
        help="permit for this run what `runflow trust` would: Python functions, URLs, the environment in texts",
    )


def pytest_configure(config: pytest.Config) -> None:
    if patterns := config.getini("runflow_flows"):
        from runner import words

        words.choose()
        refuse_permission_of_the_folder(config)
        config.addinivalue_line("markers", "runflow: " + words._("a conversation of a flow file"))
        config.pluginmanager.register(Flows(config, patterns), "runflow-flows")


def refuse_permission_of_the_folder(config: pytest.Config) -> None:
    """Raise UsageError when `--runflow-allow-tools` does not come from the person who runs pytest: `addopts` lies in the same
    folder as the flows that it would permit. The workers of pytest-xdist are only told what their controller was."""
    if hasattr(config, "workerinput") or not config.getoption("--runflow-allow-tools"):
        return
    if "--runflow-allow-tools" not in config.invocation_params.args:
        from runner.words import _

        raise pytest.UsageError(
            _("`--runflow-allow-tools` counts on the command line only: what lies beside the flows cannot permit them anything")
        )


class Flows:
    """The flow files that are switched on, and what all conversations of this process share."""

    def __init__(self, config: pytest.Config, patterns: Sequence[str]) -> None:
        self.config = config
        self.files = collected(config.rootpath, patterns)
        self.gallery: Gallery | None = None

    def pytest_report_header(self) -> str:
        from runner.words import ngettext

        count = len(self.files)
        return "runflow: " + ngettext("{count} flow file", "{count} flow files", count).format(count=count)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> "FlowFile | None":
        if file_path.resolve() not in self.files:
            return None
        found: FlowFile = FlowFile.from_parent(parent, path=file_path)
        found.flows = self
        return found

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say in our words what pytest would show as a traceback, or at a line of this file."""
        report = yield
        if isinstance(item, FlowItem) and call.excinfo is not None:
            if isinstance(call.excinfo.value, NoVerdict):
                report.longrepr = str(call.excinfo.value)
            elif isinstance(call.excinfo.value, pytest.skip.Exception):
                report.longrepr = (item.shown, 1, f"Skipped: {call.excinfo.value}")
        return report

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        if report.when == "call" and report.passed and ("runflow_outcome", "flaky") in report.user_properties:
            return "flaky", "f", ("FLAKY", {"yellow": True})
        return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was flaky, and which services answered: with the embedded one a pass says nothing about a model."""
        reports = [each for several in terminalreporter.stats.values() for each in several]
        told = [pair for each in reports for pair in getattr(each, "user_properties", ())]
        for line in dict.fromkeys(
            text for wanted in ("runflow_note", "runflow_target") for name, text in told if name == wanted
        ):
            terminalreporter.write_line(f"runflow: {line}")

    def save_picture(self, name: str, step: int, index: int, data: bytes) -> str:
        """Keep a picture where the command does; workers side by side do not share a folder."""
        if self.gallery is None:
            from runner import settings
            from runner.gallery import Gallery

            found = settings.load(Path(), os.environ)
            self.gallery = Gallery(found.folder / found.out / os.environ.get("PYTEST_XDIST_WORKER", ""))
        return self.gallery.save(name, step, index, data)


def collected(root: Path, patterns: Sequence[str]) -> frozenset[Path]:
    """The flow files that patterns name, as the command would collect them; raise UsageError for one that is not there."""
    from glob import escape, has_magic

    from runner import plan

    names = [f"{escape(str(root))}/{each}" if has_magic(each) else str(root / each) for each in patterns]
    try:
        return frozenset(path.resolve() for path in plan.collect(names))
    except OSError as error:
        raise pytest.UsageError(f"runflow_flows: {error.filename}: {error.strerror}") from error


class FlowFile(pytest.File):
    """One flow file; a mistake in it is an error of collecting, so that nothing at all is sent."""

    flows: Flows

    @property
    def shown(self) -> str:
        """The path as it is written from where pytest was started."""
        start = self.config.invocation_params.dir
        return str(self.path.relative_to(start) if self.path.is_relative_to(start) else self.path)

    def collect(self) -> "Iterator[FlowItem]":
        from runner import load
        from runner.cli.environment import allowed
        from runner.plan import Stock

        examined = load.examine(self.path, shown=self.shown, environment=allowed())
        told = "\n\n".join(drawn(examined))
        if examined.flow is None:
            raise self.CollectError(told)
        stock = Stock(self.config.rootpath)
        stock.add(examined.flow)
        for place, each in enumerate(stock.candidates):
            name = one_word(each.label or each.name)
            item: FlowItem = FlowItem.from_parent(self, name=name, stock=stock, place=place, shown=self.shown, flows=self.flows)
            if told:
                item.add_report_section("setup", "runflow", f"{told}\n")
            yield item


def drawn(examined: "Examined") -> Iterator[str]:
    from runner.clean import inert
    from runner.cli.environment import redactor
    from runner.diagnostics import render

    redact = redactor().redact if examined.diagnostics else str
    for diagnostic in examined.diagnostics:
        yield inert(redact(render(diagnostic, examined.lines(diagnostic.path))))


def one_word(name: str) -> str:
    """A name that may stand in a node id."""
    from runner.clean import inert, one_line

    return inert(one_line(name, 100)).replace("::", ": :")


class FlowItem(pytest.Item):
    """One conversation. It is played when the test is set up, so that what comes to no verdict is an error to pytest, and
    what was answered wrongly a failure."""

    def __init__(self, *, stock: "Stock", place: int, shown: str, flows: Flows, **attributes: Any) -> None:
        from runner.words import _

        super().__init__(**attributes)
        self.stock = stock
        self.place = place
        self.shown = shown
        self.flows = flows
        self.played: CaseReport | None = None
        self.add_marker("runflow")
        for tag in stock.candidates[place].tags:
            self.extra_keyword_matches.add(tag)
            if tag.isidentifier() and not tag.startswith("_") and tag not in THEIRS:
                self.config.addinivalue_line("markers", f"{tag}: " + _("a tag of flow files"))
                self.add_marker(tag)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name

    def setup(self) -> None:
        if self.config.getoption("setuponly", False) or self.config.getoption("setupplan", False):
            return
        from dataclasses import replace

        from runner.model import Outcome
        from runner.words import _

        report, connection = self.play()
        case = replace(report.cases[0], path=self.shown)
        where = connection.reason.replace("--target", "--runflow-target")
        told = _("target {target} ({reason})").format(target=connection.target, reason=where)
        if report.simulated:
            told += "; " + _("no model answers here: a pass checks the flow, not a model")
        self.user_properties += [
            ("runflow_outcome", str(case.outcome)),
            ("runflow_target", told),
            ("runflow_model", case.model),
        ]
        if behind := left_behind(report):
            self.add_report_section("setup", "of runflow", behind)
        if report.signal == 2:
            raise KeyboardInterrupt
        if report.signal:
            pytest.exit(_("runflow was told to stop"), returncode=128 + report.signal)
        if case.outcome == Outcome.SKIPPED:
            pytest.skip(case.reason)
        if case.outcome in {Outcome.ERROR, Outcome.NOT_RUN}:
            raise NoVerdict(account(case))
        self.played = case

    def runtest(self) -> None:
        from runner.clean import inert, one_line
        from runner.model import Outcome
        from runner.words import _

        if self.played is None:
            return
        if self.played.outcome == Outcome.FAILED:
            raise NotPassed(account(self.played))
        if self.played.outcome == Outcome.FLAKY:
            wrong = [each for each in self.played.attempts if each.outcome != Outcome.PASSED]
            attempts = (_("attempt {number}: {reason}").format(number=each.attempt, reason=each.headline) for each in wrong)
            told = "; ".join(one_line(each, 300) for each in attempts)
            self.user_properties.append(
                ("runflow_note", _("{test} is flaky: {attempts}").format(test=inert(self.nodeid), attempts=told))
            )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotPassed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def play(self) -> "tuple[Report, Connection]":
        """Play the conversation as the command would; raise NoVerdict for what must not or cannot be played."""
        from runner.cli.frame import Refused
        from runner.diagnostics import Problems
        from runner.settings import SettingsProblem
        from runner.targets import ConnectionProblem

        try:
            return self.play_permitted()
        except Refused as refused:
            sentence = refused.message
        except (SettingsProblem, ConnectionProblem, Problems) as problem:
            sentence = str(problem)
        for option in ("--target", "--allow-tools"):
            sentence = sentence.replace(f"`{option}", f"`--runflow-{option[2:]}")
        sentence = sentence.replace(str(self.path), self.shown)
        raise NoVerdict(sentence)

    def play_permitted(self) -> "tuple[Report, Connection]":
        from runner import settings, suite
        from runner.cli import jobs
        from runner.cli.environment import values
        from runner.cli.trust import permitted
        from runner.ledger import Book
        from runner.report import Fold
        from runner.reporters import Audience
        from runner.selection import Selected
        from runner.state import state_folder

        selected = Selected((self.place,), (1,))
        allowed: bool = self.config.getoption("--runflow-allow-tools")
        where = jobs.Where(self.config.getoption("--runflow-target"))
        found = settings.load(Path(), os.environ)
        environment = found.with_keys(os.environ)
        texts = values(jobs.environment_names(self.stock, selected), found, os.environ, permitted=allowed)
        made = jobs.made(self.stock, selected, where, (), texts, environment=environment, found=found)
        if not allowed:
            jobs.untrusted(self.stock, selected)
        redactor = jobs.redactor(made, found, environment)
        fold = Fold()
        book = Book(state_folder() / "ledger", redact=redactor.redact)
        suite.run(
            made,
            Audience(fold, [], redactor).receive,
            environment=environment,
            ledger=book,
            save_picture=self.flows.save_picture,
            trusted=lambda flow: allowed or permitted(flow),
        )
        return fold.report(), made[0].connection


def left_behind(report: "Report") -> str:
    """What is left at the service, and how to delete it; nothing where nothing is."""
    from runner.clean import inert
    from runner.reporters.terminal.ending import behind
    from runner.reporters.terminal.paint import Look, Painter

    return inert("\n".join(behind(report, Painter(Look()))[1:]))


def account(case: "CaseReport") -> str:
    """What is wrong in one line, which pytest says again at the end; then what was said, as the command shows it."""
    from runner.clean import inert, one_line
    from runner.cli.environment import redactor
    from runner.reporters.terminal.ending import in_full
    from runner.reporters.terminal.paint import Look

    # The line of the flow may hold what the report does not.
    return inert(redactor().redact("\n".join([one_line(case.headline, 300), *in_full(case, Look(), below=False)])))
