"""A set of features: rows of a matrix, centred, weighted and read block by block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from actlas import InputError, NonFiniteError

READ_ROWS = 4096  # rows read at a time, so that no result depends on the host's chunks
FEW_ROWS = 256  # that a cache holds in double precision
ZERO = {4: 1e-6, 8: 1e-8}  # of the largest norm, by the bytes of a number: what counts as no norm

MODERATE = 1e4  # norms up to which fourth powers of single precision need no scaling

Norm = Literal["none", "unit"]


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of a matrix (N, d) as they are measured: (row − centre) × weight.

    norms: (N,) after centring, in the units of the matrix.
    weights: (N,) by which rows are multiplied: 1, or where the largest norm is far from 1 its
        inverse; 0 for rows that are zero.
    unit: what a weighted norm of 1 stands for, in the units of the matrix.
    """

    matrix: NDArray[Any]
    source: str
    names: tuple[str, ...]
    centre: NDArray[np.float64] | None
    norms: NDArray[np.float64]
    weights: NDArray[np.float64]
    unit: float

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(N,) rows that are not zero."""
        return np.asarray(self.weights > 0)

    @property
    def single(self) -> bool:
        """Whether the numbers came with single precision or less."""
        return _itemsize(self.matrix) == 4

    def blocks(self, dtype: DTypeLike = np.float64) -> Iterator[NDArray[Any]]:
        """Yield (n, d) rows as they are measured; read-only where they are as they came."""
        plain = self.centre is None and bool((self.weights == 1).all())
        for start in range(0, len(self.matrix), READ_ROWS):
            rows = self.matrix[start : start + READ_ROWS]
            if not plain:
                # In double precision, lest a mean far larger than the rest is rounded off.
                rows = rows.astype(dtype if self.centre is None else np.float64)
                if self.centre is not None:
                    rows -= self.centre
                rows *= self.weights[start : start + READ_ROWS, None].astype(rows.dtype)
            yield np.asarray(rows, dtype)

    def whole(self) -> NDArray[np.float64]:
        """Return all rows (N, d) as they are measured."""
        return np.concatenate(list(self.blocks()))


def prepared(
    matrix: NDArray[Any],
    source: str,
    names: Sequence[str] | None = None,
    *,
    centre: bool = False,
    norm: Norm = "none",
) -> Features:
    """Make a feature set of the rows of a matrix, in memory or memory-mapped.

    Raises InputError for what is no matrix of real numbers, is empty or zero, or whose squares
    overflow, and NonFiniteError where it holds NaN or infinity.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or 0 in matrix.shape:
        raise InputError(
            f"{source}: features are the rows of a matrix of real numbers, not shape "
            f"{matrix.shape} of {matrix.dtype}"
        )
    middle = _mean(matrix) if centre else None
    norms = _norms(matrix, middle, source)
    largest = float(norms.max())
    spread = largest if middle is None else largest + float(np.linalg.norm(middle))
    if largest <= ZERO[8] * spread:
        why = "all features are equal: nothing is left after centring" if centre else "all are zero"
        raise InputError(f"{source}: {why}; capacity needs a feature that is not")
    alive = norms > ZERO[_itemsize(matrix)] * largest
    unit = 1.0 if norm == "unit" or 1 / MODERATE < largest < MODERATE else largest
    scale = norms if norm == "unit" else np.full(len(norms), unit)
    weights = np.divide(1.0, scale, out=np.zeros(len(norms)), where=alive)
    called = tuple(map(str, range(len(matrix)))) if names is None else tuple(names)
    return Features(matrix, source, called, middle, norms, weights, unit)


def _itemsize(matrix: NDArray[Any]) -> int:
    return 4 if matrix.dtype.kind == "f" and matrix.dtype.itemsize <= 4 else 8


def _mean(matrix: NDArray[Any]) -> NDArray[np.float64]:
    parts = [
        matrix[start : start + READ_ROWS].sum(axis=0, dtype=np.float64)
        for start in range(0, len(matrix), READ_ROWS)
    ]
    mean: NDArray[np.float64] = np.sum(parts, axis=0) / len(matrix)
    return mean


def _norms(
    matrix: NDArray[Any], centre: NDArray[np.float64] | None, source: str
) -> NDArray[np.float64]:
    norms = np.empty(len(matrix))
    for start in range(0, len(matrix), FEW_ROWS):
        rows = matrix[start : start + FEW_ROWS].astype(np.float64)
        if centre is not None:
            rows -= centre
        norms[start : start + FEW_ROWS] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    bad = np.flatnonzero(~np.isfinite(norms))
    if len(bad) and np.isfinite(matrix[bad[0]]).all():
        raise InputError(f"{source}: feature {bad[0]} has a norm above 1e154; divide all by 1e100")
    if len(bad):
        raise NonFiniteError(f"{source}: feature {bad[0]} holds NaN or infinity; leave it out")
    return norms
