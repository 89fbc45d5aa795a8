"""Correlation of two numbers of the same classes, at one place or at several."""

from typing import NamedTuple

import numpy as np

from .resampling import Floats, interval

FEWEST = 4  # Fisher's standard error is 1 / √(n − 3)
BLOCK = 1 << 20  # numbers drawn at once


class Found(NamedTuple):
    """A correlation with its 95 % interval, p, and range when any one class is left out."""

    method: str
    r: float
    low: float | None
    high: float | None
    p: float
    without_low: float
    without_high: float


def correlate(X: Floats, Y: Floats, draws: int, chance: np.random.Generator) -> list[Found]:
    """Correlate X with Y (places, classes): Pearson and Spearman; nothing where one is constant.

    One place: Pearson's interval is Fisher's z, Spearman's a bootstrap over classes, p are those
    of scipy. Several: points of one class belong together, so intervals draw classes, and p
    deals the classes of Y out anew, the same at every place.
    """
    if X.shape[1] < FEWEST or np.ptp(X) == 0 or np.ptp(Y) == 0:
        return []
    classes = X.shape[1]
    picked = chance.integers(0, classes, (draws, classes))
    kept = np.array([np.delete(np.arange(classes), c) for c in range(classes)])
    dealt = np.argsort(chance.random((draws, classes)), axis=1)
    every = np.arange(classes)[None]
    found = []
    for method in ("pearson", "spearman"):
        (r,) = _over(X, Y, every, every, method)
        low, high = interval(_finite(_over(X, Y, picked, picked, method)))
        without = _finite(_over(X, Y, kept, kept, method))
        if len(X) > 1:
            null = _over(X, Y, np.broadcast_to(every, dealt.shape), dealt, method)
            p = float((1 + (np.abs(null) >= abs(r) - 1e-12).sum()) / (1 + draws))
        else:
            p = _p_value(X[0], Y[0], method)
            if method == "pearson":
                low, high = fisher(float(r), classes)
        ends = [float(v) for v in (low, high, without.min(), without.max())]
        found.append(Found(method, float(r), ends[0], ends[1], p, ends[2], ends[3]))
    return found


def fisher(r: float, n: int) -> tuple[Floats, Floats]:
    """The 95 % interval of Pearson's r of n independent points (Fisher 1921)."""
    z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    half = 1.959963984540054 / np.sqrt(n - 3)
    return np.tanh(z - half), np.tanh(z + half)


def _over(X: Floats, Y: Floats, left: object, right: object, method: str) -> Floats:
    """Correlations when the classes are those picked, (draws, classes) places of X and of Y."""
    from scipy.stats import rankdata

    left, right = np.asarray(left), np.asarray(right)
    step, parts = max(1, BLOCK // X.size), []
    for start in range(0, len(left), step):
        block = slice(start, start + step)
        x = X[:, left[block]].transpose(1, 0, 2).reshape(len(left[block]), -1)
        y = Y[:, right[block]].transpose(1, 0, 2).reshape(len(x), -1)
        if method == "spearman":
            x, y = rankdata(x, axis=1), rankdata(y, axis=1)
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        size = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        known = size > 1e-12
        r = np.full(len(x), np.nan)
        np.divide((x * y).sum(axis=1), size, out=r, where=known)
        parts.append(r.clip(-1, 1))
    return np.concatenate(parts)


def _finite(r: Floats) -> Floats:
    """Draws in which something varies."""
    known = r[np.isfinite(r)]
    return known if len(known) else np.zeros(1)


def _p_value(x: Floats, y: Floats, method: str) -> float:
    from scipy import stats

    return float((stats.pearsonr if method == "pearson" else stats.spearmanr)(x, y).pvalue)
