"""Blocks: features joined by chains of large cosines, and whether each is a tight frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .features import Features
from .frame import Frame

STEP = 256  # rows of cosines held at a time
CLEAN, NOISY = 1e-6, 0.2  # thresholds for exact blocks and for trained or noisy ones
EXACT = 1e-5  # residual up to which blocks are exact
WHOLE = 0.05  # how far Σ C of a semi-orthogonal block may lie from its dimension
EVEN = 0.1  # and λ spread about its mean


@dataclass(frozen=True, eq=False)
class Blocks:
    """block: (N,) number, largest first; −1 for features of norm 0. nearest: (N,) largest |cos|
    with another feature. apart: (blocks,) largest |cos| with a feature of another block."""

    block: NDArray[np.int64]
    nearest: NDArray[np.float64]
    apart: NDArray[np.float64]
    mean_cosine: float
    directions: NDArray[np.float64]  # (living, d) unit rows


def threshold_for(found: Frame) -> float:
    """Choose a threshold: tiny where the residuals say that blocks are exact."""
    alive = found.squared > 0
    return CLEAN if float(found.residual[alive].max()) <= EXACT else NOISY


def find(features: Features, threshold: float) -> Blocks:
    """Group features whose |cos| chains above the threshold; N × N work, in pieces."""
    alive = np.flatnonzero(features.alive)
    unit = features.whole()[alive]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    component = _components(unit, threshold)
    sizes = np.bincount(component)
    first = np.full(len(sizes), len(component))
    np.minimum.at(first, component, np.arange(len(component)))
    order = np.lexsort((first, -sizes))
    number = np.empty(len(sizes), np.int64)
    number[order] = np.arange(len(sizes))
    component = number[component]
    block = np.full(len(features.weights), -1)
    block[alive] = component
    nearest = np.zeros(len(block))
    nearest[alive], outside, mean = _cosines(unit, component)
    apart = np.zeros(len(sizes))
    np.maximum.at(apart, component, outside)
    return Blocks(block, nearest, apart, mean, unit)


def _components(unit: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    component, count = np.arange(len(unit)), len(unit)
    for start in range(0, len(unit), STEP):
        i, j = np.nonzero(np.abs(unit[start : start + STEP] @ unit.T) > threshold)
        edges = (np.ones(len(i), np.int8), (component[start + i], component[j]))
        graph = coo_array(edges, shape=(count, count))
        count, merged = connected_components(graph, directed=False)
        component = merged[component].astype(np.int64)
    return component


def _cosines(
    unit: NDArray[np.float64], component: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Largest |cos| with another feature, and with one of another block; and their mean."""
    nearest, outside, total = np.zeros(len(unit)), np.zeros(len(unit)), 0.0
    for start in range(0, len(unit), STEP):
        stop = min(start + STEP, len(unit))
        cosines = np.abs(unit[start:stop] @ unit.T)
        cosines[np.arange(stop - start), np.arange(start, stop)] = 0
        total += float(cosines.sum())
        nearest[start:stop] = cosines.max(axis=1)
        cosines[component[start:stop, None] == component] = 0
        outside[start:stop] = cosines.max(axis=1)
    pairs = len(unit) * (len(unit) - 1)
    return nearest, outside, total / pairs if pairs else 0.0


def dimension(rows: NDArray[np.float64], single: bool) -> int:
    """Numerical rank of rows (n, d), by the smaller of their two products."""
    product = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
    values = np.linalg.eigvalsh(product)
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    share = max(4 * len(product) * float(np.finfo(np.float64).eps), len(rows) * eps**2)
    return int((values > share * values[-1]).sum())
