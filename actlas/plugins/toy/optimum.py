"""Where the quadratic model's capacity goes at the optimum, in closed form."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas import InputError

Floats = NDArray[np.float64]
LINEAR = 3.0  # kurtosis of a normal distribution: every bit of capacity is worth the same


@dataclass(frozen=True)
class Optimum:
    """The global optimum of the quadratic model with an output bias.

    capacity: (features,) capacities, which sum to the dimensions.
    norm2: (features,) squared norms n of the features' directions.
    loss: mean squared error there.
    price: μ, the level of the water: a feature is ignored where v ≤ 2μ and has a dimension of
        its own where v ≥ (κ − 1)μ; NaN where there is no such level: for κ ≤ 3, and where every
        feature has a dimension of its own.
    """

    capacity: Floats
    norm2: Floats
    loss: float
    price: float


def optimum(importance: ArrayLike, kurtosis: float, dims: int) -> Optimum:
    """Return the optimum of features of these importances v (features,) in `dims` dimensions.

    The task is y = Σ v_i x_i², x of unit variance and Pearson kurtosis κ; the model ‖Wᵀx‖² + c.
    For κ > 3 capacity is filled like water, C = clip((v/μ − 2)/(κ − 3), 0, 1) with Σ C = dims; for
    κ ≤ 3 the most important features have 1 (of equal ones the first). Raises InputError.
    After Scherlis et al. 2022 (arXiv 2210.01892), derived from the task.
    """
    v = importances(importance)
    check_kurtosis(kurtosis)
    if dims < 1:
        raise InputError(f"dims is {dims}; a model has at least 1")
    room = min(dims, int(np.count_nonzero(v)))
    if kurtosis <= LINEAR or room == np.count_nonzero(v):
        capacity, price = _dedicated(v, room), np.nan
    else:
        price = _level(v, kurtosis, room)
        capacity = ((v / price - 2) / (kurtosis - LINEAR)).clip(0, 1)
    loss = float(feature_loss(v, kurtosis, capacity).sum())
    return Optimum(capacity, norms2(v, kurtosis, capacity), loss, float(price))


def _dedicated(v: Floats, room: int) -> Floats:
    capacity = np.zeros(len(v))
    capacity[np.argsort(-v, kind="stable")[:room]] = 1
    return capacity


def _level(v: Floats, kurtosis: float, room: int) -> float:
    """Return μ: Σ C rises with 1/μ along straight pieces, whose ends are where features turn."""
    used = v[v > 0]
    ends = np.sort(np.concatenate([2 / used, (kurtosis - 1) / used]))
    filled = ((ends[:, None] * used - 2) / (kurtosis - LINEAR)).clip(0, 1).sum(axis=1)
    return float(1 / np.interp(room, filled, ends))


def norms2(importance: ArrayLike, kurtosis: float, capacity: ArrayLike) -> Floats:
    """Squared norms n = (κ − 1)vC / (2 + (κ − 3)C), the best at given capacities."""
    v, C = np.asarray(importance, float), np.asarray(capacity, float)
    found: Floats = (kurtosis - 1) * v * C / (2 + (kurtosis - LINEAR) * C)
    return found


def feature_loss(importance: ArrayLike, kurtosis: float, capacity: ArrayLike) -> Floats:
    """Each feature's part of the loss, 2(κ − 1)v²(1 − C) / (2 + (κ − 3)C), at its best norm."""
    v, C = np.asarray(importance, float), np.asarray(capacity, float)
    found: Floats = 2 * (kurtosis - 1) * v**2 * (1 - C) / (2 + (kurtosis - LINEAR) * C)
    return found


def marginal_benefit(importance: ArrayLike, kurtosis: float, capacity: ArrayLike) -> Floats:
    """How much loss a little more capacity saves: −dL/dC = 2(κ − 1)²v² / (2 + (κ − 3)C)².

    Falls with C for κ > 3 (features share), rises for κ < 3 (all or nothing).
    """
    v, C = np.asarray(importance, float), np.asarray(capacity, float)
    found: Floats = 2 * (kurtosis - 1) ** 2 * v**2 / (2 + (kurtosis - LINEAR) * C) ** 2
    return found


def pair_boundary(kurtosis: ArrayLike, *, bias: bool = True) -> Floats:
    """Ratio r = v₂/v₁ up to which, in one dimension, the second of two features is ignored.

    2/(κ − 1) with an output bias, 2κ/(κ² − 3) without; 1 for κ ≤ 3, where it always is.
    """
    k = np.maximum(np.asarray(kurtosis, float), LINEAR)
    found: Floats = 2 / (k - 1) if bias else 2 * k / (k**2 - 3)
    return found


def pair_capacity(ratio: ArrayLike, kurtosis: ArrayLike, *, bias: bool = True) -> Floats:
    """Capacity of the second of two features in one dimension, r = v₂/v₁ in (0, 1].

    ((κ − 1)r − 2)/((κ − 3)(1 + r)) with an output bias, ((κ² − 3)r − 2κ)/((κ − 3)(κ + 1)(1 + r))
    without, at least 0.
    """
    r, k = np.broadcast_arrays(np.asarray(ratio, float), np.asarray(kurtosis, float))
    if not ((r > 0) & (r <= 1)).all():
        raise InputError("a ratio v₂/v₁ is above 0 and at most 1; name the larger one v₁")
    shared = np.maximum(k, LINEAR + 1e-12) - LINEAR
    found = (k - 1) * r - 2 if bias else ((k**2 - 3) * r - 2 * k) / (k + 1)
    capacity: Floats = np.where(k > LINEAR, found / (shared * (1 + r)), 0.0).clip(0)
    return capacity


def importances(given: ArrayLike) -> Floats:
    """Return importances (features,) as float64, or raise InputError."""
    v = np.asarray(given, float)
    if v.ndim != 1 or not len(v):
        raise InputError(f"importances have shape {v.shape}; give one number a feature")
    if not np.isfinite(v).all() or (v < 0).any() or not v.any():
        raise InputError("importances are finite, none below 0, and not all 0; mend the list")
    return v


def check_kurtosis(kurtosis: float, most: float = np.inf) -> None:
    """Raise InputError for a kurtosis that no distribution has, or one above `most`."""
    if not 1 < kurtosis < np.inf:
        raise InputError(
            f"kurtosis is {kurtosis:g}; Pearson's, E x⁴/(E x²)², is above 1 (normal: 3)"
        )
    if kurtosis > most:
        raise InputError(f"kurtosis is {kurtosis:g}; training reaches up to {most:g}")
