"""The rows that lie furthest out on every axis."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class Extremes:
    """Keeps the `most` highest and lowest rows of every column while blocks go by."""

    def __init__(self, columns: int, most: int):
        self._most = most
        shape = (0, columns)
        self._values = {end: np.empty(shape, np.float32) for end in ("high", "low")}
        self._rows = {end: np.empty(shape, np.int64) for end in ("high", "low")}

    def add(self, block: "Tensor", first_row: int) -> None:
        """Take in the next rows (n, columns), the first of which has this number."""
        import torch

        for end in ("high", "low"):
            most = min(self._most, len(block))
            values, places = torch.topk(block, most, dim=0, largest=end == "high")
            values_all = np.vstack([self._values[end], values.cpu().numpy()])
            rows_all = np.vstack([self._rows[end], places.cpu().numpy() + first_row])
            keys = -values_all if end == "high" else values_all
            order = np.lexsort((rows_all, keys), axis=0)[: self._most]
            self._values[end] = np.take_along_axis(values_all, order, axis=0)
            self._rows[end] = np.take_along_axis(rows_all, order, axis=0)

    def found(self, end: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return values and row numbers (most, columns), the outermost first."""
        return self._values[end], self._rows[end]
