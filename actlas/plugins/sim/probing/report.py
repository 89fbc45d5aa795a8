"""What was measured, judged by the gate and put into tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import Result

from .curves import Curve
from .gate import Decoder, Verdict, judged
from .gaussian import LEVELS, Laws, correlation, unresolved
from .measured import Measured
from .rotations import Axes
from .rows import Split
from .tables import Bin, Dimension, Factor, Importance, Quantile, Score, Summary, WeightDensity

Array = NDArray[np.float64]
Scores = dict[tuple[str, int | None], float]
DRAWN = 24  # dimensions whose law is drawn
AXES = ("disentanglement", "completeness", "mig", "sap")


@dataclass(frozen=True)
class Probed:
    """Everything that needs labels."""

    measured: list[Measured]
    factors: list[Factor]
    axes: Axes
    scores: Scores
    turned: list[Scores]
    curves: list[list[Curve]]
    sides: Split
    groups: int
    said: list[str]

    @property
    def names(self) -> list[str]:
        """Names of the factors."""
        return [factor.factor for factor in self.factors]


def result(
    laws: Laws, probed: Probed | None, decoder: Decoder | None, said: Sequence[str]
) -> Result:  # fmt: skip
    """Put everything into tables."""
    verdict = judged(laws, probed.factors if probed else None, decoder)
    warnings = [*said, *_remarks(verdict), *_bound(laws)]
    table = _scores(laws, probed, verdict)
    tables: dict[str, Any] = {
        "summary": _summary(laws, probed, decoder, verdict, table),
        "factors": probed.factors if probed else [],
        "scores": table,
        "dimensions": _dimensions(laws, probed),
        "importance": _importance(probed) if probed else [],
        "topk": _topk(probed) if probed else [],
        "weights": _weights(probed) if probed else [],
        **_shapes(laws, probed),
    }
    width = len(laws.law.mean)
    importance = probed.axes.importance if probed else np.zeros((width, 0))
    return Result(tables, {"importance": importance}, warnings)


def _remarks(verdict: Verdict) -> list[str]:
    if verdict.informative is False:
        return [f"not interpreted: {verdict.said}"]
    if verdict.informative and not verdict.smooth:
        return [f"closeness to N(0, I) is not interpreted: {verdict.said}"]
    return []


def _bound(laws: Laws) -> list[str]:
    lost = unresolved(laws.law)
    return [
        f"total correlation is at least what is told: {lost} of {len(laws.law.mean)} directions "
        f"follow from the others as far as single precision shows"
    ] * (lost > 0)


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _mean(values: Any) -> float | None:
    kept = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(kept)) if kept else None


def _score(
    name: str, factor: str | None, value: float | None, null: Sequence[float | None], read: bool
) -> Score:  # fmt: skip
    value, kept = _number(value), [v for v in map(_number, null) if v is not None]
    mean = float(np.mean(kept)) if kept else None
    several = len(kept) > 1
    return Score(
        score=name,
        factor=factor,
        value=value,
        null=mean,
        null_low=min(kept) if several else None,
        null_high=max(kept) if several else None,
        excess=None if value is None or mean is None else value - mean,
        interpreted=read and value is not None,
    )


def _scores(laws: Laws, probed: Probed | None, verdict: Verdict) -> list[Score]:
    found = []
    if probed is not None:
        for (name, f), value in probed.scores.items():
            read = bool(verdict.informative) and (f is None or probed.factors[f].readable)
            null = [scores[name, f] for scores in probed.turned]
            factor = None if f is None else probed.names[f]
            found.append(_score(name, factor, value, null, read))
        for one in probed.factors:
            found.append(_score("accuracy", one.factor, one.accuracy, [one.majority], True))
            if one.explicitness is not None:
                found.append(_score("explicitness", one.factor, one.explicitness, [0.5], True))
        mean = _mean(one.accuracy for one in probed.factors)
        base = _mean(one.majority for one in probed.factors)
        found.append(_score("informativeness", None, mean, [base], True))
    return found + _law_scores(laws, verdict.smooth)


def _law_scores(laws: Laws, read: bool) -> list[Score]:
    from scipy.special import poch

    law, post = laws.law, laws.posterior
    alive = ~law.dead
    count = int(alive.sum())
    kl, correlated = law.kl, correlation(law)
    full = None if correlated is None else float(kl[alive].sum() + correlated)
    half = len(alive) / 2
    norm = float(poch(half, 0.5) / np.sqrt(half))  # mean of a chi variable / √d
    found = [
        _score("marginal_kl", None, _mean(kl), [1 / law.rows], read),
        _score("ks", None, _mean(law.ks), [0.8687 / np.sqrt(law.rows)], read),
        _score("wasserstein", None, _mean(law.wasserstein), [], read),
        _score("total_correlation", None, correlated, [0.0], read),
        _score("gaussian_kl", None, full, [count / law.rows], read),
        _score("norm", None, law.norm_mean, [norm], read),
        _score("norm_cv", None, law.norm_cv, [np.sqrt(1 / norm**2 - 1)], read),
    ]
    if laws.lag is not None:
        found.append(_score("lag1", None, _mean(laws.lag[0]), [0.0], read))
        found.append(_score("roughness", None, _mean(laws.lag[1]), [1.0], read))
    if post is not None:
        found.append(_score("rate", None, float(post.rate.sum()), [0.0], True))
        found.append(_score("active_units", None, float(post.active), [0.0], True))
    return found


def _summary(
    laws: Laws, probed: Probed | None, decoder: Decoder | None, verdict: Verdict,
    table: list[Score],
) -> Summary:  # fmt: skip
    whole = {s.score: s for s in table if s.factor is None}
    excess = {name: whole[name].excess if name in whole and verdict.informative else None
              for name in AXES}  # fmt: skip
    law, post = laws.law, laws.posterior
    gini = [s.excess for s in table if s.score == "gini" and s.interpreted]
    factors, sides = (probed.factors, probed.sides) if probed else ([], None)
    return Summary(
        gate=verdict.said,
        informative=verdict.informative,
        concentration=_mean(gini),
        **excess,
        accuracy=_mean(f.accuracy for f in factors),
        baseline=_mean(f.majority for f in factors),
        marginal_kl=whole["marginal_kl"].value if verdict.smooth else None,
        total_correlation=whole["total_correlation"].value if verdict.smooth else None,
        rate=None if post is None else float(post.rate.sum()),
        active_units=None if post is None else post.active,
        decoder_r2=None if decoder is None else decoder.r2,
        dead=int(law.dead.sum()),
        law_of="rows" if post is None else "draws",
        rows=law.rows,
        probe_rows=len(sides.train) + len(sides.test) if sides else 0,
        train=len(sides.train) if sides else None,
        test=len(sides.test) if sides else None,
        groups=probed.groups if probed else None,
        width=len(law.mean),
    )


def _dimensions(laws: Laws, probed: Probed | None) -> list[Dimension]:
    law, post, kl = laws.law, laws.posterior, laws.law.kl
    shares = _shares(probed.axes.importance) if probed else None
    found = []
    for d in range(len(law.mean)):
        mine = None if shares is None else shares[d]
        found.append(
            Dimension(
                dim=d,
                mean=float(law.mean[d]),
                variance=float(law.variance[d]),
                kl=_number(kl[d]),
                ks=float(law.ks[d]),
                wasserstein=float(law.wasserstein[d]),
                skewness=_number(law.skewness[d]),
                kurtosis=_number(law.kurtosis[d]),
                lag1=None if laws.lag is None else _number(laws.lag[0][d]),
                rate=None if post is None else float(post.rate[d]),
                mean_variance=None if post is None else float(post.mean_variance[d]),
                importance=None if mine is None else float(mine.mean()),
                factor=probed.names[int(mine.argmax())]
                if probed is not None and mine is not None and mine.any() else None,
                dead=bool(law.dead[d]),
            )
        )  # fmt: skip
    return found


def _shares(R: Array) -> Array:
    total = R.sum(0)
    shares: Array = R / np.where(total > 0, total, 1)
    return shares


def _importance(probed: Probed) -> list[Importance]:
    axes, shares, found = probed.axes, _shares(probed.axes.importance), []
    for f, name in enumerate(probed.names):
        order = np.argsort(-axes.importance[:, f], kind="stable")
        rank = np.argsort(order, kind="stable")
        for d in range(len(order)):
            found.append(
                Importance(
                    name, d, float(axes.importance[d, f]), float(shares[d, f]), int(rank[d]),
                    float(axes.information[d, f]), float(axes.r2[d, f]),
                )
            )  # fmt: skip
    return found


def _topk(probed: Probed) -> list[Any]:
    pairs = zip(probed.names, probed.curves, strict=True)
    return [row for name, curves in pairs for curve in curves for row in curve.rows(name)]


def _shapes(laws: Laws, probed: Probed | None) -> dict[str, Any]:
    """Histograms and quantiles of some dimensions: all, or evenly from the least KL to the most."""
    from scipy.special import ndtri

    order = np.argsort(np.nan_to_num(laws.law.kl, nan=np.inf), kind="stable")
    some = np.unique(np.linspace(0, len(order) - 1, DRAWN).round().astype(int))
    quantiles, bins = [], []
    for d in np.sort(order[some]).tolist():
        values = laws.law.quantiles[d]
        triples = zip(LEVELS.tolist(), values.tolist(), ndtri(LEVELS).tolist(), strict=True)
        quantiles += [Quantile(d, *triple) for triple in triples]
        bins += _bins(d, values)
    return {"histograms": bins, "quantiles": quantiles}


def _bins(dim: int, values: Array) -> list[Bin]:
    """Bars between every third quantile: each holds as many rows, however wide it is."""
    edges, levels = values[::3], LEVELS[::3]
    found = []
    for low, high, share in zip(edges[:-1], edges[1:], np.diff(levels), strict=True):
        if high > low:
            normal = float(np.exp(-(((low + high) / 2) ** 2) / 2) / np.sqrt(2 * np.pi))
            found.append(Bin(dim, float(low), float(high), float(share / (high - low)), normal))
    return found


def _weights(probed: Probed) -> list[WeightDensity]:
    """Kernel density of weights, scaled by the largest so that zero stays zero."""
    found, at = [], np.linspace(-1, 1, 101)
    for name, measured in zip(probed.names, probed.measured, strict=True):
        weights = measured.probe.weights.ravel()
        largest = float(np.abs(weights).max(initial=0))
        if largest == 0 or len(weights) < 3 or np.ptp(weights) < 1e-12 * largest:
            continue
        density = _density(weights[:: max(1, len(weights) // 20_000)] / largest, at)
        pairs = zip(at.tolist(), density.tolist(), strict=True)
        found += [WeightDensity(name, w, d) for w, d in pairs]
    return found


def _density(values: Array, at: Array) -> Array:
    """Gaussian kernel density with half of Scott's bandwidth, as the paper draws it."""
    width = 0.5 * len(values) ** -0.2 * values.std(ddof=1)
    bumps = np.exp(-(((at[:, None] - values) / width) ** 2) / 2)
    return np.asarray(bumps.mean(1) / (width * np.sqrt(2 * np.pi)))
