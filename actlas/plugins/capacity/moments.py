"""Sums over labelled rows: of classes in two halves, of classes under permuted labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Labels, permute_groups

from .features import READ_ROWS


@dataclass(frozen=True, eq=False)
class Classes:
    """counts (K,), sums (K, d) of rows less a common shift (d,), products (d, d) of them.

    All but `placed` is of rows less the shift, which moves no difference and no covariance.
    """

    shift: NDArray[np.float64]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    products: NDArray[np.float64]

    def __add__(self, other: "Classes") -> "Classes":
        return Classes(
            self.shift,
            self.counts + other.counts,
            self.sums + other.sums,
            self.products + other.products,
        )

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @property
    def means(self) -> NDArray[np.float64]:
        """(K, d) class means, 0 where a class has no rows."""
        means: NDArray[np.float64] = self.sums / np.maximum(self.counts, 1)[:, None]
        return means

    @property
    def placed(self) -> NDArray[np.float64]:
        """(K, d) class means where they are."""
        return self.means + self.shift

    @property
    def mean(self) -> NDArray[np.float64]:
        """(d,) mean of the rows."""
        mean: NDArray[np.float64] = self.sums.sum(axis=0) / self.rows
        return mean

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(d, d) population covariance of the rows."""
        return self.products / self.rows - np.outer(self.mean, self.mean)

    @property
    def within(self) -> NDArray[np.float64]:
        """(d, d) pooled covariance about the class means."""
        means = self.means
        return (self.products - (means * self.counts[:, None]).T @ means) / self.rows

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K,) share of rows of each class."""
        shares: NDArray[np.float64] = self.counts / self.rows
        return shares

    @property
    def cross(self) -> NDArray[np.float64]:
        """(K, d) covariance of the indicator of each class with the rows."""
        return self.shares[:, None] * (self.means - self.mean)


@dataclass(frozen=True, eq=False)
class Read:
    """What one pass gives: the two halves, and class sums of every permutation."""

    halves: tuple[Classes, Classes]
    permuted: tuple[Classes, ...]

    @property
    def all(self) -> Classes:
        """All rows."""
        return self.halves[0] + self.halves[1]


def read(acts: Activations, labels: Labels, permutations: int, seed: int) -> Read:
    """Read labelled rows once; every row must have a label."""
    rng = np.random.default_rng(seed)
    half, K = _halves(labels, rng), len(labels.names)
    codes = labels.codes + K * half  # classes of the second half behind those of the first
    drawn = [permute_groups(labels.codes, labels.groups, rng) for _ in range(permutations)]
    sums, shift = np.zeros((2 * K, acts.width)), np.zeros(acts.width)
    products = np.zeros((2, acts.width, acts.width))
    by_chance = np.zeros((permutations, K, acts.width))
    for number, rows in enumerate(acts.chunks(READ_ROWS, np.float64)):
        shift = shift if number else rows.mean(axis=0)
        rows -= shift  # so that a large common vector does not drown what differs
        here = slice(number * READ_ROWS, number * READ_ROWS + len(rows))
        _add(sums, codes[here], rows)
        for h in (0, 1):
            mine = rows[half[here] == h]
            products[h] += mine.T @ mine
        for p, other in enumerate(drawn):
            _add(by_chance[p], other[here], rows)
    counts = np.bincount(codes, minlength=2 * K)
    first = Classes(shift, counts[:K], sums[:K], products[0])
    second = Classes(shift, counts[K:], sums[K:], products[1])
    permuted = tuple(
        Classes(shift, np.bincount(other, minlength=K), by_chance[p], products.sum(axis=0))
        for p, other in enumerate(drawn)
    )
    return Read((first, second), permuted)


def _add(sums: NDArray[np.float64], codes: NDArray[np.int64], rows: NDArray[np.float64]) -> None:
    """Add rows to the sums of their classes."""
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    sums[present] += np.add.reduceat(rows[order], starts, axis=0)


def _halves(labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
    """Assign whole groups to halves 0 and 1, in turn within a class, by chance."""
    groups, first, number = np.unique(labels.groups, return_index=True, return_inverse=True)
    order = np.lexsort((rng.random(len(groups)), labels.codes[first]))
    half = np.empty(len(groups), np.int64)
    half[order] = _turns(labels.codes[first][order])
    return half[number]


def _turns(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 0, … anew in every run of equal sorted codes."""
    starts = np.r_[0, np.flatnonzero(np.diff(codes)) + 1]
    lengths = np.diff(np.r_[starts, len(codes)])
    turns: NDArray[np.int64] = (np.arange(len(codes)) - np.repeat(starts, lengths)) % 2
    return turns
