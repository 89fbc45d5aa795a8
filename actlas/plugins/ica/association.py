"""Every axis against every label: AUROC, mutual information and p-values from ranks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Labels

from .items import column_blocks
from .project import Axes

AT_ONCE = 16  # axes ranked together


@dataclass(frozen=True)
class Tested:
    """Of every axis and label (axes, labels).

    auroc: of the label against the rest. mi: bits, of the axis in bins and label or rest.
    p: two-sided; q: after Benjamini & Hochberg. mi_labels: (axes,) bits, with all labels.
    """

    auroc: NDArray[np.float64]
    mi: NDArray[np.float64]
    mi_labels: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]


def associated(
    acts: Activations, axes: Axes, labels: Labels, tried: NDArray[np.int64], bins: int
) -> Tested:
    """Test every axis on labelled rows. tried: the codes of the labels to test."""
    from scipy.stats import false_discovery_control, rankdata

    table = _Table.of(labels)
    parts = []
    for columns in column_blocks(acts, axes):
        for start in range(0, len(columns), AT_ONCE):
            ranks = rankdata(columns[start : start + AT_ONCE], axis=1)
            auroc, p = table.rank_sums(ranks)
            parts.append((auroc, p, *table.information(ranks, bins)))
    auroc, p, mi, mi_labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    p = p[:, tried]
    q: NDArray[np.float64] = false_discovery_control(p.ravel()).reshape(p.shape)
    return Tested(auroc[:, tried], mi[:, tried], mi_labels, p, q)


@dataclass(frozen=True, eq=False)
class _Table:
    """Labelled rows as sparse sums.

    counts: (labels,) rows. of_label: (rows, labels) 1 where a row has the label.
    of_pair: (rows, pairs) pairs of group and label that occur. pair_group, pair_label: (pairs,)
    of_group: (rows, groups); None where every row is a group.
    """

    codes: NDArray[np.int64]
    counts: NDArray[np.float64]
    of_label: Any
    of_group: Any
    of_pair: Any
    pair_group: NDArray[np.int64]
    pair_label: NDArray[np.int64]

    @classmethod
    def of(cls, labels: Labels) -> "_Table":
        codes, k = labels.codes, len(labels.names)
        groups = np.unique(labels.groups, return_inverse=True)[1]
        pairs, pair = np.unique(groups * k + codes, return_inverse=True)
        counts = np.bincount(codes, minlength=k).astype(float)
        alone = int(groups.max()) + 1 == len(codes)
        return cls(
            codes, counts, _membership(codes), None if alone else _membership(groups),
            None if alone else _membership(pair), pairs // k, pairs % k,
        )  # fmt: skip

    def rank_sums(
        self, ranks: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return AUROC and p-values (axes, labels) of ranks (axes, rows), ties averaged."""
        from scipy.stats import norm

        n = ranks.shape[1]
        rest = n - self.counts
        U = (self.of_label.T @ ranks.T).T - self.counts * (self.counts + 1) / 2
        auroc = U / (self.counts * rest)
        away = np.abs(U - self.counts * rest / 2)
        if self.of_group is None:
            # Σ (rank − mean)² is (n³ − n − Σ (t³ − t)) / 12, t the sizes of ties.
            squares = ((ranks - (n + 1) / 2) ** 2).sum(axis=1, keepdims=True)
            variance = self.counts * rest / (n * (n - 1)) * squares
            away = (away - 0.5).clip(min=0)  # continuity
        else:
            variance = self._clustered((ranks - (n + 1) / 2).T)
        z = np.divide(away, np.sqrt(variance), out=np.zeros_like(away), where=variance > 0)
        return auroc, 2 * norm.sf(z)

    def _clustered(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance (axes, labels) of the rank sum, groups independent of each other.

        A group adds D = Σ (rank − mean) (y − mean y) over its rows, and the variance is Σ D² over
        G groups, times G / (G − 1). centred: (rows, axes).
        """
        share = self.counts / len(centred)
        whole = self.of_group.T @ centred  # (groups, axes)
        mine = self.of_pair.T @ centred  # (pairs, axes)
        by_label = _membership(self.pair_label, len(share))
        squares = by_label.T @ mine**2
        cross = by_label.T @ (mine * whole[self.pair_group])
        total = (whole**2).sum(axis=0)
        found = squares - 2 * share[:, None] * cross + share[:, None] ** 2 * total
        groups = len(whole)
        spread: NDArray[np.float64] = found.clip(min=0).T * groups / (groups - 1)
        return spread

    def information(
        self, ranks: NDArray[np.float64], bins: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return bits (axes, labels) of each label against the rest, and (axes,) of all labels."""
        n, k = ranks.shape[1], len(self.counts)
        binned = ((ranks - 0.5) / n * bins).astype(np.int64).clip(max=bins - 1)
        joint = (
            np.stack(
                [
                    np.bincount(codes * k + self.codes, minlength=bins * k).reshape(bins, k)
                    for codes in binned
                ]
            )
            / n
        )  # (axes, bins, labels)
        full = joint.sum(axis=2, keepdims=True)
        rest = full - joint
        share = self.counts / n
        with_label = _information(joint, full * share).sum(axis=1)
        without = _information(rest, full * (1 - share)).sum(axis=1)
        return (with_label + without).clip(min=0), with_label.sum(axis=1).clip(min=0)


def _membership(codes: NDArray[np.int64], most: int | None = None) -> Any:
    """Return a sparse (rows, codes) matrix of 1 where a row has the code."""
    from scipy.sparse import csr_array

    n = len(codes)
    width = int(codes.max()) + 1 if most is None else most
    return csr_array((np.ones(n), (np.arange(n), codes)), shape=(n, width))


def _information(joint: NDArray[np.float64], independent: NDArray[np.float64]) -> NDArray[Any]:
    """Terms p log₂ (p / p₀), 0 where p is."""
    rounding = 1e-15  # of a count that is 0, after a difference
    there = joint > rounding
    ratio = np.divide(joint, independent, out=np.ones_like(joint), where=there)
    return np.where(there, joint * np.log2(ratio), 0.0)
