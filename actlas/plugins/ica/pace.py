"""How far each axis goes along the step of FastICA, so that none swings or creeps for ever."""

import numpy as np
from numpy.typing import NDArray

SETTLED = 0.5  # 1 − |cos| of an axis from which it still looks for its place: no step is longer
SHORTEST, LONGEST = 1 / 64, 4.0
SHORTER, LONGER = 0.5, 0.2  # times; and by this share, less after every swing
SWINGS, CREEPS = -0.3, 0.3  # cosine of an axis's moves, this one and the last
SINGULAR = 0.01  # least eigenvalue of W Wᵀ from which W is made orthogonal safely


def nearest(W: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(W Wᵀ)^{-1/2} W, the orthogonal matrix nearest to W, and the least eigenvalue of W Wᵀ.

    By torch: numpy's threads spin on after a product, and would halve the speed of a pass.
    In float32 the squares of an early step's small axes drown.
    """
    import torch

    given = torch.from_numpy(np.ascontiguousarray(W))
    values, vectors = torch.linalg.eigh(given @ given.T)
    scaled = vectors / values.clamp_min(torch.finfo(torch.float64).tiny).sqrt()
    found: NDArray[np.float64] = (scaled @ (vectors.T @ given)).numpy()
    return found, float(values[0])


def perpendicular(W: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of W without what they have of orthonormal axes (see `nearest` for why by torch)."""
    import torch

    given, fixed = torch.from_numpy(W), torch.from_numpy(axes)
    found: NDArray[np.float64] = (given - (given @ fixed.T) @ fixed).numpy()
    return found


class Pace:
    """Share of the fixed-point step that every axis takes.

    The step is Newton's with the curvature that independent sources would have (Ablin, Cardoso &
    Gramfort 2018). Where real axes are curved more than twice as much it overshoots, and comes
    back, without end; where they are curved less it falls short every time. A shorter or longer
    step has the same fixed points.
    """

    def __init__(self, k: int):
        self._share, self._swings = np.ones(k), np.zeros(k)
        self._last: NDArray[np.float64] | None = None

    def onward(
        self,
        W: NDArray[np.float64],
        new: NDArray[np.float64],
        moving: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """From axes (k, k) and where the plain step takes them to where they go.

        moving: (k,) axes that the step was of; None: all.
        """
        on = np.ones(len(W), bool) if moving is None else moving
        cosines = (W[on] * new[on]).sum(axis=1)
        # An axis less peaked than a normal is turned over by every step.
        move = new[on] * np.where(cosines < 0, -1.0, 1.0)[:, None] - W[on]
        if self._last is not None:
            self._adapt(_cosines(move, self._last[on]), 1 - np.abs(cosines) < SETTLED, on)
        self._last = np.zeros_like(W)
        self._last[on] = move
        if (self._share[on] == 1).all():
            return new
        found, least = nearest(W[on] + self._share[on, None] * move)
        gone = new.copy()
        if least > SINGULAR:
            gone[on] = found
        return gone

    def _adapt(
        self,
        cosines: NDArray[np.float64],
        settled: NDArray[np.bool_],
        on: NDArray[np.bool_] | slice = slice(None),
    ) -> None:
        swings, share = settled & (cosines < SWINGS), self._share[on]
        self._swings[on] += swings  # what swung once swings again: else it is let go for ever
        most = np.where(cosines > CREEPS, LONGEST, 1.0)
        longer = np.minimum(share * (1 + LONGER / (1 + self._swings[on] / 2)), most)
        shorter = np.maximum(share * SHORTER, SHORTEST)
        changed = np.where(swings, shorter, np.maximum(longer, share))
        self._share[on] = np.where(settled, changed, np.minimum(share, 1.0))


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    found: NDArray[np.float64] = (a * b).sum(axis=1) / lengths.clip(min=np.finfo(float).tiny)
    return found
