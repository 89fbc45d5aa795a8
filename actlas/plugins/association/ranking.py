"""Spearman's correlation of many indicators with one quality: intervals, permutations, families."""

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SLACK = 1e-12  # by which correlations that are equal may differ in rounding
AT_ONCE = 2_000_000  # numbers ranked at once
FEW = 8  # models, below which intervals of 95 % hold less (of 5 and a rho of 0.9: 77 %)


@dataclass(frozen=True)
class Chance:
    """How chance is judged: permutations and bootstrap draws at most, and their seed."""

    permutations: int
    draws: int
    seed: int


def ranked(values: Floats) -> Floats:
    """Ranks along the last axis, ties their mean, centred and of length 1; 0 where all are tied."""
    from scipy.stats import rankdata

    return unit(rankdata(values, axis=-1))


def unit(ranks: Floats) -> Floats:
    """Centre along the last axis and divide by the length; 0 where nothing varies."""
    centred = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    scaled: Floats = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)
    return scaled


def within(ranks: Floats, groups: NDArray[np.int64]) -> Floats:
    """Take the mean of each group from ranks (…, n): what a factor of groups leaves of them."""
    left = ranks.copy()
    for group in np.unique(groups):
        mine = groups == group
        left[..., mine] -= ranks[..., mine].mean(axis=-1, keepdims=True)
    return unit(left)


def spearman(values: Floats, quality: Floats, groups: NDArray[np.int64] | None = None) -> Floats:
    """Spearman's rho of values (…, n) with quality (…, n); NaN where either does not vary.

    groups: (n,) then the partial correlation, ranks compared within groups.
    """
    one, other = ranked(values), ranked(quality)
    if groups is not None:
        one, other = within(one, groups), within(other, groups)
    rho: Floats = np.clip((one * other).sum(axis=-1), -1, 1)
    flat = (np.abs(one).max(axis=-1) == 0) | (np.abs(other).max(axis=-1) == 0)
    return np.where(flat, np.nan, rho)


def orders(n: int, chance: Chance, groups: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return permutations (some, n), those of groups within them; all of them where they are few.

    Drawn ones begin with the order as it is, so that p is never 0.
    """
    if groups is None and n < 12 and factorial(n) <= chance.permutations:
        return np.array(list(permutations(range(n))))
    rng = np.random.default_rng([chance.seed, 1])
    keys = rng.random((chance.permutations, n))
    if groups is None:
        drawn = keys.argsort(axis=1)
    else:
        home = np.argsort(groups, kind="stable")
        drawn = np.empty(keys.shape, np.int64)
        drawn[:, home] = np.lexsort((keys, np.broadcast_to(groups, keys.shape)))
    return np.concatenate([np.arange(n)[None], drawn])


def permuted(
    values: Floats, there: Bools, quality: Floats, chance: Chance,
    groups: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return two-sided p of each row of values (tests, n), and that of the family of all.

    there: (tests, n) which values there are; quality is permuted over all n. The family's p of a
    test is how often the largest |rho| of all tests is as large as its own (Westfall & Young 1993,
    single step). Few models correlate highly by chance, so tests over the same models have a
    largest |rho| of their own, and the smallest p of these decides.
    """
    drawn = quality[orders(len(quality), chance, groups)]
    p, reached = np.full(len(values), np.nan), np.full(len(values), np.nan)
    smallest = np.ones(len(drawn))
    for mask in np.unique(there, axis=0):
        tests = np.flatnonzero((there == mask).all(axis=1))
        ranks, shuffled = ranked(values[tests][:, mask]), ranked(drawn[:, mask])
        if groups is not None:
            ranks, shuffled = within(ranks, groups[mask]), within(shuffled, groups[mask])
        found = np.abs(shuffled @ ranks.T)
        own = np.abs(
            spearman(
                values[tests][:, mask], quality[mask], None if groups is None else groups[mask]
            )
        )
        known = ~np.isnan(own)
        if not known.any():
            continue
        found, own, tests = found[:, known], own[known], tests[known]
        p[tests] = (found >= own - SLACK).mean(axis=0)
        largest = found.max(axis=1)
        reached[tests] = share_above(largest, own)
        smallest = np.minimum(smallest, share_above(largest, largest))
    family = np.array([np.nan if np.isnan(r) else (smallest <= r + SLACK).mean() for r in reached])
    return p, family


def share_above(drawn: Floats, values: Floats) -> Floats:
    """Return what share of drawn (draws,) reaches each of some values."""
    below = np.searchsorted(np.sort(drawn), values - SLACK)
    share: Floats = 1 - below / len(drawn)
    return share


def interval(values: Floats, quality: Floats, chance: Chance) -> tuple[float, float]:
    """Return the 95 % percentile interval of rho of values (n,), models drawn with replacement.

    NaN of fewer than `FEW` models, whose draws are too alike, and where all draws are the same (as
    of a rho of 1): neither says how sure rho is. NaN too where most draws do not vary.
    """
    if len(values) < FEW:
        return np.nan, np.nan
    rng = np.random.default_rng([chance.seed, 2])
    n, found = len(values), []
    for begin in range(0, chance.draws, max(1, AT_ONCE // n)):
        drawn = rng.integers(n, size=(min(chance.draws - begin, max(1, AT_ONCE // n)), n))
        found.append(spearman(values[drawn], quality[drawn]))
    rho = np.concatenate(found) if found else np.empty(0)
    rho = rho[~np.isnan(rho)]
    if len(rho) < max(1, chance.draws / 2):
        return np.nan, np.nan
    low, high = np.quantile(rho, [0.025, 0.975])
    return (float(low), float(high)) if high - low > SLACK else (np.nan, np.nan)


def discoveries(p: Floats) -> Floats:
    """Return p by Benjamini & Hochberg (1995), NaN left out."""
    from scipy.stats import false_discovery_control

    q, known = np.full(len(p), np.nan), ~np.isnan(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
