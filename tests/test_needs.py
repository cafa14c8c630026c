"""What is known of a flow before it is played, without another look at all of it."""

from pathlib import Path
from textwrap import dedent

from runner.load import load
from runner.needs import Needs
from runner.plan import Stock

PLAIN = Needs(None, (), False, (), False, False, (), False, False)


def needs(folder: Path, text: str, *environment: str) -> Needs:
    path = folder / "shop.yaml"
    path.write_text(dedent(text))
    return Needs.of(load(path, environment))


def test_a_plain_flow_needs_nothing(tmp_path: Path) -> None:
    assert PLAIN == needs(
        tmp_path,
        """
        assistant: {model: m}
        steps: [{user: Hello., expect: cat}]
        """,
    )


def test_what_is_needed_of_the_service_is_found_in_the_assistant_and_in_single_steps(tmp_path: Path) -> None:
    found = needs(
        tmp_path,
        """
        assistant: {id: asst_1, tools: [rag, weigh: {returns: 1}]}
        target: dashscope
        thread: {id: thread_1}
        steps:
          - user: Hello.
            run: {temperature: 0, max_tokens: 5, tools: [calculator, rag]}
        """,
    )
    assert Needs("dashscope", ("rag", "calculator"), True, ("temperature", "max_tokens"), True, True, (), False, False) == found


def test_variables_of_the_environment_are_those_that_texts_use(tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text("I am ${env.WHO} from ${env.TOWN}.")
    (tmp_path / "rows.csv").write_text("colour\n${env.CELL}\n")
    found = needs(
        tmp_path,
        """
        assistant: {model: m, instructions: {file: prompt.md}}
        variables: {size: '$${env.DEFAULT}'}
        cases: {file: rows.csv}
        steps:
          - user: Is ${colour} there, in ${size}? $${env.WRITTEN}
            expect: {all: [{contains: '${env.WHO}'}, {matches: '${env.CITY}'}]}
        """,
        "WHO",
        "TOWN",
        "CITY",
    )
    assert ("WHO", "TOWN", "CITY") == found.environment


def test_code_and_urls_of_tools_steps_and_checks_need_permission_and_questions_a_person(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def fine(answer): return True\n")
    told = {
        "of the assistant": "{model: m, tools: [f: {http: 'https://shop.example/'}]}\nsteps: [{user: x}]",
        "of a step": "{model: m}\nsteps: [{user: x, run: {tools: [f: {python: 'shop.py:fine'}]}}]",
        "a step's check": "{model: m}\nsteps: [{user: x, expect: {not: {python: 'shop.py:fine'}}}]",
        "the last check": "{model: m}\nsteps: [{user: x}]\nexpect: {python: 'shop.py:fine'}",
        "a question": "{model: m, tools: [f: {ask: true}]}\nsteps: [{user: x}]",
    }
    found = {name: needs(tmp_path, f"assistant: {text}\n") for name, text in told.items()}
    assert {
        "of the assistant": (True, False),
        "of a step": (True, False),
        "a step's check": (True, False),
        "the last check": (True, False),
        "a question": (False, True),
    } == {name: (each.permission, each.person) for name, each in found.items()}


def test_a_stock_tells_what_its_flows_need_each_with_the_first_that_does(tmp_path: Path) -> None:
    stock = Stock(tmp_path, unpacked=0)
    for name, target in (("a", "embedded"), ("b", "dashscope"), ("c", "embedded")):
        (tmp_path / f"{name}.yaml").write_text(f"assistant: {{model: m}}\ntarget: {target}\nsteps: [{{user: Hello.}}]\n")
        stock.add(load(tmp_path / f"{name}.yaml"))
    assert [("embedded", "a"), ("dashscope", "b")] == [
        (needs.target, first.name) for needs, first in stock.needed((0, 1, 2)).items()
    ]
    assert ["c"] == [first.name for first in stock.needed((2,)).values()]
    assert stock.needs[0] is stock.needs[2]
