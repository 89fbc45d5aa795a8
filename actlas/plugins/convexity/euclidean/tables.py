"""The tables of `convexity_euclidean`."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """Euclidean convexity of all classes at a site; one row a run."""

    macro: Annotated[float, "mean of the classes' scores, 0 … 1"]
    low: Annotated[float | None, "macro − 1.96 · sem, not below 0"]
    high: Annotated[float | None, "macro + 1.96 · sem, not above 1"]
    sem: Annotated[float | None, "mean of the classes' standard errors, as published"]
    micro: Annotated[float, "mean over all pairs of all classes"]
    chance: Annotated[
        float | None,
        "1 / classes: macro expected, at most, if labels were dealt out by chance; null against "
        "predictions",
    ]
    continuum: Annotated[
        float | None, "macro of exact shares of segments; of linear decisions only"
    ]
    accuracy: Annotated[float | None, "share of the rows themselves predicted as their label"]
    both_right: Annotated[float, "macro of the pairs with both ends inside; linear: a lower bound"]
    decision: Annotated[str, "what judges: network, probe, centroid or mlp"]
    head: Annotated[str, "what reads the end: the network's own head, or a probe at a later site"]
    against: Annotated[str, "what points should be predicted as: their label, or as their ends are"]
    vacuous: Annotated[bool, "whether 1 by construction: linear, and own predictions; or one class"]
    bend: Annotated[
        float, "departure of logits from straight lines between the ends', relative; 0: linear"
    ]
    points: Annotated[int, "interior points of a segment"]
    pairs: Annotated[int, "segments judged"]
    joinable_share: Annotated[float, "share of the classes' pairs that a segment can join"]
    rows: Annotated[int, "rows with a label"]
    unlabelled: Annotated[int, "rows without a label, left out"]
    classes: Annotated[int, "classes that have a score"]


@dataclass(frozen=True)
class Class:
    """Euclidean convexity of one class; null where no segment joins two of its rows."""

    label: Annotated[str, "name of the class"]
    n: Annotated[int, "rows: of the label, or (against=prediction) predicted as it"]
    pairs: Annotated[int, "unordered pairs judged"]
    euclidean_convexity: Annotated[float | None, "mean share of points predicted as it, 0 … 1"]
    sem: Annotated[float | None, "sd of the pairs' scores / √n, n the rows"]
    continuum: Annotated[float | None, "exact mean share of segments; of linear decisions only"]
    both_right: Annotated[
        float | None, "share of pairs with both ends predicted as it; linear: a lower bound"
    ]
    recall: Annotated[float | None, "share of the label's rows predicted as it"]
