"""Models trained on drawn samples: ReLU output, linear, and quadratic."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .recipes import FAST, LONG, Recipe, descend, one_thread
from .samples import Values, check_density, draw, draw_evenly
from .trained import Cells, Trained, cells

if TYPE_CHECKING:
    from torch import Generator, Tensor

JUDGED = 16_384  # samples on which starts are compared
BLOCK = 2_048  # of these at once


def train_relu(
    importance: ArrayLike,
    density: ArrayLike,
    dims: int,
    *,
    linear: bool = False,
    starts: int = 8,
    seed: int = 0,
    recipe: Recipe = FAST,
) -> Trained:
    """Train toy models x' = ReLU(Wᵀh + b), h = Wx (tied weights), all together.

    The loss is the mean of Σ I_i(x_i − x'_i)²; x_i is U[0, 1] with probability p, else 0. Columns
    of their W are rows of ours. Elhage et al. 2022, "Toy Models of Superposition".

    importance: I, (features,), or (cells, features) for several settings.
    density: p = 1 − sparsity, one number or one a cell.
    linear: leave the ReLU out; the baseline without superposition.
    starts: with 1 or 2 dimensions single starts often fail; keep at least 8.

    All cells and starts meet the same draws, and differ by where they begin; starts are compared on
    16,384 further samples, half of them with up to three features at once. Raises InputError.
    """
    import torch

    asked, density_, draws = _begin(importance, density, dims, starts, seed)
    I_ = torch.from_numpy(asked.importance).float()[:, None, None]  # (cells, 1, 1, features)
    shape = (len(density_), starts, asked.features, dims)
    W = torch.randn(shape, generator=draws) * (2 / (asked.features + dims)) ** 0.5  # Xavier
    b = torch.zeros(*shape[:2], 1, asked.features)

    def hidden_and_error(x: "Tensor") -> "tuple[Tensor, Tensor]":
        h = x[:, None] @ W  # (cells, starts, batch, dims)
        z = h @ W.mT + b
        return h, (z if linear else z.relu_()).sub_(x[:, None])

    def gradients() -> "list[Tensor]":
        x = draw("positive", density_, recipe.batch, asked.features, draws)
        h, error = hidden_and_error(x)
        slope = error * (2 / recipe.batch * I_)
        if not linear:  # where the output is not above 0 it is flat
            slope *= error > -x[:, None]
        gradient = x.mT[:, None] @ (slope @ W) + slope.mT @ h
        return [gradient, slope.sum(2, keepdim=True)]

    with one_thread():
        descend([W, b], gradients, recipe)

    def losses(x: "Tensor") -> "Tensor":
        return (hidden_and_error(x)[1].square() * I_).sum(3)

    loss = _judged("positive", density_, asked, draws, losses)
    return Trained(W.double().numpy(), loss, b[:, :, 0].double().numpy())


def train_sampled(
    importance: ArrayLike,
    density: ArrayLike,
    dims: int,
    *,
    values: Values = "uniform",
    bias: bool = True,
    starts: int = 5,
    seed: int = 0,
    recipe: Recipe = LONG,
) -> Trained:
    """Train quadratic models ŷ = ‖Wᵀx‖² (+ c) for y = Σ v_i x_i² on drawn samples.

    density: chance p that a feature is there; its kurtosis is κ_u/p (`kurtosis_of`). The rest is
    as in `train_quadratic`, which reaches the same optimum more closely and without samples.
    """
    import torch

    asked, density_, draws = _begin(importance, density, dims, starts, seed)
    v = torch.from_numpy(asked.importance).float()
    shape = (len(density_), starts, asked.features, dims)
    W = torch.randn(shape, generator=draws) * (v.mean(1) / dims).sqrt()[:, None, None, None]
    c = torch.zeros(*shape[:2], 1)

    def hidden_and_error(x: "Tensor") -> "tuple[Tensor, Tensor]":
        h = x[:, None] @ W  # (cells, starts, batch, dims)
        target = (x.square() @ v[:, :, None]).mT  # (cells, 1, batch)
        return h, h.square().sum(3) + c - target

    def gradients() -> "list[Tensor]":
        x = draw(values, density_, recipe.batch, asked.features, draws)
        h, error = hidden_and_error(x)
        gradient = x.mT[:, None] @ (h * error[..., None]) * (4 / recipe.batch)
        return [gradient, 2 * error.mean(2, keepdim=True)][: 1 + bias]

    with one_thread():
        descend([W, c][: 1 + bias], gradients, recipe)
    loss = _judged(values, density_, asked, draws, lambda x: hidden_and_error(x)[1].square())
    return Trained(W.double().numpy(), loss, c.double().numpy() if bias else None)


def _begin(
    importance: ArrayLike, density: ArrayLike, dims: int, starts: int, seed: int
) -> "tuple[Cells, Tensor, Generator]":
    import torch

    asked = cells(importance, density, "density", dims, starts)
    for p in asked.number:
        check_density(p)
    density_ = torch.from_numpy(asked.number).float()
    return asked, density_, torch.Generator().manual_seed(seed)


def _judged(
    values: Values,
    density: "Tensor",
    asked: Cells,
    draws: "Generator",
    losses: "Callable[[Tensor], Tensor]",
) -> NDArray[np.float64]:
    """Return mean losses (cells, starts) over samples that nobody was trained on.

    losses: of features (cells, rows, features), those of every row (cells, starts, rows).
    """
    import torch

    total = torch.zeros(len(density), asked.starts, dtype=torch.float64)
    for _ in range(JUDGED // BLOCK):
        x, weight = draw_evenly(values, density, BLOCK, asked.features, draws)
        total += (losses(x) * weight[:, None]).sum(2)
    found: NDArray[np.float64] = (total / JUDGED).numpy()
    return found
