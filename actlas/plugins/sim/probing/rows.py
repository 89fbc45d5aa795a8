"""Probe rows: frames pooled, their labels, and a split that leaves groups whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Factors, InputError, LabelError, Labels

from .information import quantile_codes

Pool = Literal["none", "mean", "window"]
Codes = NDArray[np.int64]
DRAWS = 25  # splits that are tried
MANY = 20  # more different numbers than these are no classes


@dataclass(frozen=True)
class Target:
    """One factor of the probe rows.

    codes: (rows,) class, or bin of a continuous factor; −1 where there is none.
    values: (rows,) of a continuous factor, NaN where there is none.
    """

    name: str
    names: tuple[str, ...]
    codes: Codes
    values: NDArray[np.float64] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows,) mask of the rows that have it."""
        return np.asarray(self.codes >= 0)

    @property
    def outputs(self) -> int:
        """Numbers that a probe gives: one a class, or one."""
        return len(self.names) if self.values is None else 1


@dataclass(frozen=True)
class Pooling:
    """Which probe row each row goes into."""

    unit: Codes  # (rows,) from 0, in order
    count: int

    @classmethod
    def of(cls, acts: Activations, pool: Pool, window: int) -> "Pooling":
        """Make one probe row a row, a sample, or a window of a sample's consecutive rows."""
        n = len(acts)
        if pool == "none":
            return cls(np.arange(n), n)
        _, first, sample = np.unique(acts.rows.sample, return_index=True, return_inverse=True)
        if pool == "mean":
            return cls(sample, len(first))
        order = np.argsort(sample, kind="stable")
        begin = np.zeros(len(first), np.int64)
        np.add.at(begin[1:], sample[sample < len(first) - 1], 1)
        place = np.empty(n, np.int64)
        place[order] = np.arange(n) - np.cumsum(begin)[sample[order]]
        pairs = np.stack([sample, place // window], 1)
        units, unit = np.unique(pairs, axis=0, return_inverse=True)
        return cls(unit.reshape(-1), len(units))

    def mean(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean of the rows of each unit (units, d)."""
        if self.count == len(X):
            return X[np.argsort(self.unit)]
        order = np.argsort(self.unit, kind="stable")
        starts = np.searchsorted(self.unit[order], np.arange(self.count))
        sizes = np.diff([*starts, len(X)])[:, None]
        return np.asarray(np.add.reduceat(X[order], starts, axis=0) / sizes, np.float32)

    def first(self, column: Codes) -> Codes:
        """Return what the first row of each unit has (units,)."""
        _, at = np.unique(self.unit, return_index=True)
        return column[at]

    def labels(self, codes: Codes) -> tuple[Codes, int]:
        """Return the commonest label of each unit, and how many units have several."""
        known = codes >= 0
        classes = int(codes.max(initial=0)) + 1
        pairs, counts = np.unique(self.unit[known] * classes + codes[known], return_counts=True)
        unit, code = pairs // classes, pairs % classes
        order = np.lexsort((code, -counts, unit))
        kept, at, kinds = np.unique(unit[order], return_index=True, return_counts=True)
        found = np.full(self.count, -1)
        found[kept] = code[order][at]
        return found, int((kinds > 1).sum())

    def average(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the numbers of each unit, NaN where it has none."""
        known = np.isfinite(values)
        total = np.bincount(self.unit[known], values[known], minlength=self.count)
        count = np.bincount(self.unit[known], minlength=self.count)
        found = np.full(self.count, np.nan)
        np.divide(total, count, out=found, where=count > 0)
        return found


def targets(
    factors: Factors, pooling: Pooling, continuous: str | None, bins: int
) -> tuple[list[Target], list[str]]:
    """Pool the labels of every factor; the second is what there is to say of them."""
    chosen = None if continuous is None else [n.strip() for n in continuous.split(",") if n.strip()]
    for name in chosen or ():
        if name not in factors.names:
            raise InputError(
                f"sim_probe: continuous names {name!r}, and the factors are "
                f"{', '.join(factors.names)}"
            )
    found, said = [], []
    for labels in factors:
        target, remarks = _target(labels, pooling, chosen, bins)
        found.append(target)
        said += [f"{labels.name}: {remark}" for remark in remarks]
    return found, said


def _target(
    labels: Labels, pooling: Pooling, chosen: list[str] | None, bins: int
) -> tuple[Target, list[str]]:
    numbers = labels.numbers()
    wanted = labels.name in chosen if chosen is not None else _measured(labels, numbers)
    if wanted and numbers is None:
        raise LabelError(
            f"sim_probe: {labels.name!r} is no factor of numbers: it has the label "
            f"{next(n for n in labels.names if not _number(n))!r}; leave it out of continuous"
        )
    lacking = int((~labels.known).sum())
    said = [f"{lacking:,} of {len(labels):,} rows without a label are left out"] if lacking else []
    if wanted and numbers is not None and labels.known.any():
        values = pooling.average(numbers)
        if chosen is None:
            said.append(f"read as numbers, since it has {len(labels.names)} different ones")
        return Target(labels.name, (), quantile_codes(values, bins), values), said
    codes, mixed = pooling.labels(labels.codes)
    if mixed:
        said.append(f"{mixed:,} pooled rows have several labels; the commonest counts")
    return Target(labels.name, labels.names, codes), said


def _number(name: str) -> bool:
    try:
        return bool(np.isfinite(float(name)))
    except ValueError:
        return False


def _measured(labels: Labels, numbers: NDArray[np.float64] | None) -> bool:
    """Whether labels are measurements, not classes: many different numbers."""
    return numbers is not None and len(labels.names) > MANY


@dataclass(frozen=True)
class Split:
    """Rows to train and to test on; folds: (train rows,) part of the inner cross-validation."""

    train: Codes
    test: Codes
    folds: Codes


def split(
    found: Sequence[Target], groups: Codes, share: float, seed: int, folds: int
) -> Split:  # fmt: skip
    """Keep about `share` of the rows, in whole groups, for testing.

    Of some random splits the one whose classes are spread most evenly. Raises LabelError where
    there is one group only.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    if count < 2:
        raise LabelError(
            "sim_probe needs rows of two groups or more, so that some can be tested on; all rows "
            "are in one group: choose other groups with --groups"
        )
    sizes, rng = np.bincount(group), np.random.default_rng([seed, 1])
    best, least = np.zeros(len(group), bool), np.inf
    for _ in range(DRAWS):
        tested = np.zeros(count, bool)
        order = rng.permutation(count)
        many = int(np.searchsorted(np.cumsum(sizes[order]), share * len(group), side="right"))
        tested[order[: min(max(many, 1), count - 1)]] = True
        uneven = sum(_uneven(target, tested[group], share) for target in found)
        if uneven < least:
            best, least = tested[group], uneven
    train = np.flatnonzero(~best)
    part = np.unique(group[train], return_inverse=True)[1]
    order = rng.permutation(int(part.max()) + 1)
    ends = np.cumsum(np.bincount(part)[order]) - 1
    fold = np.empty(len(order), np.int64)
    fold[order] = ends * min(folds, len(order)) // len(train)
    return Split(train, np.flatnonzero(best), fold[part])


def _uneven(target: Target, tested: NDArray[np.bool_], share: float) -> float:
    known = target.known
    whole = np.bincount(target.codes[known], minlength=1)
    there = np.bincount(target.codes[known & tested], minlength=len(whole))
    lost = int(((there == 0) | (there == whole))[whole > 0].sum())
    return 10.0 * lost + float(np.abs(there - share * whole).sum() / max(1, whole.sum()))


def on_both_sides(target: Target, sides: Split) -> tuple[Target | None, str | None]:
    """Leave out classes that one side lacks, and say so; None where fewer than two are left."""
    if target.values is not None:
        enough = all(len(np.unique(target.values[s][target.known[s]])) > 1
                     for s in (sides.train, sides.test))  # fmt: skip
        return (target, None) if enough else (None, f"{target.name}: left out, one number only")
    counts = [
        np.bincount(target.codes[side][target.known[side]], minlength=len(target.names))
        for side in (sides.train, sides.test)
    ]
    kept = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    lost = [n for k, n in enumerate(target.names) if k not in set(kept.tolist())]
    if len(kept) < 2:
        return None, (
            f"{target.name}: left out, fewer than two classes are in groups both of training and "
            f"of testing"
        )
    if not lost:
        return target, None
    lookup = np.full(len(target.names) + 1, -1)
    lookup[kept] = np.arange(len(kept))
    names = tuple(target.names[k] for k in kept)
    shown = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
    said = f"{target.name}: left out as groups of one side lack them: {shown}"
    return replace(target, names=names, codes=lookup[target.codes]), said
