"""The analysis `subspace`: canonical correlations and principal angles of all pairs of sites."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Layers, Others, Result, analysis

from .figures import heat_map, most_similar
from .products import Stream
from .sites import Sites
from .tables import SiteRow, Summary, pair_rows, site_rows, summary

if TYPE_CHECKING:
    from torch import Tensor

ENOUGH = 10  # rows a component, below which canonical correlations are too high
SMALLEST = 1e-10  # of the largest variance: what is left out as rounding


@dataclass(frozen=True)
class Pair:
    """Two sites and how far their principal components span the same."""

    a: Annotated[str, "a site"]
    b: Annotated[str, "a later one"]
    svcca: Annotated[float, "mean canonical correlation of the kept components"]
    lowest: Annotated[float, "the lowest canonical correlation"]
    pwcca: Annotated[float, "mean of pwcca_a and pwcca_b"]
    pwcca_a: Annotated[float, "canonical correlations weighted by what they carry of a"]
    pwcca_b: Annotated[float, "weighted by what they carry of b"]
    cosine: Annotated[
        float | None,
        "mean cosine of the principal angles between components as directions of the dimensions; "
        "null: of different widths. Means something where dimensions are the same, as in the "
        "residual stream of a model",
    ]
    cosine_lowest: Annotated[float | None, "the lowest of them"]


@dataclass(frozen=True)
class Kept:
    """How many principal components of a site are compared."""

    site: Annotated[str, "site, or EXTRACTION:SITE"]
    components: Annotated[int, "principal components kept"]
    variance: Annotated[float, "share of the site's variance that they have"]


class Components(NamedTuple):
    """Principal components of a site: directions (width, k) and their variances (k,)."""

    directions: "Tensor"
    variances: "Tensor"


@analysis(
    version=1,
    aligned=True,
    tables={"summary": Summary, "sites": SiteRow, "pairs": Pair, "kept": Kept},
    figures={"heat": heat_map("svcca", "SVCCA"), "depths": most_similar("SVCCA")},
)
def subspace(
    layers: Layers,
    others: Others | None,
    *,
    variance: Annotated[float, "share of variance that the kept components have"] = 0.99,
    components: Annotated[int | None, "components kept, in place of a share"] = None,
) -> Result:
    """Canonical correlations and principal angles of all pairs of sites, of one model or several.

    Principal components that have `variance` of a site are kept; the canonical correlations of
    two sites' components over rows are the cosines of the angles between what they span there,
    and SVCCA is their mean (Raghu et al. 2017), min(kₐ, k_b) of them. PWCCA (Morcos, Raghu & Bengio
    2018) weighs the correlation of canonical variate h with Σⱼ |⟨h, xⱼ⟩| over the dimensions x of
    one site. All kept components count alike in SVCCA, however little variance they have; with
    fewer than ten rows a component correlations are too high by chance, which is warned of. All
    rows count, in float64. Sites of other extractions pair by rows: sample, position and span must
    be the same.
    """
    sites = Sites.of("subspace", layers, others)
    if not 0 < variance <= 1 or (components is not None and components < 1):
        raise InputError("subspace: 0 < variance ≤ 1 and components ≥ 1 are needed")
    stream = Stream(sites, "float64")
    kept: dict[int, Components] = {}
    values: dict[str, NDArray[np.float64]] = {}
    for i, j, product in stream.products():
        if i == j:
            kept[i] = principal(product, variance, components)
            continue
        for name, value in _compared(kept[i], kept[j], product).items():
            values.setdefault(name, np.full((len(sites), len(sites)), np.nan))[i, j] = value
    similarity = np.where(np.isnan(values["svcca"]), values["svcca"].T, values["svcca"])
    np.fill_diagonal(similarity, 1.0)
    tables = {
        "summary": summary(sites, similarity),
        "sites": site_rows(sites, similarity),
        "pairs": pair_rows(sites, **values),
        "kept": [
            Kept(place.name, len(kept[i].variances), float(kept[i].variances.sum()))
            for i, place in enumerate(sites)
        ],
    }
    return Result(tables, warnings=_remarks(sites, kept))


def principal(covariance: "Tensor", variance: float, components: int | None) -> Components:
    """Return the components of a covariance (width, width) that are kept, by falling variance."""
    import torch

    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0), vectors.flip(1)
    real = int((values > SMALLEST * values[0]).sum())
    share = values[:real].cumsum(0) / values[:real].sum()
    enough = int((share < variance).sum()) + 1
    k = min(real, enough if components is None else components)
    return Components(vectors[:, :k], values[:k])


def _compared(a: Components, b: Components, product: "Tensor") -> dict[str, float]:
    """Compare two sites by their components and their mean product (widthₐ, width_b)."""
    import torch

    one, other = a.variances.sqrt(), b.variances.sqrt()
    inner = (a.directions.T @ product @ b.directions) / torch.outer(one, other)
    left, correlations, right = torch.linalg.svd(inner, full_matrices=False)
    correlations = correlations.clip(0, 1)  # rounding goes beyond
    carried = weighted(left.T * one @ a.directions.T, correlations)
    there = weighted(right * other @ b.directions.T, correlations)
    found = {
        "svcca": float(correlations.mean()),
        "lowest": float(correlations.min()),
        "pwcca": (carried + there) / 2,
        "pwcca_a": carried,
        "pwcca_b": there,
        "cosine": np.nan,
        "cosine_lowest": np.nan,
    }
    if len(a.directions) == len(b.directions):
        cosines = torch.linalg.svdvals(a.directions.T @ b.directions).clip(0, 1)
        found |= {"cosine": float(cosines.mean()), "cosine_lowest": float(cosines.min())}
    return found


def weighted(products: "Tensor", correlations: "Tensor") -> float:
    """Weigh correlations (k,) with the products ⟨h, x⟩ (k, width) of variates and dimensions."""
    weights = products.abs().sum(dim=1)
    return float((weights * correlations).sum() / weights.sum())


def _remarks(sites: Sites, kept: dict[int, Components]) -> list[str]:
    most = max(kept, key=lambda i: len(kept[i].variances))
    k = len(kept[most].variances)
    if sites.rows >= ENOUGH * k:
        return []
    return [
        f"{sites.rows:,} rows for {k} components of {sites.places[most].name}: with fewer than "
        f"{ENOUGH} rows a component canonical correlations are too high by chance; give more rows "
        f"or keep fewer (--variance, --components)"
    ]
