"""What was measured, as one table: of each network, seed and module, one number a measure."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from scipy import stats

from examples.common.verdicts import Estimate

SIM, GIM, CPC, SUPERVISED, RANDOM, COLLAPSED = (
    "SIM", "GIM", "CPC", "supervised", "random", "SIM, β too large",
)  # fmt: skip
KINDS = (SIM, GIM, CPC, SUPERVISED, RANDOM, COLLAPSED)
CLEARLY = 0.9  # decoder error (1: predicting the mean) below which a site says something
LEARNT = 2.2  # InfoNCE below which a module has left log(N + 1) = 2.398 (nats)


@dataclass(frozen=True)
class Measured:
    """One number. module: a site such as layers.0."""

    corpus: str
    kind: str
    seed: int
    module: str
    measure: str
    value: float


@dataclass(frozen=True)
class Measures:
    """All numbers of a corpus."""

    rows: Sequence[Measured]

    def of(self, measure: str, kind: str, module: str) -> list[float]:
        """Values by seed, in its order; empty where nothing was measured."""
        found = [
            (row.seed, row.value)
            for row in self.rows
            if (row.measure, row.kind, row.module) == (measure, kind, module)
        ]
        return [value for _, value in sorted(found)]

    def mean(self, measure: str, kind: str, module: str) -> float:
        """Mean over seeds; NaN where nothing was measured."""
        values = self.of(measure, kind, module)
        return float(np.mean(values)) if values else float("nan")

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        return self.rows[0].corpus

    @property
    def modules(self) -> list[str]:
        """Sites of all modules that every kind has, the first first."""
        return sorted({row.module for row in self.rows if row.module.startswith("layers.")})

    def named(self, prefix: str) -> list[str]:
        """Measures whose name begins so, in the order in which they came."""
        return list(dict.fromkeys(r.measure for r in self.rows if r.measure.startswith(prefix)))

    def said(self, measure: str, kind: str, digits: int = 2) -> str:
        """Means over seeds of all modules, such as .10/.08/.07."""
        values = [self.mean(measure, kind, module) for module in self.modules]
        return "/".join("–" if np.isnan(v) else f"{v:.{digits}f}" for v in values)

    def ill(self, kind: str, module: str) -> list[str]:
        """Say in which respects a module of some seed has collapsed; empty if in none."""
        limits: dict[str, tuple[Callable[[float], bool], str]] = {
            "active share": (lambda v: v <= 0.5, "half of the units or more do not vary"),
            "nce": (lambda v: v >= LEARNT, f"InfoNCE not below {LEARNT}"),
            "decoder error": (lambda v: v >= CLEARLY, f"decoder error not below {CLEARLY}"),
        }
        return [
            said
            for measure, (bad, said) in limits.items()
            if any(map(bad, self.of(measure, kind, module)))
        ]


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean over seeds, with the 95 % interval of Student's t."""
    given = np.asarray(values, float)
    if len(given) < 2 or not np.isfinite(given).all():
        mean = float(given.mean()) if len(given) else np.nan
        return Estimate(mean, -np.inf, np.inf)
    half = stats.t.ppf(0.975, len(given) - 1) * given.std(ddof=1) / np.sqrt(len(given))
    return Estimate(float(given.mean()), float(given.mean() - half), float(given.mean() + half))


def difference(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """One minus the other, seed by seed: networks of one seed start from the same weights."""
    return over_seeds(np.subtract(one, other).tolist())


def ratio(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """One over the other, seed by seed; the interval is that of logarithms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = over_seeds(np.log(np.divide(one, other)).tolist())
    return Estimate(*np.exp([found.value, found.low, found.high]).tolist())


def write_measures(path: Path, rows: Iterable[Measured]) -> None:
    """Write all numbers as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow([field.name for field in fields(Measured)])
        out.writerows(astuple(row) for row in rows)
