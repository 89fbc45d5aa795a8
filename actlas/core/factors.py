"""Factors: several label sets of the same rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from .errors import LabelError
from .labels import Labels


@final
@dataclass(frozen=True, eq=False)
class Factors:
    """Several label sets of the same rows, in the same groups; no two of one name."""

    sets: tuple[Labels, ...]

    @classmethod
    def of(cls, *sets: Labels) -> "Factors":
        """Put label sets together.

        Raises LabelError where there is none, where two have one name, or where rows or groups
        are not the same.
        """
        if not sets:
            raise LabelError("factors are one label set or more; give Labels.of(…, name=…)")
        names = [labels.name for labels in sets]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise LabelError(f"two factors are called {twice!r}; name each once, or give each its "
                             f"name: Labels.of(…, name=…)")  # fmt: skip
        for labels in sets[1:]:
            if not np.array_equal(labels.groups, sets[0].groups):
                raise LabelError(
                    f"factors have the same rows in the same groups; those of {labels.name!r} are "
                    f"not those of {names[0]!r}: give all the same groups"
                )
        return cls(tuple(sets))

    def __len__(self) -> int:
        return len(self.sets[0])

    def __iter__(self) -> Iterator[Labels]:
        return iter(self.sets)

    def __getitem__(self, name: str) -> Labels:
        """Return a label set by its name; LabelError where there is none."""
        for labels in self.sets:
            if labels.name == name:
                return labels
        raise LabelError(f"no factor {name!r}; there is {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors, in order."""
        return tuple(labels.name for labels in self.sets)

    @property
    def groups(self) -> NDArray[np.int64]:
        """(rows,) rows with the same number belong together, and must not be split."""
        return self.sets[0].groups

    def take(self, rows: NDArray[Any]) -> "Factors":
        """Return the labels of some rows; names that no longer occur are dropped."""
        return Factors(tuple(labels.take(rows) for labels in self.sets))
