"""Sparse features: how they are drawn, and their moments."""

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from actlas import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

Values = Literal["uniform", "gaussian", "sign", "positive"]
VALUES: tuple[Values, ...] = get_args(Values)
# Second moment, and fourth moment over its square, of a value that is there.
MOMENTS: dict[Values, tuple[float, float]] = {
    "uniform": (1 / 3, 1.8), "gaussian": (1.0, 3.0), "sign": (1.0, 1.0), "positive": (1 / 3, 1.8),
}  # fmt: skip

AT_ONCE = 3  # features; `draw_evenly` has half its rows with up to so many


def kurtosis_of(values: Values, density: float) -> float:
    """Pearson kurtosis of a symmetric feature that is there with probability `density`: κ_u / p."""
    return MOMENTS[values][1] / density


def density_for(values: Values, kurtosis: float) -> float:
    """Density p = κ_u/κ that gives this kurtosis; InputError where none does."""
    density = MOMENTS[values][1] / kurtosis
    if density > 1:
        raise InputError(
            f"{values} values have at least kurtosis {MOMENTS[values][1]:g}, so none of "
            f"{kurtosis:g}; take sign values, or train without samples"
        )
    return density


def check_density(density: float) -> None:
    """Raise InputError for what is no probability above 0."""
    if not 0 < density <= 1:
        raise InputError(f"density is {density:g}; it is the chance that a feature is there: 0 … 1")


def draw(
    values: Values, density: "Tensor", rows: int, features: int, generator: "Generator"
) -> "Tensor":
    """Draw features (…, rows, features) for densities (…).

    The same numbers are drawn once and thinned to each density, so that models which are
    trained side by side meet the same luck. Symmetric values have unit variance; `positive` ones
    are U[0, 1], as in Elhage et al. 2022, and are not scaled.
    """
    import torch

    u = _values(values, density, rows, features, generator)
    chance = torch.rand((rows, features), generator=generator, dtype=density.dtype)
    drawn: Tensor = u * (chance < density[..., None, None])
    return drawn


def draw_evenly(
    values: Values, density: "Tensor", rows: int, features: int, generator: "Generator"
) -> "tuple[Tensor, Tensor]":
    """Draw features as `draw` does, but few at once more often, and each row's weight (…, rows).

    Weighted means are those of `draw`, with far less noise where features are sparse: what a
    model makes of two at once decides its loss, and would hardly be met by chance.
    """
    import torch
    from scipy.stats import binom

    k, p = np.arange(features + 1), density.double().numpy()
    chance = binom.pmf(k, features, p[..., None])  # (…, features + 1)
    few = (k <= AT_ONCE) / min(AT_ONCE + 1, features + 1)
    taken = (chance + few) / 2
    marks = (np.arange(rows) + 0.5) / rows
    count = (np.cumsum(taken, -1)[..., None, :-1] < marks[:, None]).sum(-1)  # (…, rows)
    weigh = np.divide(chance, taken, out=np.zeros_like(chance), where=taken > 0)
    weight = np.take_along_axis(weigh, count, -1)
    u = _values(values, density, rows, features, generator)
    place = torch.rand((rows, features), generator=generator).argsort(1)
    x = u * (place < torch.from_numpy(count)[..., None])
    return x, torch.from_numpy(weight).to(density.dtype)


def _values(
    values: Values, density: "Tensor", rows: int, features: int, generator: "Generator"
) -> "Tensor":
    """Draw what features are where they are there: (rows, features); scaled ones (…, rows, …)."""
    import torch

    kind = torch.randn if values == "gaussian" else torch.rand
    u: Tensor = kind((rows, features), generator=generator, dtype=density.dtype)
    if values in ("uniform", "sign"):
        u = 2 * u - 1
    if values == "sign":
        u = torch.where(u < 0, -1.0, 1.0).to(density.dtype)
    if values == "positive":
        return u
    scaled: Tensor = u / (density[..., None, None] * MOMENTS[values][0]).sqrt()
    return scaled
