"""What is wrong with flow files, in the form of a GitLab code quality report."""

import json
from collections.abc import Mapping, Sequence

from runner.clean import visible
from runner.diagnostics import Diagnostic, Severity
from runner.ndjson import dumps
from runner.reporters.github import place_in

__all__ = ["Quality"]

SEVERITIES = {Severity.ERROR: "major", Severity.WARNING: "minor"}


class Quality:
    """Collects diagnostics as code quality issues; `root` is the top of the checkout, as CI_PROJECT_DIR says."""

    def __init__(self, root: str | None) -> None:
        self.root = root
        self.issues: list[Mapping[str, object]] = []
        self.seen: dict[str, int] = {}

    def add(self, wrong: Diagnostic, lines: Sequence[str]) -> None:
        """One more; `lines` are those of its file, as far as it could be read."""
        path = place_in(self.root, wrong.path)
        line = wrong.span.line if wrong.span else 1
        text = lines[line - 1].strip() if wrong.span and line <= len(lines) else ""
        self.issues.append(
            {
                "description": visible(wrong.message + (f"; {wrong.hint}" if wrong.hint else "")),
                "check_name": f"runflow/{wrong.code}",
                "fingerprint": self.fingerprint(path, wrong.code, text),
                "severity": SEVERITIES[wrong.severity],
                "location": {"path": path, "lines": {"begin": line}},
            }
        )

    def fingerprint(self, *of: str) -> str:
        """Stays the same while the line does, wherever it moves and in whatever language it is complained about; equal ones
        are numbered, for GitLab shows one of each."""
        from hashlib import sha256

        key = json.dumps(of)
        self.seen[key] = number = self.seen.get(key, 0) + 1
        return sha256(f"{key} {number}".encode()).hexdigest()

    def text(self) -> str:
        return dumps(self.issues, indent=2) + "\n"
