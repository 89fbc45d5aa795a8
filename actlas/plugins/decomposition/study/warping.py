"""Dynamic time warping between curves, and the permutation tests of its distances.

Libraries that warp (dtw-python, dtaidistance, tslearn, aeon) take one pair of curves at a time; the
recurrence over all columns at once is shorter than what a dependency takes to be called.
`scipy.stats.permutation_test` deals out distances but not the conditions of training runs; here
both are one product with the ways to choose pairs.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb, factorial, prod

import numpy as np
from numpy.typing import NDArray

from .curves import Floats, Series, data_sets, pairs_of, z_scores
from .tables import Permutation, Warping

FEWEST = 3  # points of a curve
MOST = 20_000  # permutations: so many are all gone through, of more this many are drawn
Mask = NDArray[np.bool_]


def warping_distance(X: Floats, Y: Floats) -> Floats:
    """Return the sum of |differences| along the best path through X and Y (points, columns).

    Sakoe & Chiba 1978: steps of 1 in either or both, no weights, no window. Gives (columns,).
    """
    n, m = len(X), len(Y)
    last = np.full((n + 1, X.shape[1]), np.inf)  # by row of X, from 1
    before = last.copy()
    before[0] = 0.0
    for total in range(2, n + m + 1):  # anti-diagonals: the cells with i + j = total
        rows = np.arange(max(1, total - m), min(n, total - 1) + 1)
        here = np.full_like(last, np.inf)
        step = np.minimum(last[rows - 1], last[rows])  # from (i − 1, j) and (i, j − 1)
        here[rows] = np.minimum(step, before[rows - 1]) + np.abs(X[rows - 1] - Y[total - rows - 1])
        before, last = last, here
    found: Floats = last[n]
    return found


def warped(series: Sequence[Series]) -> list[Warping]:
    """Distances between every two curves: z-scored, then cut to the shortest training run."""
    found = []
    for data in data_sets(series):
        mine = [s for s in series if s.data == data and len(s.checkpoints) >= FEWEST]
        points = min((len(s.checkpoints) for s in mine), default=0)
        scores = {s.name: z_scores(s.values)[:points] for s in mine}
        for one, two in pairs_of(mine):
            X, Y = scores[one.name], scores[two.name]
            usable = np.flatnonzero(np.isfinite(X).all(axis=0) & np.isfinite(Y).all(axis=0))
            distances = warping_distance(X[:, usable], Y[:, usable])
            within = one.condition == two.condition
            found += [
                Warping(one.name, two.name, within, data, *one.columns[k], points, float(d))
                for k, d in zip(usable, distances, strict=True)
            ]
    return found


def permuted(
    distances: Sequence[Warping], series: Sequence[Series], seed: int
) -> list[Permutation]:
    """Test of each column that distances within conditions are smaller, one-sided."""
    chance = np.random.default_rng(seed)
    found: list[Permutation] = []
    for data in data_sets(series):
        conditions = {s.name: s.condition for s in series if s.data == data}
        columns: dict[tuple[str, str, str], list[Warping]] = {}
        for row in distances:
            if row.data == data:
                columns.setdefault((row.site, row.indicator, row.term), []).append(row)
        shared: dict[tuple[tuple[str, str], ...], list[tuple[str, str, str]]] = {}
        for column, rows in columns.items():
            shared.setdefault(tuple((r.series, r.other) for r in rows), []).append(column)
        for pairs, alike in shared.items():
            D = np.array([[r.distance for r in columns[c]] for c in alike]).T  # (pairs, columns)
            found += _tested(data, alike, D, pairs, conditions, chance)
    return found


def _tested(
    data: str,
    columns: Sequence[tuple[str, str, str]],
    D: Floats,
    pairs: Sequence[tuple[str, str]],
    conditions: dict[str, str],
    chance: np.random.Generator,
) -> Iterator[Permutation]:
    within = np.array([conditions[a] == conditions[b] for a, b in pairs])
    if within.all() or not within.any():
        return
    choices, exact = pair_choices(len(pairs), int(within.sum()), chance)
    p = smaller(D, within, choices, exact)
    names = sorted({name for pair in pairs for name in pair})
    dealt, all_dealt = condition_orders([conditions[n] for n in names], chance)
    first, second = (np.array([names.index(pair[i]) for pair in pairs]) for i in (0, 1))
    p_series = smaller(D, within, dealt[:, first] == dealt[:, second], all_dealt)
    counts = int(within.sum()), int((~within).sum())
    for k, column in enumerate(columns):
        yield Permutation(
            data, *column, float(D[within, k].mean()), float(D[~within, k].mean()), float(p[k]),
            float(p_series[k]), *counts, len(choices), exact,
        )  # fmt: skip


def smaller(D: Floats, within: Mask, choices: Mask, exact: bool) -> Floats:
    """One-sided p (columns,) that the mean of D (pairs, columns) within is as small by choice.

    choices: (permutations, pairs); exact: whether they are all, the one at hand among them.
    """

    def apart(chosen: Mask) -> Floats:
        inside = chosen.sum(axis=1, keepdims=True)
        means: Floats = chosen @ D / inside - ~chosen @ D / (chosen.shape[1] - inside)
        return means

    slack = 1e-10 * np.abs(D).max(axis=0)  # equal ones are equal only up to rounding
    reached = (apart(choices) <= apart(within[None]) + slack).sum(axis=0)
    found: Floats = reached / len(choices) if exact else (1 + reached) / (1 + len(choices))
    return found


def pair_choices(pairs: int, inside: int, chance: np.random.Generator) -> tuple[Mask, bool]:
    """Ways to choose `inside` of the pairs, and whether these are all (Pitman 1937)."""
    exact = comb(pairs, inside) <= MOST
    if exact:
        chosen = np.array(list(combinations(range(pairs), inside)))
    else:
        chosen = chance.random((MOST, pairs)).argsort(axis=1)[:, :inside]
    found = np.zeros((len(chosen), pairs), bool)
    np.put_along_axis(found, chosen, True, axis=1)
    return found, exact


def condition_orders(
    conditions: Sequence[str], chance: np.random.Generator
) -> tuple[NDArray[np.int64], bool]:
    """Ways to deal conditions to the training runs (…, runs), and whether these are all."""
    codes = np.unique(conditions, return_inverse=True)[1]
    counts = Counter(codes.tolist())
    exact = factorial(len(codes)) // prod(map(factorial, counts.values())) <= MOST
    if exact:
        return np.array(list(_arrangements(counts))), True
    return codes[chance.random((MOST, len(codes))).argsort(axis=1)], False


def _arrangements(left: Counter[int]) -> Iterator[tuple[int, ...]]:
    """Every order of things of which some are alike, each once."""
    if not left:
        yield ()
    for code in sorted(left):
        yield from ((code, *rest) for rest in _arrangements(left - Counter([code])))
