"""The analysis `ica_stability`: which axes many runs find again (Icasso)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Result, analysis

from . import stabilities
from .bootstrap import base_rows, resampled, too_few
from .fastica import Solution, fastica
from .icasso import Clusters, clustered
from .rowsets import Pinned
from .stabilities import AxisStability, Cluster, Run, StabilitySummary

Contrast = Literal["logcosh", "exp", "cube"]
Bootstrap = Literal["both", "rows", "none"]

MOST_AXES = 20_000  # of all runs: |r| of all pairs is 1.6 GB, its tree three times as much


@analysis(
    version=1,
    base="ica",
    tables={
        "summary": StabilitySummary,
        "axes": AxisStability,
        "clusters": Cluster,
        "runs": Run,
    },
    arrays={
        "centrotypes": "(k, width) reading directions of the centrotypes, by axis of the base",
        "quality": "(k,) I_q of the cluster of each axis of the base; NaN for one axis alone",
    },
    figures={"stability": stabilities.stability},
    headline="mean_quality",
)
def ica_stability(
    acts: Activations,
    base: Result,
    *,
    restarts: Annotated[int, "runs of FastICA"] = 10,
    bootstrap: Annotated[
        Bootstrap, "what differs: start and resampled rows, rows alone, or none: start alone"
    ] = "both",
    threshold: Annotated[float, "I_q and |r| from which an axis is stable, 0 to 1"] = 0.8,
    contrast: Annotated[Contrast | None, "contrast function; none: the base's"] = None,
    tol: Annotated[float | None, "where a run stops, in 1 − |cos|; none: the base's"] = None,
    max_iter: Annotated[int | None, "most passes of a run; none: the base's"] = None,
    seed: Annotated[int, "seed of starts and resampled rows"] = 0,
    memory_gb: Annotated[float, "rows in memory, GB; of more, a sample is used"] = 4.0,
) -> Result:
    """Which axes of `ica` other starts on resampled rows find again (Icasso).

    FastICA runs again and again; the axes of all runs are put into k clusters by average linkage
    of 1 − |r|. The quality of a cluster is I_q = mean |r| within − mean |r| with all other axes
    (an axis with itself left out), and its centrotype the axis nearest to the others (Himberg,
    Hyvärinen & Esposito 2004). Clusters and axes of the base are matched one to one by |r|.

    An axis is stable where I_q of its cluster and its |r| with the centrotype are `threshold` or
    more, and more than half of the runs found it. Start alone is not enough: on rows of normal
    random numbers it calls up to a third of the axes stable, since every run finds the same
    accidents of the sample again. Rows, their weights and whitening are the base's.
    """
    _check(restarts, threshold, seed, base)
    settings = _settings(base, contrast=contrast, tol=tol, max_iter=max_iter)
    rows = base_rows(acts, base, seed, memory_gb)
    runs = [_run(rows.held, i, bootstrap, seed, settings) for i in range(restarts)]
    directions = np.vstack([run.directions for run in runs])
    found = _Matched.of(clustered(directions, rows.held.k), directions, rows.base)
    return Result(
        found.tables(runs, base, threshold, len(rows.held)),
        {
            "centrotypes": found.centrotypes @ rows.reading,
            "quality": found.clusters.quality[found.cluster],
        },
        [*rows.said, *_remarks(runs, settings)],
    )


def _settings(base: Result, **given: Any) -> dict[str, Any]:
    """Settings of the runs: those of the base where none is given."""
    found = {n: base.parameters[n] if value is None else value for n, value in given.items()}
    if found["tol"] <= 0 or found["max_iter"] < 1:
        raise InputError("ica_stability: tol > 0 and max_iter ≥ 1 are needed")
    return found


def _check(restarts: int, threshold: float, seed: int, base: Result) -> None:
    k = len(base.arrays["reading"])
    if restarts < 2 or not 0 < threshold <= 1 or not 0 <= seed < 2**32 - restarts:
        raise InputError(
            "ica_stability: restarts ≥ 2, 0 < threshold ≤ 1 and 0 ≤ seed < 2³² − restarts are "
            "needed"
        )
    if restarts * k > MOST_AXES:
        raise InputError(
            f"ica_stability: {restarts} runs of {k} axes are {restarts * k:,}, and comparing all "
            f"of more than {MOST_AXES:,} takes too much memory; use --restarts {MOST_AXES // k} "
            f"or fewer"
        )


@dataclass(frozen=True, eq=False)
class _Ran:
    """One run. rows: different ones; directions: (k, k) its axes in the base's white rows."""

    rows: int
    solution: Solution
    directions: NDArray[np.float64]


def _run(held: Pinned, i: int, bootstrap: str, seed: int, settings: Mapping[str, Any]) -> _Ran:
    """Resampled rows are not white; they are made so, or FastICA would look for what they lack."""
    part = held if bootstrap == "none" else resampled(held, np.random.default_rng([seed, i]))
    part = part.whitened()
    root = part.root
    if root is None or not np.isfinite(root).all():
        raise too_few(len(part), held.k)
    solution = fastica(part, seed=seed if bootstrap == "rows" else seed + 1 + i, **settings)
    return _Ran(len(part), solution, solution.rotation @ root)


@dataclass(frozen=True, eq=False)
class _Matched:
    """Clusters matched one to one with the base's axes.

    cluster: (k,) of each axis. r: (k,) |r| of the axis with the cluster's centrotype.
    runs: (k,) runs with an axis in each cluster. centrotypes: (k, k) by axis, of length 1 and
    turned as the axis is.
    """

    clusters: Clusters
    cluster: NDArray[np.int64]
    r: NDArray[np.float64]
    runs: NDArray[np.int64]
    centrotypes: NDArray[np.float64]

    @classmethod
    def of(
        cls, clusters: Clusters, directions: NDArray[np.float64], base: NDArray[np.float64]
    ) -> "_Matched":
        from scipy.optimize import linear_sum_assignment

        k = len(base)
        leads = directions[clusters.centrotypes]
        leads = leads / np.linalg.norm(leads, axis=1, keepdims=True)
        cosines = base @ leads.T / np.linalg.norm(base, axis=1, keepdims=True)
        _, cluster = linear_sum_assignment(-np.abs(cosines))
        own = cosines[np.arange(k), cluster]
        pairs = np.unique(np.stack([clusters.member, np.arange(len(directions)) // k]), axis=1)
        turned = leads[cluster] * np.where(own < 0, -1.0, 1.0)[:, None]
        return cls(clusters, cluster, np.abs(own), np.bincount(pairs[0], minlength=k), turned)

    def stable(self, threshold: float, runs: int) -> NDArray[np.bool_]:
        quality = self.clusters.quality[self.cluster]
        tight = np.nan_to_num(quality, nan=-1.0) >= threshold
        found: NDArray[np.bool_] = tight & (self.r >= threshold)
        return found & (2 * self.runs[self.cluster] > runs)

    def tables(self, runs: list[_Ran], base: Result, threshold: float, rows: int) -> dict[str, Any]:
        k, quality = len(self.cluster), self.clusters.quality[self.cluster]
        stable = self.stable(threshold, len(runs))
        return {
            "summary": StabilitySummary(
                runs=len(runs),
                axes=k,
                stable=int(stable.sum()),
                stable_share=float(stable.mean()),
                mean_quality=float(np.nan_to_num(quality).mean()),
                mean_r=float(self.r.mean()),
                converged_runs=sum(run.solution.converged for run in runs),
                rows=rows,
                threshold=threshold,
            ),
            "axes": {
                "axis": range(k),
                "quality": quality,
                "r": self.r,
                "size": self.clusters.sizes[self.cluster],
                "runs": self.runs[self.cluster],
                "stable": stable,
                "skewness": base.tables["axes"]["skewness"],
                "base_stability": base.tables["axes"]["stability"],
            },
            "clusters": self._clusters(),
            "runs": {
                "run": range(len(runs)),
                "rows": [run.rows for run in runs],
                "iterations": [len(run.solution.limits) for run in runs],
                "limit": [run.solution.limits[-1] for run in runs],
                "converged": [run.solution.converged for run in runs],
            },
        }

    def _clusters(self) -> dict[str, Any]:
        """By falling quality; a cluster of one comes last."""
        k, found = len(self.cluster), self.clusters
        order = np.argsort(-np.nan_to_num(found.quality, nan=-1.0), kind="stable")
        return {
            "cluster": range(k),
            "quality": found.quality[order],
            "intra": found.intra[order],
            "extra": found.extra[order],
            "size": found.sizes[order],
            "runs": self.runs[order],
            "centrotype_run": found.centrotypes[order] // k,
            "centrotype_axis": found.centrotypes[order] % k,
            "axis": np.argsort(self.cluster)[order],
        }


def _remarks(runs: list[_Ran], settings: Mapping[str, Any]) -> list[str]:
    late = sum(not run.solution.converged for run in runs)
    if not late:
        return []
    return [
        f"{late} of {len(runs)} runs had not converged after {settings['max_iter']} passes "
        f"(tol={settings['tol']:g}); axes that turn freely never do"
    ]
