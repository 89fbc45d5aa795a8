"""The tables of `convexity`."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """Convexity of all classes at a site; one row a run."""

    macro: Annotated[float, "mean of the classes' scores, 0 … 1"]
    low: Annotated[float | None, "macro − 1.96 · sem, not below 0"]
    high: Annotated[float | None, "macro + 1.96 · sem, not above 1"]
    sem: Annotated[float | None, "mean of the classes' standard errors, as published"]
    micro: Annotated[float, "mean over all pairs of all classes"]
    chance: Annotated[float, "macro expected if labels were dealt out by chance, exact"]
    chance_sd: Annotated[float | None, "its spread over permuted labels; null: permutations=0"]
    adjusted: Annotated[float | None, "(macro − chance) / (1 − chance)"]
    strict: Annotated[float, "mean over classes of the share of paths wholly inside"]
    direct_share: Annotated[float, "share of the pairs that an edge joins (they score 1)"]
    unreachable_share: Annotated[float, "share of the pairs that nothing joins (they score 0)"]
    k: Annotated[int, "neighbours a row"]
    rows: Annotated[int, "rows in the graph"]
    unlabelled: Annotated[int, "rows without a label, left out"]
    classes: Annotated[int, "classes that have a score"]
    edges: Annotated[int, "edges of the graph"]
    components: Annotated[int, "connected components"]
    max_degree: Annotated[int, "edges at the best joined row"]
    hub_skewness: Annotated[float | None, "skewness of how often rows are neighbours; 0: no hubs"]
    duplicates: Annotated[int, "rows that equal an earlier one"]
    ties: Annotated[int, "rows with two of their nearest k + 1 as near as each other"]
    top_dimension: Annotated[int, "dimension of the largest variance"]
    top_dimension_share: Annotated[float | None, "its share of the total variance"]


@dataclass(frozen=True)
class Class:
    """Convexity of one class; null where it has one row."""

    label: Annotated[str, "name of the label"]
    n: Annotated[int, "rows"]
    pairs: Annotated[int, "ordered pairs scored"]
    graph_convexity: Annotated[float | None, "mean share of interior vertices inside, 0 … 1"]
    sem: Annotated[float | None, "sd of the pairs' scores / √n, n the rows"]
    chance: Annotated[float | None, "score expected if labels were dealt out by chance, exact"]
    adjusted: Annotated[float | None, "(score − chance) / (1 − chance)"]
    strict: Annotated[float | None, "share of paths wholly inside"]
    far: Annotated[float | None, "score of the pairs that no edge joins"]
    direct_share: Annotated[float | None, "share of pairs that an edge joins"]
    unreachable_share: Annotated[float | None, "share of pairs that nothing joins"]


@dataclass(frozen=True)
class Intrusion:
    """Whose rows lie on the paths of a class."""

    label: Annotated[str, "class whose paths these are"]
    by_label: Annotated[str, "class of the rows on them"]
    share: Annotated[float, "share of all visits to interior vertices"]
    visits: Annotated[int, "interior vertices of that class, summed over the paths"]


@dataclass(frozen=True)
class Intruder:
    """A row that lies on many paths of another class."""

    label: Annotated[str, "class whose paths these are"]
    rank: Annotated[int, "place, from 1"]
    row: Annotated[int, "row of the activations"]
    by_label: Annotated[str, "class of the row"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    visits: Annotated[int, "paths that pass through"]
    share: Annotated[float, "share of the class's scored pairs"]


@dataclass(frozen=True)
class PathPoint:
    """A vertex of one telling path, or a neighbour of one, placed in the plane."""

    step: Annotated[int | None, "place on the path, from 0; null beside it"]
    row: Annotated[int, "row of the activations"]
    label: Annotated[str, "its class"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    on_path: Annotated[bool, "whether the path passes through, or begins or ends here"]
    x: Annotated[float, "first principal component of what is shown"]
    y: Annotated[float, "second principal component"]


@dataclass(frozen=True)
class RowScore:
    """Convexity as one row sees it: the mean over paths from it to the rest of its class."""

    row: Annotated[int, "row of the activations"]
    label: Annotated[str, "its class"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    score: Annotated[float | None, "mean over the pairs that begin there; null where none does"]


@dataclass(frozen=True)
class Sweep:
    """The scores for another number of neighbours, from the same search."""

    k: Annotated[int, "neighbours a row"]
    macro: Annotated[float, "mean of the classes' scores"]
    micro: Annotated[float, "mean over all pairs"]
    chance: Annotated[float, "macro expected by chance, exact"]
    adjusted: Annotated[float | None, "(macro − chance) / (1 − chance)"]
    direct_share: Annotated[float, "share of pairs that an edge joins"]
    unreachable_share: Annotated[float, "share of pairs that nothing joins"]
    components: Annotated[int, "connected components"]
    max_degree: Annotated[int, "edges at the best joined row"]
