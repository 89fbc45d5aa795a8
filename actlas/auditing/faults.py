"""What is wrong in an audit file, each with its line and key, all told at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core import InputError
from .positions import Place


class AuditError(InputError):
    """An audit file is wrong; `faults` are lines FILE:LINE: key: what is wrong, what is right."""

    def __init__(self, faults: Sequence[str]):
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass
class Faults:
    """Gathers what is wrong; a place that has no line of its own has that of its table."""

    path: Path
    lines: Mapping[Place, int]
    found: list[tuple[int, str]] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """Return the line of a key, of its table where it is not there, else of the end."""
        for stop in range(len(place), 0, -1):
            if place[:stop] in self.lines:
                return self.lines[place[:stop]]
        return max(self.lines.values(), default=1)

    def add(self, place: Place, said: str) -> None:
        """Say what is wrong at a place."""
        line, key = self.line(place), ".".join(name for name in place if isinstance(name, str))
        self.found.append((line, f"{self.path}:{line}: {key}: {said}"))

    def settle(self) -> None:
        """Raise AuditError where anything was wrong, in the order of the file."""
        if self.found:
            raise AuditError([said for _, said in sorted(self.found, key=lambda one: one[0])])
