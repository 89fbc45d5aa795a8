"""Item intrusion: are the top items of an axis closer to each other than to an intruder?

DistRatio of Sun, Guo, Lan, Xu & Cheng (2016), as Yamagiwa, Oyama & Shimodaira (2023) use it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlas import Activations

from .items import Items, column_blocks
from .project import Axes

INTRUDERS_FROM = 10  # intruders are in the first tenth of some axis


@dataclass(frozen=True)
class Intrusion:
    """DistRatio of every axis, and the mean distances it is made of; NaN where there is none.

    top: (axes, kept) rows of the top items, the highest first. Distances are those of the
    rows as they were stored.
    """

    ratio: NDArray[np.float64]
    intra: NDArray[np.float64]
    inter: NDArray[np.float64]
    top: NDArray[np.int64]


class _Places:
    """Top rows of axes, which rows are in the lower half of each, and which may be intruders.

    low: of each axis ⌈rows / 8⌉ bytes of bits. candidate: (rows,) in the first tenth of an axis.
    """

    def __init__(self, items: Items, kept: int):
        self._items, self._kept = items, kept
        self.top: list[NDArray[np.int64]] = []
        self.low: list[NDArray[np.uint8]] = []
        self.candidate = np.zeros(len(items.codes), bool)

    def add(self, columns: NDArray[np.float32]) -> None:
        """Take in axes (some, rows)."""
        self.top += list(self._items.first_rows(columns, self._kept))
        for column in columns:
            tenth, half = thresholds(column)
            self.candidate |= column > tenth
            self.low.append(np.packbits(column <= half))

    def drawn(self, axis: int, top: int, intruders: int, seed: int) -> NDArray[np.int64]:
        """Draw intruders (intruders,) for an axis; none where no row can be one."""
        low = np.unpackbits(self.low[axis], count=len(self.candidate)).view(bool)
        candidates = np.flatnonzero(low & self.candidate)
        codes = self._items.codes
        tops = self.top[axis][:top]
        candidates = candidates[~np.isin(codes[candidates], codes[tops])]
        if not len(candidates):
            return candidates
        # By the top rows and not by the axis's number: any order of the axes gives the same.
        rng = np.random.default_rng([seed, *tops.tolist()])
        return rng.choice(candidates, intruders)


def intrusion(
    acts: Activations,
    axes: Axes,
    items: Items,
    lengths: NDArray[np.float32],
    *,
    top: int,
    intruders: int,
    seed: int,
    turn: bool,
    kept: int = 0,
) -> tuple[Intrusion, Intrusion]:
    """Measure DistRatio of every axis, with items ranked by s / length, and by s.

    lengths: (rows,) of the rows in these axes.
    turn: make the skewness of s positive first, on every axis.
    kept: how many top rows to give, if more than `top`.
    """
    shares, plain = (_Places(items, max(top, kept)) for _ in range(2))
    for columns in column_blocks(acts, axes):
        if turn:
            _turn(columns)
        plain.add(columns)
        columns /= lengths
        shares.add(columns)
    by_share, by_value = (_measured(acts, found, top, intruders, seed) for found in (shares, plain))
    return by_share, by_value


def _turn(columns: NDArray[np.float32]) -> None:
    for column in columns:
        centred = column.astype(np.float64)
        centred -= centred.mean()
        if (centred * centred * centred).sum() < 0:
            np.negative(column, out=column)


def _measured(acts: Activations, places: _Places, top: int, intruders: int, seed: int) -> Intrusion:
    """Mean distance between the top rows of every axis, and of them to intruders."""
    k = len(places.top)
    intra, inter = np.empty(k), np.full(k, np.nan)
    for a in range(k):
        drawn = places.drawn(a, top, intruders, seed)
        X = acts[np.concatenate([places.top[a][:top], drawn])].astype(np.float64)
        T, B = X[:top], X[top:]
        intra[a] = np.linalg.norm(T[:, None] - T[None], axis=2).sum() / (top * (top - 1))
        if len(B):
            inter[a] = np.linalg.norm(T[:, None] - B[None], axis=2).mean()
    ratio = np.divide(inter, intra, out=np.full(k, np.nan), where=intra > 0)
    return Intrusion(ratio, intra, inter, np.stack(places.top))


def thresholds(column: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """Return the value that the first tenth lies above, and that which the lower half does not.

    Rows of equal values share the last of their places, so a value that most rows have (0, of a
    dimension that seldom fires) is never in the first tenth and always in the lower half.
    """
    n = len(column)
    tenth, half = -(-n // INTRUDERS_FROM), -(-n // 2)  # places from the top, from 0
    at = (n - 1 - min(tenth, n - 1), n - 1 - min(half, n - 1))
    parted = np.partition(column, at)
    return parted[at[0]], parted[at[1]]
