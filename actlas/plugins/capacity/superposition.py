"""The analysis `superposition`: what single neurons respond to, which capacity says nothing of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, LabelError, Labels, Result, ResultTable, analysis

from .features import READ_ROWS

TINY = 1e-12  # share of the mean square below which a neuron does not vary
SHOWN = 40


@dataclass(frozen=True)
class Summary:
    """How far single neurons stand for single concepts; one row a run."""

    polysemantic_share: Annotated[float, "share of neurons that tell two concepts or more"]
    monosemantic_share: Annotated[float, "share of neurons that tell exactly one"]
    concepts_per_neuron: Annotated[float, "mean number of concepts that a neuron tells"]
    neurons_per_concept: Annotated[float, "mean over concepts of 1 / Σ p², p = |w| / Σ|w|"]
    selectivity: Annotated[float | None, "median selectivity of neurons"]
    alignment: Annotated[float, "mean over concepts of max |w| / |w|, 1: one neuron alone"]
    alignment_random: Annotated[float, "the same of as many random directions"]
    kurtosis: Annotated[float | None, "median kurtosis of neurons (Pearson: 3 is normal)"]
    kurtosis_random: Annotated[float | None, "the same of as many random directions"]
    participation_ratio: Annotated[float | None, "(Σλ)² / Σλ² of the covariance, dimensions"]
    width: Annotated[int, "neurons"]
    concepts: Annotated[int, "labels"]
    rows: Annotated[int, "labelled rows"]
    constant: Annotated[int, "neurons that do not vary; they tell nothing"]


@dataclass(frozen=True)
class Neuron:
    """One neuron: a dimension of the site."""

    neuron: Annotated[int, "number of the dimension"]
    concepts: Annotated[int, "labels with AUROC or 1 − AUROC ≥ least_auroc"]
    label: Annotated[str, "the label whose AUROC lies furthest from ½"]
    auroc: Annotated[float, "chance that a row of it is higher than another; ties half"]
    selectivity: Annotated[
        float | None, "(most − mean of the others) / (most + mean of the others) of class means"
    ]
    kurtosis: Annotated[float | None, "fourth central moment / variance² (Pearson)"]


@dataclass(frozen=True)
class Concept:
    """One label, by its class mean less the mean of all class means, w."""

    label: Annotated[str, "name of the label"]
    rows: Annotated[int, "rows that have it"]
    neurons: Annotated[int, "neurons with AUROC or 1 − AUROC ≥ least_auroc for it"]
    effective_neurons: Annotated[float, "1 / Σ p², p = |w| / Σ|w|, Simpson's number"]
    alignment: Annotated[float, "max |w| / |w|, 1: along one neuron"]
    neuron: Annotated[int, "that neuron"]


def _polysemanticity(tables: Mapping[str, ResultTable]) -> Any:
    """How many concepts neurons tell."""
    import altair as alt

    counts = np.bincount(tables["neurons"]["concepts"].astype(int))
    rows = [{"concepts": i, "neurons": int(n)} for i, n in enumerate(counts)]
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.X("concepts:O", title="concepts that a neuron tells").axis(labelAngle=0),
            alt.Y("neurons:Q", title="neurons"),
        )
        .properties(width=300, height=200, title="Neurons by concepts")
    )


def _alignment(tables: Mapping[str, ResultTable]) -> Any:
    """How far each concept lies along one neuron; the rule is the mean of random directions."""
    import altair as alt

    rows = sorted(tables["concepts"], key=lambda row: -row["alignment"])[:SHOWN]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.Y("label:N", sort=[row["label"] for row in rows], title=None),
            alt.X("alignment:Q", title="max |w| / |w| (dashed: random directions)").scale(
                domain=[0, 1]
            ),
        )
    )
    chance = [{"at": float(tables["summary"]["alignment_random"][0])}]
    rule = alt.Chart(alt.InlineData(values=chance)).mark_rule(strokeDash=[4, 3])
    return alt.layer(bars, rule.encode(alt.X("at:Q"))).properties(
        width=300, title="Concepts along one neuron"
    )


@analysis(
    version=1,
    tables={"summary": Summary, "neurons": Neuron, "concepts": Concept},
    figures={"polysemanticity": _polysemanticity, "alignment": _alignment},
    headline="polysemantic_share",
)
def superposition(
    acts: Activations,
    labels: Labels,
    *,
    least_auroc: Annotated[float, "AUROC (or 1 − AUROC) from which a neuron tells a label"] = 0.8,
    max_rows: Annotated[int, "rows ranked for AUROC, drawn by chance; more are not needed"] = 20000,
    seed: Annotated[int, "seed of the random directions and of the rows drawn"] = 0,
) -> Result:
    """Superposition in single neurons: which concepts each tells, and how sparse it is.

    A polysemantic neuron is not a feature of low capacity. Capacity (`concept_capacity`) compares
    directions with each other, and a rotation of the site leaves it as it is; here the site's own
    dimensions are looked at, and a rotation changes everything. Neurons are compared with as
    many random directions. Selectivity (Morcos et al. 2018) is of class means of the positive part
    of a neuron, so that it lies in 0 … 1. Rows without a label are left out.
    """
    if not 0.5 < least_auroc <= 1 or max_rows < 2:
        raise InputError("superposition: ½ < least_auroc ≤ 1 and max_rows ≥ 2 are needed")
    if not 0 <= seed < 2**32:
        raise InputError(f"superposition: seed={seed} must lie between 0 and 2³² − 1")
    known = labels.known
    acts, labels = acts.take(known), labels.take(known)
    if len(labels.names) < 2:
        raise LabelError(f"superposition needs two labels or more; {labels.name!r} has fewer")
    rng = np.random.default_rng(seed)
    turned = rng.standard_normal((acts.width, acts.width))
    turned /= np.linalg.norm(turned, axis=0)
    seen = _read(acts, labels, turned)
    auroc = _auroc(acts, labels, max_rows, rng)
    tells = np.abs(auroc - 0.5) >= least_auroc - 0.5  # (classes, width)
    tells[:, seen.constant] = False
    directions = seen.means - seen.means.mean(axis=0)
    tables = {
        "summary": _summary(seen, labels, tells, directions, turned),
        "neurons": _neurons(seen, labels, tells, auroc),
        "concepts": _concepts(labels, tells, directions),
    }
    return Result(tables)


@dataclass(frozen=True, eq=False)
class _Seen:
    """means, positive: (classes, width) class means, of rows and of their positive part."""

    means: NDArray[np.float64]
    positive: NDArray[np.float64]
    kurtosis: NDArray[np.float64]  # (width,), NaN where constant
    kurtosis_random: NDArray[np.float64]
    constant: NDArray[np.bool_]
    ratio: float | None


def _read(acts: Activations, labels: Labels, turned: NDArray[np.float64]) -> _Seen:
    """Two passes: means first, then central moments, which do not cancel."""
    classes, width = len(labels.names), acts.width
    sums, positive = np.zeros((classes, width)), np.zeros((classes, width))
    square = np.zeros(width)
    for codes, rows in _blocks(acts, labels):
        np.add.at(sums, codes, rows)
        np.add.at(positive, codes, rows.clip(0))
        square += np.square(rows).sum(axis=0)
    mean = sums.sum(axis=0) / len(acts)
    products = np.zeros((width, width))
    powers = np.zeros((4, width))
    for _, rows in _blocks(acts, labels):
        centred = rows - mean
        products += centred.T @ centred
        for i, some in enumerate((centred, centred @ turned)):
            squared = np.square(some)
            powers[2 * i] += squared.sum(axis=0)
            powers[2 * i + 1] += np.square(squared).sum(axis=0)
    constant = powers[0] <= TINY * square
    powers[0][constant] = np.nan
    powers[2][powers[2] <= TINY * square.sum() / width] = np.nan
    counts = labels.counts[:, None]
    total = np.square(products).sum()
    return _Seen(
        sums / counts,
        positive / counts,
        powers[1] / powers[0] ** 2 * len(acts),
        powers[3] / powers[2] ** 2 * len(acts),
        constant,
        float(np.trace(products) ** 2 / total) if not constant.all() else None,
    )


def _blocks(acts: Activations, labels: Labels) -> Any:
    for number, rows in enumerate(acts.chunks(READ_ROWS, np.float64)):
        yield labels.codes[number * READ_ROWS : number * READ_ROWS + len(rows)], rows


def _auroc(
    acts: Activations, labels: Labels, max_rows: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """AUROC (classes, width) of every class against the rest in every neuron, ½ where unknown."""
    from scipy.stats import rankdata

    if len(acts) > max_rows:
        drawn = np.sort(rng.choice(len(acts), max_rows, replace=False))
        acts, codes = acts.take(drawn), labels.codes[drawn]
    else:
        codes = labels.codes
    ranks = rankdata(acts.numpy(), axis=0)
    sums = np.zeros((len(labels.names), acts.width))
    np.add.at(sums, codes, ranks)
    mine = np.bincount(codes, minlength=len(sums))[:, None]
    rest = len(codes) - mine
    above = sums - mine * (mine + 1) / 2
    found = np.full(sums.shape, 0.5)
    np.divide(above, mine * rest, out=found, where=np.broadcast_to(mine * rest > 0, sums.shape))
    return found


def _selectivity(positive: NDArray[np.float64]) -> NDArray[np.float64]:
    """(width,), NaN where a neuron is never positive."""
    most = positive.max(axis=0)
    others = (positive.sum(axis=0) - most) / (len(positive) - 1)
    both = most + others
    found: NDArray[np.float64] = np.divide(
        most - others, both, out=np.full(len(most), np.nan), where=both > 0
    )
    return found


def _aligned(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """max |w| / |w| of rows (n, width), 0 where they are 0."""
    norms = np.linalg.norm(rows, axis=1)
    found: NDArray[np.float64] = np.divide(
        np.abs(rows).max(axis=1), norms, out=np.zeros(len(rows)), where=norms > 0
    )
    return found


def _effective(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Σ|w|)² / Σ w² of rows (n, width), 0 where they are 0."""
    power = np.square(rows).sum(axis=1)
    whole = np.abs(rows).sum(axis=1) ** 2
    found: NDArray[np.float64] = np.divide(whole, power, out=np.zeros(len(rows)), where=power > 0)
    return found


def _median(values: NDArray[np.float64]) -> float | None:
    some = values[np.isfinite(values)]
    return float(np.median(some)) if len(some) else None


def _summary(
    seen: _Seen,
    labels: Labels,
    tells: NDArray[np.bool_],
    directions: NDArray[np.float64],
    turned: NDArray[np.float64],
) -> Summary:
    told = tells.sum(axis=0)
    return Summary(
        polysemantic_share=float((told > 1).mean()),
        monosemantic_share=float((told == 1).mean()),
        concepts_per_neuron=float(told.mean()),
        neurons_per_concept=float(_effective(directions).mean()),
        selectivity=_median(_selectivity(seen.positive)),
        alignment=float(_aligned(directions).mean()),
        alignment_random=float(_aligned(turned.T).mean()),
        kurtosis=_median(seen.kurtosis),
        kurtosis_random=_median(seen.kurtosis_random),
        participation_ratio=seen.ratio,
        width=len(told),
        concepts=len(directions),
        rows=len(labels),
        constant=int(seen.constant.sum()),
    )


def _neurons(
    seen: _Seen, labels: Labels, tells: NDArray[np.bool_], auroc: NDArray[np.float64]
) -> dict[str, Any]:
    best = np.abs(auroc - 0.5).argmax(axis=0)
    return {
        "neuron": range(len(best)),
        "concepts": tells.sum(axis=0),
        "label": [labels.names[i] for i in best],
        "auroc": auroc[best, np.arange(len(best))],
        "selectivity": _selectivity(seen.positive),
        "kurtosis": seen.kurtosis,
    }


def _concepts(
    labels: Labels, tells: NDArray[np.bool_], directions: NDArray[np.float64]
) -> dict[str, Any]:
    return {
        "label": labels.names,
        "rows": labels.counts,
        "neurons": tells.sum(axis=1),
        "effective_neurons": _effective(directions),
        "alignment": _aligned(directions),
        "neuron": np.abs(directions).argmax(axis=1),
    }
