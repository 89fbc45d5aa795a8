"""Tables that all capacity analyses share."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """How a set of features shares its dimensions; one row a set."""

    source: Annotated[str, "what the features are: a parameter, directions of a site, an array"]
    features: Annotated[int, "features"]
    nonzero: Annotated[int, "of them those whose norm is not 0; only they count below"]
    width: Annotated[int, "dimensions of a feature, d"]
    rank: Annotated[int, "dimensions that they span: the most that total can be"]
    total: Annotated[float, "sum of capacities, dimensions"]
    null_total: Annotated[float, "the same by chance, see the parameter null"]
    efficiency: Annotated[float, "total / rank; 1 where all features lie in tight blocks"]
    fill: Annotated[float, "total / width"]
    excess: Annotated[
        float | None,
        "(total − null_total) / (most − null_total), most = min(features, width), of centred ones "
        "one feature less; below 0: less than chance; unsteady where chance leaves little",
    ]
    mean: Annotated[float, "mean capacity"]
    tenth: Annotated[float, "tenth percentile of capacity"]
    median: Annotated[float, "median capacity"]
    ninetieth: Annotated[float, "ninetieth percentile of capacity"]
    ignored: Annotated[int, "features of capacity < 0.05, those of norm 0 too"]
    shared: Annotated[int, "features of capacity 0.05 … 0.95"]
    dedicated: Annotated[int, "features of capacity > 0.95"]
    participation_ratio: Annotated[float, "(tr F)² / tr F², dimensions; never above total"]
    effective_rank: Annotated[
        float | None, "exp of the entropy of the shares of F's eigenvalues, dimensions"
    ]
    dimensions_per_feature: Annotated[
        float | None, "width / sum of squared norms; means this only if features have norm 1"
    ]
    residual: Annotated[float, "mean residual; 0 where blocks are exact"]
    mean_cosine: Annotated[float | None, "mean |cos| of two features"]
    coherence: Annotated[float | None, "largest |cos| of two features"]
    welch: Annotated[float | None, "least coherence that so many features can have (Welch 1974)"]
    blocks: Annotated[int | None, "blocks of features; none where there are too many to look"]


@dataclass(frozen=True)
class Feature:
    """One feature."""

    source: Annotated[str, "set that it is of"]
    feature: Annotated[int, "number of the feature in its set"]
    name: Annotated[str, "what it is called: token, label, or its number"]
    capacity: Annotated[float, "(w·w)² / Σ (w·w')², the share of a dimension it has, 0 … 1"]
    null: Annotated[float, "capacity by chance"]
    norm: Annotated[float, "|w| after centring, before it is divided by anything"]
    eigenvalue: Annotated[float, "λ = wᵀFw / w·w, squared units"]
    interference: Annotated[float, "λ − w·w: squared activity that other features cause"]
    leverage: Annotated[float | None, "wᵀF⁺w: R² of the best linear probe; never below capacity"]
    residual: Annotated[float, "|Fŵ − λŵ| / λ; 0 where w is an eigenvector of F"]
    nearest: Annotated[float | None, "largest |cos| with another feature"]
    block: Annotated[int | None, "number of its block, by size"]


@dataclass(frozen=True)
class Block:
    """One block: features that chains of large cosines join."""

    source: Annotated[str, "set that it is of"]
    block: Annotated[int, "number, by size"]
    size: Annotated[int, "features in it"]
    dimension: Annotated[int, "dimensions that they span"]
    total: Annotated[float, "sum of their capacities; the dimension, if semi-orthogonal"]
    eigenvalue: Annotated[float, "mean λ of its features, squared units"]
    spread: Annotated[float, "standard deviation of λ / mean λ"]
    cross_cosine: Annotated[float, "largest |cos| with a feature of another block"]
    semi_orthogonal: Annotated[bool, "|total − dimension| < 0.05 and spread < 0.1"]


@dataclass(frozen=True)
class Cell:
    """Cosine of two of the features drawn: those of the largest blocks, in the order of blocks."""

    source: Annotated[str, "set that they are of"]
    row: Annotated[int, "place in the picture"]
    column: Annotated[int, "place of the other"]
    name: Annotated[str, "name of the feature"]
    other: Annotated[str, "name of the other"]
    block: Annotated[int, "block of the feature"]
    cosine: Annotated[float, "cosine of the two, −1 … 1"]


TABLES = {"summary": Summary, "features": Feature, "blocks": Block, "gram": Cell}
