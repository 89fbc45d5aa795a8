"""Probes of factors: penalty by inner cross-validation, accuracy, intervals, controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actlas import permute_groups

from .logistic import Basis, Fits, fit
from .rows import Split, Target

if TYPE_CHECKING:
    from torch import Tensor

GRID = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # C, in scikit-learn's terms
ROUGH = 1e-4  # tolerance of fits that only choose C
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sides:
    """Rows to train and to test on, standardised by those trained on."""

    train: "Tensor"
    test: "Tensor"

    @classmethod
    def of(cls, X: NDArray[Any], split: Split, standardize: bool) -> "Sides":
        """Take the mean off, and divide by the standard deviation where there is one."""
        import torch

        train = X[split.train]
        mean, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
        constant = scale <= 1e-7 * (np.abs(mean) + scale.max()) + 1e-30
        scale = np.where(constant, np.inf, scale if standardize else 1.0)
        sides = ((X[s] - mean) / scale for s in (split.train, split.test))
        return cls(*(torch.from_numpy(side.astype(np.float32)) for side in sides))

    def some(self, dims: Sequence[int]) -> "Sides":
        """Return some of the dimensions."""
        return Sides(self.train[:, dims], self.test[:, dims])

    @cached_property
    def basis(self) -> Basis:
        """The rows to train on in the basis of their principal axes."""
        return Basis.of(self.train)


@dataclass(frozen=True)
class Probe:
    """A probe of one factor.

    weights: (d, outputs), intercepts: (outputs,), of standardised dimensions. outputs: (test
    rows, outputs). others: outputs of probes fitted on other labels.
    """

    c: float
    weights: Array
    intercepts: Array
    outputs: Array
    others: list[Array]
    converged: bool


@dataclass(frozen=True)
class Task:
    """One factor on both sides; values are in units of the training rows' deviation."""

    target: Target
    codes: NDArray[np.int64]  # (train rows,)
    test_codes: NDArray[np.int64]
    values: Array | None
    test_values: Array | None
    groups: NDArray[np.int64]  # of the test rows
    folds: NDArray[np.int64]

    @classmethod
    def of(cls, target: Target, split: Split, groups: NDArray[np.int64]) -> "Task":
        """Cut a factor in two."""
        train, test = target.codes[split.train], target.codes[split.test]
        own, tested = None, None
        if target.values is not None:
            own = target.values[split.train]
            mean, scale = np.nanmean(own), max(float(np.nanstd(own)), 1e-30)
            own, tested = (own - mean) / scale, (target.values[split.test] - mean) / scale
        return cls(target, train, test, own, tested, groups[split.test], split.folds)

    @property
    def labels(self) -> NDArray[Any]:
        """What a probe is fitted on: codes or values of the training rows."""
        return self.codes if self.values is None else self.values

    def permuted(self, groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
        """Labels permuted between whole groups of training rows; see `actlas.permute_groups`."""
        known = np.flatnonzero(self.codes >= 0)
        found = self.labels.copy()
        found[known] = permute_groups(self.labels[known], groups[known], rng)
        return found

    def accuracy(self, outputs: Array) -> float:
        """Share of test rows that are predicted right; R² of a continuous factor."""
        right, weight = self._right(outputs)
        return float(right.sum() / weight.sum())

    def _right(self, outputs: Array) -> tuple[Array, Array]:
        """Of each known test row what it adds above and below the fraction."""
        if self.test_values is None:
            known = self.test_codes >= 0
            right = outputs[known].argmax(1) == self.test_codes[known]
            return right.astype(float), np.ones(int(known.sum()))
        known = np.isfinite(self.test_values)
        y = self.test_values[known]
        return y**2 - (y - outputs[known, 0]) ** 2, y**2

    def interval(self, outputs: Array, z: float) -> tuple[float, float]:
        """Wilson's interval (R²: a normal one), rows of a group depending as they turn out to."""
        right, weight = self._right(outputs)
        share = float(right.sum() / weight.sum())
        known = self.test_codes >= 0
        _, group = np.unique(self.groups[known], return_inverse=True)
        apart = np.bincount(group, right - share * weight)
        count = len(apart)
        error = float(np.sqrt((apart**2).sum() * count / max(count - 1, 1)) / weight.sum())
        if self.test_values is not None:
            return (share - z * error, share + z * error) if count > 1 else (np.nan, np.nan)
        trials = share * (1 - share) / error**2 if error > 0 and count > 1 else 0.0
        return wilson(share, min(max(trials, count), len(right)), z)

    @property
    def majority(self) -> float:
        """Accuracy of naming the commonest training class; 0 of R²."""
        if self.values is not None:
            return 0.0
        commonest = np.bincount(self.codes[self.codes >= 0]).argmax()
        return float((self.test_codes[self.test_codes >= 0] == commonest).mean())


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson score interval (1927) of a share among n independent trials."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def train(
    sides: Sides, task: Task, c: float | None, others: Sequence[NDArray[Any]] = (),
    start: Fits | None = None, tolerance: float = 1e-7,
) -> Probe:  # fmt: skip
    """Fit a probe, with C given or chosen, and at that C others on the same rows' other labels."""
    if task.values is not None:
        return _ridge_probe(sides, task, c, others)
    classes = task.target.outputs
    chosen = _choose(sides, task) if c is None else c
    codes = np.stack([task.codes, *others])
    penalty = 1 / (chosen * np.maximum((codes >= 0).sum(1), 1))
    fits = fit(sides.basis, codes, classes, penalty, start=start, tolerance=tolerance)
    outputs = [fits.logits(sides.test, p).double().numpy() for p in range(len(codes))]
    weights, intercepts = fits.weights[0].double().numpy(), fits.intercepts[0].double().numpy()
    return Probe(
        chosen, weights, intercepts, outputs[0], outputs[1:], bool(fits.converged[0])
    )  # fmt: skip


def _choose(sides: Sides, task: Task) -> float:
    """Return the C that predicts held-out folds best; of equals the smallest."""
    folds = np.unique(task.folds)
    if len(folds) < 2:
        return 1.0
    codes = np.stack([np.where(task.folds == fold, -1, task.codes) for fold in folds])
    count = np.maximum((codes >= 0).sum(1), 1)
    right, start = [], None
    for c in GRID:
        start = fit(
            sides.basis, codes, task.target.outputs, 1 / (c * count), start=start, tolerance=ROUGH
        )
        right.append(0)
        for p, fold in enumerate(folds):
            held = np.flatnonzero((task.folds == fold) & (task.codes >= 0))
            predicted = start.logits(sides.train[held], p).argmax(1).numpy()
            right[-1] += int((predicted == task.codes[held]).sum())
    return GRID[int(np.argmax(right))]


def _ridge_probe(
    sides: Sides, task: Task, c: float | None, others: Sequence[NDArray[Any]]
) -> Probe:  # fmt: skip
    import torch

    assert task.values is not None
    known = np.flatnonzero(np.isfinite(task.values))
    chosen = _choose_ridge(sides, task) if c is None else c
    Y = torch.from_numpy(np.stack([task.values, *others], 1)[known])
    W, b = ridge(sides.train[known].double(), Y, (chosen,))
    outputs = sides.test.double() @ W[0] + b
    listed = [outputs[:, [p]].numpy() for p in range(Y.shape[1])]
    return Probe(chosen, W[0][:, :1].numpy(), b[:1].numpy(), listed[0], listed[1:], True)


def ridge(X: "Tensor", Y: "Tensor", grid: Sequence[float]) -> tuple[list["Tensor"], "Tensor"]:
    """Minimise ½ Σ (y − xw − b)² + ½ ‖w‖²/C for each C; weights (d, p) of each, and means (p,).

    Rows are centred first, so that the intercept, given back for X as it came, is free.
    """
    import torch

    mean, level = X.mean(0), Y.mean(0)
    X, Y = X - mean, Y - level
    values, axes = torch.linalg.eigh(X.T @ X)
    along = axes.T @ (X.T @ Y)
    found = [axes @ (along / (values.clamp_min(0) + 1 / c)[:, None]) for c in grid]
    return found, level - mean @ found[0] if len(found) == 1 else level


def _choose_ridge(sides: Sides, task: Task) -> float:
    import torch

    assert task.values is not None
    known, error = np.isfinite(task.values), np.zeros(len(GRID))
    folds = np.unique(task.folds)
    if len(folds) < 2:
        return 1.0
    for fold in folds:
        own = np.flatnonzero(known & (task.folds != fold))
        held = np.flatnonzero(known & (task.folds == fold))
        X, y = sides.train[own].double(), torch.from_numpy(task.values[own][:, None])
        weights, level = ridge(X, y, GRID)
        apart = sides.train[held].double() - X.mean(0)
        for i, w in enumerate(weights):
            predicted = (apart @ w + level)[:, 0].numpy()
            error[i] += ((predicted - task.values[held]) ** 2).sum()
    return GRID[int(np.argmin(error))]
