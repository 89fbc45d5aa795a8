"""How models are trained on drawn samples."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from actlas import InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """Steps of Adam (AdamW where weights decay) on batches drawn anew each time.

    steps, batch: how many, and samples in each.
    rate: learning rate; `cosine` lets it fall as cos(πt/2T).
    decay: weight decay.
    """

    steps: int
    batch: int
    rate: float
    schedule: Literal["constant", "cosine"] = "cosine"
    decay: float = 0.0


FAST = Recipe(steps=3000, batch=256, rate=3e-3)
TMS = Recipe(steps=10_000, batch=1024, rate=1e-3, schedule="constant", decay=0.01)
LONG = Recipe(steps=10_000, batch=1024, rate=3e-3)  # the quadratic model needs it
WIDE = Recipe(steps=8000, batch=512, rate=3e-3)  # many features at once
RECIPES = {"fast": FAST, "tms": TMS, "long": LONG, "wide": WIDE}


def recipe_named(name: str) -> Recipe:
    """Return a recipe, or raise InputError listing them."""
    if name not in RECIPES:
        raise InputError(f"no recipe {name!r}; there is {', '.join(RECIPES)}")
    return RECIPES[name]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread meanwhile: on matrices this small a second one mostly waits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def descend(
    parameters: "list[Tensor]", gradients: "Callable[[], list[Tensor]]", recipe: Recipe
) -> None:
    """Train parameters in place; `gradients` draws a batch and says where it leads."""
    import torch

    optimiser = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=recipe.decay)
    for step in range(recipe.steps):
        for parameter, gradient in zip(parameters, gradients(), strict=True):
            parameter.grad = gradient
        if recipe.schedule == "cosine":
            optimiser.param_groups[0]["lr"] = recipe.rate * math.cos(
                math.pi * step / (2 * recipe.steps)
            )
        optimiser.step()
