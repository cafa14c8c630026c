"""What every command shares: it loads only when it is used, its help shows examples first, and it ends with a stated code.

A command's file is loaded after the language was chosen, so its help is made in that language.
"""

import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import click

from runner import __version__
from runner.words import _, known, languages, listed, nearest

__all__ = ["Command", "Commands", "Exit", "NothingRan", "Option", "Refused", "WrongPath", "option"]


class Exit(IntEnum):
    """How a command ends; part of the interface."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    NO_VERDICT = 4
    NOTHING_RAN = 5
    BUG = 70
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class Refused(click.ClickException):
    """A sentence for people that ends the command before anything was sent."""

    exit_code = Exit.INVALID

    def show(self, file: IO[Any] | None = None) -> None:
        from runner.clean import visible

        click.echo(f"runflow: {visible(self.message)}", file=file or sys.stderr)


class NothingRan(Refused):
    """Nothing is selected; a sentence says why."""

    exit_code = Exit.NOTHING_RAN


class WrongPath(Refused):
    """A path of the command line that cannot be read or written."""

    exit_code = Exit.USAGE


class Option(click.Option):
    """An option that stands under a heading of its command's help."""

    def __init__(self, *args: Any, heading: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.heading = heading

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the help; a range it can only write as a formula."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


def option(*names: str, heading: str = "", **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Option, heading=heading, **attributes)


def shared() -> list[click.Parameter]:
    """The options of every command. `main` reads `--lang` and `--debug` before anything is parsed."""
    always = _("Always")
    return [
        Option(
            ["--lang"],
            metavar="LANGUAGE",
            expose_value=False,
            callback=checked_language,
            heading=always,
            help=_("language of the sentences: ja, zh_CN"),
        ),
        Option(["--debug"], is_flag=True, expose_value=False, heading=always, help=_("show where a bug in runflow happened")),
    ]


def checked_language(_context: click.Context, _option: click.Parameter, language: str | None) -> None:
    if language is not None and not known(language):
        raise click.UsageError(
            _("there are no sentences in `{language}`; use one of {names}").format(language=language, names=listed(languages()))
        )


class Command(click.Command):
    """A command whose help reads: usage, what it does, examples, options by heading."""

    allow_extra_args = True  # so that the sentence about them is ours

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        attributes.setdefault("context_settings", {"help_option_names": ["-h", "--help"], "max_content_width": 100})
        super().__init__(*args, **attributes)
        self.params.extend(shared())
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        if rest and not ctx.resilient_parsing:
            raise click.UsageError(_("`{argument}` is one argument too many").format(argument=rest[0]), ctx)
        return rest

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix=_("Usage: "))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        show(formatter, _("Examples"), self.examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.params:
            if isinstance(parameter, Option) and (record := parameter.get_help_record(ctx)):
                headings.setdefault(parameter.heading or _("Options"), []).append(record)
        headings.setdefault(_("Always"), []).append(("-h, --help", _("show this help")))
        for heading, records in headings.items():
            show(formatter, heading, records)


def show(formatter: click.HelpFormatter, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(rows, col_max=46)


class Commands(click.Group):
    """`runflow` itself. A first argument that looks like a path means `run`."""

    def __init__(self) -> None:
        super().__init__(
            name="runflow",
            help=_("Run conversations with an LLM assistant from a YAML file and check every answer."),
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            invoke_without_command=True,
            callback=self.without_command,
            params=[
                click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show_version),
                *shared(),
            ],
        )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FileNotFoundError as error:
            if error.filename is None and stands_nowhere():
                raise WrongPath(_("the current folder has been deleted; change to another one")) from error
            raise

    def without_command(self) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            click.echo(context.get_help())
            context.exit(Exit.USAGE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for _heading, rows in summaries() for name, _summary in rows]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        loaded = import_module(f"runner.cli.{cmd_name}").command
        assert isinstance(loaded, click.Command)
        return loaded

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        place = first_word(args)
        if place < len(args) and self.means_run(ctx, args[place:]):
            args = [*args[:place], "run", *args[place:]]
        return super().parse_args(ctx, args)

    def means_run(self, ctx: click.Context, words: list[str]) -> bool:
        """Whether these are the arguments of `run` without its name: a path, or options of `run` before one."""
        first = words[0]
        if first in self.list_commands(ctx):
            return False
        if first.startswith("-") and first != "-":
            return first not in {"--version", "--help", "-h"} and any(looks_like_a_path(word) for word in words[1:])
        return looks_like_a_path(first)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.list_commands(ctx) or ctx.resilient_parsing:  # while a shell completes, nothing is an error
            return super().resolve_command(ctx, args)
        near = nearest(name, [*self.list_commands(ctx), *sorted(os.listdir())])  # noqa: PTH208
        sentence = (
            _("`{name}` is neither a command nor a file; did you mean `runflow {near}`?")
            if near
            else _("`{name}` is neither a command nor a file; `runflow --help` lists the commands")
        )
        raise WrongPath(sentence.format(name=name, near=near))

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        show(
            formatter,
            _("Examples"),
            [
                ("runflow init", _("write a first flow, with three questions")),
                ("runflow workflows/paint.yaml", _("play a flow and check every answer")),
                ("runflow validate workflows/", _("find every mistake without sending anything")),
            ],
        )

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("runflow", "PATH…  |  COMMAND …", prefix=_("Usage: "))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, rows in summaries():
            show(formatter, heading, rows)
        show(
            formatter,
            _("Always"),
            [
                ("--lang LANGUAGE", _("language of the sentences: ja, zh_CN")),
                ("--debug", _("show where a bug in runflow happened")),
                ("--version", _("show the version")),
                ("-h, --help", _("show this help; `runflow COMMAND --help` tells more")),
            ],
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Commands and flow files; a shell that is told to look for files itself forgets the commands."""
        from click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        if not found:
            return [CompletionItem(incomplete, type="file")]
        flows = sorted(path.name for path in Path().glob("*.y*ml") if path.name.startswith(incomplete))
        return [*found, *map(CompletionItem, flows)]


def summaries() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Every command with its summary, under headings."""
    return (
        (
            _("Play flows"),
            (
                ("run", _("play flows and check every answer (may be left out before a path)")),
                ("plan", _("show the exact API calls a flow will make")),
                ("merge", _("join the event streams of several runs into one report")),
                ("trust", _("permit a flow to run its Python functions and call its URLs")),
                ("clean", _("delete what runs left on a service that crashed or were killed")),
                ("serve", _("serve the Assistant API on this machine, for flows and SDKs")),
            ),
        ),
        (
            _("Write flows"),
            (
                ("init", _("write a first flow that passes at once")),
                ("validate", _("find every mistake in flow files without sending anything")),
                ("explain", _("explain a code of a message, or a check")),
                ("schema", _("print the JSON Schema of a flow file, for editors")),
            ),
        ),
        (
            _("Look around"),
            (
                ("targets", _("list the services a flow can be played against")),
                ("doctor", _("show what runflow finds on this machine, and what is missing")),
                ("completion", _("print what makes a shell complete runflow's commands")),
            ),
        ),
    )


def stands_nowhere() -> bool:
    """Whether the folder in which we were started is no more."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def first_word(arguments: Sequence[str]) -> int:
    """Where the command or the path stands, after the options of every command."""
    place = 0
    while place < len(arguments) and (arguments[place] == "--debug" or arguments[place].startswith("--lang")):
        place += 2 if arguments[place] == "--lang" else 1
    return place


def looks_like_a_path(word: str) -> bool:
    if word.endswith((".yaml", ".yml")) or any(character in word for character in "/*?[") or os.sep in word:
        return True
    return os.path.exists(word)  # noqa: PTH110


def sentence(error: click.UsageError) -> str:
    """What is wrong with a command line, in the reader's language: click says it in English."""
    match error:
        case click.NoSuchOption(option_name=name):
            return _("there is no option `{name}`").format(name=name) + instead(name, error.ctx)
        case click.BadOptionUsage(option_name=name, message=message):
            none = "does not take a value" in message
            return (_("`{name}` takes no value") if none else _("`{name}` needs a value")).format(name=name)
        case click.MissingParameter(param=click.Parameter() as missing, ctx=click.Context() as ctx):
            return _("`{name}` is missing").format(name=missing.make_metavar(ctx))
        case click.BadParameter(param=click.Parameter() as wrong, ctx=click.Context() as ctx):
            form = form_of(wrong, ctx)
            return _("`{name}` cannot have this value; it takes {form}").format(name=wrong.opts[0], form=form)
    return error.format_message()


def form_of(parameter: click.Parameter, ctx: click.Context) -> str:
    """What a parameter takes, in a few words."""
    match parameter.type:
        case click.IntRange(min=least, max=None):
            return _("a whole number of at least {least}").format(least=least)
        case click.IntRange(min=least, max=most):
            return f"{least}–{most}"
        case click.FloatRange(min=least):
            return _("a number above {least}").format(least=least)
    return parameter.make_metavar(ctx)


IN_FLOWS = {"--retries": "retries: 2", "--retry": "retries: 2", "--repeat": "repeat: {times: 3, pass: 2}"}
"""What others say on the command line, and we in the flow."""
ELSEWHERE = {
    **dict.fromkeys(("-j", "-n", "-w", "--workers", "--parallel", "--concurrency", "--threads"), "--jobs"),
    **dict.fromkeys(("-x", "--exitfirst", "--fail-fast", "--failfast", "--bail", "--maxfail"), "--max-failures 1"),
    **dict.fromkeys(("-g", "--grep", "--filter", "--match"), "-k"),
    **dict.fromkeys(("-t", "-m"), "--tag"),
    **dict.fromkeys(("--rps", "--rate", "--rate-limit"), "--max-rps"),
    **dict.fromkeys(("--xml", "--junitxml", "--junit-xml"), "--junit"),
    "--lf": "--last-failed",
    "--ff": "--failed-first",
    "--dry-run": "--list",
}
"""Options as other programs call them."""


def instead(name: str, ctx: click.Context | None) -> str:
    """What may have been meant by an option that there is not, as the end of a sentence; empty if nothing comes to mind."""
    known = [each for parameter in ctx.command.params for each in parameter.opts] if ctx else []
    if name in IN_FLOWS and "--jobs" in known:
        return _("; write `{line}` in the flow").format(line=IN_FLOWS[name])
    near = ELSEWHERE.get(name, "")
    if near.partition(" ")[0] not in known:
        long = [each for each in known if each.startswith("--")]
        near = next((each for each in long if each.startswith(name)), "") or nearest(name, long) or ""
    return _("; did you mean `{near}`?").format(near=near) if near else ""


def show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"runflow {__version__}")
        ctx.exit()
