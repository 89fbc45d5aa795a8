"""What single starts reach: pentagons by density, samples against the closed form, local minima."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas.plugins.capacity import capacities
from actlas.plugins.toy import (
    LONG,
    TMS,
    Recipe,
    kurtosis_of,
    optimum,
    pair_boundary,
    pair_capacity,
    train_quadratic,
    train_relu,
    train_sampled,
)

from .geometry import NEAR

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]
DIGONS = (0.0, 0.5, 0.5, 0.5, 0.5)
DENSITIES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
WIDER = ((20, 5, 6.0, 0.9), (50, 10, 10.0, 0.95))  # features, dimensions, kurtosis, decay
EDGE = 0.02  # of the ratio: a cell so near to the boundary may turn
BELOW = (2.0, 2.5)
MANY, FEW = 40, 5  # starts


@dataclass(frozen=True)
class Known:
    """What an earlier measurement with the same recipe and another implementation gave.

    share: of 20 starts that are pentagons. pentagon, digons: losses. norm, bias: of a pentagon.
    """

    share: float | None = None
    pentagon: float | None = None
    digons: float | None = None
    norm: float | None = None
    bias: float | None = None


KNOWN: Mapping[float, Known] = {
    0.3: Known(0.0), 0.2: Known(0.4, 0.0784, 0.0823, 1.03, -0.13), 0.1: Known(0.75, 0.0254),
    0.05: Known(0.95, 0.0084), 0.02: Known(1.0), 0.01: Known(1.0, norm=1.17, bias=-0.28),
}  # fmt: skip


def pentagons(brief: Recipe | None = None, starts: int = 20) -> Rows:
    """Five equal features in two dimensions: how many starts are pentagons, and at what loss."""
    found = train_relu(np.ones(5), DENSITIES, 2, starts=starts, recipe=brief or TMS)
    assert found.bias is not None
    rows = []
    for cell, p in enumerate(DENSITIES):
        weights, loss, known = found.weights[cell], found.loss[cell], KNOWN.get(p, Known())
        C = np.sort([capacities(W) for W in weights], axis=1)
        five, two = (_near(C, shape) for shape in ([0.4] * 5, DIGONS))
        norms = np.sqrt(np.square(weights).sum(axis=2))
        rows.append({
            "density": p, "share": float(five.mean()), "digon share": float(two.mean()),
            "pentagon": _least(loss[five]), "digons": _least(loss[two]), "least": _least(loss),
            "norm": _mean(norms[five]), "bias": _mean(found.bias[cell][five]),
            "total": float(C.sum(axis=1).min()), "best": C[loss.argmin()].tolist(),
            "known": vars(known),
        })  # fmt: skip
    return rows


def _near(C: Floats, shape: tuple[float, ...] | list[float]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.abs(C - np.asarray(shape)) < NEAR).all(axis=1)
    return found


def _least(values: Floats) -> float | None:
    return float(values.min()) if len(values) else None


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def drawn(brief: Recipe | None = None) -> Rows:
    """Quadratic models trained on drawn samples: capacities off the optimum."""
    recipe, kurtosis, ratio = brief or LONG, (4.0, 5.0, 6.0, 10.0, 20.0), np.linspace(0.1, 1, 10)
    k, r = (grid.ravel() for grid in np.meshgrid(kurtosis, ratio))
    pairs = np.stack([np.ones_like(r), r], 1)
    found = train_sampled(pairs, kurtosis_of("uniform", 1) / k, 1, starts=1, recipe=recipe)
    C = np.stack([capacities(W) for W in found.best])
    second = pair_capacity(r, k)
    wanted = np.stack([1 - second, second], 1)
    edge = np.abs(r - pair_boundary(k)) < EDGE
    rows = []
    for K in kurtosis:
        for mine, said in ((~edge, "2 in 1"), (edge, "2 in 1, at the boundary")):
            some = mine & (k == K)
            if some.any():
                rows.append(_off(said, K, C[some], wanted[some]) | {"edge": said != "2 in 1"})
    for features, dims, K, decay in WIDER:
        v = decay ** np.arange(features)
        one = train_sampled(v, kurtosis_of("uniform", 1) / K, dims, starts=1, recipe=recipe)
        best = optimum(v, K, dims).capacity
        rows.append(_off(f"{features} in {dims}", K, capacities(one.best[0])[None], best[None]))
    return rows


def _off(setting: str, kurtosis: float, C: Floats, wanted: Floats) -> dict[str, Any]:
    off = np.abs(C - wanted)
    total = np.abs(C.sum(axis=1) - wanted.sum(axis=1)).max()
    return {
        "setting": setting, "kurtosis": kurtosis, "largest": float(off.max()),
        "mean": float(off.mean()), "total": float(total), "cells": len(C), "edge": False,
    }  # fmt: skip


def minima() -> Rows:
    """Twenty features in five dimensions below kurtosis 3, where descent has local minima."""
    v = 0.9 ** np.arange(20)
    rows = []
    for kurtosis in BELOW:
        best = optimum(v, kurtosis, 5)
        found = train_quadratic(v, kurtosis, 5, starts=MANY)
        over = found.loss[0] / best.loss - 1
        rows.append({
            "kurtosis": kurtosis, "there": int((over < 1e-6).sum()), "starts": MANY,
            "few": float(np.median(over.reshape(-1, FEW).min(axis=1))), "many": float(over.min()),
            "worst": float(over.max()),
        })  # fmt: skip
    return rows
