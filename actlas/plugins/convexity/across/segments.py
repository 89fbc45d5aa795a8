"""Euclidean scores beside those of graphs, where `convexity_euclidean` was run."""

from collections.abc import Mapping
from typing import Any

from actlas import Layers

from ..euclidean.remarks import STRAIGHT
from .stored import differing, names_of

NAME = "convexity_euclidean"
SAME = ("decision", "against", "points", "lengths", "max_pairs", "per_class")
Rows = dict[str, Mapping[str, Any]]


def euclidean(layers: Layers) -> tuple[Rows, list[str]]:
    """Return the stored summary by site, and what to say of them; none that do not compare."""
    bases = dict(zip(layers.names, layers.bases, strict=True))
    found = {site: b for site, b in bases.items() if f"{NAME}_summary" in b.tables}
    settings = {site: b.parameters[NAME] for site, b in found.items()}
    rows: Rows = {site: next(iter(b.tables[f"{NAME}_summary"])) for site, b in found.items()}
    settings = {site: {**given, "head": rows[site]["head"]} for site, given in settings.items()}
    if apart := differing((*SAME, *_heads(rows)), settings):
        return {}, [f"Euclidean scores are left out: {apart}; name runs that compare with --base"]
    return rows, [*_vacuous(rows), *_sizes(layers, rows)]


def _heads(rows: Rows) -> tuple[str, ...]:
    """What reads the end is to be the same, but for probes, which are each of their site."""
    return ("head",) if any(row["decision"] == "network" for row in rows.values()) else ()


def _vacuous(rows: Rows) -> list[str]:
    empty = [site for site, row in rows.items() if row["vacuous"]]
    linear = [site for site, row in rows.items() if row["bend"] < STRAIGHT and site not in empty]
    said = []
    if empty:
        said.append(f"the Euclidean score is 1 by construction at {', '.join(empty)}: vacuous")
    if linear:
        said.append(
            f"the Euclidean score tells errors only at {', '.join(linear)}, where the decision is "
            f"linear"
        )
    return said


def _sizes(layers: Layers, rows: Rows) -> list[str]:
    """Say where the two scores are of other rows or classes."""
    said = {}
    for site, base in zip(layers.names, layers.bases, strict=True):
        if site not in rows:
            continue
        own = next(iter(base.tables["summary"]))
        names = [str(name) for name in base.tables[f"{NAME}_classes"]["label"]]
        if rows[site]["rows"] != own["rows"] or sorted(names) != sorted(names_of(base)):
            said[site] = (
                f"{rows[site]['rows']:,} rows and {rows[site]['classes']} classes, the graph's of "
                f"{own['rows']:,} and {own['classes']}"
            )
    if not said:
        return []
    site, first = next(iter(said.items()))
    return [f"Euclidean scores are of other rows than the graph's: at {site} of {first}"]
