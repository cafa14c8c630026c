"""Choose a function's next answer from a sequence."""

from collections.abc import Mapping, Sequence

from runner.checks.arguments import difference, dumps
from runner.checks.reader import shorten
from runner.model import Reply
from runner.tools import NoAnswer
from runner.words import _

__all__ = ["choose"]


def choose(
    entries: Sequence[Reply], used: set[int], arguments: Mapping[str, object], parameters: Mapping[str, object]
) -> Reply:
    """The first entry that fits the arguments and is not in `used`, where it then is; the last one is never used up.

    Raise NoAnswer when none fits.
    """
    for at, entry in enumerate(entries):
        if at in used or (entry.when is not None and difference(entry.when, arguments, parameters)):
            continue
        if at < len(entries) - 1:
            used.add(at)
        return entry
    raise NoAnswer(
        _("none of its `replies` that are left fits the arguments {arguments}").format(arguments=shorten(dumps(arguments)))
    )
