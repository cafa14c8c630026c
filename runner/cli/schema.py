"""`runflow schema`: the JSON Schema of a flow file, for editors."""

import click

from runner.cli import reading
from runner.cli.frame import Command, option
from runner.words import _

__all__ = ["command", "text"]


@click.command(
    "schema",
    cls=Command,
    help=_("Print the JSON Schema of a flow file. Editors complete and check flows with it."),
    examples=[
        ("runflow schema --output flow.schema.json", _("write it beside your flows")),
        ("# yaml-language-server: $schema=flow.schema.json", _("the first line of a flow that names it")),
    ],
)
@option("--output", metavar="FILE", default="-", help=_("where to write it; - is standard output"))
def command(output: str) -> None:
    reading.destination("--output", output)
    reading.write_text(output, text())


def text() -> str:
    """The schema as it is committed and written beside a flow."""
    import json

    from runner.schema import flow_schema

    return json.dumps(flow_schema(), indent=2, ensure_ascii=False) + "\n"
