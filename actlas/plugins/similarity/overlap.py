"""The analysis `neighbours`: how many nearest neighbours rows have in common at two sites."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Layers, Others, Result, analysis

from .figures import heat_map, most_similar
from .sites import Place, Sites
from .tables import SiteRow, Summary, pair_rows, site_rows, summary

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor

BLOCK = 512  # rows whose distances are held at once
TIED = 1e-12  # of the squared lengths: distances that are taken for equal
MANY = 0.05  # share of rows with ties that the reader must know of

Metric = Literal["cosine", "euclidean"]


@dataclass(frozen=True)
class Pair:
    """Two sites and the neighbours that rows have at both."""

    a: Annotated[str, "a site"]
    b: Annotated[str, "a later one"]
    overlap: Annotated[float, "mean share of the k nearest rows that are the same"]
    jaccard: Annotated[float, "mean of those at both over those at either"]
    chance: Annotated[
        float,
        "overlap expected of rows that are paired at random: k / (n − 1), more where rows tie",
    ]


@analysis(
    version=2,
    aligned=True,
    tables={"summary": Summary, "sites": SiteRow, "pairs": Pair},
    figures={
        "heat": heat_map("overlap", "neighbour overlap"),
        "depths": most_similar("neighbour overlap"),
    },
)
def neighbours(
    layers: Layers,
    others: Others | None,
    *,
    k: Annotated[int, "neighbours of a row"] = 10,
    metric: Annotated[Metric, "by angle or by distance"] = "cosine",
    sample: Annotated[int | None, "rows drawn where there are more; none: all"] = 4000,
    seed: Annotated[int, "seed of the drawn rows"] = 0,
) -> Result:
    """Nearest neighbours that rows have in common, at all pairs of sites, of one model or several.

    The overlap is |N(i) ∩ N'(i)| / k over the k nearest rows of row i at either site, itself left
    out, the mean over rows: mutual k-nearest neighbours of Huh et al. 2024 (The Platonic
    Representation Hypothesis). Rows equally far, as those of one word in an embedding, share the
    places that are left: each counts for a part, and two sites have the lesser part in common.
    Neighbours are exact, in float64, among the rows drawn; with more
    rows they are nearer, so that values compare at equal numbers of rows only. Sites of other
    extractions pair by rows: sample, position and span must be the same.
    """
    sites = Sites.of("neighbours", layers, others)
    n = min(sites.rows, sites.rows if sample is None else sample)
    if not 1 <= k < n - 1 or seed < 0:
        raise InputError(
            f"neighbours: k={k} of {n:,} rows; 1 ≤ k ≤ {n - 2} and seed ≥ 0 are needed"
        )
    rows = drawn(sites.rows, n, seed)
    near, said = [], []
    for place in sites:
        found = nearest(sites.who, place, rows, k, metric)
        near.append(found)
        if found.tied > MANY:
            said.append(
                f"{place.name}: {found.tied:.0%} of the rows have a neighbour as near as one left "
                f"out (rows that are alike), which share the last places"
            )
    overlap, jaccard = np.eye(len(sites)), np.eye(len(sites))
    chance = np.ones_like(overlap)
    for i, j in sites.pairs:
        common = shared(near[i], near[j])
        overlap[i, j] = overlap[j, i] = float((common / k).mean())
        jaccard[i, j] = jaccard[j, i] = float((common / (2 * k - common)).mean())
        chance[i, j] = expected(near[i], near[j], k)
    tables = {
        "summary": summary(sites, overlap, n),
        "sites": site_rows(sites, overlap),
        "pairs": pair_rows(sites, overlap=overlap, jaccard=jaccard, chance=chance),
    }
    return Result(tables, warnings=said)


@dataclass(frozen=True, eq=False)
class Near:
    """The neighbours of n rows.

    parts: sparse (n, n), 1 for a neighbour, less for those that share the last places.
    sharing: (n,) how many share them; part: (n,) what each has; tied: share of rows with any left
        out.
    """

    parts: "csr_array"
    sharing: NDArray[np.float64]
    part: NDArray[np.float64]
    tied: float


def drawn(rows: int, n: int, seed: int) -> NDArray[np.int64]:
    """Draw n of the rows without replacement, in order."""
    found = np.random.default_rng(seed).choice(rows, n, replace=False)
    return np.sort(found) if n < rows else np.arange(rows)


def matrix(who: str, place: Place, rows: NDArray[np.int64]) -> "Tensor":
    """Read rows (n, width) in float64.

    InputError where they hold NaN or infinity, or are all the same.
    """
    import torch

    X = torch.from_numpy(place.acts.take(rows).numpy(np.float64))
    if not bool(torch.isfinite(X).all()):
        raise InputError(f"{who}: {place.name} holds NaN or infinity; use --nonfinite drop")
    if bool((X[0] == X).all()):
        raise InputError(f"{who}: {place.name} is the same in all rows; leave it out of the sites")
    return X


def unit(who: str, place: Place, X: "Tensor") -> "Tensor":
    """Divide rows by their length; InputError for one of length 0."""
    length = X.norm(dim=1, keepdim=True)
    if not bool(length.all()):
        raise InputError(
            f"{who}: a row of {place.name} is zero and has no direction; use --metric euclidean"
        )
    found: Tensor = X / length
    return found


def nearest(who: str, place: Place, rows: NDArray[np.int64], k: int, metric: Metric) -> Near:
    """Find the k nearest of each of some rows, those equally far as the last with equal parts."""
    import torch
    from scipy.sparse import csr_array, vstack

    X = matrix(who, place, rows)
    X = unit(who, place, X) if metric == "cosine" else X - X.mean(dim=0)
    squares, blocks = X.square().sum(dim=1), []
    sharing, part = (torch.ones(len(X), dtype=torch.float64) for _ in range(2))
    for start in range(0, len(X), BLOCK):
        stop = min(start + BLOCK, len(X))
        distances = squares - 2 * (X[start:stop] @ X.T)  # and the row's own, the same for all
        distances[torch.arange(stop - start), torch.arange(start, stop)] = torch.inf
        value, index = distances.topk(k + 1, largest=False)
        last, slack = value[:, k - 1], TIED * (squares[start:stop] + squares[index[:, k]])
        alone = value[:, k] - last > slack
        (free,), (tied,) = torch.where(alone), torch.where(~alone)
        away, slack = distances[tied] - last[tied, None], slack[tied, None]
        nearer, level = (away < -slack).double(), (away.abs() <= slack).double()
        sharing[start + tied] = level.sum(dim=1)
        part[start + tied] = (k - nearer.sum(dim=1)) / level.sum(dim=1)
        parts = nearer + level * part[start + tied, None]
        of, there = torch.where(parts > 0)
        at = torch.cat([free.repeat_interleave(k), tied[of]])
        neighbour = torch.cat([index[free, :k].flatten(), there])
        values = torch.cat([X.new_ones(len(free) * k), parts[of, there]])
        found = (values.numpy(), (at.numpy(), neighbour.numpy()))
        blocks.append(csr_array(found, shape=(stop - start, len(X))))
    share = float((part < 1).double().mean())
    return Near(vstack(blocks, format="csr"), sharing.numpy(), part.numpy(), share)


def shared(one: Near, other: Near) -> NDArray[np.float64]:
    """Sum up the parts (n,) that neighbours of each row have at both sites, the lesser of each."""
    found: NDArray[np.float64] = one.parts.minimum(other.parts).sum(axis=1)
    return found


def expected(one: Near, other: Near, k: int) -> float:
    """Return the overlap expected of neighbours that are paired at random, row by row."""
    mine, theirs = one.sharing * one.part, other.sharing * other.part  # places that are shared
    common = (
        (k - mine) * (k - theirs)
        + (k - mine) * theirs
        + mine * (k - theirs)
        + one.sharing * other.sharing * np.minimum(one.part, other.part)
    )
    return float(common.mean() / (k * (len(common) - 1)))
