"""Estimates that claims are judged by, from the tables of the studies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from actlas import ResultTable
from examples.common.verdicts import Estimate

Rows = list[Mapping[str, Any]]


def over_runs(values: ArrayLike) -> Estimate:
    """Mean over training runs, with the 95 % interval of Student's t.

    Training runs are what was repeated: pairs of checkpoints and tokens of one are no replicates.
    """
    from scipy import stats

    given = np.asarray(values, float)
    given = given[np.isfinite(given)]
    if len(given) < 2:
        return Estimate(float(given.mean()) if len(given) else np.nan, -np.inf, np.inf)
    half = stats.t.ppf(0.975, len(given) - 1) * given.std(ddof=1) / np.sqrt(len(given))
    return Estimate(float(given.mean()), float(given.mean() - half), float(given.mean() + half))


def share(hits: int, of: int) -> Estimate:
    """A share, with the 95 % interval of Wilson."""
    from scipy import stats

    found = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return Estimate(hits / of, float(found.low), float(found.high))


def chosen(table: ResultTable, **wanted: Any) -> Rows:
    """Rows of a table in which each named column has the value, or one of the values, wanted."""
    allowed = {n: v if isinstance(v, set | list | tuple) else (v,) for n, v in wanted.items()}
    return [row for row in table if all(row[name] in v for name, v in allowed.items())]


def by_series(
    rows: Iterable[Mapping[str, Any]], of: Callable[[Rows], float], names: Sequence[str]
) -> list[float]:
    """One number for each training run, in their order; NaN for one without rows."""
    parts: dict[str, Rows] = {name: [] for name in names}
    for row in rows:
        parts[row["series"]].append(row)
    return [of(mine) if mine else np.nan for mine in parts.values()]


def median_strength(rows: Rows) -> float:
    """Median of |rho|."""
    return float(np.median([abs(row["rho"]) for row in rows])) if rows else np.nan
