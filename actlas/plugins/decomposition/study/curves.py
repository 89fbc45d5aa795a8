"""Curves of training runs: every indicator of every term at every site, by checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, RunResult

from .qualities import Checkpoint

Floats = NDArray[np.float64]
INDICATORS = ("relative_dot", "cosine", "norm_ratio", "distance")
L1NORM = "L1norm"
ROUNDING = 1e-6  # of the largest value: float32 makes of a cosine of 1 some 1e-7 more or less


class Column(NamedTuple):
    """What one number of a checkpoint is of."""

    site: str
    indicator: str
    term: str


@dataclass(frozen=True, eq=False)
class Series:
    """One training run over one data set; values (checkpoints, columns), NaN where undefined."""

    name: str
    data: str
    condition: str
    checkpoints: tuple[Checkpoint, ...]
    columns: tuple[Column, ...]
    values: Floats

    @property
    def steps(self) -> Floats:
        """Updates of training (checkpoints,)."""
        return np.array([float(c.step) for c in self.checkpoints])

    def quality(self, metric: str) -> Floats:
        """Values of a quality (checkpoints,)."""
        return np.array([c.values[metric] for c in self.checkpoints])


def series_of(found: Sequence[Checkpoint]) -> list[Series]:
    """Put checkpoints together to training runs, in the order of their steps.

    The columns of all are the same: those that any run has.
    """
    means = {point.run.id: _means(point.run) for point in found}
    columns = tuple(dict.fromkeys(column for mean in means.values() for column in mean))
    made = []
    apart = sorted(found, key=lambda c: (c.run.data, c.series, c.step))
    for (data, name), points in groupby(apart, key=lambda c: (c.run.data, c.series)):
        mine = tuple(points)
        values = [[means[p.run.id].get(column, np.nan) for column in columns] for p in mine]
        made.append(Series(name, data, mine[0].condition, mine, columns, np.array(values)))
    return made


def _means(run: RunResult) -> dict[Column, float]:
    if "indicators" not in run.tables:
        raise InputError(f"run {run.id} has no table indicators; run decomposition again")
    table = run.tables["indicators"]
    keys = map(Column, *(table[name].tolist() for name in ("site", "indicator", "term")))
    return dict(zip(keys, table["mean"].tolist(), strict=True))


def z_scores(values: Floats) -> Floats:
    """(x − mean) / std of every column (n, columns): raw signs; NaN where it does not vary."""
    centred = values - values.mean(axis=0)
    usable = np.isfinite(values).all(axis=0) & varying(values)
    out = np.full(values.shape, np.nan)
    np.divide(centred, values.std(axis=0), out=out, where=usable)
    return out


def varying(values: Floats) -> NDArray[np.bool_]:
    """Whether what is defined in a column of (n, columns) varies by more than rounding does."""
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0)
    high = np.where(known, values, -np.inf).max(axis=0)
    found: NDArray[np.bool_] = high - low > ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return found


def pairs_of(series: Sequence[Series]) -> Iterator[tuple[Series, Series]]:
    """Yield every two training runs over the same data set."""
    for i, first in enumerate(series):
        yield from ((first, second) for second in series[i + 1 :] if second.data == first.data)


def data_sets(series: Sequence[Series]) -> list[str]:
    """Names of the data sets, each once."""
    return list(dict.fromkeys(one.data for one in series))
