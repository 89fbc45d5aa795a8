"""HSIC of minibatches, of kernels that have no finite features."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import InputError

from .products import Moments
from .sites import FEWEST, Place, Sites

if TYPE_CHECKING:
    from torch import Tensor

Kernel = Literal["linear", "rbf"]


def hsic(
    sites: Sites, found: list[Moments], kernel: Kernel, size: int, bandwidth: float, seed: int
) -> NDArray[np.float64]:
    """Return the mean over minibatches of unbiased HSIC (sites, sites) (Nguyen et al. 2021).

    Rows are dealt out once, by the seed, to batches of `size` rows or up to twice as many.
    bandwidth: of the Gaussian kernel, times the median distance in the batch.
    """
    import torch

    total = torch.zeros((len(sites), len(sites)), dtype=torch.float64)
    dealt = list(_dealt(sites.rows, size, seed))
    for rows in dealt:
        grams = []
        for place, one in zip(sites, found, strict=True):
            X = torch.from_numpy(place.acts.take(rows).numpy(np.float64))
            X = X.sub_(one.mean).div_(one.scale)
            gram = X @ X.T if kernel == "linear" else _gaussian(sites.who, place, X, bandwidth)
            grams.append(u_centred(gram).flatten())
        stacked = torch.stack(grams)
        total += stacked @ stacked.T / (len(rows) * (len(rows) - 3))
    mean: NDArray[np.float64] = (total / len(dealt)).numpy()
    return mean


def _dealt(rows: int, size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(rows)
    for part in np.array_split(order, max(1, rows // max(size, FEWEST))):
        yield np.sort(part)


def _gaussian(who: str, place: Place, X: "Tensor", bandwidth: float) -> "Tensor":
    import torch

    squares = torch.pdist(X).square_()
    middle = float(squares.median())
    if middle == 0:
        raise InputError(
            f"{who}: most rows of {place.name} are alike, so that their median distance is 0; use "
            f"--kernel linear or leave it out"
        )
    gram = torch.ones((len(X), len(X)), dtype=X.dtype)
    above = torch.triu_indices(len(X), len(X), offset=1)
    gram[above[0], above[1]] = torch.exp(squares / (-2 * bandwidth**2 * middle))
    return gram.triu() + gram.triu(1).T


def u_centred(gram: "Tensor") -> "Tensor":
    """U-centre a Gram matrix (n, n): the product of two is n (n − 3) times HSIC without bias.

    Székely & Rizzo 2014; the same as equation 5 of Song et al. 2012.
    """
    n = len(gram)
    out = gram.clone().fill_diagonal_(0)
    sums = out.sum(dim=0)
    out -= (sums[:, None] + sums) / (n - 2)
    out += sums.sum() / ((n - 1) * (n - 2))
    return out.fill_diagonal_(0)
