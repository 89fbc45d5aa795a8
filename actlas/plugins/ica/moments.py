"""Weighted correlations of the axes of two sites, from one pass over the rows of each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Result

from .fastica import start
from .pairing import Units
from .project import Axes, Basis
from .reading import row_blocks

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 4096  # rows a product: float32 within, float64 between
PANELS = 4  # of a covariance, of which one half is computed
SIGN_ROWS = 1 << 13  # by which principal and random axes are turned
BASES: tuple[Basis, ...] = ("ica", "pca", "random")


@dataclass(frozen=True, eq=False)
class Side:
    """One site's rows in its white principal axes z, and the turns of z to the axes compared.

    units (units, k): mean z of each unit's rows, about the weighted mean of all.
    covariance (k, k): of z over all rows by weight, so with the scatter within units.
    turns: of each basis (k, k) with s = turn z, of skewness ≥ 0.
    squares (units, k): mean square of the ICA axes of each unit's rows, about the same mean;
    None where it is not needed.
    """

    units: "Tensor"
    covariance: NDArray[np.float64]
    turns: dict[Basis, NDArray[np.float64]]
    squares: "Tensor | None" = None

    @property
    def k(self) -> int:
        """Axes."""
        return len(self.covariance)

    def scale(self, basis: Basis) -> NDArray[np.float64]:
        """(k, k) turn of z to the axes of a basis, each of variance 1 over the rows used.

        An axis that does not vary over them is 0, and correlates with nothing.
        """
        turn = self.turns[basis]
        variances = np.einsum("ij,jk,ik->i", turn, self.covariance, turn, optimize=True)
        return _scaled(turn, variances)

    def rescaled(self, places: NDArray[np.int64], each: NDArray[np.float64]) -> NDArray[np.float64]:
        """`scale("ica")` where these units stand in the observations, that weigh `each`."""
        import torch

        assert self.squares is not None
        weights = np.bincount(places, each / each.sum(), len(self.units))
        share = torch.from_numpy(weights).to(self.units.device)
        mean, second = (
            (share @ part.double()).cpu().numpy() for part in (self.units, self.squares)
        )
        turn = self.turns["ica"]
        return _scaled(turn, second - (turn @ mean) ** 2)


def _scaled(turn: NDArray[np.float64], variances: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = np.finfo(np.float32).eps ** 2
    spread = np.sqrt(np.where(variances > floor, variances, np.inf))
    scaled: NDArray[np.float64] = turn / spread[:, None]
    return scaled


def side(
    acts: Activations, base: Result, units: Units, seed: int, *, squares: bool = False
) -> Side:
    """Read the rows that are used once, and take their moments; seed: of the random axes."""
    import torch

    axes = Axes.of(base, "pca")
    weights, share = units.weights, (1.0 / units.counts)[units.unit]
    summed, products = np.zeros(axes.k), np.zeros((axes.k, axes.k))
    means: Tensor | None = None
    for part, z in _blocks(acts, axes, units.rows):
        if means is None:
            means = torch.zeros((len(units.lines), axes.k), device=z.device)
        weighted = _times(z, weights[part])
        summed += weighted.sum(dim=0, dtype=torch.float64).cpu().numpy()
        _add_products(products, weighted, z)
        where = torch.from_numpy(units.unit[part]).to(z.device)
        means.index_add_(0, where, _times(z, share[part]))
    assert means is not None
    mean = summed / weights.sum()
    means -= torch.from_numpy(mean).to(means.device, torch.float32)
    covariance = np.triu(products) + np.triu(products, 1).T
    covariance = covariance / weights.sum() - np.outer(mean, mean)
    found = Side(means, covariance, _turns(acts, base, units, seed))
    return replace(found, squares=_squares(acts, axes, units, found, mean)) if squares else found


def _squares(
    acts: Activations, axes: Axes, units: Units, found: Side, mean: NDArray[np.float64]
) -> "Tensor":
    """See `Side`."""
    import torch

    share = (1.0 / units.counts)[units.unit]
    turn = torch.from_numpy(found.turns["ica"].T).float()  # (k, k)
    centre = torch.from_numpy(mean).float()
    total = torch.zeros_like(found.units)
    for part, z in _blocks(acts, axes, units.rows):
        s = (z - centre.to(z.device)) @ turn.to(z.device)
        where = torch.from_numpy(units.unit[part]).to(z.device)
        total.index_add_(0, where, _times(s * s, share[part]))
    return total


def _blocks(
    acts: Activations, axes: Axes, rows: NDArray[np.int64]
) -> "Iterator[tuple[slice, Tensor]]":
    """Yield white principal axes (n, k) of the rows, and which of `rows` they are."""
    axes.check(acts.width)
    used = acts if len(rows) == len(acts) else acts.take(rows)  # whole, they are read faster
    begin = 0
    for chunk in row_blocks(used, BLOCK):
        yield slice(begin, begin + len(chunk)), axes.quick(chunk)
        begin += len(chunk)


def _times(rows: "Tensor", weights: NDArray[np.float64]) -> "Tensor":
    import torch

    if (weights == 1).all():
        return rows
    return rows * torch.from_numpy(weights).to(rows.device, torch.float32)[:, None]


def _add_products(total: NDArray[np.float64], weighted: "Tensor", z: "Tensor") -> None:
    """Add weightedᵀ z to the upper triangle, panel by panel: the lower half is the same."""
    k = z.shape[1]
    step = -(-k // PANELS)
    for i in range(0, k, step):
        panel = weighted[:, i : i + step].T @ z[:, i:]
        total[i : i + step, i:] += panel.double().cpu().numpy()


def _turns(
    acts: Activations, base: Result, units: Units, seed: int
) -> dict[Basis, NDArray[np.float64]]:
    """From white principal axes to each basis.

    Axes of `ica` were turned to positive skewness when they were fitted; the others are here, by
    some of the rows.
    """
    import torch

    to_z = base.arrays["principal"].T * np.sqrt(base.arrays["variances"])  # (width, k)
    k = to_z.shape[1]
    turns: dict[Basis, NDArray[np.float64]] = {
        "ica": base.arrays["reading"] @ to_z, "pca": np.eye(k), "random": start(k, seed)
    }  # fmt: skip
    step = -(-len(units.rows) // SIGN_ROWS)
    rows, weights = units.rows[::step], units.weights[::step]
    sums = {basis: np.zeros((3, k)) for basis in ("pca", "random")}
    turn = turns["random"].astype(np.float32).T
    for part, z in _blocks(acts, Axes.of(base, "pca"), rows):
        share = torch.from_numpy(weights[part]).to(z.device, torch.float32)
        sums["pca"] += _powers(z, share)
        sums["random"] += _powers(z @ torch.from_numpy(turn).to(z.device), share)
    for basis in ("pca", "random"):
        first, second, third = sums[basis] / weights.sum()
        central = third - 3 * first * second + 2 * first**3
        turns[basis] = turns[basis] * np.where(central < 0, -1.0, 1.0)[:, None]
    return turns


def _powers(s: "Tensor", weights: "Tensor") -> NDArray[np.float64]:
    """Weighted sums (3, k) of axes, of their squares and of their cubes."""
    import torch

    squares = s * s
    sums = torch.stack([weights @ s, weights @ squares, weights @ (squares * s)])
    found: NDArray[np.float64] = sums.double().cpu().numpy()
    return found


def cross(
    source: Side,
    target: Side,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    each: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Covariance (k, k') of z of both sides over observations (left[i], right[i]), of weight each.

    None: all weigh 1.
    """
    total = np.zeros((source.k, target.k))
    for begin in range(0, len(left), BLOCK):
        a = _picked(source.units, left[begin : begin + BLOCK])
        b = _picked(target.units, right[begin : begin + BLOCK])
        if each is not None:
            a = _times(a, each[begin : begin + BLOCK])
        total += (a.T @ b.to(a.device)).double().cpu().numpy()
    return total / (len(left) if each is None else each.sum())


def _picked(units: "Tensor", places: NDArray[np.int64]) -> "Tensor":
    """Rows of a matrix at some places; nothing is copied where they are a stretch."""
    import torch

    if (np.diff(places) == 1).all():
        return units[places[0] : places[-1] + 1]
    return units.index_select(0, torch.from_numpy(places).to(units.device))
