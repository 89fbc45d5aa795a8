"""The analysis `ica_labels`: which label explains an axis."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, LabelError, Labels, Result, ResultTable, analysis

from .association import Tested, associated
from .items import fitted_rows, stable_axes
from .project import Axes, Basis

BASES: tuple[Basis, ...] = ("ica", "pca", "random")
SHOWN_AXES = 40
NAMED = 5  # rare labels that a remark names


@dataclass(frozen=True)
class Summary:
    """How many axes some label explains; one row a run."""

    explained_share: Annotated[float, "share of the ICA axes that some label explains"]
    explained_share_pca: Annotated[float, "of the principal axes"]
    explained_share_random: Annotated[float, "of white axes turned by chance"]
    explained: Annotated[int, "ICA axes of which a label has q ≤ level and AUROC ≥ least_auroc"]
    significant: Annotated[int, "ICA axes of which a label has q ≤ level, however small"]
    mean_auroc: Annotated[float, "mean over ICA axes of the best label's AUROC or 1 − AUROC"]
    mean_auroc_pca: Annotated[float, "of the principal axes"]
    mean_auroc_random: Annotated[float, "of white axes turned by chance"]
    axes: Annotated[int, "axes"]
    labels: Annotated[int, "labels tested"]
    rows: Annotated[int, "labelled rows"]
    dropped_rows: Annotated[int, "rows without a label, left out"]
    groups: Annotated[int, "groups of rows; as many as rows where these are independent"]
    test: Annotated[str, "mann-whitney, or clustered (rank sum with a variance over groups)"]


@dataclass(frozen=True)
class Axis:
    """The label that tells most about one axis."""

    basis: Annotated[str, "ica, pca, random"]
    axis: Annotated[int, "number of the axis"]
    label: Annotated[str, "of the significant labels, or of all if none is, AUROC furthest from ½"]
    direction: Annotated[str, "high or low: the end of the axis where its rows are"]
    auroc: Annotated[float, "chance that a row of the label lies higher than another; ties half"]
    mi: Annotated[float, "mutual information with the label against the rest, bits"]
    mi_labels: Annotated[float, "mutual information with all labels together, bits"]
    p: Annotated[float, "two-sided p-value of the rank sum"]
    q: Annotated[float, "the same after Benjamini & Hochberg, over all axes × labels of the basis"]
    significant: Annotated[bool, "whether q ≤ level"]
    explained: Annotated[bool, "significant, and AUROC or 1 − AUROC ≥ least_auroc"]
    stable: Annotated[bool | None, "whether `ica` calls the axis stable; none: another basis"]


@dataclass(frozen=True)
class Association:
    """An axis of ICA and a label that goes with it."""

    axis: Annotated[int, "number of the axis"]
    rank: Annotated[int, "place among the axis's labels, from 1: significant first, by |AUROC − ½|"]
    label: Annotated[str, "name of the label"]
    direction: Annotated[str, "high or low: the end of the axis where its rows are"]
    auroc: Annotated[float, "chance that a row of the label lies higher than another; ties half"]
    mi: Annotated[float, "mutual information with the label against the rest, bits"]
    p: Annotated[float, "two-sided p-value of the rank sum"]
    q: Annotated[float, "the same after Benjamini & Hochberg"]
    significant: Annotated[bool, "whether q ≤ level"]


def _heatmap(tables: Mapping[str, ResultTable]) -> Any:
    """AUROC of the labels on the axes that they explain best."""
    import altair as alt

    best = sorted(
        (row for row in tables["axes"] if row["basis"] == "ica"),
        key=lambda row: -abs(row["auroc"] - 0.5),
    )[:SHOWN_AXES]
    # Axes by the label that explains them, so that the strong cells lie along a diagonal.
    best.sort(key=lambda row: (row["label"], -abs(row["auroc"] - 0.5)))
    names = {
        row["axis"]: f"{row['axis']}{' (not stable)' if row['stable'] is False else ''}"
        for row in best
    }
    cells = [
        row | {"shown": names[row["axis"]]}
        for row in tables["associations"]
        if row["axis"] in names
    ]
    return (
        alt.Chart(alt.Data(values=cells))
        .mark_rect()
        .encode(
            alt.X("shown:N", sort=list(names.values()), title="axis").axis(labelAngle=-90),
            alt.Y("label:N", title=None),
            alt.Color("auroc:Q", title="AUROC").scale(
                scheme="blueorange", domain=[0, 1], domainMid=0.5
            ),
            tooltip=["axis:Q", "label:N", "auroc:Q", "mi:Q", "q:Q"],
        )
        .properties(
            width=16 * len(names),
            height=alt.Step(16),
            title=f"AUROC of labels on the {len(names)} axes they explain best",
        )
    )


@analysis(
    version=1,
    base="ica",
    tables={"summary": Summary, "axes": Axis, "associations": Association},
    figures={"auroc": _heatmap},
    headline="explained_share",
)
def ica_labels(
    acts: Activations,
    labels: Labels,
    base: Result,
    *,
    level: Annotated[float, "false discovery rate at which an association counts"] = 0.05,
    least_auroc: Annotated[float, "AUROC (or 1 − AUROC) from which a label explains an axis"] = 0.8,
    min_count: Annotated[int, "labels of fewer rows are not tested, though among the rest"] = 10,
    bins: Annotated[int, "equally full bins of an axis, for mutual information"] = 10,
    most_labels: Annotated[int, "labels kept of each axis: significant first, by |AUROC − ½|"] = 50,
    seed: Annotated[int, "seed of the random axes"] = 0,
) -> Result:
    """Which label explains an axis, by AUROC and mutual information, with false discoveries held.

    Every label against the rest of the labelled rows on every axis; rows without a label are
    left out. AUROC from ranks, ties by half. Where every row is a group of its own p is that of
    Mann & Whitney (normal, ties and continuity corrected). Rows of one group are not independent:
    there the variance of the rank sum is the sum over groups of squared contributions (Obuchowski
    1997; the score test, which errs towards no effect where groups are few). Then Benjamini &
    Hochberg (1995) over all axes × labels. With many rows everything is significant: an axis
    counts as explained where AUROC is large as well. Mutual information is of ranks in
    equal bins, and too high by about (bins − 1) / (2 n ln 2) bits by chance.
    """
    _check(level, least_auroc, min_count, bins, most_labels, seed)
    used = fitted_rows(acts, base)
    labelled = used[labels.known[used]]
    acts, labels = acts.take(labelled), labels.take(labelled)
    tried, rare = _tried(labels, min_count)
    found = {
        basis: associated(acts, Axes.of(base, basis, seed), labels, tried, bins) for basis in BASES
    }
    tables = {
        "summary": _summary(found, level, least_auroc, labels, len(used) - len(labelled)),
        "axes": _axes(found, labels, tried, level, least_auroc, base),
        "associations": _associations(found["ica"], labels, tried, level, most_labels),
    }
    return Result(tables, {}, _remarks(rare, min_count, len(used) - len(labelled)))


def _check(
    level: float, least_auroc: float, min_count: int, bins: int, most_labels: int, seed: int
) -> None:
    if not 0 < level < 1 or not 0.5 <= least_auroc <= 1:
        raise InputError("ica_labels: 0 < level < 1 and ½ ≤ least_auroc ≤ 1 are needed")
    if min_count < 1 or bins < 2 or most_labels < 1:
        raise InputError("ica_labels: min_count ≥ 1, bins ≥ 2 and most_labels ≥ 1 are needed")
    if not 0 <= seed < 2**32:
        raise InputError(f"ica_labels: seed={seed} must lie between 0 and 2³² − 1")


def _tried(labels: Labels, min_count: int) -> tuple[NDArray[np.int64], list[str]]:
    """Return the codes of labels to test, and the names of those that are too rare."""
    counts = labels.counts
    if len(labels.names) < 2:
        known = f"only {labels.names[0]!r}" if labels.names else "none"
        raise LabelError(f"ica_labels needs two labels or more; {labels.name!r} has {known}")
    tried = np.flatnonzero(counts >= min_count)
    if not len(tried):
        raise LabelError(
            f"ica_labels: no label of {labels.name!r} has min_count={min_count} rows; the "
            f"commonest has {counts.max()}; use a smaller min_count"
        )
    if len(np.unique(labels.groups)) < 2:
        raise LabelError("ica_labels: all rows are of one group; use other groups")
    return tried, [labels.names[i] for i in np.flatnonzero(counts < min_count)]


def _ranked(found: Tested, level: float) -> NDArray[np.int64]:
    """Labels (axes, labels) of every axis: significant ones first, by |AUROC − ½|."""
    strength = np.abs(found.auroc - 0.5) + (found.q <= level)
    order: NDArray[np.int64] = np.argsort(-strength, axis=1, kind="stable")
    return order


def _strength(found: Tested) -> NDArray[np.float64]:
    """Of every axis the best label's AUROC, or 1 − AUROC (axes,)."""
    strength: NDArray[np.float64] = 0.5 + np.abs(found.auroc - 0.5).max(axis=1)
    return strength


def _explained(found: Tested, level: float, least_auroc: float) -> NDArray[np.bool_]:
    strong = np.abs(found.auroc - 0.5) >= least_auroc - 0.5
    return np.asarray((strong & (found.q <= level)).any(axis=1))


def _summary(
    found: Mapping[Basis, Tested], level: float, least_auroc: float, labels: Labels, dropped: int
) -> Summary:
    explained = {name: _explained(basis, level, least_auroc) for name, basis in found.items()}
    mean = {name: float(_strength(basis).mean()) for name, basis in found.items()}
    ours = found["ica"]
    groups = len(np.unique(labels.groups))
    return Summary(
        explained_share=float(explained["ica"].mean()),
        explained_share_pca=float(explained["pca"].mean()),
        explained_share_random=float(explained["random"].mean()),
        explained=int(explained["ica"].sum()),
        significant=int((ours.q <= level).any(axis=1).sum()),
        mean_auroc=mean["ica"],
        mean_auroc_pca=mean["pca"],
        mean_auroc_random=mean["random"],
        axes=len(ours.auroc),
        labels=ours.auroc.shape[1],
        rows=len(labels),
        dropped_rows=dropped,
        groups=groups,
        test="mann-whitney" if groups == len(labels) else "clustered",
    )


def _axes(
    found: Mapping[Basis, Tested],
    labels: Labels,
    tried: NDArray[np.int64],
    level: float,
    least_auroc: float,
    base: Result,
) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for name, basis in found.items():
        best = _ranked(basis, level)[:, 0]
        every = np.arange(len(best))
        auroc = basis.auroc[every, best]
        parts.append({
            "basis": [name] * len(best),
            "axis": every,
            "label": [labels.names[tried[i]] for i in best],
            "direction": np.where(auroc < 0.5, "low", "high"),
            "auroc": auroc,
            "mi": basis.mi[every, best],
            "mi_labels": basis.mi_labels,
            "p": basis.p[every, best],
            "q": basis.q[every, best],
            "significant": basis.q[every, best] <= level,
            "explained": _explained(basis, level, least_auroc),
            "stable": stable_axes(base) if name == "ica" else [None] * len(best),
        })  # fmt: skip
    return {name: [v for part in parts for v in part[name]] for name in Axis.__dataclass_fields__}


def _associations(
    found: Tested, labels: Labels, tried: NDArray[np.int64], level: float, most: int
) -> dict[str, Any]:
    order = _ranked(found, level)[:, :most]
    axis = np.repeat(np.arange(len(order)), order.shape[1])
    at = (axis, order.ravel())
    return {
        "axis": axis,
        "rank": np.tile(np.arange(1, order.shape[1] + 1), len(order)),
        "label": [labels.names[tried[i]] for i in at[1]],
        "direction": np.where(found.auroc[at] < 0.5, "low", "high"),
        "auroc": found.auroc[at],
        "mi": found.mi[at],
        "p": found.p[at],
        "q": found.q[at],
        "significant": found.q[at] <= level,
    }


def _remarks(rare: list[str], min_count: int, dropped: int) -> list[str]:
    said = []
    if dropped:
        said.append(f"{dropped:,} rows have no label and were left out")
    if rare:
        more = f", … ({len(rare)})" if len(rare) > NAMED else ""
        said.append(
            f"labels of fewer than {min_count} rows were not tested: {', '.join(rare[:NAMED])}"
            f"{more}"
        )
    return said
