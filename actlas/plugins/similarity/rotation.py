"""The analysis `procrustes`: how near sites come to each other by rotation, all pairs."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import Layers, Others, Result, analysis

from .figures import heat_map, most_similar
from .products import Stream
from .sites import Sites
from .tables import SiteRow, Summary, pair_rows, site_rows, summary


@dataclass(frozen=True)
class Pair:
    """Two sites and how near one comes to the other by rotation."""

    a: Annotated[str, "a site"]
    b: Annotated[str, "a later one"]
    similarity: Annotated[float, "‖XᵀY‖_*, of sites centred and of Frobenius norm 1; 1: the same"]
    distance: Annotated[float, "squared distance after the best rotation, 2 − 2 similarity"]
    angle: Annotated[float, "angular distance, arccos of the similarity, radians; a metric"]


@analysis(
    version=1,
    aligned=True,
    tables={"summary": Summary, "sites": SiteRow, "pairs": Pair},
    figures={
        "heat": heat_map("similarity", "Procrustes similarity"),
        "depths": most_similar("Procrustes similarity"),
    },
)
def procrustes(layers: Layers, others: Others | None) -> Result:
    """Orthogonal Procrustes similarity of all pairs of sites, of one model or several.

    Sites are centred and divided by their Frobenius norm; the similarity is the nuclear norm
    ‖XᵀY‖_* of their product, min ‖X − YQ‖² = 2 − 2 ‖XᵀY‖_* over rotations and reflections Q the
    distance (Ding, Denain & Steinhardt 2021), arccos ‖XᵀY‖_* the angular distance, which keeps the
    triangle inequality (Williams et al. 2021). A site of fewer dimensions counts as filled up with
    zeros. All rows count. For rows that are few for the dimensions it is above 0 by chance.
    Sites of other extractions pair by rows: sample, position and span must be the same.
    """
    import torch

    sites = Sites.of("procrustes", layers, others)
    similarity = np.eye(len(sites))
    for i, j, product in Stream(sites, "float64").products():
        if i != j:
            value = float(torch.linalg.svdvals(product).sum())
            similarity[i, j] = similarity[j, i] = min(value, 1.0)  # rounding goes beyond
    tables = {
        "summary": summary(sites, similarity),
        "sites": site_rows(sites, similarity),
        "pairs": pair_rows(
            sites, similarity=similarity, distance=2 - 2 * similarity, angle=np.arccos(similarity)
        ),
    }
    return Result(tables)
