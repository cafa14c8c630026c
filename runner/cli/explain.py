"""`runflow explain`: the page behind the code of a message, and the manual page of a check or a key."""

import re
import sys

import click

from runner.cli.frame import Command, WrongPath, show
from runner.words import _, nearest

__all__ = ["command"]

ELSEWHERE = {"function": "tools", "functions": "tools", "argument": "arguments"}
"""What people look for that is called otherwise."""
SENTENCE_END = re.compile(r"。|\.(?= )")


@click.command(
    "explain",
    cls=Command,
    help=_("Explain a key of a flow file, a check, or the code of a message; without a name, list them all."),
    examples=[
        ("runflow explain unknown-key", _("the code that stands in brackets behind a message")),
        ("runflow explain contains", _("a check, with an example")),
        ("runflow explain cases", _("a key of a flow file")),
        ("runflow explain", _("every key, check and code")),
    ],
)
@click.argument("name", required=False, metavar="[WORD]")
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    from runner import explain
    from runner.registry import checks

    if name is None:
        sys.stdout.write(index())
        return
    page = explain.page(name.strip("[]"))
    if page is None:
        near = ELSEWHERE.get(name) or nearest(name, [*explain.keys(), *explain.codes(), *checks])
        if (group := ctx.find_root().command) and isinstance(group, click.Group) and name in group.list_commands(ctx):
            near = f"runflow {name} --help"
        hint = _("did you mean `{near}`?").format(near=near) if near else _("`runflow explain` lists them")
        raise WrongPath(_("there is no key, check or code `{name}`; {hint}").format(name=name, hint=hint))
    sys.stdout.write(page.strip() + "\n")


def index() -> str:
    """Every key, check and code with its first sentence."""
    from runner import explain
    from runner.registry import checks

    formatter = click.HelpFormatter(width=110)
    places = {name: [place for place, _schema in found] for name, found in explain.keys().items()}
    show(formatter, _("Keys"), [(name, ", ".join(found)) for name, found in places.items()])
    show(formatter, _("Checks"), [(name, first(explain.page(name) or "")) for name in sorted(checks)])
    show(formatter, _("Codes"), [(code, first(explain.page(code) or "")) for code in sorted(explain.codes())])
    return formatter.getvalue().lstrip("\n")


def first(text: str) -> str:
    """The first sentence of a page, its heading left out."""
    paragraphs = [part for part in text.split("\n\n") if part.strip() and not part.lstrip().startswith(("#", "```"))]
    line = " ".join(paragraphs[0].split()) if paragraphs else ""
    end = SENTENCE_END.search(line)
    return line[: end.end()] if end else line
