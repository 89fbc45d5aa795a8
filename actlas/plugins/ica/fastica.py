"""Parallel FastICA on whitened rows (Hyvärinen 1999, equations 7 and 8; symmetric)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actlas import tell

from .pace import Pace, nearest
from .rowsets import RowSet

if TYPE_CHECKING:
    from torch import Tensor

ROUGH_PASSES = 64  # most on all rows with rounded products
ROUGH = 1e-3  # limit that rounded products can be trusted to reach


@dataclass(frozen=True)
class Solution:
    """Where the iteration stopped.

    rotation: (k, k) orthogonal, its rows the axes: s = rotation z.
    limits: max | |⟨w⁺, w⟩| − 1 | of every pass over the rows; the last, in float32, decides.
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
    rows: RowSet, W: NDArray[np.float64], contrast: str, *, rough: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One fixed-point step; returns the new axes, and of each | |⟨w⁺, w⟩| − 1 |.

    Products are in float32, their sums over blocks, and all that is done with W, in float64: so
    the limit can fall far below float32's own roundoff.
    rough: products in bfloat16 where the processor has them (four times as fast).
    """
    import torch

    current: Tensor | None = None
    kind = torch.float32
    products = np.zeros_like(W)
    slopes = np.zeros(len(W))
    total = 0.0
    for block, weights in rows.blocks():
        if current is None:
            kind = torch.bfloat16 if rough and _has_bfloat16(block) else torch.float32
            turn = W if rows.root is None else W @ rows.root
            current = torch.from_numpy(turn).to(block.device, kind).T.contiguous()
        given = block.to(kind)
        g, slope = CONTRASTS[contrast](given @ current, weights)
        if weights is not None:
            g *= weights[:, None]
        total += len(block) if weights is None else float(weights.sum(dtype=torch.float64))
        products += (g.T @ given).double().cpu().numpy()
        slopes += slope.double().cpu().numpy()
    if rows.root is not None:
        products = products @ rows.root
    at = W
    if current is not None and kind == torch.bfloat16:
        at = _unrounded(current, rows)
    new = decorrelated((products - slopes[:, None] * at) / total)
    return new, np.abs(np.abs((new * W).sum(axis=1)) - 1)


def _has_bfloat16(block: "Tensor") -> bool:
    """Whether products in bfloat16 are faster: by what the processor is, never by the clock."""
    import torch

    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return block.device.type == "cpu" and bool(
        known.get("avx512_bf16", False) or known.get("amx_bf16", False)
    )


def _unrounded(current: "Tensor", rows: RowSet) -> NDArray[np.float64]:
    """The axes that rounded ones are: the step is exact there, and close to the one wanted."""
    turn: NDArray[np.float64] = current.T.double().cpu().numpy()
    if rows.root is not None:
        turn = (np.linalg.inv(rows.root) @ turn.T).T
    return turn


def _logcosh(u: "Tensor", weights: "Tensor | None") -> "tuple[Tensor, Tensor]":
    g = u.tanh_()
    if weights is None:
        return g, len(g) - _sum(g.square(), None)
    return g, weights.sum() - _sum(g.square(), weights)


def _exp(u: "Tensor", weights: "Tensor | None") -> "tuple[Tensor, Tensor]":
    squares = u.square()
    bell = (squares / -2).exp_()
    return u.mul_(bell), _sum((1 - squares).mul_(bell), weights)


def _cube(u: "Tensor", weights: "Tensor | None") -> "tuple[Tensor, Tensor]":
    squares = u.square()
    return u.mul_(squares), 3 * _sum(squares, weights)


def _sum(values: "Tensor", weights: "Tensor | None") -> "Tensor":
    values = values.float()
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

    Axes are looked for with rounded products, and settled in float32.

    tol: stops where no axis turns by more in float32: max | |⟨w⁺, w⟩| − 1 |.
    max_iter: most passes, rounded ones among them; at least one is in float32.
    """
    W, pace = start(rows.k, seed), Pace(rows.k)
    limits: list[float] = []
    rough = max_iter > 1
    while True:
        new, turned = step(rows, W, contrast, rough=rough)
        limits.append(float(turned.max()))
        tell(f"pass {len(limits)} of at most {max_iter}, limit {limits[-1]:.2g}")
        if not rough and (limits[-1] < tol or len(limits) >= max_iter):
            return Solution(new, limits, limits[-1] < tol, turned)
        left = min(ROUGH_PASSES, max_iter - 1) - len(limits)
        rough = rough and limits[-1] >= max(ROUGH, tol) and left > 0
        W = pace.onward(W, new)
