"""The tables of `sim_decode`: rows of frozen dataclasses."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """How well a site is decoded and how smooth its space then is; one row a run."""

    area: Annotated[
        float | None,
        "area under the contribution score over k / width; low: a few dimensions decide; None "
        "where nothing can be decoded",
    ]
    target: Annotated[str, "what is decoded"]
    trained_on: Annotated[str, "means, or samples z = μ + σε where the log-variance is given"]
    train: Annotated[int, "samples trained on"]
    test: Annotated[int, "samples tested on, of groups not trained on"]
    frames: Annotated[int, "frames of an item that is interpolated"]
    train_error: Annotated[float, "squared error on the training samples; 1 = predict the mean"]
    test_error: Annotated[float, "squared error on the test samples, decoded as trained"]
    mean_error: Annotated[float, "squared error on the test samples, their means decoded"]
    r2: Annotated[float, "1 - test_error"]
    informative: Annotated[
        bool, "whether r2 > 0.05 and a unit is active; else no smoothness is told"
    ]
    active: Annotated[
        int | None, "dimensions whose mean varies by more than .01; None without log-variance"
    ]
    gate: Annotated[
        str, "informative, partly collapsed or uninformative, and how many dimensions count"
    ]
    dead: Annotated[int | None, "dimensions whose traversal has below 1 % of the largest effect"]
    prior: Annotated[float | None, "prior realism: of draws of N(0, I); 1 = as real as test ones"]
    fitted: Annotated[float | None, "the same of draws of N(m, diag s²) of the training latents"]
    midpoint: Annotated[float | None, "the same of midpoints of pairs"]
    linearity: Annotated[float | None, "median path length / distance of its ends; 1 = straight"]
    matched: Annotated[
        float | None, "the same to random points at the distance of the pair's other end"
    ]
    path_length: Annotated[float | None, "perceptual path length: squared speed of the output"]


@dataclass(frozen=True)
class Dimension:
    """What one dimension does to the decoded output."""

    dim: Annotated[int, "number of the dimension"]
    mean: Annotated[float, "mean over the training latents, as they are trained on"]
    variance: Annotated[float, "their variance"]
    effect: Annotated[float | None, "variance of the output while it alone is traversed"]
    share: Annotated[float | None, "effect / the largest effect"]
    bandwidth: Annotated[
        float | None, "entropy of the effect over output channels / its maximum; 1 = broad-band"
    ]
    peak: Annotated[float | None, "channel of the largest effect, in Hz or as a number"]
    dead: Annotated[bool | None, "whether its effect is below 1 % of the largest"]
    active: Annotated[
        bool | None,
        "whether its mean varies by more than .01: if not, its scores mean nothing; None without "
        "log-variance",
    ]
    masked: Annotated[float | None, "test error of the means with this dimension at its mean"]


@dataclass(frozen=True)
class Step:
    """A point of the contribution curve and of masking."""

    k: Annotated[int, "dimensions swapped, those that differ most; or kept, of most effect"]
    error: Annotated[float, "squared error to the other item with the top k swapped"]
    score: Annotated[float, "error / that with none swapped; may exceed 1"]
    kept: Annotated[float, "test error with only the k dimensions of most effect, others at mean"]


@dataclass(frozen=True)
class Realism:
    """How near decoded outputs of one kind are to real ones, and real ones to them."""

    kind: Annotated[str, "prior N(0, I), fitted N(m, diag s²), or midpoint of pairs"]
    ratio: Annotated[float, "mean distance to the nearest real one / that of decoded test items"]
    coverage: Annotated[
        float, "the reverse: of real ones to the nearest decoded; > 1: less covered"
    ]
    log_ratio: Annotated[float, "|ln ratio|: 0 = as real as test items, too near counts as too far"]


@dataclass(frozen=True)
class Path:
    """The decoded path of a straight line between two points of the latent space."""

    pair: Annotated[int, "number of the pair"]
    kind: Annotated[str, "items: between two test items; random: to a point as far, any direction"]
    distance: Annotated[float, "distance of the ends in the latent space"]
    ends: Annotated[float, "distance of the ends in the output"]
    linearity: Annotated[float | None, "path length / ends; 1 = straight; None where ends meet"]
    jump: Annotated[float, "largest / median step"]
    bend: Annotated[float, "energy of second differences / that of first differences"]


@dataclass(frozen=True)
class Cell:
    """One value of a decoded strip, as it is drawn."""

    strip: Annotated[str, "traversal or interpolation"]
    number: Annotated[int, "dimension traversed, or number of the pair"]
    step: Annotated[int, "step from 0"]
    at: Annotated[float, "value of the dimension, or share of the second item"]
    frame: Annotated[int, "frame within the item; of a traversal 0"]
    channel: Annotated[float, "channel in Hz, or its number"]
    value: Annotated[float, "decoded output, in dB for sound, else in its own units"]


TABLES = {
    "summary": Summary,
    "dimensions": Dimension,
    "curve": Step,
    "realism": Realism,
    "paths": Path,
    "strips": Cell,
}
