"""One-to-one matching of axes by correlation, and what it gives by chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .moments import Side, cross
from .pairing import Pairing

Assignment = Literal["greedy", "optimal"]
ENOUGH = 2_000_000  # null correlations; shuffles are as many as give them, within
FEWEST, MOST = 3, 100
LEAST_PART = 1 << 14  # observations of a shuffle, if there are more than
WORK = 1 << 35  # multiplications of all shuffles allow; r is scaled to that of all
TAIL = 40  # null correlations, at least, by which the tail is told


@dataclass(frozen=True, eq=False)
class Match:
    """Pairs of axes (pairs,), by falling r."""

    axis: NDArray[np.int64]
    other: NDArray[np.int64]
    r: NDArray[np.float64]


def match(r: NDArray[np.float64], assignment: Assignment) -> Match:
    """Match rows with columns of correlations (k, k'): min(k, k') pairs, signed, no threshold.

    greedy: the highest r of all, then the highest of axes that are not yet matched, and so on.
    optimal: the pairs of the greatest total r (Hungarian assignment).
    """
    if assignment == "optimal":
        from scipy.optimize import linear_sum_assignment

        axis, other = linear_sum_assignment(r, maximize=True)
    else:
        axis, other = _greedy(r)
    order = np.argsort(-r[axis, other], kind="stable")
    return Match(axis[order], other[order], r[axis, other][order])


def _greedy(r: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Match all pairs that are each other's best, then again among what is left.

    That gives what sorting all pairs gives: nothing before a mutually best pair takes either.
    """
    rows, columns = np.arange(r.shape[0]), np.arange(r.shape[1])
    axis, other = [], []
    while len(rows) and len(columns):
        best = r.argmax(axis=1)
        mutual = r.argmax(axis=0)[best] == np.arange(len(rows))
        axis.append(rows[mutual])
        other.append(columns[best[mutual]])
        columns_left = np.ones(len(columns), bool)
        columns_left[best[mutual]] = False
        rows, columns = rows[~mutual], columns[columns_left]
        r = r[~mutual][:, columns_left]
    return np.concatenate(axis), np.concatenate(other)


@dataclass(frozen=True, eq=False)
class Null:
    """Correlations of axes whose observations are paired by chance.

    curve (shuffles, pairs): matched r of each shuffle by rank.
    expected: axis pairs of a shuffle above `beyond`; `excess`: by how much on average.
    """

    curve: NDArray[np.float64]
    beyond: float
    expected: float
    excess: float

    @classmethod
    def of(cls, shuffles: Sequence[NDArray[np.float64]], assignment: Assignment) -> "Null":
        """Take the upper tail of all correlations of all shuffles, and match each."""
        every = sum(r.size for r in shuffles)
        most = max(1, min(max(TAIL, len(shuffles)), every // 2))
        highest = np.concatenate([_highest(r, most + 1) for r in shuffles])
        highest = np.sort(highest)[::-1][: most + 1]
        excess = float((highest[:most] - highest[most]).mean())
        return cls(
            np.stack([match(r, assignment).r for r in shuffles]),
            float(highest[most]),
            most / len(shuffles),
            max(excess, float(np.finfo(np.float32).tiny)),
        )

    def p(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """Chance that any of the axis pairs correlates by r or more: 1 − exp(−expected number).

        Excesses over a high threshold are about exponential, so the number falls like that.
        """
        more = self.expected * np.exp(np.minimum((self.beyond - r) / self.excess, 50.0))
        found: NDArray[np.float64] = -np.expm1(-more)
        return found

    def level(self, p: float) -> float:
        """The r whose p is this."""
        return float(self.beyond + self.excess * np.log(self.expected / -np.log1p(-p)))


def _highest(r: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    flat = r.ravel()
    return flat if len(flat) <= most else np.partition(flat, len(flat) - most)[-most:]


def shuffled(
    source: Side, target: Side, pairing: Pairing, permutations: int | None, seed: int
) -> list[NDArray[np.float64]]:
    """Correlations (k, k') of ICA axes after the target's units changed places, some times.

    Units change places with those of as many observations, so that no mean and no variance
    changes; where observations weigh differently variances are taken anew. Of many observations
    a part drawn anew for each shuffle is used, and r scaled by √(part / all), as its spread is
    1/√N: of skewed axes that makes the tail longer, not shorter.
    """
    many = -(-ENOUGH // (source.k * target.k))
    count = max(FEWEST, min(MOST, many)) if permutations is None else permutations
    rng = np.random.default_rng(seed)
    left, right = source.scale("ica"), target.scale("ica")
    blocks, n = _blocks(pairing), len(pairing)
    part = min(n, max(LEAST_PART, WORK // (count * source.k * target.k)))
    if pairing.each is not None:
        part = n
    found = []
    for _ in range(count):
        places = _exchanged(blocks, len(pairing.target.lines), rng)
        lines = np.sort(rng.choice(n, part, replace=False)) if part < n else np.arange(n)
        moved = places[pairing.right[lines]]
        covariance = cross(source, target, pairing.left[lines], moved, pairing.each)
        if pairing.each is not None:
            right = target.rescaled(moved, pairing.each)
        found.append(left @ covariance @ right.T * np.sqrt(part / n))
    return found


def _exchanged(
    blocks: Sequence[NDArray[np.int64]], units: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A permutation of units: of each of the blocks (alike, units) its rows change places."""
    places = np.arange(units)
    for block in blocks:
        places[block] = block[rng.permutation(len(block))]
    return places


def _blocks(pairing: Pairing) -> list[NDArray[np.int64]]:
    """What of the target changes places by chance: (alike, units) numbers of units.

    Words of one meaning are alike: the translations of a word, or words of one translation. Taken
    for independent they would make chance look small. So all units that lines hang together go
    together, to where as many of as many lines were; one by one only where there are no others.
    """
    lines = np.bincount(pairing.right, minlength=len(pairing.target.lines))
    if len(pairing.source.lines) == len(lines) == len(pairing):
        return [np.arange(len(lines))[:, None]]
    alike: dict[tuple[int, ...], list[NDArray[np.int64]]] = {}
    for units in _hanging_together(pairing, lines):
        alike.setdefault(tuple(lines[units].tolist()), []).append(units)
    blocks = [np.stack(groups) for groups in alike.values() if len(groups) > 1]
    single = [groups[0] for groups in alike.values() if len(groups) == 1]
    rest = np.concatenate([np.zeros(0, np.int64), *single])
    return [*blocks, *(rest[lines[rest] == n][:, None] for n in np.unique(lines[rest]))]


def _hanging_together(pairing: Pairing, lines: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The target's units by connected component of the lines, within one by number of lines."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    here = len(pairing.source.lines)
    both = here + len(lines)
    graph = coo_array(
        (np.ones(len(pairing)), (pairing.left, here + pairing.right)), shape=(both, both)
    )
    component = connected_components(graph, directed=False)[1][here:]
    order = np.lexsort((lines, component))
    return np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
