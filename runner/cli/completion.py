"""`runflow completion`: what to put into a shell's start-up file."""

import click

from runner.cli.frame import Command
from runner.words import _

__all__ = ["command"]

LINES = {
    "bash": ("~/.bashrc", 'eval "$(_RUNFLOW_COMPLETE=bash_source runflow)"'),
    "zsh": ("~/.zshrc", 'eval "$(_RUNFLOW_COMPLETE=zsh_source runflow)"'),
    "fish": ("~/.config/fish/completions/runflow.fish", "_RUNFLOW_COMPLETE=fish_source runflow | source"),
}


@click.command(
    "completion",
    cls=Command,
    help=_("Print the line that makes a shell complete runflow's commands, options and files."),
    examples=[("runflow completion bash >> ~/.bashrc", _("then open a new terminal"))],
)
@click.argument("shell", type=click.Choice(list(LINES)), metavar="bash|zsh|fish")
def command(shell: str) -> None:
    file, line = LINES[shell]
    click.echo("# " + _("for {file}").format(file=file))
    click.echo(line)
