"""One factor measured: its probe, its controls, its row of the table `factors`."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import scores
from .curves import Curve, area, curves, k90
from .probes import Probe, Sides, Task, train
from .tables import Factor

Z95, Z3 = 1.959963984540054, 3.0
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Controls:
    """What accuracies are held against."""

    permuted: list[float]
    random_features: float
    control: float | None  # accuracy of the control task
    draws: float | None
    draws_low: float | None
    draws_sure: bool


@dataclass(frozen=True)
class Measured:
    """A factor's task, probe and controls."""

    task: Task
    probe: Probe
    controls: Controls

    @property
    def accuracy(self) -> float:
        """Accuracy on test rows, or R²."""
        return self.task.accuracy(self.probe.outputs)

    @property
    def readable(self) -> bool:
        """Whether accuracy, of draws too, is above chance by three errors."""
        above = self._above(self.probe.outputs)
        return above and self.controls.draws_sure

    def _above(self, outputs: Array) -> bool:
        return above_chance(self.task, outputs, self.controls.permuted)


def above_chance(task: Task, outputs: Array, permuted: list[float]) -> bool:
    """Whether an accuracy less three errors is above the commonest class and permuted labels."""
    low, _ = task.interval(outputs, Z3)
    return low > max([task.majority, *permuted])


@dataclass(frozen=True)
class Rows:
    """What probes are fitted on: rows, noise and draws on both sides of one split."""

    sides: Sides
    noise: Sides
    draws: Sides | None
    train_groups: NDArray[np.int64]
    types: NDArray[np.int64] | None  # token of each row, training rows first


def measure(rows: Rows, task: Task, c: float | None, permutations: int, seed: int) -> Measured:
    """Fit the probe of one factor, and its controls with the same penalty."""
    rng = np.random.default_rng([seed, 3])
    others = [task.permuted(rows.train_groups, rng) for _ in range(permutations)]
    control = _control(rows, task, rng)
    given = others + ([] if control is None else [control[0]])
    probe = train(rows.sides, task, c, given)
    permuted = [task.accuracy(outputs) for outputs in probe.others[:permutations]]
    noise = task.accuracy(train(rows.noise, task, probe.c, tolerance=1e-5).outputs)
    controlled = None
    if control is not None:
        known = task.test_codes >= 0
        hits = probe.others[-1][known].argmax(1) == control[1][known]
        controlled = float(hits.mean())
    drawn, low, sure = None, None, True
    if rows.draws is not None:
        outputs = train(rows.draws, task, probe.c).outputs
        drawn, (low, _) = task.accuracy(outputs), task.interval(outputs, Z95)
        sure = above_chance(task, outputs, permuted)
    return Measured(task, probe, Controls(permuted, noise, controlled, drawn, low, sure))


def _control(
    rows: Rows, task: Task, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Labels of a control task: each token has one, drawn as often as labels are."""
    if rows.types is None or task.values is not None:
        return None
    codes = np.concatenate([task.codes, task.test_codes])
    shares = np.bincount(task.codes[task.codes >= 0], minlength=task.target.outputs)
    of_type = rng.choice(len(shares), int(rows.types.max()) + 1, p=shares / shares.sum())
    labels = np.where(codes >= 0, of_type[rows.types], -1)
    return labels[: len(task.codes)], labels[len(task.codes) :]


def drawn_curves(
    rows: Rows, found: Measured, importance: Array, draws: int, seed: int
) -> list[Curve]:  # fmt: skip
    """Curves of accuracy against dimensions of one factor."""
    rng = np.random.default_rng([seed, 4])
    return curves(rows.sides, found.task, found.probe, importance, draws, rng)


def row(found: Measured, importance: Array, drawn: list[Curve]) -> Factor:
    """Return the factor's row."""
    task, probe, controls = found.task, found.probe, found.controls
    low, high = task.interval(probe.outputs, Z95)
    balanced, f1, auc = _by_class(task, probe.outputs)
    by_order = {(c.order, c.method): c for c in drawn}
    areas: dict[str, float | None] = dict.fromkeys(("top", "random", "bottom"))
    fewest = None
    if found.readable and drawn:
        fewest = k90(by_order["top", "refit"], task.majority)
        areas = {name: area(by_order[name, "refit"], task.majority) for name in areas}
    concentrated = {name: float(score(importance)) for name, score in scores.CONCENTRATION.items()}
    values: dict[str, Any] = {
        "factor": task.target.name,
        "kind": "categorical" if task.values is None else "continuous",
        "classes": len(task.target.names) or None,
        "train": int((task.codes >= 0).sum()),
        "test": int((task.test_codes >= 0).sum()),
        "c": probe.c,
        "accuracy": found.accuracy,
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
        "balanced": balanced,
        "macro_f1": f1,
        "explicitness": auc,
        "majority": task.majority,
        "permuted": float(np.mean(controls.permuted)) if controls.permuted else None,
        "random_features": controls.random_features,
        "selectivity": None if controls.control is None else found.accuracy - controls.control,
        "draw_accuracy": controls.draws,
        "draw_low": controls.draws_low,
        "readable": found.readable,
        "converged": probe.converged,
        "k90": fewest,
        "narea": areas["top"],
        "narea_random": areas["random"],
        "narea_bottom": areas["bottom"],
        **concentrated,
    }
    return Factor(**{f.name: values[f.name] for f in fields(Factor)})


def _by_class(task: Task, outputs: Array) -> tuple[float | None, float | None, float | None]:
    """Mean recall, F1 and one-versus-rest AUC over classes of the test rows."""
    if task.values is not None:
        return None, None, None
    from scipy.special import softmax

    known = task.test_codes >= 0
    codes, predicted = task.test_codes[known], outputs[known].argmax(1)
    classes, n = task.target.outputs, len(codes)
    hits = np.bincount(codes[codes == predicted], minlength=classes)
    there, named = (np.bincount(c, minlength=classes) for c in (codes, predicted))
    f1 = 2 * hits / np.maximum(there + named, 1)
    chances = softmax(outputs[known], axis=1)
    own = np.array([_ranks(chances[:, k])[codes == k].sum() for k in range(classes)])
    auc = (own - there * (there + 1) / 2) / np.maximum(there * (n - there), 1)
    return float((hits / there).mean()), float(f1.mean()), float(auc.mean())


def _ranks(column: Array) -> Array:
    """Rank of each number from 1, equal ones the mean of theirs."""
    ordered = np.sort(column)
    ends = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
    return np.asarray((sum(ends) + 1) / 2)
