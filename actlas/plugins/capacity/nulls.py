"""What capacity features have by chance."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Null = Literal["gaussian", "norms"]


def expected(
    squared: NDArray[np.float64], width: int, null: Null, *, unit: bool, centred: bool
) -> NDArray[np.float64]:
    """Return the capacity (N,) that random features would have, 0 where the norm is.

    squared: (N,) squared norms.
    gaussian: independent Gaussian rows, C ~ Beta(d/2, (N−1)/2), mean d / (d + N − 1).
    norms (and all unit rows): random directions of the given norms, to second order: C ≈
        1/(1+s) + V/(1+s)³, s and V the mean and variance of Σ (ŵ_i·w_j)² / n_i.
    centred: N rows less their mean lose one; all means then shrink alike, so that Gaussian rows
        have Σ C = (N−1) d / (d + N − 2).
    """
    alive = squared > 0
    count, d = int(alive.sum()), width
    null_of = np.zeros(len(squared))
    if null == "gaussian" and not unit:
        null_of[alive] = d / (d + count - 1)
    else:
        null_of[alive] = _directions(squared[alive], d)
    if centred and count > 1:
        null_of *= ((count - 1) / (d + count - 2)) / (count / (count + d - 1))
    return null_of


def _directions(n: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    spread = 2 * (d - 1) / (d**2 * (d + 2))  # variance of the squared cosine of two directions
    s = (n.sum() - n) / (n * d)
    variance = spread * ((n**2).sum() - n**2).clip(0) / n**2
    found: NDArray[np.float64] = np.minimum(1 / (1 + s) + variance / (1 + s) ** 3, 1)
    return found
