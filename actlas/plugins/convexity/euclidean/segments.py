"""The analysis `convexity_euclidean`: segments between rows of a class, judged."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import (
    Activations,
    InputError,
    Labels,
    LoadedModel,
    Others,
    Result,
    Samples,
    analysis,
)

from . import figures
from .choice import Given, Judge, judge
from .decisions import Floats, Integers, Judged, Linear
from .pairs import Pairs, draw
from .remarks import STRAIGHT, remarks
from .tables import Class, Summary


@analysis(
    version=2,
    tables={"summary": Summary, "classes": Class},
    arrays={
        "rows": "(n,) rows of the activations that were judged",
        "codes": "(n,) their classes, places in the table classes",
        "row_scores": "(n,) mean over the segments that end at a row; −1 where none does",
    },
    figures={"classes": figures.classes},
    headline="macro",
    base="probe",
    when={
        "base": {"decision": "probe"},
        "model": {"decision": "network"},
        "samples": {"decision": "network"},
    },
)
def convexity_euclidean(
    acts: Activations,
    labels: Labels,
    base: Result | None,
    others: Others | None,
    model: LoadedModel | None,
    samples: Samples | None,
    *,
    decision: Annotated[
        Literal["network", "probe", "centroid", "mlp"],
        "what judges: the rest of the network; a stored probe of the site; the nearest class mean; "
        "a small network trained on half of the rows",
    ] = "network",
    against: Annotated[
        Literal["label", "prediction"], "points should be predicted as the label, or as their ends"
    ] = "label",
    points: Annotated[int, "interior points of a segment"] = 10,
    max_pairs: Annotated[int, "pairs judged a class, drawn by chance; 0: all"] = 5000,
    per_class: Annotated[int, "at most so many rows a class, drawn by chance; 0: all"] = 0,
    lengths: Annotated[
        Literal["equal", "padded"],
        "network: join samples of as many positions, or any, the shorter padded to the longer",
    ] = "equal",
    seed: Annotated[int, "seed of what is drawn by chance"] = 0,
) -> Result:
    """Euclidean convexity of the regions of labels.

    Of a pair of rows of a class the score is the share of equally spaced interior points of the
    segment between them that are predicted as the class; a class scores the mean over its
    unordered pairs (Tětková et al. 2025).

    decision=network is the published one: the un-pooled states (positions × width) of two samples
    at the site are interpolated and read on by the blocks that follow and the network's own head
    (a checkpoint fine-tuned to tell classes apart, …ForSequenceClassification and its like). A
    network without one is read by a stored probe at a later site, as its rows were pooled:
    --other layers.-1. The samples are run again, so rows pooled by mean, first or last will do.

    A segment lies in one space only if both samples have as many positions; by default only such
    pairs are joined, so that both ends are predicted as the network predicts them. lengths=padded
    joins all: the shorter is run padded to the longer, and points attend to all positions of the
    longer, so that at the shorter's end the network reads states of padding that it would mask.

    Linear decisions (probe, centroid; heads with nothing but linear maps before them) have convex
    regions by construction. Against their own predictions the score is 1, which is called vacuous;
    against labels it measures errors, and both_right is a lower bound. A probe has seen three
    quarters of these rows, mlp the other half only. The score is unchanged where rows and decision
    are transformed by the same affine map.
    """
    if points < 1 or min(max_pairs, per_class, seed) < 0:
        raise InputError(
            "convexity_euclidean: points ≥ 1 and max_pairs, per_class, seed ≥ 0 are needed"
        )
    given = Given(acts, labels, base, others, model, samples)
    judged = judge(given, decision, padded=lengths == "padded", per_class=per_class, seed=seed)
    found = _scores(judged, against == "label", points, max_pairs, seed)
    classes = [part.row() for part in found.parts]
    unlabelled = len(labels) - int(labels.known.sum())
    summary = _summary(found, judged, decision, against, points, unlabelled)
    tables = {"summary": summary, "classes": classes}
    arrays = {
        "rows": judged.rows[found.kept],
        "codes": found.codes[found.kept],
        "row_scores": found.row_scores()[found.kept],
    }
    unknown = [n for n, t in zip(judged.sample.names, judged.target, strict=True) if t < 0]
    return Result(tables, arrays, remarks(summary, classes, unknown if against == "label" else []))


@dataclass(frozen=True, eq=False)
class _Part:
    """One class: its rows, and what its pairs scored."""

    label: str
    n: int
    pairs: Pairs
    scores: Floats
    continuum: Floats | None
    right: NDArray[np.bool_]
    recall: float | None

    def sem(self) -> float | None:
        if len(self.scores) < 2:
            return None
        return float(self.scores.std(ddof=1) / np.sqrt(self.n))

    def row(self) -> Class:
        if not len(self.pairs):
            return Class(self.label, self.n, 0, None, None, None, None, self.recall)
        exact = None if self.continuum is None else float(self.continuum.mean())
        return Class(
            self.label, self.n, len(self.pairs), float(self.scores.mean()), self.sem(), exact,
            float(self.right.mean()), self.recall,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Found:
    parts: list[_Part]
    codes: Integers  # of each row, places in parts; −1: in no class
    bend: float
    accuracy: float | None

    @property
    def kept(self) -> NDArray[np.bool_]:
        return np.asarray(self.codes >= 0)

    @property
    def scored(self) -> list[_Part]:
        return [part for part in self.parts if len(part.pairs)]

    def row_scores(self) -> Floats:
        sums, counts = np.zeros(len(self.codes)), np.zeros(len(self.codes))
        for part in self.scored:
            for ends in (part.pairs.first, part.pairs.second):
                np.add.at(sums, ends, part.scores)
                np.add.at(counts, ends, 1)
        return np.where(counts > 0, sums / np.maximum(counts, 1), -1.0)


def _scores(judged: Judge, by_label: bool, points: int, max_pairs: int, seed: int) -> _Found:
    """Draw the pairs of every class, judge them all at once, and score them."""
    decision, sample = judged.decision, judged.sample
    predicted, truth = decision.predictions(), judged.target[sample.codes]
    names = dict(zip(judged.target.tolist(), sample.names, strict=True))
    chance = np.random.default_rng(seed)
    if by_label:  # in the order of the labels
        targets = [t for t in judged.target.tolist() if t >= 0]
    else:
        targets = np.unique(predicted).tolist()
    inside = truth if by_label else predicted
    drawn = [draw(np.flatnonzero(inside == t), decision.spaces, max_pairs, chance) for t in targets]
    if not any(map(len, drawn)):
        raise InputError(
            "convexity_euclidean: no class has two rows that a segment can join; use more rows, or "
            "(texts of unlike length) lengths=padded"
        )
    first = np.concatenate([pairs.first for pairs in drawn])
    second = np.concatenate([pairs.second for pairs in drawn])
    along = decision.judge(first, second, points)
    ends = np.cumsum([0, *map(len, drawn)])
    parts = []
    for number, (target, pairs) in enumerate(zip(targets, drawn, strict=True)):
        mine = truth == target
        parts.append(
            _Part(
                label=names.get(target, decision.names[target]),
                n=int((inside == target).sum()),
                pairs=pairs,
                scores=_shares(along, ends[number], ends[number + 1], target),
                continuum=_exact(judged, pairs, target),
                right=(predicted[pairs.first] == target) & (predicted[pairs.second] == target),
                recall=float((predicted[mine] == target).mean()) if mine.any() else None,
            )
        )
    known = truth >= 0
    accuracy = float((predicted == truth)[known].mean()) if known.any() else None
    place = {target: number for number, target in enumerate(targets)}
    codes = np.array([place.get(t, -1) for t in inside.tolist()])
    return _Found(parts, codes, along.bend, accuracy)


def _shares(along: Judged, start: int, stop: int, target: int) -> Floats:
    found: Floats = (along.predicted[start:stop] == target).mean(axis=1)
    return found


def _exact(judged: Judge, pairs: Pairs, target: int) -> Floats | None:
    if not isinstance(judged.decision, Linear):
        return None
    return judged.decision.inside(pairs.first, pairs.second, np.full(len(pairs), target))


def _mean(values: list[Any]) -> float | None:
    return None if any(v is None for v in values) else float(np.mean(values))


def _summary(
    found: _Found, judged: Judge, decision: str, against: str, points: int, unlabelled: int
) -> Summary:
    scored, rows = found.scored, [part.row() for part in found.scored]
    macro = float(np.mean([row.euclidean_convexity for row in rows if row.pairs]))
    sem = _mean([row.sem for row in rows])
    pairs = sum(len(part.pairs) for part in scored)
    return Summary(
        macro=macro,
        low=None if sem is None else max(0.0, macro - 1.96 * sem),
        high=None if sem is None else min(1.0, macro + 1.96 * sem),
        sem=sem,
        micro=float(np.concatenate([part.scores for part in scored]).mean()),
        chance=1 / len(scored) if against == "label" else None,
        continuum=_mean([row.continuum for row in rows]),
        accuracy=found.accuracy,
        both_right=float(np.mean([part.right.mean() for part in scored])),
        decision=decision,
        head=judged.head,
        against=against,
        vacuous=(found.bend < STRAIGHT and against == "prediction")
        or len(judged.decision.names) == 1,
        bend=found.bend,
        points=points,
        pairs=pairs,
        joinable_share=sum(p.pairs.possible for p in found.parts)
        / max(1, sum(p.pairs.all for p in found.parts)),
        rows=int(found.kept.sum()),
        unlabelled=unlabelled,
        classes=len(scored),
    )
