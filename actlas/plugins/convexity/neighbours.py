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

    Rows that are the same are searched for once: none of the k + 1 nearest is of a point that has
    k + 1 points before it.
    """
    first, copy = distinct(X)
    if len(first) == len(X):
        return _nearest(X, k)
    near = _nearest(X[first], min(k, len(first) - 1))
    members = np.split(np.argsort(copy, kind="stable"), np.bincount(copy).cumsum()[:-1])
    index = np.empty((len(first), k + 1), np.int32)
    distance = np.empty((len(first), k + 1))
    for point, places in enumerate(near.index):
        some = [members[place][: k + 1] for place in places]
        rows = np.concatenate(some)
        far = np.repeat(near.distance[point], [len(part) for part in some])
        kept = np.lexsort((rows, far))[: k + 1]
        index[point], distance[point] = rows[kept], far[kept]
    return Neighbours(index[copy], distance[copy])


def distinct(X: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that equal no earlier one, and of every row its place among those."""
    whole = np.ascontiguousarray(X + np.float32(0))  # −0 is 0
    rows = whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1]))).reshape(-1)
    _, first, place = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[place]


def _nearest(X: NDArray[np.float32], k: int) -> Neighbours:
    """Search among rows that differ.

    Products in float32 only choose candidates; where their rounding leaves open whether the last
    place belongs to a row that is no candidate, that row is compared with all.
    """
    import torch

    n = len(X)
    scale = _scale(X)
    scaled = X * np.float32(scale)
    scaled -= scaled.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = torch.from_numpy(scaled)
    squares = centred.square().sum(dim=1)
    wanted = min(n, k + 1 + SPARE)
    index = np.empty((n, k + 1), np.int32)
    distance = np.empty((n, k + 1))
    size = squares.double().sqrt().numpy()
    # Of |a|² + |b|² − 2ab in float32, as a share of (|a| + |b|)².
    rounding = 2 * np.finfo(np.float32).eps * np.sqrt(X.shape[1])
    everyone = np.arange(n, dtype=np.int32)
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        rough = torch.addmm(squares, centred[part], centred.T, alpha=-2)
        rough += squares[part, None]
        values, places = torch.topk(rough, wanted, dim=1, largest=False)
        candidates = places.to(torch.int32).numpy()
        rerank(X, start, candidates, index[part], distance[part])
        if wanted == n:
            continue
        far = distance[part, -1] * scale
        # Rows nearer than that are no longer than |a| + far. A row far from all others, as those
        # of massive activations are, must not widen what is open for the rest.
        slack = rounding * (2 * size[part] + far) ** 2
        for i in np.flatnonzero(far**2 + slack >= values[:, -1].double().numpy()) + start:
            rerank(X, int(i), everyone[None], index[i : i + 1], distance[i : i + 1])
    return Neighbours(index, distance)


def _scale(X: NDArray[np.float32]) -> float:
    """Return a power of two by which squares neither overflow nor vanish in float32."""
    _, exponent = np.frexp(max(float(X.max()), -float(X.min())))
    return float(2.0 ** -np.clip(exponent, -126, 126))
