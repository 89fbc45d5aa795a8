"""Sparse features: how they are drawn, and their moments."""

from typing import TYPE_CHECKING, Literal, get_args

from actlas import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

Values = Literal["uniform", "gaussian", "sign", "positive"]
VALUES: tuple[Values, ...] = get_args(Values)
# Second moment, and fourth moment over its square, of a value that is there.
MOMENTS: dict[Values, tuple[float, float]] = {
    "uniform": (1 / 3, 1.8), "gaussian": (1.0, 3.0), "sign": (1.0, 1.0), "positive": (1 / 3, 1.8),
}  # fmt: skip


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

    kind = torch.randn if values == "gaussian" else torch.rand
    u: Tensor = kind((rows, features), generator=generator, dtype=density.dtype)
    if values in ("uniform", "sign"):
        u = 2 * u - 1
    if values == "sign":
        u = torch.where(u < 0, -1.0, 1.0).to(density.dtype)
    chance = torch.rand((rows, features), generator=generator, dtype=density.dtype)
    p = density[..., None, None]
    if values != "positive":
        u = u / (p * MOMENTS[values][0]).sqrt()
    drawn: Tensor = u * (chance < p)
    return drawn
