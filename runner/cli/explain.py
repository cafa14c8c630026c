"""`runflow explain`: the page behind the code of a message, or a check's manual page."""

import sys

import click

from runner.cli.frame import Command, WrongPath, show
from runner.words import _, nearest

__all__ = ["command"]


@click.command(
    "explain",
    cls=Command,
    help=_("Explain the code of a message, or a check; without a name, list them all."),
    examples=[
        ("runflow explain unknown-key", _("the code that stands in brackets behind a message")),
        ("runflow explain contains", _("a check, with an example")),
        ("runflow explain", _("every code and every check")),
    ],
)
@click.argument("name", required=False, metavar="CODE|CHECK")
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    from runner import explain
    from runner.registry import checks

    if name is None:
        sys.stdout.write(index())
        return
    wanted = name.strip("[]")
    pages = [page for page in (explain.page(wanted), manual(wanted)) if page]
    if not pages:
        near = nearest(wanted, [*explain.codes(), *checks])
        hint = _("did you mean `{near}`?").format(near=near) if near else _("`runflow explain` lists them")
        raise WrongPath(_("there is no code or check `{name}`; {hint}").format(name=name, hint=hint))
    sys.stdout.write("\n\n".join(page.strip() for page in pages) + "\n")


def manual(name: str) -> str | None:
    """A check's docstring, as its author wrote it for people."""
    import inspect

    from runner.registry import checks

    if name not in checks:
        return None
    return f"# {name}\n\n{inspect.getdoc(checks[name]) or ''}"


def index() -> str:
    """Every code and every check with its first sentence."""
    import inspect

    from runner import explain
    from runner.registry import checks

    formatter = click.HelpFormatter(width=110)
    show(formatter, _("Checks"), [(name, first(inspect.getdoc(checks[name]) or "")) for name in sorted(checks)])
    show(formatter, _("Codes"), [(code, first(explain.page(code) or "")) for code in sorted(explain.codes())])
    return formatter.getvalue().lstrip("\n")


def first(text: str) -> str:
    """The first sentence of a page, its heading left out."""
    paragraphs = [part for part in text.split("\n\n") if part.strip() and not part.lstrip().startswith(("#", "```"))]
    line = " ".join(paragraphs[0].split()) if paragraphs else ""
    return line.split(". ")[0].rstrip(".") + "." if line else ""
