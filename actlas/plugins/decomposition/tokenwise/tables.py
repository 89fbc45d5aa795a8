"""The tables of `decomposition_tokens`, a row of each."""

from dataclasses import dataclass
from typing import Annotated

TERM = (
    "target (the stack's own tokens), source (what came through cross-attention), correction "
    "(biases, norm shifts, intercepts of activations)"
)


@dataclass(frozen=True)
class Source:
    """What one token or word gives to the deepest state of a row."""

    row: Annotated[int, "row of the extraction: whose state it is"]
    source: Annotated[int | None, "row of the first token that gives; null: no token but the term"]
    text: Annotated[str | None, "its text"]
    term: Annotated[str, TERM]
    relative_dot: Annotated[float | None, "⟨x, e⟩ / ‖e‖²; those of a row sum to 1"]
    cosine: Annotated[float | None, "cosine of what is given and the state"]
    norm_ratio: Annotated[float | None, "‖x‖ / ‖e‖"]
    distance: Annotated[float | None, "‖x − e‖"]


@dataclass(frozen=True)
class Summary:
    """What was decomposed and how exactly; one row a run."""

    architecture: Annotated[str, "model type, as its configuration names it"]
    stack: Annotated[str, "encoder or decoder of an encoder–decoder, else empty"]
    by: Annotated[str, "what the embedding is split into: pooled, words or tokens"]
    rule: Annotated[str, "what activations are replaced by"]
    centring: Annotated[str, "what a norm's mean is taken off from: each term, or correction"]
    precision: Annotated[str, "dtype in which terms are summed"]
    max_relative_error: Annotated[float, "greatest ‖Σ terms − e‖ / ‖e‖ over rows and depths"]
    mean_relative_error: Annotated[float, "its mean"]
    tolerance: Annotated[float, "the greatest error that is let pass"]
    model_error: Annotated[float, "greatest relative error of the check on the model itself"]
    rows: Annotated[int, "rows"]
    samples: Annotated[int, "samples that were run"]
    layers: Annotated[int, "blocks"]
    width: Annotated[int, "dimensions"]


@dataclass(frozen=True)
class TokenLogit:
    """What one token that was read gives to one logit of a row."""

    row: Annotated[int, "row of the extraction"]
    token_id: Annotated[int, "the token whose logit it is"]
    token: Annotated[str | None, "its text"]
    term: Annotated[str, TERM]
    source: Annotated[int | None, "row of the token that gives; null: of no single row"]
    text: Annotated[str | None, "its text"]
    contribution: Annotated[float, "logits; all of a row sum to its logit"]
    importance: Annotated[
        float | None, "bits that the token loses where this vector is taken away; null: not asked"
    ]


@dataclass(frozen=True)
class TokenExplained:
    """One logit that was taken apart."""

    row: Annotated[int, "row of the extraction"]
    text: Annotated[str | None, "the row's own token"]
    token_id: Annotated[int, "the token whose logit it is"]
    token: Annotated[str | None, "its text"]
    rule: Annotated[str, "what activations are replaced by"]
    logit: Annotated[float, "before any cap"]
    summed: Annotated[float, "sum of the contributions"]
    probability: Annotated[float, "of the token, by the model"]
