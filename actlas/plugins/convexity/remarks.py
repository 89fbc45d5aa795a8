"""What the reader of a score must know."""

from collections.abc import Sequence

from .networks import Network
from .tables import Class, Summary

NAMED = 5


def remarks(
    summary: Summary,
    classes: Sequence[Class],
    graph: Network,
    *,
    link: bool = False,
    best: bool = False,
    noise: bool = False,
) -> list[str]:
    """Say where a graph, a class or the labels make scores mean less than they seem to.

    link, best: whether rows that are the same are joined, and the best of paths as short is taken.
    noise: whether rows differ by rounding only.
    """
    said = []
    if alone := [c.label for c in classes if c.n == 1]:
        said.append(f"one row only, so no score: {_some(alone)}")
    if two := [c.label for c in classes if c.n == 2]:
        said.append(
            f"two rows only, so one path: no spread, and a standard error of 0 as published, "
            f"which makes that of macro too small: {_some(two)}"
        )
    if summary.classes == 1:
        said.append("one class only: its score is the share of pairs that are joined at all")
    if graph.edges == 0:
        said.append(
            "degenerate: every row's nearest equal it, so the graph has no edges and scores are "
            "0; duplicates=link joins rows that are the same"
        )
    elif noise:
        said.append(
            "degenerate: rows differ by rounding at most (an input that all samples share, such as "
            "a first token, at an early site?), so scores mean nothing"
        )
    elif summary.duplicates:
        said.append(
            f"{summary.duplicates:,} rows equal an earlier one; they take up places among the "
            f"nearest" + (" and are joined" if link else "; duplicates=link joins them")
        )
    if summary.ties:
        said.append(
            f"{summary.ties:,} rows have neighbours that are equally near: the order of rows "
            f"decides" + ("" if best else "; ties=best takes the best of paths as short")
        )
    if summary.unreachable_share > 0.01 and graph.edges:
        said.append(
            f"{summary.unreachable_share:.1%} of the pairs are not joined ({summary.components} "
            f"components) and score 0; raise k"
        )
    smallest = min(c.n for c in classes if c.n > 1)
    if summary.k >= smallest:
        said.append(
            f"k={summary.k} is not below the {smallest} rows of the smallest class; lower k"
        )
    share = 2 * graph.edges / (len(graph) * (len(graph) - 1))
    if share > 0.1:
        said.append(
            f"an edge joins {share:.0%} of all pairs of rows, which score 1 whatever the labels "
            f"are: look at adjusted and far, or lower k"
        )
    largest = max(c.n for c in classes)
    if largest > 10 * smallest:
        said.append(
            f"classes have {smallest} to {largest:,} rows: micro is that of the large ones, and "
            f"macro is the headline"
        )
    return said


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
