"""Estimates that claims are judged by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from examples.common.verdicts import Estimate

DRAWS = 2000


def ratio(ours: ArrayLike, theirs: ArrayLike, seed: int = 0) -> Estimate:
    """Ratio of the means of two curves over the same ranks, with a 95 % bootstrap over ranks."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    drawn = np.random.default_rng(seed).integers(len(a), size=(DRAWS, len(a)))
    return _estimate(a.mean() / b.mean(), a[drawn].mean(axis=1) / b[drawn].mean(axis=1))


def difference(ours: ArrayLike, theirs: ArrayLike, seed: int = 0) -> Estimate:
    """Difference of the means of two sets of axes, with a 95 % bootstrap over axes.

    Axes without a number are left out.
    """
    rng = np.random.default_rng(seed)
    means, draws = [], []
    for values in (ours, theirs):
        given = np.asarray(values, float)
        given = given[np.isfinite(given)]
        means.append(given.mean())
        draws.append(given[rng.integers(len(given), size=(DRAWS, len(given)))].mean(axis=1))
    return _estimate(means[0] - means[1], draws[0] - draws[1])


def share_lead(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Estimate:
    """Difference of two shares p1 with their intervals (Newcombe 1998, method 10)."""
    lead = ours["p1"] - theirs["p1"]
    below = np.hypot(ours["p1"] - ours["p1_low"], theirs["p1_high"] - theirs["p1"])
    above = np.hypot(ours["p1_high"] - ours["p1"], theirs["p1"] - theirs["p1_low"])
    return Estimate(lead, float(lead - below), float(lead + above))


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))
