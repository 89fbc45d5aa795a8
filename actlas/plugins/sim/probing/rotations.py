"""Importances, and what they would be along random axes.

A penalised probe of rotated rows is the rotated probe, for the penalty knows no axes; so the null
needs no further fit: weights are rotated and put into standard deviations of the new dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from . import scores
from .information import binned, entropy, mutual_information
from .probes import Probe, Sides, Task

if TYPE_CHECKING:
    from torch import Tensor

Method = Literal["weights", "information", "correlation", "probeless"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Axes:
    """What dimensions are to factors along some axes: (dimensions, factors) each."""

    importance: Array
    information: Array  # nats
    relative: Array  # information / entropy of the factor
    r2: Array


@dataclass(frozen=True)
class _Moments:
    """One factor's training rows by moments: means of classes (or covariance), and covariance."""

    means: Array  # (d, classes), centred; of a continuous factor its covariance with it
    shares: Array
    covariance: Array


def _moments(sides: Sides, task: Task) -> _Moments:
    import torch

    known = np.flatnonzero(task.codes >= 0)
    X = sides.train[known]
    X = X - X.mean(0)
    covariance = (X.T @ X).double().numpy() / len(X)
    if task.values is not None:
        y = torch.from_numpy(task.values[known]).float()
        y = (y - y.mean()) / y.std(unbiased=False).clamp_min(1e-30)
        return _Moments((X.T @ y[:, None]).double().numpy() / len(X), np.ones(1), covariance)
    hot = torch.nn.functional.one_hot(torch.from_numpy(task.codes[known]), task.target.outputs)
    counts = hot.sum(0).numpy()
    means = (X.T @ hot.float()).double().numpy() / np.maximum(counts, 1)
    return _Moments(means, counts / len(X), covariance)


def along(
    sides: Sides, tasks: list[Task], probes: list[Probe], method: Method, bins: int,
    rotations: int, seed: int,
) -> Iterator[Axes]:  # fmt: skip
    """Yield what dimensions are to factors: along the axes as they are, then random ones."""
    moments = [_moments(sides, task) for task in tasks]
    entropies = np.array([entropy(task.codes) for task in tasks])
    width = sides.train.shape[1]
    rng = np.random.default_rng([seed, 2])
    for turn in range(rotations + 1):
        Q = np.eye(width) if turn == 0 else rotation(width, rng)
        yield _along(sides.train, Q, tasks, probes, moments, entropies, method, bins)


def rotation(width: int, rng: np.random.Generator) -> Array:
    """Return a random orthogonal matrix (width, width), evenly from all (Stewart 1980)."""
    Q, R = np.linalg.qr(rng.standard_normal((width, width)))
    return np.asarray(Q * np.sign(np.diag(R)))


def _along(
    X: "Tensor", Q: Array, tasks: list[Task], probes: list[Probe], moments: list[_Moments],
    entropies: Array, method: Method, bins: int,
) -> Axes:  # fmt: skip
    import torch

    turned = X @ torch.from_numpy(Q).float()
    cells = binned(turned, bins)
    information = np.stack([mutual_information(cells, bins, t.codes) for t in tasks], 1)
    columns, r2 = [], []
    for i, (probe, of) in enumerate(zip(probes, moments, strict=True)):
        variance = np.einsum("ij,ij->j", Q, of.covariance @ Q)
        variance[variance <= 1e-10 * variance.max(initial=1e-30)] = np.inf
        means = Q.T @ of.means
        r2.append((means**2 @ of.shares) / variance)
        if method == "information":
            columns.append(information[:, i])
        elif method == "correlation" or (method == "probeless" and tasks[i].values is not None):
            columns.append(np.sqrt(r2[-1]))
        elif method == "probeless":
            columns.append(_differences(means) / np.sqrt(variance))
        else:
            deviation = np.sqrt(np.where(np.isfinite(variance), variance, 0))
            columns.append(np.abs(Q.T @ probe.weights).mean(1) * deviation)
    relative = information / np.where(entropies > 0, entropies, np.inf)
    return Axes(np.stack(columns, 1), information, relative, np.stack(r2, 1))


def _differences(means: Array) -> Array:
    """Σ |difference| over pairs of classes (Antverg & Belinkov 2022), of (d, classes)."""
    k = means.shape[1]
    found: Array = np.sort(means, 1) @ (2 * np.arange(1, k + 1) - k - 1.0)
    return found


def scored(axes: Axes) -> dict[tuple[str, int | None], float]:
    """Every score of axes, by its name and the number of its factor."""
    R = axes.importance
    found: dict[tuple[str, int | None], float] = {
        (name, f): float(score(R[:, f]))
        for name, score in scores.CONCENTRATION.items()
        for f in range(R.shape[1])
    }
    shares = R / np.where(R.sum(0) > 0, R.sum(0), 1)  # a factor of large weights is no more
    found["disentanglement", None] = float(scores.disentanglement(shares))
    found["completeness", None] = float(scores.completeness(shares))
    found["mig", None] = float(scores.gap(axes.relative))
    found["sap", None] = float(scores.gap(axes.r2))
    found["modularity", None] = float(scores.modularity(axes.information))
    return found
