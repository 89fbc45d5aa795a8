"""Uncertainty of scores by the rows they come from: pseudo-values, bootstrap, Holm.

Points of a graph must not be drawn with replacement: duplicates take up places among the nearest
and destroy it. What is drawn is scores of rows, the graph as it is.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK = 1 << 20  # numbers drawn at once


def pseudo_values(rows: Floats) -> Floats:
    """Turn a class's mean scores by row (rows, …) into the jackknife's pseudo-values.

    A class's score is a mean over pairs, and each row is in two of its n ordered pairs a partner:
    without row i it would change by twice what the row's own mean says. The pseudo-values
    U + 2 (n − 1) / (n − 2) (sᵢ − U) have that spread and keep the mean (Arvesen 1969, Jackknifing
    U-statistics); without this intervals are half as wide.
    """
    n, mean = len(rows), rows.mean(axis=0)
    found: Floats = mean + 2 * (n - 1) / (n - 2) * (rows - mean)
    return found


def resampled_means(values: Floats, draws: int, chance: np.random.Generator) -> Floats:
    """Draw rows of values (rows, …) with replacement, `draws` times; their means (draws, …)."""
    n = len(values)
    step = max(1, BLOCK // values.size)
    parts = [
        values[chance.integers(0, n, (min(step, draws - start), n))].mean(axis=1)
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)


def interval(drawn: Floats) -> tuple[Floats, Floats]:
    """The 2.5 and 97.5 percentiles over the first axis."""
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return low, high


def holm(p: Floats) -> Floats:
    """P-values for testing all at once (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    found = np.empty_like(p)
    found[order] = steps
    return found
