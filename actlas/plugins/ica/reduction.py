"""Fewer dimensions by merging axes that follow each other (Yamagiwa, Takase & Shimodaira 2024)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Result

from .few_axes import agreement, directions, ranked, steps

ALPHA = 1 / 3  # as published


def merged(
    order: NDArray[np.int64], skewness: NDArray[np.float64], p: int, alpha: float = ALPHA
) -> NDArray[np.float64]:
    """Return the map (p, k) of k axes to p dimensions: one of each block of an order.

    The order is cut into p blocks of as equal a size as can be; a block's axes are weighted by
    skewness^α, its weights of length 1 together (equal where no axis of it is skewed).
    """
    merge = np.zeros((p, len(order)))
    for i, block in enumerate(np.array_split(order, p)):
        weights = skewness[block].clip(min=0.0) ** alpha
        if not weights.any():
            weights = np.ones(len(block))
        merge[i, block] = weights / np.linalg.norm(weights)
    return merge


@dataclass(frozen=True)
class Reduced:
    """Of every p: share of nearest rows found, rank correlation with the cosine of all axes."""

    p: NDArray[np.int64]
    overlap: NDArray[np.float64]
    correlation: NDArray[np.float64]


def reduced(
    S: NDArray[np.float64],
    orders: dict[str, NDArray[np.int64]],
    skewness: NDArray[np.float64],
    alpha: float,
    Z: NDArray[np.float64],
    pairs: NDArray[np.int64],
    queries: int,
    neighbours: int,
) -> dict[str, Reduced]:
    """Compare blocks of axes in some orders, and the first principal axes, with all axes.

    S (n, k) and Z (n, k): rows on the axes of ICA, and on principal ones of variance 1.
    pairs: (2, pairs) rows whose cosines are ranked. queries: rows whose neighbours are looked for.
    """
    U = directions(S)
    cosines, full = U[:queries] @ U.T, ranked((U[pairs[0]] * U[pairs[1]]).sum(axis=1))
    p = steps(S.shape[1])
    found = {}
    for name in (*orders, "pca"):
        made = []
        for few in p:
            T = Z[:, :few] if name == "pca" else S @ merged(orders[name], skewness, few, alpha).T
            made.append(agreement(directions(T), cosines, full, pairs, neighbours))
        found[name] = Reduced(p, *np.array(made).T)
    return found


def reduce(base: Result, interpreted: Result, p: int) -> NDArray[np.float64]:
    """Return the map (p, width) of rows to p dimensions: y = reduce(…) (x − mean).

    Blocks of p consecutive axes of the tour are merged, by skewness^α. base: the run of `ica` that
    `interpreted`, a run of `ica_interpret`, was made of. Raises InputError for p that cannot be.
    """
    k = len(base.arrays["reading"])
    if not 1 <= p <= k:
        raise InputError(f"{p} dimensions of {k} axes; use 1 to {k}")
    axes = interpreted.tables["axes"]
    tour = np.array([row["tour"] for row in axes if row["basis"] == "ica"])
    if len(tour) != k:
        raise InputError(f"the tour is of {len(tour)} axes, the run of ica has {k}; give its own")
    alpha = float(interpreted.parameters.get("alpha", ALPHA))
    skewness = np.asarray(base.tables["axes"]["skewness"], np.float64)
    found: NDArray[np.float64] = (
        merged(np.argsort(tour), skewness, p, alpha) @ base.arrays["reading"]
    )
    return found
