"""`runflow init`: three questions become a first flow that passes at once, without a key."""

import re
from pathlib import Path

import click

from runner.cli.frame import Command, WrongPath, option
from runner.words import _

__all__ = ["command", "flow_text"]

SCHEMA = "flow.schema.json"


@click.command(
    "init",
    cls=Command,
    help=_("Write a first flow, and the schema an editor needs to help with it. Nothing is ever overwritten."),
    examples=[
        ("runflow init", _("asks three questions and writes first.yaml")),
        ("runflow init shop/greeting.yaml --yes", _("another file, without questions")),
    ],
)
@click.argument("file", default="first.yaml", metavar="[FILE]", type=click.Path())
@option("--yes", "-y", is_flag=True, help=_("do not ask; take the suggested answers"))
def command(file: str, yes: bool) -> None:
    path = Path(file)
    if path.suffix not in {".yaml", ".yml"}:
        raise WrongPath(_("a flow file ends in .yaml; write `runflow init {file}.yaml`").format(file=file))
    if path.exists() or path.is_symlink():
        raise WrongPath(_("`{file}` exists and is not overwritten; name another file").format(file=file))
    purpose, said, word = answers(yes)
    create(path, flow_text(purpose, said, word))
    schema = path.with_name(SCHEMA)
    if not schema.exists():
        from runner.cli.schema import text

        create(schema, text())
    click.echo(_("wrote {file}; play it with: runflow {file}").format(file=file))


def answers(yes: bool) -> tuple[str, str, str]:
    """What the assistant is for, the first thing said to it, and a word its answer must contain."""
    suggested = (_("Explain painting techniques to beginners."), _("How do I paint a cat?"), _("cat"))
    if yes:
        return suggested
    questions = (
        _("What is the assistant for?"),
        _("What is the first thing said to it?"),
        _("Which word must its answer contain?"),
    )
    try:
        given = [click.prompt(question, default=answer).strip() for question, answer in zip(questions, suggested, strict=True)]
    except click.Abort as error:
        raise WrongPath(_("nothing was written; `runflow init --yes` asks nothing")) from error
    return given[0] or suggested[0], given[1] or suggested[1], given[2] or suggested[2]


def flow_text(purpose: str, said: str, word: str) -> str:
    """The flow as a file, with the line that tells editors where its schema is."""
    sample = _("This sample answer mentions {word}.").format(word=word)
    note = _("An answer you would be happy with. It is played where no model answers; a model never sees it.")
    return "\n".join(
        (
            f"# yaml-language-server: $schema={SCHEMA}",
            "assistant:",
            "  model: qwen-max",
            f"  instructions: {scalar(purpose)}",
            "",
            "steps:",
            f"  - user: {scalar(said)}",
            f"    # {note}",
            f"    sample: {scalar(sample)}",
            "    expect:",
            f"      - contains: {scalar(word)}",
            "",
        )
    )


def scalar(text: str) -> str:
    """A text as YAML: plain where that is safe, else in double quotes; a `${` stays what it is."""
    import json

    kept = text.replace("${", "$${")
    if re.fullmatch(r"[^\W\d_][\w ,.'?!、。！？-]*[\w.?!。！？]", kept) and kept.lower() not in {
        "true",
        "false",
        "null",
        "no",
        "yes",
    }:
        return kept
    return json.dumps(kept, ensure_ascii=False)


def create(path: Path, text: str) -> None:
    """Write a new file; raise WrongPath when it cannot be made or somebody was faster."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise WrongPath(_("`{file}` cannot be written: {reason}").format(file=path, reason=error.strerror)) from error
