"""Run conversations with an LLM assistant from a YAML file and check every answer."""

DISTRIBUTION = "runflow-assistants"
"""The name on the package index, which hints must print: `runflow` and `runner` belong to others there."""

__version__ = "0.1.0"
