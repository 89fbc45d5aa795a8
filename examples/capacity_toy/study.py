"""Training toy models over grids of settings, each cell beside its theory."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas.plugins.capacity import capacities
from actlas.plugins.toy import (
    FAST,
    PHASES,
    Recipe,
    Trained,
    marginal_benefit,
    optimum,
    pair_boundary,
    pair_capacity,
    relu_losses,
    train_quadratic,
    train_relu,
)

from .geometry import EQUAL, NEAR, UNEQUAL, Setting

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]
PRESENT = 0.05  # of capacity: less is ignored, and as near to 1 is alone
ALLOCATED = (10, 4, 0.8)  # features, dimensions, decay of importance
KURTOSES = (4.0, 6.0, 20.0)
LOCATED = (4.0, 5.0, 8.0, 10.0, 50.0)
CASES = ((10, 4, 6.0, 0.8), (6, 2, 5.0, 0.7), (5, 2, 9.0, 1.0), (200, 20, 50.0, 1.0))
OUTCOMES = {
    (2, 1): [0.5] * 2, (3, 2): [0.5, 0.5, 1.0], (5, 2): [0.4] * 5, (4, 3): [0.5, 0.5, 1.0, 1.0],
    (6, 3): [0.5] * 6,
}  # fmt: skip
"""Features and dimensions; capacities, sorted, of equal sparse features (Elhage et al. 2022)."""
SPARSE = 0.05


@dataclass(frozen=True)
class Size:
    """How much is trained: cells a side of each diagram, starts a cell, and the recipe.

    geometry: settings of many features; brief: how these are trained for a try.
    """

    quadratic: int
    relu: int
    starts: int
    recipe: Recipe
    geometry: tuple[Setting, ...]
    brief: Recipe | None = None


FULL = Size(24, 12, 8, FAST, (*UNEQUAL, *EQUAL))
HASTY = Recipe(steps=600, batch=128, rate=1e-2)
QUICK = Size(8, 5, 6, HASTY, (UNEQUAL[0], EQUAL[0]), HASTY)


def best_capacities(trained: Trained) -> Floats:
    """Capacities (cells, features) of the best start of each cell."""
    return np.stack([capacities(W) for W in trained.best])


def quadratic_cells(size: Size, *, bias: bool, seed: int = 0) -> Rows:
    """Two features in one dimension over ratio of importance and kurtosis."""
    ratio, kurtosis = (
        grid.ravel()
        for grid in np.meshgrid(
            np.linspace(1 / size.quadratic, 1, size.quadratic),
            np.geomspace(3.2, 50, size.quadratic),
        )
    )
    found = train_quadratic(
        np.stack([np.ones_like(ratio), ratio], 1), kurtosis, 1, bias=bias, starts=6, seed=seed
    )
    columns = {
        "ratio": ratio, "kurtosis": kurtosis, "trained": best_capacities(found)[:, 1],
        "analytic": pair_capacity(ratio, kurtosis, bias=bias), "spread": found.spread,
    }  # fmt: skip
    return records(columns)


def relu_cells(size: Size, features: Literal[2, 3], seed: int = 0) -> Rows:
    """2 features in 1 dimension, or 3 in 2, over importance of the last and density."""
    ratio, density = (
        grid.ravel()
        for grid in np.meshgrid(np.geomspace(0.1, 10, size.relu), np.geomspace(0.01, 1, size.relu))
    )
    importance = np.ones((len(ratio), features))
    importance[:, -1] = ratio
    found = train_relu(
        importance, density, features - 1, starts=size.starts, seed=seed, recipe=size.recipe
    )
    capacity = best_capacities(found)[:, -1]
    losses = relu_losses(features, ratio, density)
    first, second = np.sort(losses, axis=0)[:2]
    columns = {
        "ratio": ratio, "density": density, "trained": capacity, "phase": phases(capacity),
        "analytic": [PHASES[i] for i in losses.argmin(axis=0)], "margin": second / first - 1,
        "loss": found.loss.min(axis=1), "fixed": first,
    }  # fmt: skip
    return records(columns)


def phases(capacity: ArrayLike) -> list[str]:
    """Which phase the last feature's capacity tells."""
    C = np.asarray(capacity)
    shares = (C >= PRESENT) & (C <= 1 - PRESENT)
    which = np.where(shares, 2, np.where(C > 0.5, 1, 0))
    return [PHASES[i] for i in which]


def located(*, bias: bool) -> Rows:
    """The boundary of each kurtosis, found on trained models by halving the ratio's interval."""
    kurtosis = np.array(LOCATED)
    low, high = np.full(len(kurtosis), 0.01), np.ones(len(kurtosis))
    for _ in range(14):
        ratio = (low + high) / 2
        importance = np.stack([np.ones_like(ratio), ratio], 1)
        found = train_quadratic(importance, kurtosis, 1, bias=bias, starts=3)
        there = best_capacities(found)[:, 1] > 1e-5
        low, high = np.where(there, low, ratio), np.where(there, ratio, high)
    columns = {
        "bias": ["with" if bias else "without"] * len(kurtosis), "kurtosis": kurtosis,
        "trained": (low + high) / 2, "analytic": pair_boundary(kurtosis, bias=bias),
    }  # fmt: skip
    return records(columns)


def cases() -> Rows:
    """Reference cases: the worst capacity of any start, and the loss, against the optimum."""
    rows = []
    for features, dims, kurtosis, decay in CASES:
        v = decay ** np.arange(features)
        found, best = train_quadratic(v, kurtosis, dims), optimum(v, kurtosis, dims)
        errors = [np.abs(capacities(W) - best.capacity).max() for W in found.weights[0]]
        rows.append({
            "features": features, "dims": dims, "kurtosis": kurtosis, "decay": decay,
            "error": float(max(errors)), "loss": float(found.loss.max()), "optimal": best.loss,
        })  # fmt: skip
    return rows


def allocation() -> Rows:
    """Where capacity goes by importance, at several kurtoses, and what a little more would save."""
    features, dims, decay = ALLOCATED
    v = decay ** np.arange(features)
    rows = []
    for kurtosis in KURTOSES:
        best = optimum(v, kurtosis, dims)
        trained = capacities(train_quadratic(v, kurtosis, dims).best[0])
        columns = {
            "kurtosis": [kurtosis] * features, "importance": v, "trained": trained,
            "analytic": best.capacity, "price": [best.price] * features,
            "gain": marginal_benefit(v, kurtosis, trained),
        }  # fmt: skip
        rows += records(columns)
    return rows


def outcomes(size: Size) -> Rows:
    """Equal sparse features in a ReLU model: what the best of eight starts makes of them."""
    rows = []
    for (features, dims), wanted in OUTCOMES.items():
        found = train_relu(np.ones(features), SPARSE, dims, starts=8, recipe=size.recipe)
        every = np.sort([capacities(W) for W in found.weights[0]], axis=1)
        capacity = every[found.loss[0].argmin()]
        alike = (np.abs(every - wanted) <= NEAR).all(axis=1)
        rows.append({
            "features": features, "dims": dims, "wanted": wanted, "alike": int(alike.sum()),
            "starts": len(every), "capacities": capacity.tolist(),
            "total": float(capacity.sum()), "loss": float(found.loss.min()),
        })  # fmt: skip
    return rows


def records(columns: dict[str, Any]) -> Rows:
    """One record a row of equally long columns, as JSON has them."""
    lists = {name: np.asarray(column).tolist() for name, column in columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
