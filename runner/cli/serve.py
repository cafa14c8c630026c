"""`runflow serve`: the embedded Assistant API over HTTP, for flows, SDKs and curl."""

import os
from pathlib import Path

import click

from runner.cli.frame import Command, Refused, option
from runner.words import _

__all__ = ["command"]


@click.command(
    "serve",
    cls=Command,
    help=_("Serve the Assistant API on this machine, with a scripted model. Prints the base URL and the lines to export."),
    examples=[
        ("runflow serve", _("on a free port; what is made is forgotten at the end")),
        ("runflow serve --port 8765 --db shop.db", _("on a fixed port; kept in a file")),
        ("TOKEN=… runflow serve --token-env TOKEN", _("with a token of your own, which stays off the command line")),
    ],
)
@option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help=_("the port; a free one unless told"))
@option("--host", default="127.0.0.1", metavar="ADDRESS", help=_("the address to listen on; this machine only unless told"))
@option("--db", type=click.Path(dir_okay=False), metavar="FILE", help=_("keep everything in this SQLite file"))
@option("--token-env", metavar="NAME", help=_("the environment variable that holds the token; RUNFLOW_TOKEN unless told"))
@option("--token", metavar="TEXT", help=_("the token itself, for tests: other users of this machine can see it"))
def command(port: int, host: str, db: str | None, token_env: str | None, token: str | None) -> None:
    from runner.embedded.server import ServeProblem, ServeSettings, chosen_token, serve

    try:
        chosen = chosen_token(os.environ, token_env, token)
        serve(ServeSettings(host=host, port=port, db=Path(db) if db else None, token=chosen), announce)
    except ServeProblem as error:
        raise Refused(str(error)) from error


def announce(base_url: str, token: str) -> None:
    click.echo(_("serving the Assistant API at {url}; Ctrl-C ends it").format(url=base_url))
    click.echo(f"export DASHSCOPE_HTTP_BASE_URL={base_url}")
    click.echo(f"export DASHSCOPE_API_KEY={token}")
