"""The rows that lie furthest out on every axis."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Found:
    """Values of some rows, by column and by rank, which is counted from 1; each (m,)."""

    columns: NDArray[np.int64]
    ranks: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[np.float32]


class Extremes:
    """Keeps the rows of the `most` highest values of every column while blocks go by.

    kinds: (rows,) number of what each row is; of rows of one kind the highest stays. None: each
        row is its own. Among equal values the first row counts. What is kept is exact: whatever
        belongs to the outermost of all rows belongs to those of its block.
    """

    def __init__(self, columns: int, most: int, kinds: NDArray[np.int64] | None = None):
        self._most, self._kinds = most, kinds
        self._least = np.full(columns, -np.inf, np.float32)  # what a value must exceed
        self._columns, self._rows = np.empty((2, 0), np.int64)
        self._values = np.empty(0, np.float32)

    def add(self, block: "Tensor", first_row: int) -> None:
        """Take in the next rows (n, columns), the first of which has this number."""
        import torch

        over = block > torch.from_numpy(self._least).to(block.device, block.dtype)
        rows, columns = over.nonzero(as_tuple=True)
        if not len(rows):
            return
        self._columns = np.concatenate([self._columns, columns.cpu().numpy()])
        self._rows = np.concatenate([self._rows, rows.cpu().numpy() + first_row])
        self._values = np.concatenate([self._values, block[over].float().cpu().numpy()])
        self._cut()

    def found(self) -> "Found":
        """Return what was kept, by column and rank."""
        return Found(self._columns, self._ranks() + 1, self._rows, self._values)

    def _cut(self) -> None:
        self._keep(np.lexsort((self._rows, -self._values, self._columns)))
        if self._kinds is not None:
            key = self._columns * (self._kinds.max() + 1) + self._kinds[self._rows]
            self._keep(np.sort(np.unique(key, return_index=True)[1]))
        self._keep(np.flatnonzero(self._ranks() < self._most))
        last = self._ranks() == self._most - 1
        self._least[self._columns[last]] = self._values[last]

    def _keep(self, places: NDArray[np.int64]) -> None:
        self._columns, self._rows = self._columns[places], self._rows[places]
        self._values = self._values[places]

    def _ranks(self) -> NDArray[np.int64]:
        """Place of each in its column, from 0; they are sorted by column."""
        begin = np.searchsorted(self._columns, self._columns)
        found: NDArray[np.int64] = np.arange(len(self._columns)) - begin
        return found
