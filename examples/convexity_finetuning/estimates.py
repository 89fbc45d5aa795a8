"""Estimates that claims are judged by, from the tables of the runs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas import Result
from examples.common.verdicts import Estimate

FEWEST = 4  # points of a correlation that has an interval


def exact(value: float) -> Estimate:
    """A number without an interval."""
    return Estimate(value, value, value)


def mean(found: Sequence[Estimate]) -> Estimate:
    """Mean of estimates from the same samples; its interval is at most this wide."""
    rows = np.array([(one.value, one.low, one.high) for one in found])
    value, low, high = rows.mean(axis=0).tolist()
    return Estimate(value, low, high)


def changed(result: Result) -> Estimate:
    """Change of the macro score, with its paired bootstrap over classes and rows."""
    row = next(iter(result.tables["summary"]))
    return _estimate(row["delta"], row["low"], row["high"])


def adjusted_change(change: Result, before: Result, after: Result) -> Estimate:
    """Change of (S − E) / (1 − E); chance E is exact, so the interval is that of S, stretched."""
    scores = [next(iter(one.tables["summary"])) for one in (before, after)]
    plain = changed(change)
    stretch = 1 / (1 - max(row["chance"] for row in scores))
    value = scores[1]["adjusted"] - scores[0]["adjusted"]
    return Estimate(
        value,
        value - stretch * (plain.value - plain.low),
        value + stretch * (plain.high - plain.value),
    )


def above_chance(result: Result) -> Estimate:
    """Macro score minus chance, ± 1.96 SEM."""
    row = next(iter(result.tables["summary"]))
    chance = row["chance"]
    return _estimate(row["macro"] - chance, row["low"] - chance, row["high"] - chance)


def correlation(x: ArrayLike, y: ArrayLike) -> Estimate | None:
    """Pearson's r with its 95 % interval (Fisher's z); None where one hardly varies."""
    from scipy import stats

    a, b = np.asarray(x, float), np.asarray(y, float)
    if len(a) < FEWEST or min(np.ptp(a), np.ptp(b)) < 1e-9:
        return None
    found = stats.pearsonr(a, b)
    low, high = found.confidence_interval()
    return _estimate(float(found.statistic), float(low), float(high))


def ranks(x: ArrayLike, groups: Sequence[int]) -> NDArray[np.float64]:
    """Ranks within groups, from −1 to 1: what differs between groups is taken out."""
    from scipy import stats

    values, of = np.asarray(x, float), np.asarray(groups)
    found = np.zeros(len(values))
    for group in np.unique(of):
        mine = of == group
        found[mine] = 2 * (stats.rankdata(values[mine]) - 0.5) / mine.sum() - 1
    return found


def _estimate(value: float, low: float | None, high: float | None) -> Estimate:
    nothing = value if low is None or low != low else low
    return Estimate(value, nothing, value if high is None or high != high else high)
