"""Correlation of differences: of pairs of checkpoints, or of sentences of checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .curves import Column, Floats, z_scores

Ints = NDArray[np.int64]
DIGITS = 10  # of z-scores: differences that are equal but for rounding are ties
FEWEST = 4  # checkpoints: with three a rank correlation of differences says nothing
Resample = Callable[[np.random.Generator], Ints]


@dataclass(frozen=True)
class Drawing:
    """How many pairs, repetitions of them, and draws; block: checkpoints that stay together."""

    pairs: int
    repetitions: int
    draws: int
    block: int | None
    seed: int

    def blocks(self, n: int) -> int:
        """Length of a block: the cube root of n unless chosen."""
        return min(n, self.block or max(1, round(n ** (1 / 3))))


class Found(NamedTuple):
    """By column, then by group: rho, its spread, interval, p, and rho with time held fixed."""

    rho: Floats
    sd: Floats
    low: Floats
    high: Floats
    p: Floats
    step: float
    partial: Floats
    pairs: int


def correlate(
    Z: Floats, quality: Floats, groups: Floats, how: Drawing, *,
    steps: Floats | None = None, resample: Resample | None = None,
) -> Found:  # fmt: skip
    """Spearman's rho of differences in Z (n, columns) with those in quality (n,).

    groups: (columns, groups) of 0 and 1; of a group it is the sum of |differences|.
    steps: where the n are checkpoints in the order of training: also p and partial.
    resample: draws n of them for the interval (default: blocks of neighbours).

    Pairs go from the earlier to the later. Where there are not more than asked for, all are
    taken once. Pairs overlap, so intervals and p draw and permute the n, never pairs.
    """
    n, chance = len(Z), np.random.default_rng(how.seed)
    quality = z_scores(quality[:, None])[:, 0]
    first = pairs = drawn_pairs(n, how.pairs, chance)
    rhos, times, fixed = [], [], []
    every = n * (n - 1) // 2 <= how.pairs
    for _ in range(1 if every else how.repetitions):
        dX, dq = differences(Z, pairs, groups), changes(quality, pairs)
        rho = spearman(dX, dq)
        rhos.append(rho)
        if steps is not None:
            dt = steps[pairs[1]] - steps[pairs[0]]
            time = float(spearman(dt[:, None], dq)[0])
            times.append(time)
            fixed.append(_partial(rho, time, spearman(dX, dt)))
        pairs = drawn_pairs(n, how.pairs, chance)
    low, high = interval(Z, quality, groups, how, resample or by_blocks(n, how), chance)
    nothing = np.full(len(low), np.nan)
    p = nothing if steps is None else permuted(Z, quality, groups, first, how, chance)
    return Found(
        np.mean(rhos, axis=0), np.std(rhos, axis=0, ddof=int(len(rhos) > 1)), low, high, p,
        float(np.mean(times)) if times else np.nan,
        np.mean(fixed, axis=0) if fixed else nothing, len(first[0]),
    )  # fmt: skip


def drawn_pairs(n: int, most: int, chance: np.random.Generator) -> tuple[Ints, Ints]:
    """All unordered pairs of n, or `most` of them drawn without repetition; earlier, later."""
    first, second = np.triu_indices(n, 1)
    if len(first) > most:
        chosen = np.sort(chance.choice(len(first), most, replace=False))
        first, second = first[chosen], second[chosen]
    return first, second


def grouped(columns: tuple[Column, ...]) -> tuple[Floats, list[tuple[str, str]]]:
    """Return groups (columns, groups), and of each its site and indicator."""
    names = list(dict.fromkeys((c.site, c.indicator) for c in columns))
    found = np.zeros((len(columns), len(names)))
    for i, column in enumerate(columns):
        found[i, names.index((column.site, column.indicator))] = 1
    return found, names


def changes(values: Floats, pairs: tuple[Ints, Ints]) -> Floats:
    """Later − earlier of z-scores (n, …): (pairs, …)."""
    return np.round(values[pairs[1]] - values[pairs[0]], DIGITS)


def differences(Z: Floats, pairs: tuple[Ints, Ints], groups: Floats) -> Floats:
    """Later − earlier of every column, then of every group the sum of |it|: (pairs, …).

    Columns that are undefined count as nothing in a group; one of fewer than two is undefined.
    """
    found = changes(Z, pairs)
    usable = np.isfinite(Z).all(axis=0)
    sums = np.abs(np.where(usable, found, 0.0)) @ groups
    sums[:, usable @ groups < 2] = np.nan
    return np.hstack([found, sums])


def spearman(X: Floats, y: Floats) -> Floats:
    """Spearman's rho of each column of X (n, columns) with y (n,); NaN where one is constant."""
    ranks = ranked(np.column_stack([X, y]))
    rho: Floats = ranks[:, :-1].T @ ranks[:, -1]
    return rho


def ranked(X: Floats) -> Floats:
    """Ranks by column, centred and of length 1, so that products are rho; NaN if constant."""
    from scipy.stats import rankdata

    out = np.full(X.shape, np.nan)
    usable = np.isfinite(X).all(axis=0)
    if usable.any() and len(X):
        ranks = rankdata(X[:, usable], axis=0)
        ranks -= ranks.mean(axis=0)
        length = np.sqrt((ranks**2).sum(axis=0))
        out[:, usable] = np.divide(ranks, length, out=np.full(ranks.shape, np.nan),
                                   where=length > 0)  # fmt: skip
    return out


def _partial(rho: Floats, time: float, with_time: Floats) -> Floats:
    """Partial correlation, time held fixed; NaN where time decides one of the two."""
    left = (1 - time**2) * (1 - with_time**2)
    found = np.full(len(rho), np.nan)
    np.divide(rho - time * with_time, np.sqrt(left.clip(0)), out=found, where=left > 1e-12)
    return found


def by_blocks(n: int, how: Drawing) -> Resample:
    """Moving blocks (Künsch 1989): neighbouring checkpoints are alike."""
    length = how.blocks(n)

    def draw(chance: np.random.Generator) -> Ints:
        starts = chance.integers(0, n - length + 1, -(-n // length))
        return (starts[:, None] + np.arange(length)).ravel()[:n]

    return draw


def interval(
    Z: Floats,
    quality: Floats,
    groups: Floats,
    how: Drawing,
    resample: Resample,
    chance: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Percentiles 2.5 and 97.5 over draws; pairs of one thing with itself are left out."""
    found = []
    for _ in range(how.draws):
        index = resample(chance)
        one, two = drawn_pairs(len(index), how.pairs, chance)
        one, two = index[one], index[two]
        apart = one != two
        ordered = np.minimum(one, two)[apart], np.maximum(one, two)[apart]
        found.append(spearman(differences(Z, ordered, groups), changes(quality, ordered)))
    rhos = np.array(found)
    ends = np.full((2, rhos.shape[1]), np.nan)
    usable = np.isfinite(rhos).mean(axis=0) > 0.9
    if usable.any():
        ends[:, usable] = np.nanquantile(rhos[:, usable], [0.025, 0.975], axis=0)
    return ends[0], ends[1]


def block_orders(n: int, length: int, draws: int, chance: np.random.Generator) -> tuple[Ints, bool]:
    """Orders (…, n) in which blocks of neighbours are permuted, and whether these are all.

    What is left after the last whole block stays where it is.
    """
    whole = n // length
    exact = whole <= 12 and factorial(whole) <= draws
    if exact:
        orders = np.array(list(islice(permutations(range(whole)), factorial(whole))))
    else:
        orders = chance.random((draws, whole)).argsort(axis=1)
    index = (orders[:, :, None] * length + np.arange(length)).reshape(len(orders), -1)
    rest = np.broadcast_to(np.arange(whole * length, n), (len(orders), n - whole * length))
    return np.hstack([index, rest]), exact


def permuted(
    Z: Floats,
    quality: Floats,
    groups: Floats,
    pairs: tuple[Ints, Ints],
    how: Drawing,
    chance: np.random.Generator,
) -> Floats:
    """Two-sided p of each column: quality is dealt out anew among the checkpoints, in blocks."""
    X = ranked(differences(Z, pairs, groups))
    rho = X.T @ ranked(changes(quality[:, None], pairs))
    orders, exact = block_orders(len(Z), how.blocks(len(Z)), how.draws, chance)
    null = X.T @ ranked(changes(quality[orders].T, pairs))
    reached = (np.abs(null) >= np.abs(rho) - 1e-12).sum(axis=1)
    p = reached / len(orders) if exact else (1 + reached) / (1 + len(orders))
    return np.where(np.isfinite(rho[:, 0]), p, np.nan)
