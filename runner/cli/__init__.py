"""The command `runflow`: the only layer that puts everything together. Each command is a file, loaded when it is used."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from runner import __version__
from runner.cli import output

__all__ = ["main"]

SECRET = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code. An unexpected exception is code 70 and a crash file."""
    output.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    code = version() if given == ["--version"] else guarded(given)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except output.OutputLost as error:
        code = code or unwritable(error)
    sys.exit(code)


def version() -> int:
    """Other programs ask this often; it need not wait for click."""
    print(f"runflow {__version__}")
    return 0


def language(arguments: Sequence[str]) -> str | None:
    """The value of `--lang`, wherever it stands: it must be known before the first sentence is made."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return argument.partition("=")[2] or None
        if argument == "--lang" and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def guarded(arguments: list[str]) -> int:
    """The exit code of a command that is loaded and run; whatever it raises has been said on standard error."""
    import click

    from runner import words
    from runner.cli.frame import Commands, Exit

    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    words.choose(language(ours))
    try:
        code = Commands().main(arguments, prog_name="runflow", standalone_mode=False)
    except click.UsageError as error:
        from runner.clean import visible
        from runner.cli.frame import sentence

        command = error.ctx.command_path if error.ctx else "runflow"
        print("runflow:", visible(sentence(error)), file=sys.stderr)
        print(words._("`{command} --help` tells more").format(command=command), file=sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except output.OutputLost as error:
        return unwritable(error)
    except Exception as error:
        from runner.cli.reading import drawn
        from runner.diagnostics import Problems

        return drawn(error) if isinstance(error, Problems) else crashed(error, debug="--debug" in ours)
    return code if isinstance(code, int) else Exit.PASSED


def unwritable(error: output.OutputLost) -> int:
    from runner.cli.frame import Exit
    from runner.words import _

    print("runflow:", _("cannot write {what}").format(what=error), file=sys.stderr)
    return Exit.NO_VERDICT


def crashed(error: Exception, *, debug: bool) -> int:
    """Say in one line what happened and keep the rest in a file that only its owner can read, without secrets."""
    import traceback

    from runner.cli.environment import redactor
    from runner.cli.frame import Exit
    from runner.words import _

    redact = redactor(value for name, value in os.environ.items() if name.endswith(SECRET) and value).redact
    trace = redact("".join(traceback.format_exception(error)))
    if debug:
        sys.stderr.write(trace)
    what = redact(f"{type(error).__name__}: {error}").splitlines()[0]
    sentence = _("this is a bug in runflow: {what}; please report it with {file}")
    print("runflow:", sentence.format(what=what, file=crash_file(trace)), file=sys.stderr)
    return Exit.BUG


def crash_file(text: str) -> str:
    """Keep `text` in a new file, in the state folder or else the temporary one; return its path."""
    import tempfile
    from pathlib import Path

    from runner.state import state_folder

    for folder in (state_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
        except OSError:
            continue
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            Path(path).unlink()
            continue
        return path
    return "--debug"
