"""The tables of the analyses, a row of each."""

from dataclasses import dataclass
from typing import Annotated

DOT = "⟨x, e⟩ / ‖e‖²; sums to 1 over the terms"
COSINE = "cosine of term and state; null for a term of zeros"
RATIO = "‖x‖ / ‖e‖"
DISTANCE = "‖x − e‖"
TERM = (
    "input (or, where it is split, word, position, type), attention, cross_attention (source), "
    "feed_forward, correction (biases, norm shifts); blocks where only these are known; by tokens: "
    "target (the stack's own), source, correction (intercepts of activations too)"
)


@dataclass(frozen=True)
class Indicator:
    """One indicator of one term at one depth, over all rows."""

    site: Annotated[str, "depth of the residual stream"]
    depth: Annotated[int, "0: the embedding; i: after block i; one more: after the final norm"]
    term: Annotated[str, TERM]
    indicator: Annotated[str, "relative_dot, cosine, norm_ratio or distance"]
    mean: Annotated[float | None, "mean over the rows in which it is defined"]
    sd: Annotated[float | None, "standard deviation over them"]
    n: Annotated[int, "rows in which it is defined"]


@dataclass(frozen=True)
class Share:
    """What one block gave to one term of the deepest state; layer × kind."""

    site: Annotated[str, "the state that is taken apart"]
    layer: Annotated[
        int, "as depth: 0 is the embedding, 1 is layers.0, …; one more: the final norm"
    ]
    term: Annotated[str, TERM]
    relative_dot: Annotated[float | None, f"mean {DOT}, and over the layers"]
    sd: Annotated[float | None, "standard deviation of relative_dot over the rows"]
    cosine: Annotated[float | None, f"mean {COSINE}"]
    norm_ratio: Annotated[float | None, f"mean {RATIO}"]
    distance: Annotated[float | None, f"mean {DISTANCE}"]
    n: Annotated[int, "rows"]


@dataclass(frozen=True)
class HeadShare:
    """What one head gave to the deepest state, value biases left to the correction."""

    site: Annotated[str, "the state that is taken apart"]
    layer: Annotated[int, "as depth: 1 is layers.0"]
    term: Annotated[str, "attention or cross_attention"]
    head: Annotated[int, "head, counted from 0"]
    relative_dot: Annotated[float | None, "mean ⟨x, e⟩ / ‖e‖²; heads sum to their attention"]
    sd: Annotated[float | None, "standard deviation of relative_dot over the rows"]
    cosine: Annotated[float | None, f"mean {COSINE}"]
    norm_ratio: Annotated[float | None, f"mean {RATIO}"]
    distance: Annotated[float | None, f"mean {DISTANCE}"]
    n: Annotated[int, "rows"]


@dataclass(frozen=True)
class Sentence:
    """The indicators of one term at one depth, means over the rows of one sample."""

    sample: Annotated[int, "sample of the data set"]
    site: Annotated[str, "depth of the residual stream"]
    depth: Annotated[int, "0: the embedding; i: after block i; one more: after the final norm"]
    term: Annotated[str, TERM]
    relative_dot: Annotated[float | None, DOT]
    cosine: Annotated[float | None, COSINE]
    norm_ratio: Annotated[float | None, RATIO]
    distance: Annotated[float | None, DISTANCE]
    n: Annotated[int, "rows of the sample"]


@dataclass(frozen=True)
class Token:
    """The indicators of one term at one depth in one row."""

    row: Annotated[int, "row of the extraction"]
    site: Annotated[str, "depth of the residual stream"]
    depth: Annotated[int, "0: the embedding; i: after block i; one more: after the final norm"]
    term: Annotated[str, TERM]
    relative_dot: Annotated[float | None, DOT]
    cosine: Annotated[float | None, COSINE]
    norm_ratio: Annotated[float | None, RATIO]
    distance: Annotated[float | None, DISTANCE]


@dataclass(frozen=True)
class Summary:
    """What was decomposed and how exactly; one row a run."""

    architecture: Annotated[str, "model type, as its configuration names it"]
    stack: Annotated[str, "encoder or decoder of an encoder–decoder, else empty"]
    method: Annotated[str, "modules, or blocks: only what each block adds"]
    convention: Annotated[str, "how states between blocks are read: raw, normed or cached"]
    precision: Annotated[str, "dtype in which terms are summed"]
    stored: Annotated[str, "dtype to which the states are rounded"]
    max_relative_error: Annotated[float, "greatest ‖Σ terms − e‖ / ‖e‖ over rows and depths"]
    mean_relative_error: Annotated[float, "its mean"]
    tolerance: Annotated[float, "the greatest error that is let pass"]
    model_error: Annotated[float, "greatest relative error of the check on the model itself"]
    rows: Annotated[int, "rows"]
    samples: Annotated[int, "samples"]
    terms: Annotated[int, "terms"]
    layers: Annotated[int, "blocks"]
    width: Annotated[int, "dimensions"]
    rule: Annotated[str, "what the correction holds and how norms were split"]


@dataclass(frozen=True)
class Logit:
    """What one term, block or head gives to one token's logit in one row."""

    row: Annotated[int, "row of the extraction"]
    token_id: Annotated[int, "the token whose logit it is"]
    token: Annotated[str | None, "its text"]
    term: Annotated[str, TERM]
    layer: Annotated[
        int | None,
        "as depth: 0 is the embedding, 1 is layers.0, …; one more: final norm and head; null: all",
    ]
    head: Annotated[int | None, "head; null: over all heads"]
    contribution: Annotated[float, "logits; all of a row sum to its logit"]


@dataclass(frozen=True)
class Explained:
    """One logit that was taken apart."""

    row: Annotated[int, "row of the extraction"]
    text: Annotated[str | None, "the row's own token"]
    token_id: Annotated[int, "the token whose logit it is"]
    token: Annotated[str | None, "its text"]
    against: Annotated[int | None, "the token whose logit is taken off, if any"]
    logit: Annotated[float, "before any cap; a difference of two where one is taken off"]
    summed: Annotated[float, "sum of the contributions"]
    rank: Annotated[int, "tokens with a greater logit"]
