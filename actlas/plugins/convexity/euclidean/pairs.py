"""Unordered pairs of rows between which segments are drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of one class.

    first, second: (pairs,) places of the rows. possible: how many there are between rows that a
    segment can join; all: between rows of the class.
    """

    first: Integers
    second: Integers
    possible: int
    all: int

    def __len__(self) -> int:
        return len(self.first)


def draw(members: Integers, spaces: Integers, limit: int, chance: np.random.Generator) -> Pairs:
    """Draw at most `limit` (0: all) pairs of members without replacement.

    spaces: (rows,) the space that each row's points lie in; only rows of one space are joined.
    """
    every = len(members) * (len(members) - 1) // 2
    order = members[np.argsort(spaces[members], kind="stable")]
    apart = np.split(order, np.flatnonzero(np.diff(spaces[order])) + 1)
    sizes = np.array([len(part) * (len(part) - 1) // 2 for part in apart])
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    if limit and total > limit:
        numbers = np.sort(chance.choice(total, limit, replace=False, shuffle=False))
    else:
        numbers = np.arange(total)
    part = np.searchsorted(ends, numbers, side="right")
    i, j = _unranked(numbers - (ends - sizes)[part])
    starts = np.cumsum([0, *map(len, apart[:-1])])[part]
    return Pairs(order[starts + i], order[starts + j], total, every)


def _unranked(number: Integers) -> tuple[Integers, Integers]:
    """Return the pair i < j of each number j (j − 1) / 2 + i."""
    j = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > number  # what the root was rounded to
    j += j * (j + 1) // 2 <= number
    return number - j * (j - 1) // 2, j
