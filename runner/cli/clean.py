"""`runflow clean`: delete from the services what runs left there that crashed, were killed or were told to keep it."""

import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli import reading
from runner.cli.frame import Command, Exit, Refused, option
from runner.words import _, ngettext

if TYPE_CHECKING:
    from runner.clean import Redactor
    from runner.ledger import Entry, Pages
    from runner.leftovers import Leftovers, Thing

__all__ = ["command"]

FORMAT = "runflow-clean/1"


class Unusable(Refused):
    """The ledgers cannot be read or written."""

    exit_code = Exit.NO_VERDICT


@click.command(
    "clean",
    cls=Command,
    help=_(
        "Delete what runs left on a service that crashed or were killed: only what their ledgers list, with the key of the "
        "environment. Runs that are still under way are left alone."
    ),
    examples=[
        ("runflow clean", _("after a crash")),
        ("runflow clean --dry-run", _("only show what there is")),
        ("runflow clean --all", _("also what `--keep` left, and forget what nobody can look up")),
    ],
)
@option("--older-than", metavar="TIME", help=_("only what was made longer ago than this, like 2h"))
@option("--all", "everything", is_flag=True, help=_("also what was kept; and forget threads that cannot be looked up"))
@option("--dry-run", is_flag=True, help=_("only show what would be deleted"))
@option("--json", "json_file", metavar="FILE", help=_("write what was done as JSON; - is standard output"))
@click.pass_context
def command(ctx: click.Context, older_than: str | None, everything: bool, dry_run: bool, json_file: str | None) -> None:
    from runner import leftovers, settings
    from runner.cli.environment import redactor
    from runner.state import state_folder

    reading.destination("--json", json_file)
    before = time.time() - age(older_than)
    environment = settings.load(Path(), os.environ).with_keys(os.environ)
    report = Report(redactor(), quiet=json_file == "-")
    folder = state_folder() / "ledger"
    try:
        found = leftovers.find(folder)
        try:
            look_through(found, before, report, environment, everything=everything, dry_run=dry_run)
        finally:
            found.close()
    except OSError as error:
        raise Unusable(f"{error.filename or folder}: {error.strerror}") from error
    report.end(found, everything=everything, dry_run=dry_run)
    if json_file:
        reading.write_text(json_file, report.as_json(found))
    ctx.exit(Exit.NO_VERDICT if report.left or found.foreign else Exit.PASSED)


def age(written: str | None) -> float:
    from runner.model import seconds

    try:
        return seconds(written) if written is not None else 0.0
    except ValueError as error:
        raise click.UsageError(f"`--older-than {written}`: {error}") from error


def look_through(
    found: "Leftovers", before: float, report: "Report", environment: Mapping[str, str], *, everything: bool, dry_run: bool
) -> None:
    """Deal with all that was made `before` that time, and tell the report of everything there is."""
    import asyncio

    from runner.clock import LoopClock
    from runner.leftovers import Fate, Thing, sweep
    from runner.targets import open_target

    going: list[tuple[Pages, Entry]] = []
    for pages, entry, stays in found.chosen(before, kept=everything):
        if stays is not None or dry_run:
            report.tell(Thing(pages.path.stem, entry, stays or Fate.LISTED))
        else:
            going.append((pages, entry))
    if going:
        open_one = partial(open_target, environment=environment)
        asyncio.run(sweep(going, open_one, LoopClock(), report.tell, forget=everything))


class Report:
    """What was done, in lines for people as it happens, and as JSON."""

    def __init__(self, redactor: "Redactor", *, quiet: bool) -> None:
        self.redactor = redactor
        self.quiet = quiet
        self.things: list[Thing] = []

    @property
    def left(self) -> int:
        """How many things are there still. What nobody can look up stays a possibility however often that is tried."""
        return self.count("left")

    def count(self, *fates: str) -> int:
        return sum(thing.fate in fates for thing in self.things)

    def tell(self, thing: "Thing") -> None:
        self.things.append(thing)
        if line := sentence(thing):
            self.say(line)

    def say(self, line: str) -> None:
        from runner.clean import visible

        if not self.quiet:
            click.echo(visible(self.redactor.redact(line)))

    def end(self, found: "Leftovers", *, everything: bool, dry_run: bool) -> None:
        """What it came to, and what was left alone and why."""
        for path in found.foreign:
            self.say(_("left alone: {path}, as somebody else can write to it").format(path=path))
        for run in found.alive:
            self.say(_("left alone: the run {run} is still under way").format(run=run))
        if kept := self.count("kept"):
            self.say(
                ngettext(
                    "{count} thing was to be kept; `runflow clean --all` deletes it",
                    "{count} things were to be kept; `runflow clean --all` deletes them",
                    kept,
                ).format(count=kept)
            )
        if recent := self.count("recent"):
            self.say(ngettext("{count} thing is too recent", "{count} things are too recent", recent).format(count=recent))
        if self.count("orphan") and not everything:
            self.say(_("what may be left has its operation id in `metadata.runflow_op`; `runflow clean --all` forgets it"))
        if dry_run:
            listed = self.count("listed")
            self.say(
                ngettext("{count} thing would be dealt with", "{count} things would be dealt with", listed).format(count=listed)
            )
            return
        done = self.count("deleted", "cancelled", "ended", "never_made")
        if not done and not self.left and not self.count("orphan"):
            if not kept and not recent:
                self.say(_("there was nothing to clean up"))
            return
        self.say(
            _("{deleted} deleted, {cancelled} cancelled, {gone} gone already; {left} left, {orphans} perhaps").format(
                deleted=self.count("deleted"),
                cancelled=self.count("cancelled"),
                gone=self.count("ended", "never_made"),
                left=self.count("left"),
                orphans=self.count("orphan"),
            )
        )

    def as_json(self, found: "Leftovers") -> str:
        from dataclasses import asdict

        from runner.ndjson import dumps

        things = [
            {"run": thing.run, **asdict(thing.entry), "outcome": thing.fate, "reason": thing.reason} for thing in self.things
        ]
        whole = {"format": FORMAT, "things": things, "alive": found.alive, "foreign": found.foreign}
        return self.redactor.redact(dumps(whole, indent=2)) + "\n"


def sentence(thing: "Thing") -> str:
    """What became of a thing; nothing for one that was passed over."""
    what = named(thing.entry)
    match thing.fate:
        case "deleted":
            return _("deleted {what}").format(what=what)
        case "cancelled":
            return _("cancelled {what}").format(what=what)
        case "ended":
            return _("ended already: {what}").format(what=what)
        case "never_made":
            return _("never made: {what}").format(what=what)
        case "orphan":
            return _("possible orphan: {what}: {reason}").format(what=what, reason=thing.reason)
        case "left":
            return _("left: {what}: {reason}").format(what=what, reason=thing.reason)
        case "listed":
            return what
    return ""


def named(entry: "Entry") -> str:
    """A thing as the service calls it, or by our own id of the attempt to make it, and where it came from."""
    kind = entry.kind
    if entry.id:
        return _("{kind} {id} ({flow}, {target} at {url})").format(
            kind=kind, id=entry.id, flow=entry.flow, target=entry.target, url=entry.base_url
        )
    return _("{kind} without an id ({flow}, {target} at {url}, operation id {op})").format(
        kind=kind, flow=entry.flow, target=entry.target, url=entry.base_url, op=entry.op
    )
