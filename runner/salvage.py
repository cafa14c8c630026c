"""Take out of a document what the reader refuses, so that the rest of it can be linted all the same."""

from typing import Any

from runner.build import Building, Reference, build
from runner.diagnostics import Diagnostic
from runner.model import Flow
from runner.registry import checks
from runner.source import Node
from runner.validate import accepted, annotations, item_of, reader_of
from runner.words import nearest

__all__ = ["Salvage"]

DEPENDS: dict[str, frozenset[str]] = {
    "all-skipped": frozenset({"steps", "skip"}),
    "duplicate-step-name": frozenset({"steps"}),
    "missing-column": frozenset({"cases", "variables"}),
    "missing-model": frozenset({"model"}),
    "no-check": frozenset({"expect", "steps"}),
    "no-user-message": frozenset({"user", "steps", "thread", "messages"}),
    "sample-arguments": frozenset({"calls"}),
    "tool-not-offered": frozenset({"tools"}),
    "unanswered-function": frozenset({"tools"}),
    "undefined-variable": frozenset({"variables", "cases", "save", "steps"}),
    "unused-column": frozenset({"cases"}),
    "useless-continue": frozenset({"steps"}),
}
"""The findings that say that something is absent, and the keys under which it may have stood."""


class Salvage:
    """What is left of a document: a root that the reader accepts, its flow, and the keys from which something was taken."""

    def __init__(self, root: Node) -> None:
        self.lost: set[str] = set()
        self.building = Building(verdicts={})
        self.root = self.kept(root, Flow, "")
        self.flow: Flow | None = None
        self.references: tuple[Reference, ...] = ()
        if self.root is not None:
            self.flow, self.references = build(self.root)

    def trusts(self, finding: Diagnostic) -> bool:
        """Whether a finding in what is left holds for the whole document."""
        return not self.lost & DEPENDS.get(finding.code, frozenset())

    def kept(self, node: Node, annotation: Any, key: str) -> Node | None:
        """The node without what is refused in it, None when nothing is left that the reader accepts."""
        read = reader_of(annotation)
        if accepted(node, read, self.building):
            return node
        smaller = self.smaller(node, annotation, key)
        if smaller is not None and accepted(smaller, read, self.building):
            return smaller
        self.lost.add(key)
        return None

    def smaller(self, node: Node, annotation: Any, key: str) -> Node | None:
        if isinstance(node.value, list):
            item = item_of(annotation)
            items = [self.kept(each, item, key) for each in node.value] if item else []
            return node.holding([each for each in items if each is not None and each.value != {}])
        if not isinstance(node.value, dict):
            return None
        known = annotations(node.value, annotation)
        left: dict[str, Node] = {}
        for name, child in node.value.items():
            if name not in known:
                self.lost.add("expect" if name in checks else nearest(name, known) or key)
            elif (kept := self.kept(child, known[name], name)) is not None:
                left[name] = kept
        return node.holding(left)
