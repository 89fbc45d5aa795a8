"""Tables that all analyses of similarity share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from .sites import Sites


@dataclass(frozen=True)
class Summary:
    """How similar sites are over all pairs, in one row."""

    sites: Annotated[int, "sites compared"]
    extractions: Annotated[int, "extractions that they are of"]
    rows: Annotated[int, "rows (or classes) compared"]
    pairs: Annotated[int, "pairs of different sites"]
    mean: Annotated[float, "mean similarity of all pairs"]
    lowest: Annotated[float, "similarity of the pair least alike"]
    adjacent: Annotated[float | None, "mean over sites that follow each other in an extraction"]
    ends: Annotated[float | None, "first site of the own extraction with its last"]
    within: Annotated[float | None, "mean over pairs of one extraction"]
    between: Annotated[float | None, "mean over pairs of different extractions"]
    best: Annotated[float | None, "mean, over own sites, of the most similar site elsewhere"]


@dataclass(frozen=True)
class SiteRow:
    """A site that is compared, and the site elsewhere that is most like it."""

    place: Annotated[int, "place in the order of comparison, from 0"]
    site: Annotated[str, "site, or EXTRACTION:SITE"]
    extraction: Annotated[str, "its extraction; empty: the own"]
    depth: Annotated[float, "0 for the first site compared of its extraction, 1 for the last"]
    width: Annotated[int, "dimensions"]
    most_similar: Annotated[str | None, "site of another extraction that is most like it"]
    similarity: Annotated[float | None, "similarity to that"]
    similar_depth: Annotated[float | None, "depth of that"]


def summary(sites: Sites, similarity: NDArray[np.float64], rows: int | None = None) -> Summary:
    """Summarise similarities (sites, sites), symmetric; rows: how many were compared of all."""
    of = [place.extraction for place in sites]
    values = {(i, j): float(similarity[i, j]) for i, j in sites.pairs}
    inner = [value for (i, j), value in values.items() if of[i] == of[j]]
    outer = [value for (i, j), value in values.items() if of[i] != of[j]]
    adjacent = [v for (i, j), v in values.items() if of[i] == of[j] and j == i + 1]
    own = [i for i, extraction in enumerate(of) if extraction == of[0]]
    elsewhere = [i for i in range(len(of)) if i not in own]
    best = similarity[np.ix_(own, elsewhere)].max(axis=1).tolist() if elsewhere else []
    return Summary(
        sites=len(sites),
        extractions=len(set(of)),
        rows=rows or sites.rows,
        pairs=len(values),
        mean=_mean(list(values.values())) or 0.0,
        lowest=min(values.values()),
        adjacent=_mean(adjacent),
        ends=values[own[0], own[-1]] if len(own) > 1 else None,
        within=_mean(inner),
        between=_mean(outer),
        best=_mean(best),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def site_rows(sites: Sites, similarity: NDArray[np.float64]) -> list[SiteRow]:
    """Describe the sites, each with the one of other extractions that is most like it."""
    found = []
    for i, place in enumerate(sites):
        elsewhere = [j for j, p in enumerate(sites) if p.extraction != place.extraction]
        j = max(elsewhere, key=lambda j: float(similarity[i, j]), default=None)
        there = None if j is None else sites.places[j]
        found.append(
            SiteRow(
                i, place.name, place.extraction, place.depth, place.acts.width,
                there.name if there else None,
                None if j is None else float(similarity[i, j]),
                there.depth if there else None,
            )
        )  # fmt: skip
    return found


def pair_rows(sites: Sites, **values: NDArray[Any]) -> Mapping[str, Any]:
    """Make the table of pairs by column from what was found (sites, sites), by column's name."""
    i, j = np.array(sites.pairs).T
    names = [place.name for place in sites]
    return {
        "a": [names[k] for k in i],
        "b": [names[k] for k in j],
        **{name: found[i, j].tolist() for name, found in values.items()},
    }
