"""The quadratic model: its loss in closed form, trained without any data."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actlas import InputError

from .lbfgs import Problem, minimise
from .recipes import one_thread
from .trained import Trained, cells

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-12  # of the gradient's norm, relative to that at the start
ITERATIONS = 3000


def quadratic_loss(
    weights: "Tensor", importance: "Tensor", kurtosis: "Tensor", *, bias: bool = True
) -> "Tensor":
    """Return the mean squared error (…,) of ŷ = ‖Wᵀx‖² (+ c) for y = Σ v_i x_i².

    weights (…, features, dims), importance v (…, features), kurtosis κ (…). With A = WWᵀ − diag(v):
    (κ − 1) Σ A_ii² + 2 Σ_{i≠j} A_ij², at the best c; without a bias (tr A)² more. x is
    independent, of zero mean and unit variance. After Scherlis et al. 2022.
    """
    A = _misfit(weights, importance)
    return _product(A, A, kurtosis, bias)


def quadratic_gradient(
    weights: "Tensor", importance: "Tensor", kurtosis: "Tensor", *, bias: bool = True
) -> "Tensor":
    """Return the gradient of `quadratic_loss`, shaped like the weights: 2MW."""
    A = _misfit(weights, importance)
    M = 4 * _weighted(A, kurtosis)
    if not bias:
        M.diagonal(dim1=-2, dim2=-1).add_(4 * _trace(A)[..., None])
    return M @ weights


def _misfit(W: "Tensor", v: "Tensor") -> "Tensor":
    A = W @ W.mT
    A.diagonal(dim1=-2, dim2=-1).sub_(v)
    return A


def _weighted(A: "Tensor", kurtosis: "Tensor") -> "Tensor":
    """Return A with κ − 1 on the diagonal and 2 off it multiplied in."""
    K = 2 * A
    K.diagonal(dim1=-2, dim2=-1).mul_((kurtosis[..., None] - 1) / 2)
    return K


def _trace(A: "Tensor") -> "Tensor":
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)


def _product(A: "Tensor", B: "Tensor", kurtosis: "Tensor", bias: bool) -> "Tensor":
    """Return the inner product of misfits whose square is the loss."""
    found = (_weighted(A, kurtosis) * B).sum((-2, -1))
    return found if bias else found + _trace(A) * _trace(B)


def _problem(v: "Tensor", k: "Tensor", shape: tuple[int, int], bias: bool) -> Problem:
    import torch

    def gradient(x: "Tensor", rows: "Tensor") -> "Tensor":
        W = x.view(-1, *shape)
        return quadratic_gradient(W, v[rows], k[rows], bias=bias).flatten(1)

    def line(x: "Tensor", p: "Tensor", rows: "Tensor") -> "Tensor":
        W, P, kurtosis = x.view(-1, *shape), p.view(-1, *shape), k[rows]
        zero, two = _misfit(W, v[rows]), P @ P.mT
        one = P @ W.mT
        one = one + one.mT

        def product(A: "Tensor", B: "Tensor") -> "Tensor":
            return _product(A, B, kurtosis, bias)

        second = product(one, one) + 2 * product(zero, two)
        terms = [2 * product(zero, one), second, 2 * product(one, two), product(two, two)]
        return torch.stack(terms, 1)

    return Problem(gradient, line)


def train_quadratic(
    importance: ArrayLike,
    kurtosis: ArrayLike,
    dims: int,
    *,
    bias: bool = True,
    starts: int = 5,
    seed: int = 0,
    max_iter: int = ITERATIONS,
) -> Trained:
    """Train quadratic models on their loss in closed form, all together, by L-BFGS in float64.

    importance: (features,), or (cells, features) for several settings.
    kurtosis: Pearson's, above 1, one number or one a cell.
    bias: whether the model has an output bias c; it is then the best one, Σ v − Σ n.
    starts: random starts of each setting. For κ > 3 no bad local minimum is known; below there are.

    Raises InputError.
    """
    import torch

    asked = cells(importance, kurtosis, "kurtosis", dims, starts)
    if not ((asked.number > 1) & np.isfinite(asked.number)).all():
        raise InputError("a kurtosis (Pearson's, E x⁴/(E x²)²) is above 1; a normal one has 3")
    v, k = map(torch.from_numpy, asked.repeated())
    shape = (asked.features, dims)
    draw = torch.Generator().manual_seed(seed)
    W = torch.randn(len(v), *shape, generator=draw, dtype=torch.float64)
    W *= (v.mean(1) / dims).sqrt()[:, None, None]
    problem = _problem(v, k, shape, bias)
    with one_thread():
        W = minimise(problem, W.flatten(1), tol=TOLERANCE, max_iter=max_iter).view(-1, *shape)
    loss = quadratic_loss(W, v, k, bias=bias)
    grid = (len(asked.number), starts)
    best = (v.sum(1) - W.square().sum((1, 2))).view(*grid, 1).numpy() if bias else None
    return Trained(W.view(*grid, *shape).numpy(), loss.view(grid).numpy(), best)
