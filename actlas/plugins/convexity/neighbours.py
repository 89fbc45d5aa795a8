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
