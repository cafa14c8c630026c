"""Turn the bytes of a YAML file into a Document: values, and where each was written.

libyaml gives events with marks; the limits are applied to events, before anything is built, and the builder keeps its own
stack, so that no file can exhaust memory or recursion. What YAML refuses, or reads otherwise than a newcomer means it, is put
into words by `mistakes`, which is imported only when there is something to say.
"""

import errno
import gc
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import yaml

from runner.diagnostics import Diagnostic, Problems, Related, Span
from runner.values import dataclass
from runner.words import _

__all__ = ["FLOW_SUFFIXES", "MAX_BYTES", "Document", "Node", "open_bytes", "parse", "read"]

MAX_BYTES: Final = 1024 * 1024
PIECE: Final = 64 * 1024
"""Bytes read at once: making room for all that may come takes longer than reading what does."""
FLAGS: Final = sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_NOFOLLOW", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))
MAX_DEPTH: Final = 64
MAX_EXPANSION: Final = 100_000
MAX_FINDINGS: Final = 500
"""A file with as many is not read any further: the text shows 20 of them and JSON at most 64 KB."""
FLOW_SUFFIXES: Final = (".yaml", ".yml")

WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
NOT_TEXT: Final = frozenset("~nNtTfF+-.0123456789")
"""What a plain scalar that is not a text can begin with."""
# YAML 1.2's numbers without leading zeros (0123 is a code or a telephone number), hex, octal, infinity and not-a-number.
NUMBER: Final = re.compile(
    r"[-+]?(?P<whole>0|[1-9][0-9]{0,307})?(?P<rest>(?(whole)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
)
# Not YAML, or a line break that no editor shows as one.
UNWELCOME: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]+")
LINE_BREAK: Final = re.compile("\r\n|\r|\n")
INFINITY: Final = float("inf")
TAG_OF_TEXT: Final = "tag:yaml.org,2002:str"


class Node:
    """One value of a file and where it stands.

    `value` is None, bool, int, float or str for a scalar, a list of nodes, or a dict from key to node. `keys` holds the span
    of each key of a mapping. `spelling` is the source text of a plain scalar that is not a text (`1.10`), so that a text key
    can keep it; for any text it equals `value`. `style` is libyaml's: "" plain, "'", '"', "|", ">"; for a list or mapping it
    is "[" or "{" in the flow form, else "". A node may stand in several places, through aliases, but never within itself.
    """

    __slots__ = ("known_end", "places", "spelling", "start", "style", "value")

    value: "bool | int | float | str | list[Node] | dict[str, Node] | None"

    def __init__(self, value: Any, spelling: str, style: str, start: Any, end: Any, places: Any = None) -> None:
        self.value = value
        self.spelling = spelling
        self.style = style
        self.start = start
        self.known_end = end
        self.places: dict[str, tuple[Any, Any]] = places

    @property
    def line(self) -> int:
        return int(self.start.line) + 1

    @property
    def column(self) -> int:
        return int(self.start.column) + 1

    @property
    def end(self) -> Any:
        """The mark behind its last character: libyaml's where it is known, else that of the last value within, or the end of
        the word. It is worked out when asked for; most never are."""
        node = self
        while node.known_end is None and (inner := members(node)):
            node = inner[-1]
        if node.known_end is not None:
            return node.known_end
        return Mark(node.start.line, node.start.column + len(node.spelling))

    @property
    def end_line(self) -> int:
        return int(self.end.line) + 1

    @property
    def end_column(self) -> int:
        return int(self.end.column) + 1

    @property
    def span(self) -> Span:
        return spanning(self.start, self.end)

    @property
    def keys(self) -> "Mapping[str, Span]":
        return Keys(self.places or {})

    def holding(self, value: "list[Node] | dict[str, Node]", other: "Node | None" = None) -> "Node":
        """The same node with other content; its keys stand where they did in this one, else in `other`."""
        places = {**(other.places or {}), **(self.places or {})} if other else self.places
        return Node(value, self.spelling, self.style, self.start, self.end, places)

    @property
    def plain(self) -> object:
        """The value without places: what json.loads would give."""
        match self.value:
            case list(items):
                return [item.plain for item in items]
            case dict(items):
                return {key: item.plain for key, item in items.items()}
            case scalar:
                return scalar


class Mark(NamedTuple):
    """A place, from 0, like libyaml's own."""

    line: int
    column: int


class Keys(Mapping[str, Span]):
    """Where each key of a mapping stands; a span is made when it is asked for."""

    __slots__ = ("places",)

    def __init__(self, places: dict[str, tuple[Any, Any]]) -> None:
        self.places = places

    def __getitem__(self, key: str) -> Span:
        return spanning(*self.places[key])

    def __iter__(self) -> Any:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def spanning(start: Any, end: Any) -> Span:
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its root node, its text by lines, and the path it is shown under."""

    path: str
    root: Node
    lines: tuple[str, ...]
    findings: tuple[Diagnostic, ...] = ()
    """What reading alone shows to be wrong although YAML allows it, such as a `#` that cuts a text. One that is an error
    means that the file must not be used."""


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(path: str | Path, shown: str | None = None, suffixes: tuple[str, ...] | None = FLOW_SUFFIXES) -> Document:
    """Open one YAML file safely and parse it; `shown` is how messages name it. Raise Problems."""
    shown = str(path) if shown is None else shown
    return parse(open_bytes(path, MAX_BYTES, suffixes, shown), shown)


def open_bytes(path: str | Path, limit: int, suffixes: tuple[str, ...] | None, shown: str | None = None) -> bytes:
    """All bytes of a regular file; raise Problems for anything else, for more than `limit` bytes, and for a real name that
    ends in none of `suffixes` (None allows any). Never blocks, and shows nothing of a file that it refuses."""
    shown = str(path) if shown is None else shown

    def refuse(message: str, hint: str | None = None) -> NoReturn:
        raise Problems([Diagnostic("unreadable-file", message, shown, hint=hint)])

    try:
        real = os.path.realpath(path, strict=True)
        if (kind := kind_of(os.stat(real).st_mode)) is not None:  # noqa: PTH116  we have no Path of it, and need none
            refuse(*kind)
        if suffixes is not None and not real.lower().endswith(suffixes):
            refuse(
                _("the file's real name ends in none of {suffixes}").format(
                    suffixes=", ".join(f"`{name}`" for name in suffixes)
                ),
                _("rename it, or name another file"),
            )
        # The kind is asked again of what was opened: a path may be replaced at any moment.
        descriptor = os.open(real, os.O_RDONLY | FLAGS)
        try:
            if (kind := kind_of(os.fstat(descriptor).st_mode)) is not None:
                refuse(*kind)
            data = bytearray()
            while len(data) <= limit and (piece := os.read(descriptor, PIECE)):
                data += piece
        finally:
            os.close(descriptor)
    except OSError as error:
        refuse(*trouble(error))
    except ValueError:
        refuse(_("no file can have this name"))
    if len(data) > limit:
        message = _("the file is larger than {limit} KiB").format(limit=limit // 1024)
        raise Problems([Diagnostic("too-large", message, shown, hint=_("split it into several files"))])
    return bytes(data)


def kind_of(mode: int) -> tuple[str, str] | None:
    """What a path is and what to do, when it is not a regular file."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return _("this is a folder, not a file"), _("name a file in it")
    if stat.S_ISFIFO(mode):
        return _("this is a pipe, not a file"), _("save its content to a file first")
    return _("this is a device or a socket, not a file"), _("name a regular file")


def trouble(error: OSError) -> tuple[str, str | None]:
    """What the operating system refused, in words, and what to do."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return _("there is no such file"), _("check the spelling of the path")
    if error.errno in (errno.EACCES, errno.EPERM):
        return _("no permission to read this file"), _("change its permissions, or run as a user who may read it")
    if error.errno == errno.ELOOP:
        return _("the links lead round in a circle"), _("make the link point to a file")
    if error.errno == errno.ENAMETOOLONG:
        return _("this name is too long for a file"), None
    return _("the file cannot be read: {reason}").format(reason=error.strerror or type(error).__name__), None


# ── bytes to text ────────────────────────────────────────────────────────────────────────────────────────────────────


def decode(data: bytes, path: str) -> str:
    """The text of a UTF-8 file, without a byte order mark; raise Problems that name the line for anything else."""
    if other := other_encoding(data):
        message = _("the file is written in {encoding}, not in UTF-8").format(encoding=other)
        raise Problems([Diagnostic("not-utf-8", message, path, hint=_("save it with the encoding UTF-8"))])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the byte order mark.
        before = error.object[: error.start].decode("utf-8", "replace")
        lines = split(error.object.decode("utf-8", "replace"))
        line, column = position(before, len(before))
        raise Problems(
            [
                Diagnostic(
                    "not-utf-8",
                    _("the byte {byte} is not UTF-8").format(byte=f"0x{error.object[error.start]:02X}"),
                    path,
                    Span(line, column, line, column + 1),
                    hint=_("save the file with the encoding UTF-8; now it may be Shift_JIS, GBK or Windows-1252"),
                )
            ],
            lines,
        ) from None
    if UNWELCOME.search(text):
        raise Problems(
            [unwelcome(found, text, path) for found in islice(UNWELCOME.finditer(text), 20)],
            split(text),
        )
    return text


def other_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, told by its mark or by the zero bytes that Latin letters have there."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")) or re.match(rb"[^\0]\0\0\0|\0\0\0[^\0]", data):
        return "UTF-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or re.match(rb"[^\0]\0[^\0]\0|\0[^\0]\0[^\0]", data):
        return "UTF-16"
    return None


def unwelcome(found: re.Match[str], text: str, path: str) -> Diagnostic:
    line, column = position(text, found.start())
    first = found[0][0]
    name = f"U+{ord(first):04X}"
    if first in "\x85\u2028\u2029":
        message = _("a hidden line break {name} stands here").format(name=name)
        hint = _("delete it, or begin a new line")
    else:
        message = _("an invisible control character {name} stands here").format(name=name)
        hint = _('delete it; if a text needs it, write `"\\u{number}"` in double quotes').format(number=f"{ord(first):04x}")
    return Diagnostic("control-character", message, path, Span(line, column, line, column + len(found[0])), hint=hint)


def split(text: str) -> tuple[str, ...]:
    return tuple(LINE_BREAK.split(text))


def position(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    lines = LINE_BREAK.split(text[:index])
    return len(lines), len(lines[-1]) + 1


# ── text to nodes ────────────────────────────────────────────────────────────────────────────────────────────────────


def parse(data: bytes, path: str) -> Document:
    """Read one YAML document; raise Problems for what makes it unreadable, and leave the rest in `Document.findings`."""
    if len(data) > MAX_BYTES:
        message = _("the file is larger than {limit} KiB").format(limit=MAX_BYTES // 1024)
        raise Problems([Diagnostic("too-large", message, path, hint=_("split it into several files"))])
    text = decode(data, path)
    if not yaml.__with_libyaml__:
        raise Problems(
            [
                Diagnostic(
                    "no-libyaml",
                    _("this Python's PyYAML was built without libyaml"),
                    path,
                    hint="pip install --force-reinstall pyyaml",
                )
            ]
        )
    # Nothing in a document points back to what holds it; looking for such circles takes half the time of a large file.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return understand(text, path)
    finally:
        if collecting:
            gc.enable()


def understand(text: str, path: str) -> Document:
    """The document of a text; raise Problems where libyaml stops or a limit is passed."""
    builder = Builder(text, path)
    try:
        root = builder.build()
    except yaml.MarkedYAMLError as error:
        from runner.mistakes import explain_failure

        lines = split(text)
        raise Problems([explain_failure(error, lines, path)], lines) from None
    lines = split(text)
    findings = builder.findings
    if TRAPS.search(text):
        from runner.mistakes import find_traps

        findings = [*findings, *islice(find_traps(root, text, lines, path), MAX_FINDINGS)]
    findings.sort(key=lambda found: found.span or Span(0, 0, 0, 0))
    return Document(path, root, lines, tuple(findings))


# One look at the whole text tells whether any of the traps of `mistakes` can be in it.
TRAPS: Final = re.compile(
    r"[ \t]#[^\s#]"
    r"|\w:[^\s/]"
    r"|[：\u3000\u00a0“”‘’„＂]"
    r"|\{\{"
    r"|[|>][0-9]"
    r"|matches: *\["
    r"|\\[abeLNPv_]"
    r"|^ *(?:- +)*[-－–—•・−‐][^\s-]"
    r"|^ *[－–—•・−‐]"
    r"|^(?P<indent> *)- [^\s:]+:[ \t]*\r?\n(?P=indent)  [^\s-]",
    re.MULTILINE,
)

UNSET: Final[Any] = object()
"""In place of a key: the next value is one."""
DROPPED: Final[Any] = object()
"""In place of a key that was refused: its value is read and left out."""


def events(text: str) -> Callable[[], Any]:
    """libyaml's next event on each call, then None; it raises yaml.MarkedYAMLError."""
    from yaml._yaml import CParser

    return CParser(text).get_event


class Builder:
    """One pass over libyaml's events, with a stack of its own."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.findings: list[Diagnostic] = []
        self.anchors: dict[str, Node] = {}
        self.unused: dict[str, tuple[Node, str]] = {}
        self.open: set[int] = set()
        self.expanded = 0
        self.sizes: dict[int, tuple[int, int]] = {}

    def build(self) -> Node:
        """The root node; raise yaml.MarkedYAMLError for what is not YAML and Problems for what is beyond the profile."""
        next_event = events(self.text)
        root: Node | None = None
        node: Node
        stack: list[tuple[Any, Any]] = []
        parent: Any = None
        into: Any = None
        """The list or dict that is being filled."""
        key: Any = None
        """Its next key; None in a list and at the root."""
        count = 0
        documents = 0
        while (event := next_event()) is not None:
            kind = event.__class__
            if kind is yaml.ScalarEvent:
                value = event.value
                if key is UNSET:
                    key = self.enter_key(event, value, into, parent)
                    continue
                style = event.style or ""
                start = event.start_mark
                if style:
                    node = Node(value, value, style, start, event.end_mark)
                else:
                    # A word of one line ends where its letters do; marks are the larger part of a large document.
                    end = event.end_mark if " " in value or "\n" in value else None
                    special = (not value or value[0] in NOT_TEXT) and event.tag is None
                    node = Node(resolve(value) if special else value, value, "", start, end)
                count += 1
                if event.anchor is not None or event.tag is not None:
                    self.enter_properties(event, node)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if len(stack) >= MAX_DEPTH:
                    raise self.refusal(
                        "too-deep", _("more than {limit} levels deep").format(limit=MAX_DEPTH), event, _("use fewer levels")
                    )
                count += 1
                flow = event.flow_style
                stack.append((parent, key))
                if kind is yaml.MappingStartEvent:
                    into, key = {}, UNSET
                    parent = Node(into, "", "{" if flow else "", event.start_mark, None, {})
                else:
                    into, key = [], None
                    parent = Node(into, "", "[" if flow else "", event.start_mark, None)
                if event.anchor is not None or event.tag is not None:
                    self.enter_properties(event, parent)
                    self.open.add(id(parent))
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                node = parent
                # libyaml ends a block where the next thing begins; people see it end with its last value.
                if node.style or not into:
                    node.known_end = event.end_mark
                self.open.discard(id(node))
                parent, key = stack.pop()
                into = None if parent is None else parent.value
                if key is UNSET:
                    self.refuse_key(node)
                    key = DROPPED
                    continue
            elif kind is yaml.AliasEvent:
                if key is UNSET:
                    self.enter_alias(event, count, len(stack))
                    self.refuse_key(Node(None, "", "", event.start_mark, event.end_mark))
                    key = DROPPED
                    continue
                node = self.enter_alias(event, count, len(stack))
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self.refusal(
                        "several-documents",
                        _("a second document begins here"),
                        event,
                        _("delete the `---`, or put the rest in a file of its own"),
                    )
                continue
            else:
                continue

            if parent is None:
                root = node
            elif key is None:
                into.append(node)
            else:
                if key is not DROPPED:
                    into[key] = node
                key = UNSET

        if root is None or (root.value is None and not root.spelling):
            raise Problems(
                [Diagnostic("empty-file", _("the file is empty"), self.path, hint=_("`runflow init` writes one to begin with"))]
            )
        for name, (unused, written) in self.unused.items():
            self.find_unused(name, unused, written)
        return root

    def enter_key(self, event: yaml.ScalarEvent, key: str, into: dict[str, Node], parent: Node) -> Any:
        """The key, or DROPPED with a finding."""
        if event.anchor is not None or event.tag is not None:
            self.enter_properties(event, Node(key, key, event.style or "", event.start_mark, event.end_mark))
        if not event.style:
            if key == "<<":
                self.find("merge-key", _("`<<` does not merge here"), event, _("write the keys out"))
                return DROPPED
            if not key:
                self.find("key-not-text", _("the name before `:` is missing"), event, _("write it, like `user: …`"))
                return DROPPED
        if key in parent.places:
            self.find(
                "duplicate-key",
                _("the key `{key}` is written twice").format(key=key),
                event,
                _("keep one of the two"),
                (Related(parent.keys[key], _("first written here")),),
            )
            return DROPPED
        parent.places[key] = event.start_mark, event.end_mark  # an event itself takes three times the memory
        return key

    def refuse_key(self, node: Node) -> None:
        from runner.mistakes import LONGEST, TEMPLATE, dollar_braces, write

        line = self.line_at(node.start)
        if len(line) <= LONGEST and (braces := TEMPLATE.match(line, max(node.start.column - 1, 0))):
            span = Span(node.line, braces.start() + 1, node.line, braces.end() + 1)
            message = _("a variable is not written `{written}`").format(written=braces[0])
            self.find_at("template-braces", message, span, write(dollar_braces(line)))
            return
        self.find_at(
            "key-not-text", _("a key must be a text"), node.span, _("write a word before the `:`, or put the text in quotes")
        )

    def enter_properties(self, event: Any, node: Node) -> None:
        """Keep an anchored node, refuse a tag."""
        if event.anchor is not None:
            self.anchors[event.anchor] = node
            self.unused[event.anchor] = (node, event.value if isinstance(event, yaml.ScalarEvent) else "")
        if event.tag is not None and not (event.tag == TAG_OF_TEXT and isinstance(event, yaml.ScalarEvent)):
            from runner.mistakes import write_quoted

            mark = event.start_mark
            line = self.line_at(mark)
            tag = re.compile(r"(?:&\S+\s+)?(!\S*)").match(line, mark.column)
            begin, end = tag.span(1) if tag else (mark.column, mark.column + 1)
            written = tag[1] if tag else event.tag
            hint = _("delete it")
            if isinstance(event, yaml.ScalarEvent):
                hint = _("delete it; for a text that begins with `!`, {write}").format(write=write_quoted(line, begin))
            message = _("tags such as `{tag}` are not used here").format(tag=short(written))
            self.find_at("tag", message, Span(mark.line + 1, begin + 1, mark.line + 1, end + 1), hint)

    def enter_alias(self, event: Any, count: int, depth: int) -> Node:
        """The node an alias stands for; raise Problems when it would make the file too large or too deep."""
        name = event.anchor
        written = f"*{short(name)}"
        node = self.anchors.get(name)
        self.unused.pop(name, None)
        if node is None or id(node) in self.open:
            from runner.mistakes import write_quoted

            hint = write_quoted(self.line_at(event.start_mark), event.start_mark.column)
            if node is None:
                message = _("`{alias}` repeats a value marked `{anchor}`, and there is none").format(
                    alias=written, anchor=f"&{name}"
                )
                self.find("unknown-alias", message, event, hint)
            else:
                message = _("`{alias}` stands inside the value that it repeats").format(alias=written)
                self.find("cyclic-alias", message, event, _("write the value out"))
            return Node(written, written, "'", event.start_mark, event.end_mark)
        size, height = self.measure(node)
        self.expanded += size
        if self.expanded + count > MAX_EXPANSION:
            message = _("the aliases repeat more than {limit} values").format(limit=f"{MAX_EXPANSION:,}")
            raise self.refusal("too-many-aliases", message, event, _("write the values out, or repeat less"))
        if depth + height > MAX_DEPTH:
            raise self.refusal(
                "too-deep", _("more than {limit} levels deep").format(limit=MAX_DEPTH), event, _("use fewer levels")
            )
        return node

    def measure(self, node: Node) -> tuple[int, int]:
        """How many values a node has when its aliases are written out, and how many levels."""
        sizes = self.sizes
        waiting = [node]
        while waiting:
            here = waiting[-1]
            inner = members(here)
            if missing := [child for child in inner if id(child) not in sizes]:
                waiting += missing
                continue
            waiting.pop()
            measured = [sizes[id(child)] for child in inner]
            height = 1 + max((levels for _, levels in measured), default=0) if isinstance(here.value, (list, dict)) else 0
            sizes[id(here)] = (1 + sum(size for size, _ in measured), height)
        return sizes[id(node)]

    def find_unused(self, name: str, node: Node, written: str) -> None:
        """An anchor that nothing repeats was a text that begins with `&`, or is left over."""
        line = self.line_at(node.start)
        begin = node.start.column
        if not line.startswith(f"&{name}", begin):
            return
        span = Span(node.line, begin + 1, node.line, begin + 2 + len(name))
        message = _("`{anchor}` marks a value for `{alias}`, which nowhere follows, and is not part of the text").format(
            anchor=f"&{short(name)}", alias=f"*{short(name)}"
        )
        if isinstance(node.value, str) and not node.style:
            from runner.mistakes import write_quoted

            hint = write_quoted(line, begin)
            self.find_at("needs-quotes", message, span, hint)

    def line_at(self, mark: Any) -> str:
        # libyaml may see an empty value begin behind the last line.
        return self.lines[mark.line] if mark.line < len(self.lines) else ""

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return split(self.text)

    def find(self, code: str, message: str, event: Any, hint: str, related: tuple[Related, ...] = ()) -> None:
        self.find_at(code, message, spanning(event.start_mark, event.end_mark), hint, related)

    def find_at(self, code: str, message: str, span: Span, hint: str, related: tuple[Related, ...] = ()) -> None:
        self.findings.append(Diagnostic(code, message, self.path, span, hint=hint, related=related))
        if len(self.findings) == MAX_FINDINGS:
            raise Problems(self.findings, self.lines)

    def refusal(self, code: str, message: str, event: Any, hint: str) -> Problems:
        found = Diagnostic(code, message, self.path, spanning(event.start_mark, event.end_mark), hint=hint)
        return Problems([found], split(self.text))


def short(name: str) -> str:
    """A name as a message can hold it."""
    return name if len(name) <= 60 else name[:60] + "…"


def members(node: Node) -> Sequence[Node]:
    match node.value:
        case list(items):
            return items
        case dict(items):
            return tuple(items.values())
        case _:
            return ()


def resolve(plain: str) -> bool | int | float | str | None:
    """What a plain scalar means in YAML 1.2: a word, a number, else the text itself."""
    if plain in WORDS:
        return WORDS[plain]
    number = NUMBER.fullmatch(plain)
    if number is None:
        return plain
    if not number["rest"]:
        return int(plain)
    value = float(plain)
    return plain if value in (INFINITY, -INFINITY) else value
