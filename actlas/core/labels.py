"""Labels: one label a row, with names and groups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from .errors import LabelError


@final
@dataclass(frozen=True, eq=False)
class Labels:
    """One label a row.

    codes: (rows,) index into `names`; -1 where a row has no label.
    names: the label names, sorted.
    groups: (rows,) rows with the same number belong together (the same sentence, the same
        word) and must not be split between training and test.
    """

    codes: NDArray[np.int64]
    names: tuple[str, ...]
    groups: NDArray[np.int64]
    name: str = "labels"

    @classmethod
    def of(
        cls,
        values: Iterable[Any],
        *,
        groups: Sequence[Any] | NDArray[Any] | None = None,
        name: str = "labels",
    ) -> "Labels":
        """Make labels from a sequence of names, numbers or booleans; None and NaN mean missing.

        Integer labels sort as numbers, all others as text. Raises LabelError where `groups`
        has another length.
        """
        given = [None if v is None or v != v else v for v in values]
        kinds = {v for v in given if v is not None}
        numeric = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in kinds)
        ordered = sorted(kinds) if numeric else sorted({str(v) for v in kinds})
        names = tuple(str(v) for v in ordered)
        code = {n: i for i, n in enumerate(names)}
        codes = np.array([-1 if v is None else code[str(v)] for v in given], np.int64)
        return cls(codes, names, _group_numbers(groups, len(codes)), name)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Mask (rows,) of the rows that have a label."""
        return np.asarray(self.codes >= 0)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(names,) number of rows of each label."""
        return np.bincount(self.codes[self.known], minlength=len(self.names))

    def take(self, rows: NDArray[Any]) -> "Labels":
        """Return the labels of some rows; names that no longer occur are dropped."""
        codes = self.codes[rows]
        used = np.unique(codes[codes >= 0])
        lookup = np.full(len(self.names) + 1, -1)
        lookup[used] = np.arange(len(used))
        names = tuple(self.names[i] for i in used)
        return replace(self, codes=lookup[codes], names=names, groups=self.groups[rows])

    def values(self) -> list[str | None]:
        """Return the label of each row by name."""
        return [self.names[c] if c >= 0 else None for c in self.codes]

    def numbers(self) -> NDArray[np.float64] | None:
        """Return the labels (rows,) as numbers, NaN for none; None where one is no number."""
        try:
            of_name = np.array([float(name) for name in self.names] + [np.nan])
        except ValueError:
            return None
        return of_name[self.codes] if np.isfinite(of_name[:-1]).all() else None


def _group_numbers(groups: Sequence[Any] | NDArray[Any] | None, n: int) -> NDArray[np.int64]:
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise LabelError(f"{n} labels but groups for {len(groups)} rows")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
