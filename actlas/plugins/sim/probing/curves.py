"""Accuracy from the best k dimensions: refit or masked, beside random and reversed order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .logistic import Fits
from .probes import Probe, Sides, Task, train
from .tables import TopK

ENOUGH = 1e-5  # tolerance of refits
KEPT = 0.9
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Accuracy (points,) from k dimensions (points,) in one order."""

    order: str
    method: str
    k: list[int]
    accuracy: Array

    def rows(self, factor: str) -> list[TopK]:
        """Return the rows of the table `topk`."""
        points = zip(self.k, self.accuracy.tolist(), strict=True)
        return [TopK(factor, self.order, self.method, k, a) for k, a in points]


def sizes(width: int) -> list[int]:
    """1, 2, 4, … and all dimensions."""
    return [*(2**i for i in range(width.bit_length()) if 2**i < width), width]


def curves(
    sides: Sides, task: Task, probe: Probe, importance: Array, draws: int, rng: np.random.Generator
) -> list[Curve]:
    """Draw the curves of one factor; random order is a mean over `draws`."""
    whole, width = task.accuracy(probe.outputs), len(importance)
    top = np.argsort(-importance, kind="stable")
    k = sizes(width)
    found = [
        Curve(name, "refit", k, refitted(sides, task, probe, order, k, whole))
        for name, order in (("top", top), ("bottom", top[::-1].copy()))
    ]
    drawn = [
        refitted(sides, task, probe, rng.permutation(width), k, whole) for _ in range(draws)
    ]  # fmt: skip
    masked = Curve("top", "mask", k, _masked(sides, task, probe, top, k))
    return [*found, Curve("random", "refit", k, np.mean(drawn, 0)), masked]


def refitted(
    sides: Sides, task: Task, probe: Probe, order: NDArray[np.int64], k: Sequence[int],
    whole: float,
) -> Array:  # fmt: skip
    """Accuracy of probes fitted on the first k dimensions of an order."""
    import torch

    found = []
    for many in k:
        if many == len(order):
            found.append(whole)
            continue
        dims = order[:many]
        start = Fits(
            torch.from_numpy(probe.weights[dims][None]).float(),
            torch.from_numpy(probe.intercepts[None]).float(), np.ones(1, bool),
        )  # fmt: skip
        fitted = train(sides.some(dims.tolist()), task, probe.c, start=start, tolerance=ENOUGH)
        found.append(task.accuracy(fitted.outputs))
    return np.array(found)


def _masked(
    sides: Sides, task: Task, probe: Probe, order: NDArray[np.int64], k: Sequence[int]
) -> Array:  # fmt: skip
    """Accuracy of the probe of all dimensions, all but the first k at their training mean: 0."""
    test, weights = sides.test.double().numpy(), probe.weights
    outputs, found, done = np.tile(probe.intercepts, (len(test), 1)), [], 0
    for many in k:
        dims = order[done:many]
        outputs, done = outputs + test[:, dims] @ weights[dims], many
        found.append(task.accuracy(outputs))
    return np.array(found)


def k90(curve: Curve, baseline: float) -> int:
    """Fewest dimensions tried with 90 % of what all give above the baseline."""
    wanted = KEPT * (curve.accuracy[-1] - baseline)
    return curve.k[int(np.argmax(curve.accuracy - baseline >= wanted))]


def area(curve: Curve, baseline: float) -> float:
    """Mean over uniform log k of (accuracy − baseline) / (accuracy of all − baseline)."""
    kept = (curve.accuracy - baseline) / (curve.accuracy[-1] - baseline)
    if len(kept) == 1:
        return float(kept[0])
    return float(np.trapezoid(kept, np.log2(curve.k)) / np.log2(curve.k[-1]))
