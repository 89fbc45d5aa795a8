"""Phases of small ReLU models, by the losses of fixed weights (Elhage et al. 2022)."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Phase = Literal["last ignored", "last alone", "last shares"]
PHASES: tuple[Phase, ...] = ("last ignored", "last alone", "last shares")
TRIPLE = 4 / 7  # density at which, for equal importances, ignoring and sharing cost the same


def ignoring(density: ArrayLike) -> Floats:
    """Loss of a feature of importance 1 that is not represented: p/3 − p²/4, its variance."""
    p = np.asarray(density, float)
    found: Floats = p / 3 - p**2 / 4
    return found


def sharing(density: ArrayLike, first: ArrayLike, second: ArrayLike) -> Floats:
    """Loss of two features, of importances `first` and `second`, as ±1 on a line of their own."""
    p = np.asarray(density, float)
    found: Floats = (np.asarray(first, float) + np.asarray(second, float)) * p**2 / 6
    return found


def relu_losses(features: Literal[2, 3], ratio: ArrayLike, density: ArrayLike) -> Floats:
    """Losses (3, …) of `PHASES`: 2 features in 1 dimension, or 3 in 2, by r and density p.

    The last feature has importance r, the others 1; x is U[0, 1] with probability p, else 0.
    "Last alone" leaves one dimension less than there are other features: of two none is left for
    the other, of three the others share one, or one of them is ignored where that costs less.
    """
    r, p = np.broadcast_arrays(np.asarray(ratio, float), np.asarray(density, float))
    alone = ignoring(p)
    if features == 3:
        alone = np.minimum(alone, sharing(p, 1, 1))
    return np.stack([r * ignoring(p), alone, sharing(p, 1, r)])


def relu_phase(features: Literal[2, 3], ratio: ArrayLike, density: ArrayLike) -> NDArray[np.int64]:
    """Index in `PHASES` of the least of these losses."""
    found: NDArray[np.int64] = relu_losses(features, ratio, density).argmin(axis=0)
    return found


def relu_boundaries(density: ArrayLike) -> tuple[Floats, Floats]:
    """Ratios r between which two features share one dimension: 2p/(4 − 5p) and its inverse.

    NaN from p = 4/7 on, where they do not at any ratio. The lower one also holds for 3 in 2.
    """
    p = np.asarray(density, float)
    there = np.where(p < TRIPLE, p, np.nan)
    low: Floats = 2 * there / (4 - 5 * there)
    return low, 1 / low
