"""What a flow needs that is settled before it is played: of the service, of the environment, of people."""

from collections.abc import Iterator, Sequence

from runner.forms import parts_of
from runner.model import Asks, ByHttp, ByPython, Expectation, Flow, PythonFunction, Tool
from runner.values import dataclass

__all__ = ["Needs", "Use", "uses"]

SAMPLING = ("temperature", "top_p", "top_k", "max_tokens")


@dataclass(frozen=True, slots=True)
class Needs:
    """What is to be known of a flow before it is played, so that nobody must look at all of it again. Many flows of a run need
    the same."""

    target: str | None
    """The service it names."""
    tools: tuple[str, ...]
    """The types of the service's own tools, each once."""
    functions: bool
    """Whether there are functions that the service asks us to answer."""
    sampling: tuple[str, ...]
    """What it sets of how the model chooses its words."""
    assistant: bool
    """Whether it uses an assistant that exists."""
    thread: bool
    """Whether it goes on in a thread that exists."""
    environment: tuple[str, ...]
    """The variables of the environment that its texts use, each once."""
    permission: bool
    """Whether it runs code of its author's or calls a URL of theirs."""
    person: bool
    """Whether somebody at the terminal answers a function."""

    @classmethod
    def of(cls, flow: Flow) -> "Needs":
        tools = flow.tools
        functions = [tool.function for tool in tools if tool.function]
        choosers = (flow.assistant, *(step.run for step in flow.steps if step.run))
        return cls(
            target=flow.target,
            tools=tuple(dict.fromkeys(tool.type for tool in tools if not tool.function)),
            functions=bool(functions),
            sampling=tuple(each for each in SAMPLING if any(getattr(one, each) is not None for one in choosers)),
            assistant=flow.assistant.id is not None,
            thread=flow.thread is not None and flow.thread.id is not None,
            environment=flow.environment,
            permission=next(uses(flow), None) is not None,
            person=any(isinstance(function.answer, Asks) for function in functions),
        )


# ── what needs permission ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Use:
    """One thing a flow needs permission for: `what` is `tools.py:get_order` or a URL, `function` the tool it answers, empty
    for a check."""

    what: str
    function: str = ""
    file: str = ""
    """The Python file in it, below the flow's folder."""


def uses(flow: Flow) -> Iterator[Use]:
    """Every Python function, URL and Python check of a flow, in the order of its keys, again as often as it is written."""
    yield from of_tools(flow.assistant.tools)
    for step in flow.steps:
        if step.run:
            yield from of_tools(step.run.tools or ())
        yield from of_checks(step.expect)
    yield from of_checks(flow.expect)


def of_tools(tools: Sequence[Tool]) -> Iterator[Use]:
    for function in (tool.function for tool in tools if tool.function):
        match function.answer:
            case ByPython(called):
                yield Use(str(called), function.name, called.file)
            case ByHttp(url):
                yield Use(url, function.name)


def of_checks(expectations: Sequence[Expectation]) -> Iterator[Use]:
    for each in expectations:
        yield from within(each.check)


def within(value: object) -> Iterator[Use]:
    """Those of a check, which may hold others."""
    if isinstance(value, PythonFunction):
        yield Use(str(value), "", value.file)
    else:
        for part in parts_of(value):
            yield from within(part)
