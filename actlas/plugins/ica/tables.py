"""The tables of `ica`."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """How a site was taken apart; one row a run."""

    mean_skewness: Annotated[float, "mean |skewness| of the ICA axes"]
    mean_skewness_pca: Annotated[float, "of the principal axes"]
    mean_skewness_raw: Annotated[float, "of the site's own dimensions, constant ones left out"]
    mean_skewness_random: Annotated[float, "of as many columns of normal random numbers"]
    rows: Annotated[int, "rows used"]
    dropped_rows: Annotated[int, "rows left out for their norm (outlier_norm)"]
    width: Annotated[int, "dimensions of a row"]
    rank: Annotated[int, "directions whose variance is above that of rounding"]
    components: Annotated[int, "axes"]
    iterations: Annotated[int, "passes over the rows"]
    limit: Annotated[float | None, "largest | |⟨w⁺, w⟩| − 1 | of the last pass"]
    converged: Annotated[bool, "whether the limit fell below tol within max_iter"]
    stable: Annotated[int | None, "axes that restarts find again (mean |r| ≥ 0.9)"]
    pinned: Annotated[bool, "whether the rows were held in memory"]


@dataclass(frozen=True)
class Axis:
    """One independent axis; skewness is not negative, the order as asked for."""

    axis: Annotated[int, "number of the axis, from 0"]
    skewness: Annotated[float, "third standardised moment of the axis (biased)"]
    kurtosis: Annotated[float, "fourth standardised moment − 3 (biased)"]
    negentropy_logcosh: Annotated[float, "(E log cosh s − E log cosh ν)², ν standard normal"]
    negentropy_gauss: Annotated[float, "(E[−exp(−s²/2)] − E[−exp(−ν²/2)])²"]
    variance_share: Annotated[float, "|writing vector|² / total variance of the rows"]
    stability: Annotated[
        float | None, "mean over restarts, on half of the rows, of the largest |r| with an axis"
    ]
    stable: Annotated[bool | None, "whether stability is 0.9 or more"]
    converged: Annotated[bool, "whether the axis itself met tol at the last pass"]


@dataclass(frozen=True)
class TopRow:
    """One row that lies far out on an axis."""

    axis: Annotated[int, "number of the axis"]
    end: Annotated[str, "high or low"]
    rank: Annotated[int, "place on that end, from 1"]
    row: Annotated[int, "row of the activations"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    score: Annotated[float, "share of the axis in the row's length: s / |s|, −1 … 1"]


@dataclass(frozen=True)
class Measured:
    """Non-Gaussianity of one column of one basis."""

    basis: Annotated[str, "ica, pca, raw (the site's own dimensions), random (normal numbers)"]
    index: Annotated[int, "place in the basis: pca by variance, the others by skewness"]
    skewness: Annotated[float, "|third standardised moment|"]
    kurtosis: Annotated[float, "fourth standardised moment − 3"]
    negentropy_logcosh: Annotated[float, "(E log cosh − E log cosh ν)²"]
    negentropy_gauss: Annotated[float, "(E[−exp(−s²/2)] − E[−exp(−ν²/2)])²"]


@dataclass(frozen=True)
class Iteration:
    """One pass over the rows; the objective is that of the axes it began with.

    Where rows are held in memory it is taken on as many as 2²⁰ numbers hold, drawn by chance and
    the same at every pass: it is there to see that it rises and comes to rest.
    """

    iteration: Annotated[int, "number of the pass, from 1"]
    limit: Annotated[float | None, "largest | |⟨w⁺, w⟩| − 1 |"]
    objective: Annotated[
        float | None, "Σ of (E G(s) − E G(ν))² over axes, G the contrast, ν standard normal"
    ]
    low: Annotated[float | None, "what a tenth of the axes' terms of it lie below"]
    median: Annotated[float | None, "what half of them lie below"]
    high: Annotated[float | None, "what nine tenths of them lie below"]


@dataclass(frozen=True)
class ScatterPoint:
    """One row on a pair of axes: of a sample drawn by chance, or far out on either of them."""

    basis: Annotated[str, "ica or pca"]
    x_axis: Annotated[int, "number of the first axis of the pair"]
    y_axis: Annotated[int, "number of the second"]
    row: Annotated[int, "row of the activations"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    x: Annotated[float, "the row on the first axis, in its standard deviations"]
    y: Annotated[float, "the row on the second"]
    outer: Annotated[bool, "whether it is among the 5 furthest from 0 on either axis"]


@dataclass(frozen=True)
class PlanePoint:
    """One row in the plane onto which some axes are projected, at equal angles."""

    axis: Annotated[int | None, "axis at whose high end the row lies; none: drawn by chance"]
    rank: Annotated[int | None, "place on that end, 1 to 5"]
    row: Annotated[int, "row of the activations"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    x: Annotated[float, "Σ (s_i / |s|) cos(2πi / m) over the m axes, i the place among them"]
    y: Annotated[float, "Σ (s_i / |s|) sin(2πi / m)"]


@dataclass(frozen=True)
class HeatCell:
    """One axis of a row at the high end of one of the first 30 axes."""

    owner: Annotated[int, "axis at whose high end the row lies"]
    rank: Annotated[int, "place on that end, 1 to 5"]
    row: Annotated[int, "row of the activations"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    axis: Annotated[int, "number of the axis, of the first 30"]
    share: Annotated[float, "share of this axis in the row's length: s / |s|, −1 … 1"]
