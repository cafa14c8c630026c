"""`python -m runner` is the command `runflow`."""

from runner.cli import main

main()
