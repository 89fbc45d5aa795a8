"""Retrieval by CSLS, and the linear maps that it is tried on (Conneau et al. 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1024  # queries a product
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Queries:
    """Source vectors that are asked for, and of each the target vectors that are right.

    source (queries,); gold[i]: numbers of the targets that count for the i-th.
    """

    source: NDArray[np.int64]
    gold: Sequence[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.source)


def ranks(source: Matrix, target: Matrix, queries: Queries, neighbours: int) -> NDArray[np.int64]:
    """Return how many wrong targets come before the first right one, of each query (queries,).

    Scores are 2 x·y − r_T(x) − r_S(y), r the mean of the largest products with the other side;
    r_T(x) is the same for all targets of a query and left out. A wrong target that scores the same
    comes before.
    """
    import torch

    X, Y = torch.from_numpy(source).float(), torch.from_numpy(target).float()
    crowded = _nearness(Y, X, neighbours)
    found = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), BLOCK):
        rows = queries.source[start : start + BLOCK]
        scores = 2 * X[torch.from_numpy(rows)] @ Y.T - crowded
        for i, row in enumerate(scores):
            gold = torch.from_numpy(queries.gold[start + i])
            best = row[gold].max()
            found[start + i] = int((row >= best).sum()) - int((row[gold] >= best).sum())
    return found


def _nearness(of: "Tensor", to: "Tensor", neighbours: int) -> "Tensor":
    """Mean of the largest products of each vector with those of the other side."""
    import torch

    most = min(neighbours, len(to))
    blocks = (of[start : start + BLOCK] for start in range(0, len(of), BLOCK))
    return torch.cat([(block @ to.T).topk(most, dim=1).values.mean(dim=1) for block in blocks])


def unit(rows: Matrix) -> Matrix:
    """Rows of length 1; those of length 0 stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def least_squares(source: Matrix, target: Matrix) -> Matrix:
    """W of the least |source W − target|²."""
    return np.asarray(np.linalg.lstsq(source, target, rcond=None)[0])


def procrustes(source: Matrix, target: Matrix) -> Matrix:
    """W of the least |source W − target|² whose rows, or columns, are orthonormal."""
    U, _, Vt = np.linalg.svd(source.T @ target, full_matrices=False)
    return np.asarray(U @ Vt)


def random_map(d: int, rng: np.random.Generator) -> Matrix:
    """U Σ Vᵀ (d, d), entries of U and V N(0, 1/d²), Σ drawn from Exp(1): far from a rotation."""
    U, V = rng.standard_normal((2, d, d)) / d
    return np.asarray((U * rng.exponential(size=d)) @ V.T)
