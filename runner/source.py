"""Turn the bytes of a YAML file into a Document: values, and where each was written."""

from dataclasses import dataclass

from runner.diagnostics import Diagnostic, Span

__all__ = ["Document", "Node", "read"]


class Node:
    """One value of a file and where it stands.

    `value` is None, bool, int, float or str for a scalar, a list of nodes, or a dict from key to node. `keys` holds the span
    of each key of a mapping. `spelling` is the source text of a plain scalar that is not a text (`1.10`), so that a text key
    can keep it; for any text it equals `value`. `style` is libyaml's: "" plain, "'", '"', "|", ">".
    """

    __slots__ = ("column", "end_column", "end_line", "keys", "line", "spelling", "style", "value")

    value: "bool | int | float | str | list[Node] | dict[str, Node] | None"
    spelling: str
    style: str
    keys: dict[str, Span]
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def span(self) -> Span:
        return Span(self.line, self.column, self.end_line, self.end_column)

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


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its root node, its text by lines, and the path it is shown under."""

    path: str
    root: Node
    lines: tuple[str, ...]
    findings: tuple[Diagnostic, ...] = ()
    """What reading alone shows to be wrong although YAML allows it, such as a `#` that cuts a text."""


def read(path: str) -> Document:
    """Read one YAML file under the profile of LANGUAGE.md; raise Problems with every finding."""
    raise NotImplementedError
