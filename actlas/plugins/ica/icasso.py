"""Clusters of the axes of many runs, and how tight they are (Himberg & Hyvärinen 2003)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clusters:
    """Clusters of axes by |r|, each a candidate for one true axis.

    member: (axes,) cluster of every axis.
    sizes: (k,) axes in each cluster.
    intra, extra: (k,) mean |r| of its axes with each other (an axis with itself left out; NaN for
        one axis alone), and with all others (0 where there are none).
    centrotypes: (k,) the axis of each whose |r| with the others of its cluster sum up highest.
    """

    member: NDArray[np.int64]
    sizes: NDArray[np.int64]
    intra: NDArray[np.float64]
    extra: NDArray[np.float64]
    centrotypes: NDArray[np.int64]

    @property
    def quality(self) -> NDArray[np.float64]:
        """(k,) I_q = intra − extra (Himberg, Hyvärinen & Esposito 2004, equation 9)."""
        found: NDArray[np.float64] = self.intra - self.extra
        return found


def clustered(directions: NDArray[np.float64], k: int) -> Clusters:
    """Put axes into k clusters by average linkage of 1 − |r|.

    directions: (axes, d) as read from white rows, where r of two axes is the cosine of theirs.
    """
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    r = np.abs(units.astype(np.float32) @ units.astype(np.float32).T).clip(max=1)
    np.fill_diagonal(r, 1)
    return _described(r, _linked(r, k))


def _linked(r: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Undo the last k − 1 merges; scipy's fcluster would undo more or fewer where heights tie."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    n = len(r)
    parents = np.arange(2 * n - k)
    if n > k:
        merges = linkage(squareform(1 - r, checks=False), "average")[: n - k, :2].astype(int)
        for place, pair in enumerate(merges):
            parents[pair] = n + place
    for node in range(len(parents) - 1, -1, -1):  # parents have the higher numbers
        parents[node] = parents[parents[node]]
    member: NDArray[np.int64] = np.unique(parents[:n], return_inverse=True)[1]
    return member


def _described(r: NDArray[np.float32], member: NDArray[np.int64]) -> Clusters:
    order = np.argsort(member, kind="stable")
    sizes = np.bincount(member)
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(r[:, order], starts, axis=1, dtype=np.float64)  # (axes, k)
    own = sums[np.arange(len(r)), member]
    within = np.bincount(member, own)
    total = np.bincount(member, sums.sum(axis=1))
    with np.errstate(invalid="ignore"):
        intra = (within - sizes) / (sizes * (sizes - 1))
    others = len(r) - sizes
    extra = (total - within) / (sizes * np.maximum(others, 1))
    leads = np.lexsort((-own, member))  # of each cluster the one with the highest sum first
    return Clusters(member, sizes, intra, extra, leads[starts])
