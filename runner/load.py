"""Turn a path into a Flow, or into everything that is wrong with the file; past here nobody reads files named by a flow."""

import io
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from runner.build import Reference, Refused, build
from runner.diagnostics import Diagnostic, Problems, Severity, Span
from runner.lint import function_nodes, lint
from runner.model import ByPython, Expectation, Flow, PythonFunction, Tool
from runner.source import MAX_FINDINGS, Document, Mark, Node, decode, open_bytes, read
from runner.values import dataclass
from runner.variables import environment_name, expand, names, valid
from runner.words import _

if TYPE_CHECKING:
    import ast

__all__ = ["Examined", "Sources", "examine", "load"]

MAX_PROMPT = 1024 * 1024
MAX_ROWS = 4 * 1024 * 1024
MAX_CELLS = 100_000
MAX_PYTHON = 1024 * 1024
MAX_PARSED = 64 * 1024
"""Bytes of Python that are looked into for one flow: some take a second to parse, and a thousand times their size."""
MAX_BESIDE = 1_000
"""Files looked at in search of the one meant."""
MAX_SALVAGED = 200_000
"""Characters. A longer file that the schema refuses is not read again for what else is wrong with it: that takes too long."""


class Sources:
    """The files a flow is made of: its own, and those it takes texts, rows or its assistant from."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.root = document.root
        self.others: dict[str, tuple[str, ...]] = {}
        self.origins: dict[int, str] = {}
        self.taken: list[Path] = []
        """Where these really lie, in the order of their names."""
        self.kept: list[Node] = []
        """Nodes whose ids are in `origins`: an id belongs to another object once its own is gone."""

    def path_of(self, node: Node) -> str:
        """The file a node stands in, as it is shown."""
        return self.origins.get(id(node), self.document.path)

    def lines(self, path: str) -> Sequence[str]:
        """The lines of one of the files, none if it could not be read."""
        return self.document.lines if path == self.document.path else self.others.get(path, ())

    def enter(self, path: str, lines: tuple[str, ...], node: Node) -> None:
        """Remember that a node and all below it stand in another file."""
        self.others[path] = lines
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if id(here) in self.origins:
                continue
            self.origins[id(here)] = path
            self.kept.append(here)
            if isinstance(here.value, list):
                waiting += here.value
            elif isinstance(here.value, dict):
                waiting += here.value.values()


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of a file: the flow unless there is an error, and everything found, in file order."""

    flow: Flow | None
    diagnostics: tuple[Diagnostic, ...]
    document: Document | None
    sources: Sources | None = None
    unread: Sequence[str] = ()
    """The lines of a file that is no document, as far as it could be read."""

    def lines(self, path: str) -> Sequence[str]:
        """The lines of the file a diagnostic is about; none if it could not be read."""
        return self.sources.lines(path) if self.sources else self.unread


def load(path: str | Path, environment: Collection[str] = ()) -> Flow:
    """The flow of a file; raise Problems with every finding when there is an error among them."""
    examined = examine(path, environment=environment)
    if examined.flow is None:
        raise Problems(examined.diagnostics)
    return examined.flow


def examine(
    path: str | Path, *, shown: str | None = None, require_checks: bool = False, environment: Collection[str] = ()
) -> Examined:
    """Read, build and lint one flow file. `shown` is how messages name it; `environment` names the variables that
    `${env.NAME}` may use; with `require_checks` a step without a check is an error. Raises nothing for any file."""
    path = Path(path)
    try:
        document = read(path, shown)
    except Problems as problems:
        return Examined(None, problems.diagnostics, None, unread=problems.lines)
    sources = Sources(document)
    if any(found.severity is Severity.ERROR for found in document.findings):
        # What is wrong with the YAML makes the rest mislead; what does not depend on it is still worth saying.
        found = tuple(judge(sources, path, [], require_checks, environment)) if usable(document) else ()
        return Examined(None, in_order(document, (*without_items(document, found), *found)), document, sources)
    trouble: list[Diagnostic] = []
    include(sources, path, trouble)
    try:
        flow, references = build(sources.root)
    except Refused:
        found = tuple(judge(sources, path, trouble, require_checks, environment))
        return Examined(None, in_order(document, (*document.findings, *found)), document, sources)
    if not trouble:
        trouble.extend(lint(flow, references, sources, require_checks=require_checks, environment=environment))
        trouble.extend(islice(Files(sources, path).missing_of(flow), MAX_FINDINGS))
    found = in_order(document, (*document.findings, *trouble))
    if any(each.severity is Severity.ERROR for each in found):
        return Examined(None, found, document, sources)
    flow = literal(flow, references, sources)
    flow = replace(flow, path=path, taken=tuple(sources.taken), environment=environment_of(references))
    return Examined(flow, found, document, sources)


def literal(flow: Flow, references: Sequence[Reference], sources: Sources) -> Flow:
    """The flow with `$${` in the values of its variables read as `${`; rows of a CSV file are data and stay as they are."""
    places = {each.place for each in references if sources.path_of(each.node) == sources.document.path}
    if "variables" in places:
        flow = replace(flow, variables=expand(flow.variables, {}))
    if "cases" in places:
        flow = replace(flow, cases=expand(flow.cases, {}))
    return flow


def environment_of(references: Sequence[Reference]) -> tuple[str, ...]:
    """The variables of the environment that texts use, each once; in values of variables and in rows none is replaced."""
    used = (name for each in references if each.place not in ("variables", "cases") for name in names(each.node.spelling))
    return tuple(dict.fromkeys(name for each in used if (name := environment_name(each)) is not None))


def usable(document: Document) -> bool:
    return isinstance(document.root.value, dict)


def judge(
    sources: Sources, path: Path, trouble: Sequence[Diagnostic], require_checks: bool, environment: Collection[str]
) -> Iterator[Diagnostic]:
    """What the schema finds wrong with a document, and what is wrong with the rest of it; each line is complained of once."""
    from runner.salvage import Salvage
    from runner.validate import validate

    yield from trouble
    said = places(*sources.document.findings, *trouble)
    wrong = [found for found in validate(sources) if not follows(found, said)]
    yield from wrong
    if trouble or sum(map(len, sources.document.lines)) > MAX_SALVAGED:
        return
    rest = Salvage(sources.root)
    if rest.root is None or rest.flow is None:
        return
    said |= places(*wrong)
    left = copy(sources)
    left.root = rest.root
    findings = lint(rest.flow, rest.references, left, require_checks=require_checks, environment=environment)
    for found in chain(findings, Files(left, path).missing_of(rest.flow)):
        if rest.trusts(found) and not (said & places(found)):
            yield found


def follows(found: Diagnostic, said: Collection[tuple[str, int]]) -> bool:
    """Whether a finding only repeats what is said of its line, or misses what stands, wrong, in the next one."""
    if found.span is None:
        return False
    line = found.span.line
    return (found.path, line) in said or (found.code == "missing-value" and (found.path, line + 1) in said)


def without_items(document: Document, found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The document's findings but for keys written twice where a `- ` is missing: none of these is too much."""
    wrong = {each.span for each in found if each.code == "wrong-type" and each.path == document.path}
    if not wrong or all(each.code != "duplicate-key" for each in document.findings):
        return document.findings
    excused: set[Span] = set()
    waiting, seen = [document.root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node.value, dict):
            keys = set(node.keys.values())
            excused |= keys if keys & wrong else set()
            waiting += node.value.values()
        elif isinstance(node.value, list):
            waiting += node.value
    return tuple(
        each
        for each in document.findings
        if each.code != "duplicate-key" or not any(first.span in excused for first in each.related)
    )


def places(*findings: Diagnostic) -> set[tuple[str, int]]:
    """The lines that errors stand on."""
    return {(found.path, found.span.line) for found in findings if found.span and found.severity is Severity.ERROR}


def in_order(document: Document, found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """In file order, the flow's own file first; the same thing said once."""
    nowhere = Span(0, 0, 0, 0)
    unique = dict.fromkeys(found) if len(found) > 1 else found
    return tuple(sorted(unique, key=lambda each: (each.path != document.path, each.path, each.span or nowhere)))


# ── values that name a file ──────────────────────────────────────────────────────────────────────────────────────────


class Named:
    """A file named by a value of a flow: found, links first, below the flow's folder."""

    def __init__(self, sources: Sources, flow: Path, name: str, asked: tuple[str, Span]) -> None:
        self.shown = str(PurePath(sources.document.path).parent / name)
        self.asked = asked
        self.lines: tuple[str, ...] = ()
        folder = flow.resolve().parent
        try:
            self.path = (folder / name).resolve()
        except (OSError, RuntimeError, ValueError):
            raise self.refusal("file-missing", _("`{file}` is no path").format(file=name), None) from None
        if not self.path.is_relative_to(folder):
            message = _("`{file}` lies outside the flow's folder").format(file=name)
            raise self.refusal(
                "file-outside", message, _("move it below the folder of this file, and write its path from there")
            )
        if any(part.startswith(".") for part in self.path.relative_to(folder).parts):
            # Keys live in hidden files, and what is read here is sent to a service.
            raise self.refusal(
                "file-outside", _("`{file}` is a hidden file").format(file=name), _("use a file without a dot before its name")
            )
        if not self.exists():
            message = _("there is no file `{file}`").format(file=name)
            raise self.refusal("file-missing", message, self.near(name) or _("the path starts in the folder of this file"))

    @classmethod
    def by(cls, sources: Sources, flow: Path, node: Node) -> "Named":
        """The file that a value names, and that the flow takes in."""
        named = cls(sources, flow, str(node.value), (sources.path_of(node), node.span))
        sources.taken.append(named.path)
        return named

    def exists(self) -> bool:
        try:
            return self.path.exists()
        except OSError:  # a name that is too long, or a folder that is closed to us
            return False

    def near(self, name: str) -> str | None:
        """What to say of a file beside the missing one that has nearly its name."""
        from runner.words import nearest

        wanted = self.path
        try:
            beside = [each for each in islice(wanted.parent.iterdir(), MAX_BESIDE) if not each.name.startswith(".")]
        except OSError:
            return None
        stems = {each.stem: each.name for each in beside if each.suffix == wanted.suffix or each.stem == wanted.stem}
        found = nearest(wanted.stem, stems)
        return _("did you mean `{name}`?").format(name=PurePath(name).parent / stems[found]) if found else None

    def refusal(self, code: str, message: str, hint: str | None) -> Problems:
        path, span = self.asked
        return Problems([Diagnostic(code, message, path, span, hint=hint)])

    def text(self, limit: int) -> str:
        text = decode(open_bytes(self.path, limit, None, self.shown), self.shown)
        self.lines = tuple(text.splitlines())
        return text


def include(sources: Sources, path: Path, trouble: list[Diagnostic]) -> None:
    """Put what other files hold in the place of their names; what cannot be had is left as it stands, and said."""
    if not isinstance(sources.root.value, dict):
        return
    top = sources.root.value
    changed = {}
    for name, node in top.items():
        try:
            if name == "assistant":
                changed[name] = with_instructions(sources, path, with_used(sources, path, node))
            elif name == "steps":
                changed[name] = with_runs(sources, path, node)
            elif name == "cases" and (file := file_of(node)):
                changed[name] = rows(sources, Named.by(sources, path, file), node)
        except Problems as problems:
            trouble.extend(problems.diagnostics)
            for found in problems.diagnostics:
                if found.path != sources.document.path:
                    sources.others.setdefault(found.path, tuple(problems.lines))
    if any(changed[name] is not top[name] for name in changed):
        sources.root = sources.root.holding(top | changed)


def file_of(node: Node) -> Node | None:
    """The name in `{file: name}`."""
    if isinstance(node.value, dict) and list(node.value) == ["file"]:
        file = node.value["file"]
        return file if isinstance(file.value, str) and file.value else None
    return None


def with_used(sources: Sources, path: Path, node: Node) -> Node:
    """The assistant with the block from the file that it uses."""
    if not isinstance(node.value, dict) or "use" not in node.value:
        return node
    use = node.value["use"]
    if not isinstance(use.value, str) or not use.value:
        return node
    named = Named.by(sources, path, use)
    document = read(named.path, named.shown)
    sources.enter(named.shown, document.lines, document.root)
    if document.findings:
        raise Problems(document.findings)
    used = document.root
    if not isinstance(used.value, dict):
        message = _("`use` takes a mapping of the assistant's keys")
        raise Problems(
            [
                Diagnostic(
                    "nothing-to-use", message, named.shown, used.span, hint=_("write: {line}").format(line="model: qwen-max")
                )
            ]
        )
    if "use" in used.value:
        message = _("a used file cannot use another one")
        raise Problems([Diagnostic("nested-use", message, named.shown, used.keys["use"], hint=_("write its keys here"))])
    own = {key: value for key, value in node.value.items() if key != "use"}
    return node.holding(used.value | own, used)


def with_instructions(sources: Sources, path: Path, node: Node) -> Node:
    """The mapping with its `instructions` read from their file."""
    if not isinstance(node.value, dict) or "instructions" not in node.value:
        return node
    file = file_of(node.value["instructions"])
    if file is None:
        return node
    named = Named.by(sources, path, file)
    text = named.text(MAX_PROMPT)
    if not text.strip():
        raise named.refusal(
            "empty-instructions", _("`{file}` is empty").format(file=file.value), _("write the instructions into it")
        )
    prompt = Node(text, text, "|", Mark(0, 0), Mark(len(named.lines), 0))
    sources.enter(named.shown, named.lines, prompt)
    return node.holding(node.value | {"instructions": prompt})


def with_runs(sources: Sources, path: Path, node: Node) -> Node:
    """The steps, where their `run` reads its instructions from a file."""
    if not isinstance(node.value, list):
        return node
    steps = []
    for step in node.value:
        if isinstance(step.value, dict) and "run" in step.value:
            run = with_instructions(sources, path, step.value["run"])
            step = step.holding(step.value | {"run": run}) if run is not step.value["run"] else step
        steps.append(step)
    return node.holding(steps) if any(new is not old for new, old in zip(steps, node.value, strict=True)) else node


def rows(sources: Sources, named: Named, node: Node) -> Node:
    """The rows of a CSV file as a list of mappings, each value at its line of that file."""
    text = named.text(MAX_ROWS)
    sources.others[named.shown] = named.lines
    if named.lines and (wrong := wrong_separator(named)):
        raise Problems([wrong])
    found = list(records(named, text))
    if not found:
        raise named.refusal(
            "csv-empty",
            _("`{file}` is empty").format(file=named.shown),
            _("write the names of the variables into its first row"),
        )
    (_line, header), *rest = found
    ragged = (
        at(
            named,
            line,
            "csv-ragged",
            _("this row has {count} values, and the header names {names}").format(count=len(values), names=len(header)),
            _("put a value with a comma in double quotes")
            if len(values) > len(header)
            else _("give it as many values as the header has names"),
        )
        for line, values in rest
        if len(values) != len(header)
    )
    trouble = list(islice(chain(wrong_header(named, header), ragged), MAX_FINDINGS))
    if not rest:
        trouble.append(
            at(named, 1, "csv-empty", _("there is no row below the header"), _("write one row for each conversation"))
        )
    if trouble:
        raise Problems(trouble)
    table = []
    for line, values in rest:
        start, end = Mark(line - 1, 0), Mark(line - 1, len(named.lines[line - 1]))
        cells = {name: Node(value, value, '"', start, end) for name, value in zip(header, values, strict=True)}
        table.append(Node(cells, "", "", start, end, {}))
    filled = Node(table, "", "", node.start, node.end)
    for row in table:
        sources.enter(named.shown, named.lines, row)
    return filled


def records(named: Named, text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, and the line each begins at."""
    import csv

    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    cells = 0
    try:
        for values in reader:
            cells += len(values)
            if cells > MAX_CELLS:
                message = _("up to here the file holds more than {most} values").format(most=f"{MAX_CELLS:,}")
                raise Problems([at(named, begin, "too-large", message, _("split it into several files"))])
            if values:
                yield begin, values
            begin = reader.line_num + 1
    except csv.Error as error:
        message = _("this row is not CSV: {reason}").format(reason=error)
        raise Problems([at(named, begin, "csv-unreadable", message, _('write a `"` within quotes twice'))]) from None


def wrong_separator(named: Named) -> Diagnostic | None:
    """What Excel writes where the comma is the decimal sign, or as "Text"."""
    header = named.lines[0]
    signs = {
        ";": _("the values are separated by semicolons, not by commas"),
        "\t": _("the values are separated by tabs, not by commas"),
    }
    message = next((message for sign, message in signs.items() if sign in header and "," not in header), None)
    return at(named, 1, "csv-header", message, _("save it as CSV with commas between the values")) if message else None


def wrong_header(named: Named, header: list[str]) -> Iterator[Diagnostic]:
    seen: set[str] = set()
    for number, name in enumerate(header, 1):
        if not name.strip():
            message = _("column {number} of the header has no name").format(number=number)
            yield at(named, 1, "csv-header", message, _("name the variable, or delete the column"))
        elif name in seen:
            message = _("the header names `{name}` twice").format(name=name)
            yield at(named, 1, "csv-header", message, _("give each column a name of its own"), named.lines[0].rfind(name), name)
        elif not valid(name):
            message = _("`{name}` is no name for a variable").format(name=name)
            hint = _("use letters, digits and `_`, no digit first; no spaces around the comma")
            yield at(named, 1, "csv-header", message, hint, named.lines[0].find(name), name)
        seen.add(name)


def at(named: Named, line: int, code: str, message: str, hint: str, start: int = -1, word: str = "") -> Diagnostic:
    """A finding about a row, or about a word of it."""
    length = len(word) if start >= 0 else len(named.lines[line - 1])
    column = max(start, 0) + 1
    return Diagnostic(code, message, named.shown, Span(line, column, line, column + length), hint=hint)


# ── files that are only used when the flow is played ─────────────────────────────────────────────────────────────────


class Files:
    """Looks whether the files that tools and checks name are there, and the Python functions in them; runs none of them."""

    def __init__(self, sources: Sources, path: Path) -> None:
        self.sources = sources
        self.path = path
        self.defined: dict[Path, frozenset[str] | None] = {}
        """The names each Python file defines, None where they cannot be known."""
        self.left = MAX_PARSED

    def missing_of(self, flow: Flow) -> Iterator[Diagnostic]:
        root = self.sources.root.value
        assert isinstance(root, dict)
        yield from self.of_tools(flow.assistant.tools, root["assistant"])
        steps = root["steps"].value
        assert isinstance(steps, list)
        for step, node in zip(flow.steps, steps, strict=True):
            if step.run and step.run.tools and isinstance(node.value, dict):
                yield from self.of_tools(step.run.tools, node.value["run"])
            yield from self.of_checks(step.expect)
        yield from self.of_checks(flow.expect)

    def of_tools(self, tools: Sequence[Tool], holder: Node) -> Iterator[Diagnostic]:
        for number, tool in enumerate(tools):
            if tool.function and isinstance(tool.function.answer, ByPython):
                assert isinstance(holder.value, dict)
                items = holder.value["tools"].value
                assert isinstance(items, list)
                answers, _told = function_nodes(items[number])
                assert isinstance(answers.value, dict)
                node = answers.value["python"]
                written = tool.function.answer.function
                yield from self.about(written.file, (self.sources.path_of(node), node.span), written)

    def of_checks(self, expectations: Sequence[Expectation]) -> Iterator[Diagnostic]:
        for each in expectations:
            value = getattr(each.check, "value", None)
            if isinstance(value, tuple) and value and isinstance(value[0], Expectation):
                yield from self.of_checks(value)
            elif hasattr(each.check, "files"):
                function = value if isinstance(value, PythonFunction) else None
                for name in each.check.files():
                    yield from self.about(name, self.place_of(name, each), function)

    def place_of(self, name: str, each: Expectation) -> tuple[str, Span]:
        """The part of a check's value that names a file, else all of the value."""
        path = self.sources.path_of(self.sources.root)
        lines = self.sources.lines(path)
        return path, next((part for part in each.parts if name in written(lines, part)), each.span)

    def about(self, name: str, asked: tuple[str, Span], function: PythonFunction | None) -> Iterator[Diagnostic]:
        if "${" in name:
            return  # which is not replaced here, and said already
        try:
            named = Named(self.sources, self.path, name, asked)
            if function is None:
                self.regular(named)
            elif missing := self.undefined(named, function):
                yield missing
        except Problems as problems:
            for found in problems.diagnostics:
                if found.path != self.sources.document.path:
                    self.sources.others.setdefault(found.path, tuple(problems.lines))
            yield from problems.diagnostics

    def regular(self, named: Named) -> None:
        """Raise Problems when a path leads to something else than a file."""
        if not named.path.is_file():
            message = _("`{file}` is no file").format(file=named.shown)
            raise named.refusal("file-missing", message, _("name a file, not a folder"))

    def undefined(self, named: Named, function: PythonFunction) -> Diagnostic | None:
        """What to say of a Python function that its file does not define."""
        if named.path not in self.defined:
            self.defined[named.path] = None
            data = open_bytes(named.path, MAX_PYTHON, None, named.shown)
            if len(data) <= self.left:
                self.left -= len(data)
                self.defined[named.path] = defined(named, data)
        known = self.defined[named.path]
        if known is None or function.function in known:
            return None
        from runner.words import listed, nearest

        path, span = named.asked
        message = _("`{file}` defines no function `{name}`").format(file=function.file, name=function.function)
        hint = _("write it there: {line}").format(line=f"def {function.function}(…):")
        if near := nearest(function.function, known):
            hint = _("did you mean `{name}`?").format(name=f"{function.file}:{near}")
        elif known:
            hint = _("it defines {names}").format(names=listed(sorted(known)))
        return Diagnostic("no-such-function", message, path, span, hint=hint)


def written(lines: Sequence[str], span: Span) -> str:
    """What stands in a stretch of a file; of several lines, all of them."""
    if span.line == span.end_line <= len(lines):
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    return "\n".join(lines[span.line - 1 : span.end_line])


def defined(named: Named, data: bytes) -> frozenset[str] | None:
    """The names that a Python file defines at its top level, None where only running it would tell; raise Problems."""
    import ast
    import warnings

    try:
        # As text, so that no encoding of the file's choice decodes it: some take hours.
        source: str | bytes = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about code that is not ours to judge
            tree = ast.parse(source)
    except SyntaxError as error:
        named.lines = tuple(data.decode("utf-8", "replace").splitlines())
        line, column = error.lineno or 1, max(error.offset or 1, 1)
        message = _("this is not Python: {reason}").format(reason=error.msg)
        hint = _("correct it; the flow uses this file")
        found = Diagnostic("python-syntax", message, named.shown, Span(line, column, line, column + 1), hint=hint)
        raise Problems([found], named.lines) from None
    except (ValueError, RecursionError, MemoryError):
        message = _("`{file}` cannot be read as Python").format(file=named.shown)
        raise named.refusal("python-syntax", message, _("write the function into a file of its own")) from None
    return names_of(tree.body)


def names_of(body: Sequence["ast.stmt"]) -> frozenset[str] | None:
    """What statements give a name to, in blocks such as `if` and `try`, too."""
    import ast

    names: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        each = waiting.pop()
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                if any(alias.name == "*" for alias in imported):
                    return None
                names |= {alias.asname or alias.name.partition(".")[0] for alias in imported}
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Assign(targets=[ast.Name()], value=ast.Constant() | ast.List() | ast.Dict() | ast.Tuple() | ast.Set()):
                continue  # nothing that can be called
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                continue
            case _:
                waiting += ast.iter_child_nodes(each)
    return frozenset(names)
