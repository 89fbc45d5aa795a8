"""Many penalised logistic regressions on the same rows at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

HISTORY = 10  # pairs that L-BFGS keeps
ARMIJO = 1e-4
HALVINGS = 12
NOISE = 2e-7  # of a loss in single precision


@dataclass(frozen=True)
class Basis:
    """Rows in the basis of their principal axes: there the curvature is nearly diagonal.

    rows: (n, r) float32. axes: (d, r) orthonormal. spread: (r,) mean square along each axis.
    """

    rows: "Tensor"
    axes: "Tensor"
    spread: "Tensor"

    @classmethod
    def of(cls, X: "Tensor") -> "Basis":
        """Rotate rows (n, d); axes along which there is nothing are left out."""
        import torch

        gram = (X.T @ X).double() / len(X)
        values, axes = torch.linalg.eigh(gram)
        keep = values > 1e-7 * values[-1].clamp_min(1e-30)
        if not keep.any():
            keep[-1] = True
        kept = axes[:, keep].float()
        return cls(X @ kept, kept, values[keep].float())


@dataclass(frozen=True)
class Fits:
    """Solutions of P problems: weights (P, d, K), intercepts (P, K), and whether each converged."""

    weights: "Tensor"
    intercepts: "Tensor"
    converged: NDArray[np.bool_]

    def logits(self, X: "Tensor", problem: int = 0) -> "Tensor":
        """Return (n, K) of one problem."""
        return X @ self.weights[problem] + self.intercepts[problem]


def fit(
    basis: Basis,
    codes: NDArray[Any],
    classes: int,
    penalty: NDArray[Any],
    *,
    tolerance: float = 1e-7,
    max_iter: int = 300,
    start: Fits | None = None,
) -> Fits:
    """Minimise mean cross-entropy + penalty/2 · ‖W‖² for P problems (multinomial, no reference).

    codes: (P, n) class of each row, −1 where a problem leaves a row out. penalty: (P,), 1/(C·n)
    in scikit-learn's terms. Intercepts are free. L-BFGS whose first guess of the curvature is
    Böhning's bound (1992) in the basis of principal axes; a problem has converged when the
    decrease that this curvature still promises is below `tolerance`.
    """
    import torch

    problem = _Problem(basis, torch.from_numpy(np.asarray(codes, np.int64)), classes, penalty)
    count, r = len(codes), basis.rows.shape[1]
    theta = torch.zeros(count, (r + 1) * classes)
    if start is not None:
        W = torch.einsum("dr,pdk->prk", basis.axes, start.weights)
        theta = torch.cat([W.flatten(1), start.intercepts], 1).contiguous()
    theta, converged = _minimise(problem, theta, tolerance, max_iter)
    W, b = problem.split(theta)
    return Fits(torch.einsum("dr,prk->pdk", basis.axes, W), b, converged)


class _Problem:
    """Loss and gradient of some of P problems."""

    def __init__(self, basis: Basis, codes: "Tensor", classes: int, penalty: NDArray[Any]):
        import torch

        self.X, self.codes, self.classes = basis.rows, codes, classes
        self.penalty = torch.from_numpy(np.asarray(penalty, np.float32))
        self.share = 1 / (codes >= 0).sum(1).clamp_min(1).float()
        curvature = 0.5 * basis.spread[None] + self.penalty[:, None]
        scale = (1 / curvature)[:, :, None].expand(-1, -1, classes)
        self.scale = torch.cat([scale.flatten(1), torch.full((len(codes), classes), 2.0)], 1)

    def split(self, theta: "Tensor") -> tuple["Tensor", "Tensor"]:
        W = theta[:, : -self.classes].reshape(len(theta), -1, self.classes)
        return W, theta[:, -self.classes :]

    def loss(self, theta: "Tensor", active: "Tensor") -> tuple["Tensor", "Tensor"]:
        """Return losses (A,) and gradients (A, N) of the active problems."""
        import torch

        W, b = self.split(theta)
        count, n = len(W), len(self.X)
        flat = W.transpose(0, 1).flatten(1)  # (r, A·K)
        logits = torch.addmm(b.flatten(), self.X, flat).view(n, count, self.classes)
        codes = self.codes[active].T  # (n, A)
        weight = (codes >= 0) * self.share[active]
        at = codes.clamp_min(0)[..., None]
        lse = torch.logsumexp(logits, 2)
        data = ((lse - logits.gather(2, at)[..., 0]) * weight).double().sum(0)
        wrong = logits.sub_(lse[..., None]).exp_()
        wrong.scatter_add_(2, at, wrong.new_full((), -1.0).expand(n, count, 1))
        wrong *= weight[..., None]
        penalty = self.penalty[active]
        grad = (self.X.T @ wrong.flatten(1)).view(-1, count, self.classes).transpose(0, 1)
        grad = grad + penalty[:, None, None] * W
        value = data + 0.5 * penalty.double() * W.double().square().sum((1, 2))
        return value, torch.cat([grad.flatten(1), wrong.sum(0)], 1)


def _minimise(
    problem: _Problem, theta: "Tensor", tolerance: float, max_iter: int
) -> tuple["Tensor", NDArray[np.bool_]]:
    import torch

    active = torch.arange(len(theta))
    done = np.zeros(len(theta), bool)
    x = theta.clone()
    f, g = problem.loss(x, active)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # steps, changes of gradient, 1 / their product
    for _ in range(max_iter):
        direction = _direction(g, pairs, problem.scale[active])
        promised = -(g * direction).sum(1)
        going = promised.double() > tolerance
        if not going.all():
            theta[active[~going]] = x[~going]
            done[active[~going].numpy()] = True
            pairs = [(s[going], y[going], rho[going]) for s, y, rho in pairs]
            active, x, f, g = active[going], x[going], f[going], g[going]
            direction, promised = direction[going], promised[going]
        if not len(active):
            break
        step, f_new, g_new = _search(problem, active, x, f, direction, promised)
        s, y = step, g_new - g
        product = (s * y).sum(1)
        rho = torch.where(product > 0, 1 / product.clamp_min(1e-30), torch.zeros(()))
        pairs = [*pairs[-HISTORY + 1 :], (s, y, rho)]
        stuck = step.abs().amax(1) == 0  # single precision sees no descent any more
        x, f, g = x + step, f_new, g_new
        if stuck.any():
            theta[active[stuck]] = x[stuck]
            done[active[stuck].numpy()] = True
            pairs = [(s[~stuck], y[~stuck], rho[~stuck]) for s, y, rho in pairs]
            active, x, f, g = active[~stuck], x[~stuck], f[~stuck], g[~stuck]
    theta[active] = x
    return theta, done


def _direction(
    g: "Tensor", pairs: list[tuple["Tensor", "Tensor", "Tensor"]], scale: "Tensor"
) -> "Tensor":
    """Two-loop recursion (Nocedal 1980) from a diagonal guess of the inverse curvature."""
    import torch

    q, alphas = g.clone(), []
    for s, y, rho in reversed(pairs):
        alpha = rho * (s * q).sum(1)
        q -= alpha[:, None] * y
        alphas.append(alpha)
    q *= scale
    if pairs:
        s, y, rho = pairs[-1]
        gamma = 1 / (rho * (y * y * scale).sum(1)).clamp_min(1e-30)
        q *= torch.where(rho > 0, gamma, torch.ones(()))[:, None]
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q += (alpha - rho * (y * q).sum(1))[:, None] * s
    return -q


def _search(
    problem: _Problem, active: "Tensor", x: "Tensor", f: "Tensor", direction: "Tensor",
    promised: "Tensor",
) -> tuple["Tensor", "Tensor", "Tensor"]:  # fmt: skip
    """Halve steps until each decreases its loss enough (Armijo)."""
    import torch

    size = torch.ones(len(x))
    for _ in range(HALVINGS):
        f_new, g_new = problem.loss(x + size[:, None] * direction, active)
        enough = f_new <= f - ARMIJO * size * promised + NOISE * f.abs()
        if enough.all():
            return size[:, None] * direction, f_new, g_new
        size = torch.where(enough, size, size / 2)
    size = torch.where(enough, size, torch.zeros(()))
    f_new, g_new = problem.loss(x + size[:, None] * direction, active)
    return size[:, None] * direction, f_new, g_new
