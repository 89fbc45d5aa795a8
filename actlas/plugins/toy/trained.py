"""What training gives: many instances of one model, in cells of several starts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """Instances of a toy model: of each cell (a setting) several starts.

    weights: (cells, starts, features, dims); a feature's direction is a row.
    loss: (cells, starts), lowest is best.
    bias: (cells, starts, outputs) added to the output; None for a model without.
    """

    weights: Floats
    loss: Floats
    bias: Floats | None = None

    @property
    def best(self) -> Floats:
        """(cells, features, dims): the weights of each cell's start of least loss."""
        found: Floats = self.weights[np.arange(len(self.loss)), self.loss.argmin(axis=1)]
        return found

    def cell(self, number: int) -> "Trained":
        """The instances of one cell."""
        one = slice(number, number + 1)
        bias = None if self.bias is None else self.bias[one]
        return Trained(self.weights[one], self.loss[one], bias)

    @property
    def spread(self) -> Floats:
        """(cells,) how much higher the worst start's loss is, relative to the best."""
        low = np.maximum(self.loss.min(axis=1), np.finfo(float).tiny)
        found: Floats = self.loss.max(axis=1) / low - 1
        return found


@dataclass(frozen=True)
class Cells:
    """Checked settings of a training: importance (cells, features), and one number a cell."""

    importance: Floats
    number: Floats
    dims: int
    starts: int

    @property
    def features(self) -> int:
        """Features of a model."""
        return int(self.importance.shape[1])

    def repeated(self) -> tuple[Floats, Floats]:
        """Importance and number an instance: (cells × starts, features) and (cells × starts,)."""
        return self.importance.repeat(self.starts, axis=0), self.number.repeat(self.starts)


def cells(importance: ArrayLike, number: ArrayLike, name: str, dims: int, starts: int) -> Cells:
    """Pair settings: importances (features,) or (cells, features), numbers () or (cells,).

    Raises InputError.
    """
    v = np.atleast_2d(np.asarray(importance, float))
    k = np.atleast_1d(np.asarray(number, float))
    if v.ndim > 2 or k.ndim > 1 or (len(v) != len(k) and 1 not in (len(v), len(k))):
        raise InputError(
            f"importance {v.shape} and {name} {k.shape} do not pair; give one row and one number a "
            f"cell, or one for all"
        )
    if not np.isfinite(v).all() or (v < 0).any() or not v.any(axis=1).all():
        raise InputError("importances are finite, none below 0, and not all 0; mend the list")
    if dims < 1 or starts < 1:
        raise InputError(f"dims is {dims} and starts {starts}; each is at least 1")
    count = max(len(v), len(k))
    return Cells(np.repeat(v, count // len(v), 0), np.repeat(k, count // len(k)), dims, starts)
