"""The analysis `rsa`: whether rows, or classes, are as unlike at one site as at another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Labels, Layers, Others, Result, analysis

from .figures import heat_map, most_similar
from .overlap import drawn, matrix, unit
from .sites import FEWEST, Place, Sites
from .tables import SiteRow, Summary, pair_rows, site_rows, summary

if TYPE_CHECKING:
    from torch import Tensor

Unlike = Literal["correlation", "cosine", "euclidean"]
SLACK = 1e-12  # by which correlations that are equal may differ in rounding


@dataclass(frozen=True)
class Pair:
    """Two sites and how far they agree on what is unlike."""

    a: Annotated[str, "a site"]
    b: Annotated[str, "a later one"]
    rsa: Annotated[float, "correlation of their dissimilarities over all pairs of items"]
    p: Annotated[float, "chance of one as high, of items shuffled (Mantel, one-sided)"]


@analysis(
    version=1,
    aligned=True,
    tables={"summary": Summary, "sites": SiteRow, "pairs": Pair},
    figures={"heat": heat_map("rsa", "RSA"), "depths": most_similar("RSA")},
)
def rsa(
    layers: Layers,
    others: Others | None,
    labels: Labels | None,
    *,
    metric: Annotated[Unlike, "dissimilarity of two items"] = "correlation",
    compare: Annotated[Literal["spearman", "pearson"], "correlation of two sites"] = "spearman",
    sample: Annotated[int, "rows drawn where there are more; of labels all count"] = 500,
    permutations: Annotated[int, "shuffles of items"] = 199,
    seed: Annotated[int, "seed of the drawn rows and of the shuffles"] = 0,
) -> Result:
    """Representational similarity of all pairs of sites, of one model or several.

    Every site gives a dissimilarity of each pair of items: of rows drawn, or with labels of class
    means. Two sites are as similar as these are correlated (Kriegeskorte, Mur & Bandettini 2008).
    p is of Mantel's test (1967): items of one site are shuffled, whole rows and columns, and the
    order as it is counts as one. Rows of one sentence are not independent, so that p is then too
    small. Sites of other extractions pair by rows: sample, position and span must be the same.
    """
    import torch

    sites = Sites.of("rsa", layers, others)
    if sample < FEWEST or permutations < 1 or seed < 0:
        raise InputError(f"rsa: sample ≥ {FEWEST}, permutations ≥ 1 and seed ≥ 0 are needed")
    rows = drawn(sites.rows, min(sample, sites.rows), seed)
    items = [
        matrix(sites.who, place, rows) if labels is None else _means(place, labels)
        for place in sites
    ]
    squares = [
        _levelled(place, _unlike(place, X, metric), compare)
        for place, X in zip(sites, items, strict=True)
    ]
    stacked = torch.stack(squares)  # (sites, items, items), of length 1
    found = torch.einsum("anm,bnm->ab", stacked, stacked)
    as_high = torch.ones_like(found)
    chance = np.random.default_rng([seed, 1])
    flat = stacked.flatten(1)
    for _ in range(permutations):
        order = torch.from_numpy(chance.permutation(len(items[0])))
        shuffled = stacked[:, order][:, :, order].flatten(1)
        as_high += flat @ shuffled.T >= found - SLACK
    similarity: NDArray[np.float64] = found.clip(-1, 1).numpy()
    tables = {
        "summary": summary(sites, similarity, len(items[0])),
        "sites": site_rows(sites, similarity),
        "pairs": pair_rows(sites, rsa=similarity, p=(as_high / (permutations + 1)).numpy()),
    }
    return Result(tables)


def _means(place: Place, labels: Labels) -> "Tensor":
    """Mean of each class (classes, width), of all rows that have a label."""
    import torch

    counts = labels.counts
    if len(counts) < FEWEST:
        raise InputError(f"rsa: {len(counts)} classes, and {FEWEST} or more are needed")
    sums, start = torch.zeros((len(counts), place.acts.width), dtype=torch.float64), 0
    for chunk in place.acts.chunks(dtype=np.float64):
        codes = labels.codes[start : start + len(chunk)]
        start += len(chunk)
        known = codes >= 0
        sums.index_add_(0, torch.from_numpy(codes[known]), torch.from_numpy(chunk[known]))
    if not bool(torch.isfinite(sums).all()):
        raise InputError(f"rsa: {place.name} holds NaN or infinity; use --nonfinite drop")
    return sums / torch.from_numpy(counts)[:, None]


def _unlike(place: Place, X: "Tensor", metric: Unlike) -> "Tensor":
    """Dissimilarities (items, items), 0 of an item with itself."""
    import torch

    if metric == "euclidean":
        X = X - X.mean(dim=0)
        return torch.cdist(X, X, compute_mode="donot_use_mm_for_euclid_dist")
    if metric == "correlation":
        X = X - X.mean(dim=1, keepdim=True)
    X = unit("rsa", place, X)
    return (1 - X @ X.T).fill_diagonal_(0)


def _levelled(place: Place, unlike: "Tensor", compare: str) -> "Tensor":
    """Rank (or not) what is above the diagonal, centre it, and make the whole of length 1."""
    import torch
    from scipy.stats import rankdata

    n = len(unlike)
    above = np.triu_indices(n, 1)
    values: NDArray[np.float64] = unlike.numpy()[above]
    values = values / (values.max() or 1.0)  # no unit decides what is small
    if compare == "spearman":
        values = rankdata(np.round(values, 12))  # equal ones may differ in rounding
    values = values - values.mean()
    length = np.linalg.norm(values) * np.sqrt(2)
    if length <= 1e-12 * n:
        raise InputError(
            f"rsa: all items of {place.name} are equally unlike, which leaves nothing to compare; "
            f"leave it out"
        )
    out = np.zeros((n, n))
    out[above] = values / length
    return torch.from_numpy(out + out.T)
