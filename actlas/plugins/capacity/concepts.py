"""The analysis `concept_capacity`: how labelled concepts share the dimensions of a site."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, LabelError, Labels, Result, analysis

from . import figures, moments
from .features import Features, Norm, prepared
from .frame import capacities, frame
from .measured import Measured, Settings, measure, remarks, tables
from .moments import Classes, Read
from .tables import TABLES, Summary

Kind = Literal["means", "differences", "probes"]
Metric = Literal["euclidean", "whitened"]
Scale = Literal["none", "unit", "activity"]


@dataclass(frozen=True)
class Concept:
    """What else the rows say of one concept's capacity."""

    label: Annotated[str, "name of the label"]
    rows: Annotated[int, "rows that have it"]
    capacity: Annotated[float, "capacity of its direction"]
    permuted: Annotated[float | None, "mean capacity with labels permuted between groups"]
    debiased: Annotated[
        float | None, "capacity from products of two halves, whose noise is independent"
    ]
    clipped: Annotated[bool | None, "whether that lay outside 0 … 1, and was clipped"]
    empirical: Annotated[
        float, "squared correlation of the label with the rows along its direction"
    ]
    probe_r2: Annotated[
        float | None, "R² of a linear probe, on the half it was not fitted on; below 0: no use"
    ]


@dataclass(frozen=True)
class ConceptSummary(Summary):
    """How concepts share the dimensions of a site; one row a run."""

    debiased_total: Annotated[
        float | None, "total of the debiased capacities: without the noise of the means"
    ]
    null_debiased_total: Annotated[
        float, "null_total again: random directions have no noise to take out"
    ]


@dataclass(frozen=True)
class Controls:
    """What chance and halves of the rows say of the total; one row a run."""

    classes: Annotated[int, "concepts"]
    rows: Annotated[int, "labelled rows"]
    groups: Annotated[int, "groups of rows"]
    analytic_total: Annotated[float, "total of Gaussian rows, however many rows a class has"]
    permuted_total: Annotated[float | None, "mean total with labels permuted between groups"]
    permuted_low: Annotated[float | None, "least of them"]
    permuted_high: Annotated[float | None, "largest of them"]
    clipped: Annotated[int, "debiased capacities that were clipped"]
    reliability: Annotated[float | None, "correlation of capacities from either half"]
    mean_empirical: Annotated[float, "mean squared correlation"]
    mean_probe_r2: Annotated[float | None, "mean R² of the probes"]


@dataclass(frozen=True)
class Chosen:
    """How directions are made of class sums."""

    kind: Kind
    centre: bool
    scale: Scale
    shrinkage: float
    root: NDArray[np.float64] | None  # (d, d) Σ^(−1/2), None where the metric is Euclidean

    def directions(self, classes: Classes) -> NDArray[np.float64]:
        """Return one direction a class (K, d), in the metric, before centring."""
        found = self._raw(classes)
        if self.root is not None:
            found = found @ self.root
        if self.scale == "activity":
            shares = classes.shares
            found = found * np.sqrt(shares * (1 - shares))[:, None]
        return found

    def _raw(self, classes: Classes) -> NDArray[np.float64]:
        if self.kind == "probes":
            return _probes(classes, self.shrinkage)
        if self.kind == "differences":
            rest = classes.sums.sum(axis=0) - classes.sums
            left = np.maximum(classes.rows - classes.counts, 1)[:, None]
            difference: NDArray[np.float64] = classes.means - rest / left
            return difference
        return classes.placed

    def features(self, classes: Classes, site: str, names: tuple[str, ...]) -> Features:
        """Return the directions as a feature set."""
        norm: Norm = "unit" if self.scale == "unit" else "none"
        source = f"{self.kind} at {site}"
        return prepared(self.directions(classes), source, names, centre=self.centre, norm=norm)


@analysis(
    version=3,
    tables={**TABLES, "summary": ConceptSummary, "concepts": Concept, "controls": Controls},
    arrays={"directions": "(classes, width) direction of each concept as it was measured"},
    figures={k: figures.ALL[k] for k in ("histogram", "ordered", "norm", "gram")},
    headline="debiased_total",
)
def concept_capacity(
    acts: Activations,
    labels: Labels,
    *,
    features: Annotated[
        Kind, "class means, differences of a class from the rest, linear probes"
    ] = "means",
    centre: Annotated[bool, "of means: subtract their mean, each class alike"] = True,
    norm: Annotated[
        Scale, "unit: angles only; activity: times the standard deviation of the label"
    ] = "none",
    metric: Annotated[
        Metric, "whitened: by the covariance within classes (Mahalanobis)"
    ] = "euclidean",
    shrinkage: Annotated[
        float, "share of its mean variance mixed into a covariance: whitening and probes"
    ] = 0.01,
    null: Annotated[
        Literal["permutation", "analytic"], "chance that excess is taken from"
    ] = "permutation",
    permutations: Annotated[int, "permutations of the labels between groups; 0 for none"] = 20,
    threshold: Annotated[
        float | None, "|cos| that joins two concepts in a block; none: 1e-6 if exact, else 0.2"
    ] = None,
    block_limit: Annotated[int, "most concepts among which blocks are looked for"] = 4096,
    seed: Annotated[int, "seed of the halves and the permutations"] = 0,
) -> Result:
    """Capacity of labelled concepts: the share of a dimension that the site gives to each.

    Features are class means less their mean (the default), differences of means, or probes; see
    `capacity` for what is measured. Read against chance: means of pure noise look excellent, since
    random directions in many dimensions hardly interfere, however many rows a class has. The null
    permutes labels between whole groups; the analytic one (Gaussian rows) knows nothing of
    the site's covariance. Noise in the means is taken out by products of two halves of the
    groups (debiased). Companions: the squared correlation of label and projection, equal to
    capacity where labels are uncorrelated and the site holds nothing else, and the R² of a ridge
    probe fitted on one half and tested on the other. K centred means span K − 1 dimensions at most.
    Capacity is a diagnostic, no score: read the debiased total between K − 1 and chance, which has
    the site's covariance. Below chance, concepts interfere more than random directions would;
    excess divides by what chance leaves below K − 1, so few classes make it large and unsteady.
    One pass over the rows, double precision sums. Rows without a label are left out.
    """
    settings = Settings(threshold, block_limit, unit=norm == "unit")
    _check(settings, shrinkage, permutations, seed)
    if features == "probes" and metric == "whitened":
        raise InputError(
            "concept_capacity: probes read and do not write, so whitening turns them the wrong "
            "way; use --features means --metric whitened"
        )
    if null == "permutation" and not permutations:
        raise InputError("concept_capacity: null permutation needs permutations ≥ 1")
    known = labels.known
    acts, labels = acts.take(known), _usable(labels, known)
    found = moments.read(acts, labels, permutations, seed)
    everything = found.all
    root = _root(everything.within, shrinkage) if metric == "whitened" else None
    chosen = Chosen(features, centre and features == "means", norm, shrinkage, root)
    made = chosen.features(everything, acts.site, labels.names)
    by_chance = [
        frame(chosen.features(other, acts.site, labels.names)).capacity for other in found.permuted
    ]
    permuted = np.mean(by_chance, axis=0) if by_chance else None
    analytic = measure(made, settings)
    measured = analytic if null == "analytic" else measure(made, settings, permuted)
    concepts = _concepts(found, chosen, labels, measured, permuted)
    totals = [float(C.sum()) for C in by_chance]
    given = {
        "concepts": concepts,
        "controls": _controls(labels, analytic, totals, concepts, _reliability(found, chosen)),
    }
    said = remarks([measured]) + _said(concepts)
    shared = tables([measured])
    shared["summary"] = [_summary(shared["summary"][0], concepts)]
    return Result(shared | given, {"directions": made.whole() * made.unit}, said)


def _check(settings: Settings, shrinkage: float, permutations: int, seed: int) -> None:
    settings.check("concept_capacity")
    if not 0 <= shrinkage <= 1 or permutations < 0:
        raise InputError("concept_capacity: 0 ≤ shrinkage ≤ 1 and permutations ≥ 0 are needed")
    if not 0 <= seed < 2**32:
        raise InputError(f"concept_capacity: seed={seed} must lie between 0 and 2³² − 1")


def _usable(labels: Labels, known: NDArray[np.bool_]) -> Labels:
    if len(labels.names) > int(known.sum()):
        raise LabelError(
            f"concept_capacity: {labels.name!r} has {len(labels.names)} classes for "
            f"{int(known.sum())} labelled rows; a class needs a row of its own"
        )
    kept = labels.take(known)
    if len(kept.names) < 2:
        has = f"only {kept.names[0]!r}" if kept.names else "none"
        raise LabelError(f"concept_capacity needs two classes or more; {labels.name!r} has {has}")
    return kept


def _shrunk(covariance: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    d = len(covariance)
    mixed = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / d * np.eye(d)
    return np.asarray(mixed)


def _root(covariance: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    """Return Σ^(−1/2); directions without variance are left out."""
    values, vectors = np.linalg.eigh(_shrunk(covariance, shrinkage))
    keep = values > 1e-10 * float(values[-1])
    root: NDArray[np.float64] = (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T
    return root


def _probes(classes: Classes, shrinkage: float) -> NDArray[np.float64]:
    """Ridge regression of each class's indicator on the rows (K, d)."""
    covariance = _shrunk(classes.covariance, shrinkage)
    inverse = np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
    found: NDArray[np.float64] = classes.cross @ inverse
    return found


def debiased(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return capacities (K,) from directions (K, d) of two halves, and which were clipped.

    Every dot product is of one half with the other, so that its noise cancels on average; of two
    directions of one half it would not, once centring has given all a common part of the noise.
    """
    products = first @ second.T
    own = np.diag(products) ** 2
    across = products * products.T
    np.fill_diagonal(across, 0)
    whole = own + across.sum(axis=1)
    C = np.divide(own, whole, out=np.ones(len(own)), where=whole > 0)
    return C.clip(0, 1), (C > 1) | (whole <= 0)


def _concepts(
    found: Read, chosen: Chosen, labels: Labels, measured: Measured, permuted: Any
) -> list[Concept]:
    everything, (one, two) = found.all, found.halves
    both = (one.counts > 0) & (two.counts > 0)
    nothing = np.full(len(both), np.nan)
    free, cut, r2 = nothing.copy(), np.zeros(len(both), bool), nothing.copy()
    if both.sum() > 1:
        free[both], cut[both] = debiased(*_of_halves(found, chosen, both))
        r2[both] = (_tested(one, two, chosen) + _tested(two, one, chosen))[both] / 2
    empirical = _empirical(everything, chosen, measured.features)
    C = measured.frame.capacity
    return [
        Concept(
            label=name,
            rows=int(everything.counts[i]),
            capacity=float(C[i]),
            permuted=None if permuted is None else float(permuted[i]),
            debiased=float(free[i]) if both[i] else None,
            clipped=bool(cut[i]) if both[i] else None,
            empirical=float(empirical[i]),
            probe_r2=float(r2[i]) if both[i] else None,
        )
        for i, name in enumerate(labels.names)
    ]


def _of_halves(found: Read, chosen: Chosen, both: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Directions of either half, of the classes that both have."""
    parts: list[NDArray[np.float64]] = []
    for half in found.halves:
        rows: NDArray[Any] = chosen.directions(half)[both]
        if chosen.centre:
            rows = rows - rows.mean(axis=0)
        parts.append(rows)
    return parts


def _reliability(found: Read, chosen: Chosen) -> float | None:
    both = np.logical_and(*(half.counts > 0 for half in found.halves))
    if both.sum() < 3:
        return None
    one, two = (capacities(rows) for rows in _of_halves(found, chosen, both))
    if min(one.std(), two.std()) <= 1e-12:
        return None
    return float(np.corrcoef(one, two)[0, 1])


def _empirical(classes: Classes, chosen: Chosen, features: Features) -> NDArray[np.float64]:
    """Squared correlation (K,) of each class's indicator with the rows along its direction."""
    readout = features.whole()
    if chosen.root is not None:
        readout = readout @ chosen.root
    along = np.einsum("ij,ij->i", readout, classes.cross)
    spread = np.einsum("ij,jk,ik->i", readout, classes.covariance, readout, optimize=True)
    below = spread * classes.shares * (1 - classes.shares)
    r2: NDArray[np.float64] = np.divide(along**2, below, out=np.zeros(len(below)), where=below > 0)
    return r2.clip(0, 1)


def _tested(fitted: Classes, other: Classes, chosen: Chosen) -> NDArray[np.float64]:
    """R² (K,) on other rows of probes fitted on some, by their moments."""
    probes = _probes(fitted, chosen.shrinkage)
    variance = other.shares * (1 - other.shares)
    offset = other.shares - fitted.shares - probes @ (other.mean - fitted.mean)
    error = (
        variance + offset**2 - 2 * np.einsum("ij,ij->i", probes, other.cross)
        + np.einsum("ij,jk,ik->i", probes, other.covariance, probes, optimize=True)
    )  # fmt: skip
    unexplained = np.divide(error, variance, out=np.ones(len(error)), where=variance > 0)
    r2: NDArray[np.float64] = 1 - unexplained
    return r2


def _summary(shared: Summary, concepts: list[Concept]) -> ConceptSummary:
    """Add the debiased total, None where a concept has no second half."""
    free = [c.debiased for c in concepts if c.debiased is not None]
    total = sum(free) if len(free) == len(concepts) else None
    return ConceptSummary(
        **asdict(shared), debiased_total=total, null_debiased_total=shared.null_total
    )


def _controls(
    labels: Labels,
    analytic: Measured,
    totals: list[float],
    concepts: list[Concept],
    reliability: float | None,
) -> Controls:
    tested = [c.probe_r2 for c in concepts if c.probe_r2 is not None]
    return Controls(
        classes=len(concepts),
        rows=len(labels),
        groups=len(np.unique(labels.groups)),
        analytic_total=float(analytic.null.sum()),
        permuted_total=float(np.mean(totals)) if totals else None,
        permuted_low=min(totals) if totals else None,
        permuted_high=max(totals) if totals else None,
        clipped=sum(bool(c.clipped) for c in concepts),
        reliability=reliability,
        mean_empirical=float(np.mean([c.empirical for c in concepts])),
        mean_probe_r2=float(np.mean(tested)) if tested else None,
    )


def _said(concepts: list[Concept]) -> list[str]:
    lone = [c.label for c in concepts if c.debiased is None]
    clipped = sum(bool(c.clipped) for c in concepts)
    said = []
    if lone:
        said.append(f"of one group, so with no second half: {', '.join(lone[:5])} ({len(lone)})")
    if clipped:
        said.append(f"{clipped} debiased capacities lay outside 0 … 1 and were clipped")
    return said
