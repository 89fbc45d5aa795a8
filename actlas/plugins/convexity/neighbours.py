"""Exact nearest neighbours: candidates by blocked products, ranked by exact distances."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kernels import rerank

BLOCK = 256  # rows whose distances to all others are held at once
SPARE = 8  # candidates beyond what is asked for, against float32's rounding


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Of every row the nearest rows, itself among them, by rising distance, then by index.

    index (rows, k + 1) int32, distance (rows, k + 1) float64.
    """

    index: NDArray[np.int32]
    distance: NDArray[np.float64]

    @property
    def k(self) -> int:
        """How many beside the row itself."""
        return int(self.index.shape[1]) - 1

    def cut(self, k: int) -> "Neighbours":
        """The same with fewer neighbours."""
        return Neighbours(self.index[:, : k + 1], self.distance[:, : k + 1])


def nearest(X: NDArray[np.float32], k: int) -> Neighbours:
    """Find k + 1 nearest rows, by Euclidean distance in float64, of every row of X (rows, width).

    Products in float32 only choose candidates; where their rounding leaves open whether the last
    place belongs to a row that is no candidate, that row is compared with all.
    """
    import torch

    n = len(X)
    centred = torch.from_numpy(X - X.mean(axis=0, dtype=np.float64).astype(np.float32))
    squares = centred.square().sum(dim=1)
    wanted = min(n, k + 1 + SPARE)
    index = np.empty((n, k + 1), np.int32)
    distance = np.empty((n, k + 1))
    # Of |a|² + |b|² − 2ab in float32, whatever the order of summation.
    slack = 4 * np.finfo(np.float32).eps * np.sqrt(X.shape[1]) * float(squares.max())
    everyone = np.arange(n, dtype=np.int32)
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        rough = torch.addmm(squares, centred[part], centred.T, alpha=-2)
        rough += squares[part, None]
        values, places = torch.topk(rough, wanted, dim=1, largest=False)
        last = values[:, -1].double().numpy() - 2 * slack
        candidates = places.to(torch.int32).numpy()
        rerank(X, start, candidates, index[part], distance[part])
        if wanted == n:
            continue
        for i in np.flatnonzero(distance[part, -1] ** 2 >= last) + start:
            rerank(X, int(i), everyone[None], index[i : i + 1], distance[i : i + 1])
    return Neighbours(index, distance)
