"""The tables of `ica_match`."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Matched:
    """How the axes of one target match those of the source."""

    target: Annotated[str, "name of the target"]
    mean_r: Annotated[float, "mean r of matched ICA axes"]
    mean_r_pca: Annotated[float, "of the principal axes of both, matched alike"]
    mean_r_random: Annotated[float, "of principal axes turned by chance, matched alike"]
    first_r: Annotated[float, "mean r of the 100 ICA pairs of highest r"]
    first_r_pca: Annotated[float, "of the 100 pairs of principal axes of highest r"]
    first_r_random: Annotated[float, "of the 100 pairs of random axes of highest r"]
    shared: Annotated[int, "matched ICA axes whose p is at most `level`"]
    level_r: Annotated[float, "the r whose p is `level`: shared axes correlate by this or more"]
    chance_r: Annotated[float, "√(2 ln(k k') / N), about the largest r of unrelated axes"]
    matched: Annotated[int, "pairs of axes: the lesser of the two numbers of axes"]
    axes: Annotated[int, "axes of the source"]
    target_axes: Annotated[int, "axes of the target"]
    weight: Annotated[int, "observations: pairs of rows, of words, or dictionary lines"]
    row_pairs: Annotated[int, "pairs of rows in them"]
    dropped: Annotated[int, "dictionary lines of which a word is not there"]
    shuffles: Annotated[int, "shuffles of the pairing that the null was made of"]


@dataclass(frozen=True)
class Pair:
    """One axis of the source and its match in one target."""

    target: Annotated[str, "name of the target"]
    rank: Annotated[int, "place by r in this target, from 1"]
    axis: Annotated[int, "axis of the source"]
    other_axis: Annotated[int, "axis of the target"]
    r: Annotated[float, "weighted Pearson correlation"]
    null_r: Annotated[float, "mean r at this rank where the pairing is shuffled"]
    p: Annotated[float, "chance that any of all axis pairs reaches r where the pairing is shuffled"]
    shared: Annotated[bool, "whether p is at most `level`"]
    stable: Annotated[bool | None, "whether the source's axis is stable"]
    other_stable: Annotated[bool | None, "whether the target's axis is stable"]
    skewness: Annotated[float, "of the source's axis, on its own rows"]
    other_skewness: Annotated[float, "of the target's axis, on its own rows"]


@dataclass(frozen=True)
class HubAxis:
    """One axis of the source over all targets, by falling Σ r."""

    rank: Annotated[int, "place by Σ r, from 1"]
    axis: Annotated[int, "axis of the source"]
    mean_r: Annotated[float | None, "mean r over the targets that it is matched in"]
    sum_r: Annotated[float, "Σ r over the targets that it is matched in"]
    matched: Annotated[int, "targets that it is matched in"]
    everywhere: Annotated[bool, "whether it is matched in all targets"]
    shared: Annotated[int, "targets that it is shared with"]


@dataclass(frozen=True)
class CurvePoint:
    """Matched r at one rank, of the axes or of what they are compared with."""

    target: Annotated[str, "name of the target"]
    basis: Annotated[str, "ica, pca, random, or shuffled: ICA axes, rows paired by chance"]
    rank: Annotated[int, "place by r, from 1"]
    r: Annotated[float, "correlation; of shuffled the mean over shuffles"]
    low: Annotated[float | None, "of shuffled: least over shuffles"]
    high: Annotated[float | None, "of shuffled: greatest over shuffles"]


@dataclass(frozen=True)
class Cell:
    """Correlation of one of the first 50 axes of the source with one axis of a target."""

    target: Annotated[str, "name of the target"]
    order: Annotated[str, "before: the target's first 50 axes; after: the matches in their place"]
    column: Annotated[int, "place among the axes of the target that are shown, from 0"]
    axis: Annotated[int, "axis of the source"]
    other_axis: Annotated[int, "axis of the target"]
    r: Annotated[float, "weighted Pearson correlation"]
