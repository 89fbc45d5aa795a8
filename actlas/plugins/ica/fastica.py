"""Parallel FastICA on whitened rows (Hyvärinen 1999, equations 7 and 8; symmetric)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actlas import tell

from .measures import NORMAL_GAUSS, NORMAL_LOGCOSH, logcosh
from .pace import Pace, nearest, perpendicular
from .rowsets import Pinned, RowSet

if TYPE_CHECKING:
    from torch import Tensor

ROUGH_PASSES = 64  # most on all rows with rounded products
ROUGH = 1e-3  # limit that rounded products can be trusted to reach
RESTS = 3e-3  # 1 − |cos| of an axis below which it rests, until no other turns by more
MANY = 64  # axes from which the passes that are then made anew cost less than is saved


@dataclass(frozen=True)
class Solution:
    """Where the iteration stopped.

    rotation: (k, k) orthogonal, its rows the axes: s = rotation z.
    limits: max | |⟨w⁺, w⟩| − 1 | of every pass over the rows, of the axes that did not rest; the
    last, of all axes and in float32, decides.
    turned: (k,) the last | |⟨w⁺, w⟩| − 1 | of every axis.
    negentropies: (k,) of the axes that each pass began with (see `Step`); NaN where not told.
    """

    rotation: NDArray[np.float64]
    limits: Sequence[float]
    converged: bool
    turned: NDArray[np.float64]
    negentropies: Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Step:
    """One fixed-point step.

    axes: (k, k) the new axes. turned: (k,) | |⟨w⁺, w⟩| − 1 | of each, 0 of one that rested.
    negentropy: (k,) (E G(s) − E G(ν))² of the axes before the step, on the first rows.
    """

    axes: NDArray[np.float64]
    turned: NDArray[np.float64]
    negentropy: NDArray[np.float64]


def start(k: int, seed: int) -> NDArray[np.float64]:
    """A standard normal matrix (k, k), made orthogonal."""
    return decorrelated(np.random.default_rng(seed).standard_normal((k, k)))


def decorrelated(W: NDArray[np.float64]) -> NDArray[np.float64]:
    """(W Wᵀ)^{-1/2} W, the orthogonal matrix nearest to W."""
    return nearest(W)[0]


def step(
    rows: RowSet,
    W: NDArray[np.float64],
    contrast: str,
    *,
    rough: bool = False,
    moving: NDArray[np.bool_] | None = None,
) -> Step:
    """Make one fixed-point step from axes W (k, k).

    Products are in float32, their sums over blocks, and all that is done with W, in float64: so
    the limit can fall far below float32's own roundoff.
    rough: products in bfloat16 where the processor has them (four times as fast).
    moving: (k,) axes that step, which keep at right angles to those that rest; None: all. The
    products are of as many.
    The objective is summed over the first `rows.judged` rows alone: G costs as much as g.
    """
    on = np.ones(len(W), bool) if moving is None else moving
    turn = W if rows.root is None else W @ rows.root
    sums = _Sums(CONTRASTS[contrast], turn, on, rough, rows.judged)
    for block, weights in rows.blocks():
        sums.add(block, weights)
    products = sums.products if rows.root is None else sums.products @ rows.root
    at = W[on] if sums.rounded is None else _unrounded(sums.rounded, rows)
    plain = perpendicular((products - sums.slopes[:, None] * at) / sums.total, W[~on])
    axes, turned = W.copy(), np.zeros(len(W))
    axes[on] = decorrelated(plain)
    turned[on] = np.abs(np.abs((axes[on] * W[on]).sum(axis=1)) - 1)
    return Step(axes, turned, (sums.means / sums.judged - CONTRASTS[contrast].normal) ** 2)


class _Sums:
    """Sums over rows of g(s) z and of g'(s) for some axes; over the first of G(s) for all."""

    def __init__(
        self,
        of: "Contrast",
        turn: NDArray[np.float64],
        on: NDArray[np.bool_],
        rough: bool,
        judged: int,
    ):
        self._of, self._turn, self._on, self._rough, self._left = of, turn, on, rough, judged
        self._axes: Tensor | None = None
        self._every: Tensor | None = None
        self.rounded: Tensor | None = None
        self._held: tuple[Tensor, Tensor] | None = None
        self.products = np.zeros((int(on.sum()), turn.shape[1]))
        self.slopes, self.means = np.zeros(len(self.products)), np.zeros(len(turn))
        self.total = self.judged = 0.0

    def add(self, block: "Tensor", weights: "Tensor | None") -> None:
        import torch

        if self._axes is None or self._every is None:
            rough = self._rough and _has_bfloat16(block)
            kind = torch.bfloat16 if rough else torch.float32
            self._every = torch.from_numpy(self._turn).to(block.device, kind).T
            self._axes = self._every[:, torch.from_numpy(self._on)].contiguous()
            self.rounded = self._axes if rough else None
        given = block.to(self._axes.dtype)
        u = given @ self._axes
        share = len(block) if weights is None else float(weights.sum(dtype=torch.float64))
        if self._left > 0:
            every = given @ self._every if len(self._on) > len(self.slopes) else u
            self.means += _sum(self._of.value(every.float()), weights).double().cpu().numpy()
            self.judged += share
            self._left -= len(block)
        g, slope = self._of.slope(u, weights)
        if weights is not None:
            g *= weights[:, None]
        self.total += share
        self.products += (g.T @ given).double().cpu().numpy()
        self.slopes += slope.double().cpu().numpy()
        # Until the next block: memory that is given back between blocks is dear to get again.
        self._held = given, g


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


@dataclass(frozen=True)
class Contrast:
    """A function G of axes u (n, k), which are white.

    slope: gives g(u), which may take the place of u, and the sums over rows of g'(u) (k,).
    value: gives G(u). normal: E G(ν) of a standard normal ν.
    """

    slope: "Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]"
    value: "Callable[[Tensor], Tensor]"
    normal: float


CONTRASTS = {
    "logcosh": Contrast(_logcosh, logcosh, NORMAL_LOGCOSH),
    "exp": Contrast(_exp, lambda u: -(u.square() / -2).exp_(), NORMAL_GAUSS),
    "cube": Contrast(_cube, lambda u: u.square().square_() / 4, 3 / 4),
}


def fastica(
    rows: RowSet,
    *,
    contrast: str = "logcosh",
    tol: float = 1e-4,
    max_iter: int = 500,
    seed: int = 0,
    w_init: NDArray[np.float64] | None = None,
) -> Solution:
    """Find the rotation of whitened rows that makes its axes the least Gaussian.

    Axes are looked for with rounded products, and settled in float32. While they are looked for,
    axes that have all but found their place rest, so that a pass costs what the others do; when
    none of these turns by more, all step again. So it is with many axes of rows in memory: reading
    rows anew costs as much for few axes as for all.

    tol: stops where no axis turns by more in float32: max | |⟨w⁺, w⟩| − 1 |.
    max_iter: most passes, rounded ones among them; at least one is in float32.
    w_init: orthogonal (k, k) axes to begin with; None: drawn by `seed`.
    """
    W, pace = start(rows.k, seed) if w_init is None else w_init, Pace(rows.k)
    limits: list[float] = []
    negentropies = []
    rough, moving = max_iter > 1, None
    while True:
        made = step(rows, W, contrast, rough=rough, moving=moving)
        limits.append(float(made.turned.max()))
        negentropies.append(made.negentropy)
        tell(f"pass {len(limits)} of at most {max_iter}, limit {limits[-1]:.2g}")
        if not rough and (limits[-1] < tol or len(limits) >= max_iter):
            return Solution(made.axes, limits, limits[-1] < tol, made.turned, negentropies)
        left = min(ROUGH_PASSES, max_iter - 1) - len(limits)
        found = moving is None and limits[-1] < max(ROUGH, tol)
        rough = rough and not found and left > 0
        W = pace.onward(W, made.axes, moving)
        rests = rough and rows.k >= MANY and isinstance(rows, Pinned)
        moving = _restless(made.turned) if rests else None


def _restless(turned: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Axes that step next; None: all."""
    found = turned > RESTS
    return found if found.any() and not found.all() else None
