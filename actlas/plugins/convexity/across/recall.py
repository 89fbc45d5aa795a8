"""The analysis `convexity_recall`: does convexity go with how well classes are told apart?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import InputError, Layers, Others, Result, analysis

from . import figures
from .correlating import FEWEST, correlate
from .stored import check_settings

HERE = "same site"
FEW = 8  # classes below which a correlation says little


@dataclass(frozen=True)
class Correlation:
    """One correlation of convexity with recall."""

    over: Annotated[str, "the points: classes; layers × classes; layers; models × classes; models"]
    site: Annotated[str | None, "where convexity is from; null: all layers, or all others"]
    recall_at: Annotated[str, "where recall is from"]
    method: Annotated[str, "pearson or spearman"]
    r: Annotated[float, "correlation"]
    low: Annotated[float | None, "lower end of its 95 % interval: Fisher's z, or classes drawn"]
    high: Annotated[float | None, "upper end"]
    p: Annotated[float, "two-sided p of no correlation; over layers × classes by permutation"]
    n: Annotated[int, "points"]
    classes: Annotated[int | None, "classes they are of; null over layers and models"]
    without_low: Annotated[float, "lowest correlation when one class (layer, model) is left out"]
    without_high: Annotated[float, "highest"]


@dataclass(frozen=True)
class Point:
    """One class at one site."""

    site: Annotated[str, "where convexity is from"]
    recall_at: Annotated[str, "where recall is from"]
    label: Annotated[str, "name of the label"]
    convexity: Annotated[float, "its graph convexity"]
    recall: Annotated[float, "its recall by `probe`"]


@dataclass(frozen=True)
class _Place:
    """Scores of one site by class, and of all."""

    name: str
    convexity: dict[str, float]
    recall: dict[str, float]
    macro: float
    accuracy: float

    @classmethod
    def of(cls, name: str, base: Result) -> "_Place":
        tables = base.tables
        return cls(
            name,
            {r["label"]: r["graph_convexity"] for r in tables["convexity_classes"]
             if r["graph_convexity"] == r["graph_convexity"]},
            {r["label"]: r["recall"] for r in tables["probe_classes"]},
            float(tables["convexity_summary"]["macro"][0]),
            float(tables["probe_summary"]["balanced_accuracy"][0]),
        )  # fmt: skip


@dataclass(frozen=True)
class _Draws:
    draws: int
    seed: int

    def rows(
        self, over: str, site: str | None, at: str, X: np.ndarray, Y: np.ndarray
    ) -> list[Correlation]:
        """Correlate (places, classes); over layers and models the columns are places."""
        chance = np.random.default_rng(self.seed)
        classes = X.shape[1] if "classes" in over else None
        return [
            Correlation(
                over, site, at, f.method, f.r, f.low, f.high, f.p, X.size, classes,
                f.without_low, f.without_high,
            )
            for f in correlate(X, Y, self.draws, chance)
        ]  # fmt: skip


@analysis(
    version=1,
    tables={"correlations": Correlation, "points": Point},
    figures={"layers": figures.correlation, "scatter": figures.scatter},
    headline="r",
    base=("convexity", "probe"),
    allow_nonfinite=True,
)
def convexity_recall(
    layers: Layers,
    others: Others,
    *,
    draws: Annotated[int, "bootstrap draws and permutations of the classes"] = 2000,
    seed: Annotated[int, "seed of the draws"] = 0,
) -> Result:
    """Correlation of class convexity with recall over classes, layers and models.

    Reads stored results of `convexity` and `probe` at every site. For each of these layers (of
    the pretrained model) convexity is set against recall at the same site and at every other
    (`--other EXTRACTION:SITE`, of the fine-tuned model), one point a class: the published claim
    is that pretrained convexity predicts fine-tuned recall (Tětková et al. 2025). Layers × classes
    hold all layers' points; over layers and over models (the others) a point is a site, macro
    convexity against balanced accuracy. Layers of one model are not independent, so that
    intervals over them are too narrow.
    """
    if draws < 100 or seed < 0:
        raise InputError("convexity_recall: draws ≥ 100 and seed ≥ 0 are needed")
    here = [_Place.of(n, b) for n, b in zip(layers.names, layers.bases, strict=True)]
    there = [_Place.of(n, b) for n, b in zip(others.names, others.bases, strict=True)]
    settings = [b.parameters["convexity"] for b in (*layers.bases, *others.bases)]
    check_settings("convexity_recall", [p.name for p in (*here, *there)], settings)
    drawing = _Draws(draws, seed)
    correlations: list[Correlation] = []
    points: list[Point] = []
    for targets, at in [(here, HERE), *(([o] * len(here), o.name) for o in there)]:
        shared = _shared([*here, *targets], at)
        X = np.array([[p.convexity[c] for c in shared] for p in here])
        Y = np.array([[p.recall[c] for c in shared] for p in targets])
        for i, place in enumerate(here):
            correlations += drawing.rows("classes", place.name, at, X[i : i + 1], Y[i : i + 1])
            points += [Point(place.name, at, c, float(X[i, j]), float(Y[i, j]))
                       for j, c in enumerate(shared)]  # fmt: skip
        if len(here) > 1:
            correlations += drawing.rows("layers × classes", None, at, X, Y)
    correlations += [*_sites(drawing, "layers", here), *_models(drawing, there)]
    tables = {"correlations": correlations, "points": points}
    return Result(tables, warnings=_remarks(correlations))


def _shared(places: Sequence[_Place], at: str) -> list[str]:
    """Classes that have both numbers everywhere; InputError where they are too few."""
    known = set.intersection(*({*p.convexity} & {*p.recall} for p in places))
    shared = [c for c in places[0].convexity if c in known]
    if len(shared) < FEWEST:
        raise InputError(
            f"convexity_recall: {len(shared)} classes have convexity and recall ({at}); {FEWEST} "
            f"or more are needed; run convexity and probe on the same labels"
        )
    return shared


def _sites(drawing: _Draws, over: str, places: Sequence[_Place]) -> list[Correlation]:
    """Macro score against balanced accuracy, a point a place."""
    X, Y = np.array([[p.macro for p in places]]), np.array([[p.accuracy for p in places]])
    return drawing.rows(over, None, HERE, X, Y)


def _models(drawing: _Draws, places: Sequence[_Place]) -> list[Correlation]:
    """The others with each other, each with its own recall."""
    if len(places) < 2:
        return []
    shared = _shared(places, "others")
    X = np.array([[p.convexity[c] for c in shared] for p in places])
    Y = np.array([[p.recall[c] for c in shared] for p in places])
    return [
        *drawing.rows("models × classes", None, HERE, X, Y),
        *_sites(drawing, "models", places),
    ]


def _remarks(correlations: Sequence[Correlation]) -> list[str]:
    said = []
    fewest = min((row.n for row in correlations if row.over == "classes"), default=0)
    if not correlations:
        said.append("convexity or recall is the same for all classes: nothing to correlate")
    elif 0 < fewest < FEW:
        said.append(f"{fewest} classes only: intervals are wide, and one class may decide")
    flipped = [
        row.site
        for row in correlations
        if row.over == "classes" and row.method == "pearson" and row.site
        and row.without_low * row.without_high < 0
    ]  # fmt: skip
    if flipped:
        sites = ", ".join(dict.fromkeys(s for s in flipped if s))
        said.append(f"leaving one class out turns the sign of Pearson's r at {sites}")
    return said
