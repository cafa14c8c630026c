"""Find checks, targets and reporters by name, whether built in or plugged in: both come through the same door."""

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from runner.model import Check

__all__ = ["Registry", "check", "checks", "reporter", "reporters", "target", "targets"]

Kind = TypeVar("Kind")


class Registry(Mapping[str, type[Kind]], Generic[Kind]):
    """Names to classes. The first look-up imports every module of `package` and every entry point of `group`."""

    def __init__(self, package: str, group: str) -> None:
        self.package = package
        self.group = group
        self.kinds: dict[str, type[Kind]] = {}
        self.filled = False

    def register(self, name: str) -> Callable[[type[Kind]], type[Kind]]:
        """A class decorator that gives the class its `name`; raise ValueError when the name is taken by another class."""

        def enter(kind: type[Kind]) -> type[Kind]:
            if name in self.kinds and self.kinds[name].__qualname__ != kind.__qualname__:
                raise ValueError(f"two {self.group} named {name!r}: {self.kinds[name]!r} and {kind!r}")
            kind.name = name  # type: ignore[attr-defined]
            self.kinds[name] = kind
            return kind

        return enter

    def fill(self) -> dict[str, type[Kind]]:
        if not self.filled:
            self.filled = True
            package = import_module(self.package)
            for module in iter_modules(package.__path__):
                import_module(f"{self.package}.{module.name}")
            if plugged_in(self.group):
                from importlib import metadata

                for entry in metadata.entry_points(group=self.group):
                    entry.load()
        return self.kinds

    def __getitem__(self, name: str) -> type[Kind]:
        return self.fill()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fill())

    def __len__(self) -> int:
        return len(self.fill())


def plugged_in(group: str) -> bool:
    """Whether an installed package has entry points of `group`.

    importlib.metadata knows, but importing it takes a third of the time that `runflow validate` needs for one file; reading
    the few files it would read takes two milliseconds.
    """
    wanted = f"[{group}]"
    return any(
        wanted in declared.read_text(encoding="utf-8", errors="replace")
        for folder in sys.path
        for kind in ("dist-info", "egg-info")
        for declared in Path(folder or ".").glob(f"*.{kind}/entry_points.txt")
    )


checks: Registry[Check] = Registry("runner.checks", "runflow.checks")
targets: Registry[Any] = Registry("runner.targets", "runflow.targets")
reporters: Registry[Any] = Registry("runner.reporters", "runflow.reporters")

check = checks.register
target = targets.register
reporter = reporters.register
