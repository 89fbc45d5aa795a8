"""The k highest and lowest rows of every unit, kept while a matrix goes by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

TOP_K = 64
BLOCK = 16  # rows whose extremes are compared first
ENTRY = np.dtype([("value", "<f4"), ("row", "<u4")])


class TopKeeper:
    """Keeps the k highest and the k lowest rows of every unit (column), equal ones by row.

    Most blocks of rows hold nothing that belongs there, and their extremes show it: of the
    numbers themselves only a few are looked at. NaN is passed over, and so is the infinity that
    could only come last.
    """

    def __init__(self, width: int, k: int = TOP_K):
        self.rows = 0
        self.high, self.low = _Side(width, k), _Side(width, k)

    def update(self, matrix: "Tensor", *, finite: bool = False) -> None:
        """Take in the next rows (n, width); `finite` where it is known that they are."""
        import torch

        if finite or not bool((missing := torch.isnan(matrix)).any()):
            self._update(matrix, matrix)
        else:
            least = matrix.masked_fill(missing, torch.inf)
            self._update(matrix.masked_fill(missing, -torch.inf), least)

    def _update(self, matrix: "Tensor", other: "Tensor") -> None:
        whole = len(matrix) // BLOCK * BLOCK
        for start, stop, size in ((0, whole, BLOCK), (whole, len(matrix), len(matrix) - whole)):
            if stop > start:
                part = matrix[start:stop].view(-1, size, matrix.shape[1])
                least = other[start:stop].view(part.shape)
                self.high.update(part, part.amax(dim=1), self.rows + start, 1.0)
                self.low.update(least, -least.amin(dim=1), self.rows + start, -1.0)
        self.rows += len(matrix)

    def entries(self) -> NDArray[Any]:
        """Return (width, 2, min(k, rows)) of (value, row): highest first, then lowest first."""
        k = min(self.high.k, self.rows)
        found = np.empty((self.high.width, 2, k), ENTRY)
        for place, side, sign in ((0, self.high, 1.0), (1, self.low, -1.0)):
            side.settle()
            found["value"][:, place] = side.values[:, :k] * np.float32(sign)
            found["row"][:, place] = side.rows[:, :k]
        return found


@dataclass
class _Side:
    """The k highest numbers of every unit, descending, with their rows."""

    width: int
    k: int

    def __post_init__(self) -> None:
        self.values = np.full((self.width, self.k), -np.inf, np.float32)
        self.rows = np.zeros((self.width, self.k), np.uint32)
        self._pending: list[tuple[NDArray[Any], NDArray[np.float32], NDArray[np.uint32]]] = []
        self._waiting = 0

    def update(self, blocks: "Tensor", most: "Tensor", first_row: int, sign: float) -> None:
        """Take in rows: blocks (n, size, width), and of each the greatest number, times sign."""
        peaks = most.float().numpy()
        floor = np.nextafter(self.values[:, -1], np.float32(np.inf))
        if len(peaks) > self.k and not np.isfinite(self.values[0, -1]):
            # k blocks reach this, so k numbers do
            floor = np.maximum(floor, np.partition(peaks, -self.k, axis=0)[-self.k])
        block, unit = np.divmod(np.flatnonzero(peaks >= floor), self.width)
        if not len(block):
            return
        numbers = blocks[block, :, unit].float().numpy() * np.float32(sign)
        numbers += 0.0  # -0.0 becomes 0.0, its equal
        pair, place = np.divmod(np.flatnonzero(numbers >= floor[unit][:, None]), numbers.shape[1])
        rows = first_row + block[pair] * blocks.shape[1] + place
        self._pending.append((unit[pair], numbers[pair, place], rows.astype(np.uint32)))
        self._waiting += len(pair)
        if self._waiting > self.values.size // 2:  # sorting is dear, a floor too low is not
            self.settle()

    def settle(self) -> None:
        """Sort in what waits."""
        if not self._pending:
            return
        unit, values, rows = map(np.concatenate, zip(*self._pending, strict=True))
        self._pending, self._waiting = [], 0
        counts = np.bincount(unit, minlength=self.width)
        changed = np.flatnonzero(counts)
        units = np.concatenate([np.repeat(changed, self.k), unit])
        values = np.concatenate([self.values[changed].ravel(), values])
        rows = np.concatenate([self.rows[changed].ravel(), rows])
        order = _order(_descending(units, values), self.width)  # of equals the first row
        lengths = counts[changed] + self.k
        starts = np.cumsum(lengths) - lengths
        kept = order[starts[:, None] + np.arange(self.k)]
        self.values[changed], self.rows[changed] = values[kept], rows[kept]


def _order(keys: NDArray[np.uint64], width: int) -> NDArray[np.int64]:
    """Sort keys of `_descending` stably.

    Where the place fits into the key as well, sorting the keys themselves is several times
    as fast as finding their order.
    """
    free = 32 - (width - 1).bit_length()
    if len(keys) >> free:
        return np.argsort(keys, kind="stable")
    placed = (keys << np.uint64(free)) | np.arange(len(keys), dtype=np.uint64)
    placed.sort()
    return (placed & np.uint64((1 << free) - 1)).astype(np.int64)


def _descending(units: NDArray[Any], values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One whole number that sorts by unit, then by falling value."""
    bits = values.view(np.uint32)
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (units.astype(np.uint64) << np.uint64(32)) | (~rising).astype(np.uint64)
