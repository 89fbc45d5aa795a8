"""Parallel FastICA on whitened rows (Hyvärinen 1999, equations 7 and 8; symmetric)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .pace import Pace, nearest
from .rowsets import RowSet

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """Where the iteration stopped.

    rotation: (k, k) orthogonal, its rows the axes: s = rotation z.
    limits: max | |⟨w⁺, w⟩| − 1 | of every pass over the rows; the last decides.
    turned: (k,) the last | |⟨w⁺, w⟩| − 1 | of every axis.
    """

    rotation: NDArray[np.float64]
    limits: Sequence[float]
    converged: bool
    turned: NDArray[np.float64]


def start(k: int, seed: int) -> NDArray[np.float64]:
    """A standard normal matrix (k, k), made orthogonal."""
    return decorrelated(np.random.default_rng(seed).standard_normal((k, k)))


def decorrelated(W: NDArray[np.float64]) -> NDArray[np.float64]:
    """(W Wᵀ)^{-1/2} W, the orthogonal matrix nearest to W."""
    return nearest(W)[0]


def step(
    rows: RowSet, W: NDArray[np.float64], contrast: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One fixed-point step; returns the new axes, and of each | |⟨w⁺, w⟩| − 1 |.

    Products are in float32, their sums over blocks, and all that is done with W, in float64: so
    the limit can fall far below float32's own roundoff.
    """
    import torch

    current: Tensor | None = None
    products = np.zeros_like(W)
    slopes = np.zeros(len(W))
    total = 0.0
    for block, weights in rows.blocks():
        if current is None:
            turn = W if rows.root is None else W @ rows.root
            current = torch.from_numpy(turn).to(block.device, torch.float32).T.contiguous()
        g, slope = CONTRASTS[contrast](block @ current, weights)
        if weights is not None:
            g *= weights[:, None]
        total += len(block) if weights is None else float(weights.sum(dtype=torch.float64))
        products += (g.T @ block).double().cpu().numpy()
        slopes += slope.double().cpu().numpy()
    if rows.root is not None:
        products = products @ rows.root
    new = decorrelated((products - slopes[:, None] * W) / total)
    return new, np.abs(np.abs((new * W).sum(axis=1)) - 1)


def _logcosh(u: "Tensor", weights: "Tensor | None") -> "tuple[Tensor, Tensor]":
    g = u.tanh_()
    if weights is None:
        return g, len(g) - g.square().sum(dim=0)
    return g, weights.sum() - weights @ g.square()


def _exp(u: "Tensor", weights: "Tensor | None") -> "tuple[Tensor, Tensor]":
    squares = u.square()
    bell = (squares / -2).exp_()
    return u.mul_(bell), _sum((1 - squares).mul_(bell), weights)


def _cube(u: "Tensor", weights: "Tensor | None") -> "tuple[Tensor, Tensor]":
    squares = u.square()
    return u.mul_(squares), 3 * _sum(squares, weights)


def _sum(values: "Tensor", weights: "Tensor | None") -> "Tensor":
    return values.sum(dim=0) if weights is None else weights @ values


CONTRASTS = {"logcosh": _logcosh, "exp": _exp, "cube": _cube}


def fastica(
    rows: RowSet,
    *,
    contrast: str = "logcosh",
    tol: float = 1e-4,
    max_iter: int = 500,
    seed: int = 0,
) -> Solution:
    """Find the rotation of whitened rows that makes its axes the least Gaussian.

    tol: stops where no axis turns by more: max | |⟨w⁺, w⟩| − 1 |.
    """
    W, pace = start(rows.k, seed), Pace(rows.k)
    limits: list[float] = []
    while len(limits) < max_iter:
        new, turned = step(rows, W, contrast)
        limits.append(float(turned.max()))
        if limits[-1] < tol:
            break
        W = pace.onward(W, new)
    return Solution(new, limits, limits[-1] < tol, turned)
