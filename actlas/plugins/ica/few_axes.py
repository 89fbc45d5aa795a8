"""How much of a cosine few axes carry (Yamagiwa, Oyama & Shimodaira 2023, section 5)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
QUERIES_AT_ONCE = 8


@dataclass(frozen=True)
class Curve:
    """Of every p: neighbours kept, rank correlation with the cosine, share of the energy."""

    p: NDArray[np.int64]
    overlap: NDArray[np.float64]
    correlation: NDArray[np.float64]
    energy: NDArray[np.float64]


def steps(k: int) -> NDArray[np.int64]:
    """Return the numbers of axes that are looked at: 1, 2, 5, 10, … and all."""
    return np.array([p for p in STEPS if p < k] + [k])


def directions(S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide rows (n, k) by their lengths; a row of no length stays 0."""
    unit: NDArray[np.float64] = S / np.linalg.norm(S, axis=1, keepdims=True).clip(min=1e-300)
    return unit


def similarity(
    U: NDArray[np.float64], V: NDArray[np.float64], p: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return (…, len(p)) sums of the p largest entries of U * V, rows (…, k) of length 1.

    p = k gives the cosine.
    """
    products = U * V
    products.sort(axis=-1)
    found: NDArray[np.float64] = np.cumsum(products[..., ::-1], axis=-1)[..., p - 1]
    return found


def curve(
    U: NDArray[np.float64],
    cosines: NDArray[np.float64],
    pairs: NDArray[np.int64],
    neighbours: int,
) -> Curve:
    """Compare few axes with all: on rows U (n, k) of length 1.

    cosines: (queries, n) of the first rows with all. pairs: (2, pairs) rows.
    """
    p = steps(U.shape[1])
    nearest = _nearest(cosines, neighbours)
    shared = np.zeros(len(p))
    for start in range(0, len(cosines), QUERIES_AT_ONCE):
        some = np.arange(start, min(start + QUERIES_AT_ONCE, len(cosines)))
        found = similarity(U[some][:, None], U[None], p)  # (queries, n, p)
        for i in range(len(p)):
            mine = _nearest(found[:, :, i], neighbours, first=start)
            shared[i] += (mine[:, :, None] == nearest[some][:, None]).sum()
    few = similarity(U[pairs[0]], U[pairs[1]], p)
    full = ranked((U[pairs[0]] * U[pairs[1]]).sum(axis=1))
    energy = similarity(U, U, p).mean(axis=0)
    return Curve(p, shared / nearest.size, _correlations(ranked(few), full), energy)


def ranked(similarities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks along the first dimension; beyond the 12th digit is rounding."""
    from scipy.stats import rankdata

    found: NDArray[np.float64] = rankdata(similarities.round(12), axis=0)
    return found


def agreement(
    U: NDArray[np.float64],
    cosines: NDArray[np.float64],
    full: NDArray[np.float64],
    pairs: NDArray[np.int64],
    neighbours: int,
) -> tuple[float, float]:
    """Return overlap and rank correlation of the cosines of U (n, p), of length 1, with others.

    cosines: (queries, n) the others. full: (pairs,) ranks of theirs over pairs (2, pairs) of rows.
    """
    nearest = _nearest(cosines, neighbours)
    mine = _nearest(U[: len(cosines)] @ U.T, neighbours)
    shared = (mine[:, :, None] == nearest[:, None]).sum()
    ranks = ranked((U[pairs[0]] * U[pairs[1]]).sum(axis=1))
    return float(shared / nearest.size), float(_correlations(ranks[:, None], full)[0])


def _nearest(similarities: NDArray[np.float64], most: int, first: int = 0) -> NDArray[np.int64]:
    """Return (queries, most) the most similar rows, without the query itself (row first + i).

    Beyond the 9th digit is rounding: rows as similar as that come by number.
    """
    rounded = -similarities.round(9)
    rounded[np.arange(len(rounded)), first + np.arange(len(rounded))] = np.inf
    found: NDArray[np.int64] = np.argsort(rounded, axis=1, kind="stable")[:, :most]
    return found


def _correlations(ranks: NDArray[np.float64], full: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's r of every column (n, p) with one (n,); 0 where either is constant."""
    X, y = ranks - ranks.mean(axis=0), full - full.mean()
    scale = np.sqrt((X**2).sum(axis=0) * (y @ y))
    found: NDArray[np.float64] = np.divide(y @ X, scale, out=np.zeros(len(scale)), where=scale > 0)
    return found
