"""From rows to axes and back, by the arrays of a stored run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas import InputError


def transform(arrays: Mapping[str, NDArray[Any]], rows: ArrayLike) -> NDArray[np.float64]:
    """Return the axes (n, k) of rows (n, width): s = reading (x − mean).

    arrays: of a run of `ica` (`mean`, `reading`).
    Raises InputError where the rows have another width.
    """
    X = np.asarray(rows, np.float64)
    width = arrays["reading"].shape[1]
    if X.ndim != 2 or X.shape[1] != width:
        raise InputError(f"the axes read rows (n, {width}), not an array of shape {X.shape}")
    found: NDArray[np.float64] = (X - arrays["mean"]) @ arrays["reading"].T
    return found


def restore(arrays: Mapping[str, NDArray[Any]], axes: ArrayLike) -> NDArray[np.float64]:
    """Return rows (n, width) of axes (n, k): x = mean + writing s; InputError as `transform`.

    What lies outside the span of the kept components is the mean's.
    """
    S = np.asarray(axes, np.float64)
    k = arrays["writing"].shape[1]
    if S.ndim != 2 or S.shape[1] != k:
        raise InputError(f"there are {k} axes, so rows of axes are (n, {k}), not {S.shape}")
    found: NDArray[np.float64] = arrays["mean"] + S @ arrays["writing"].T
    return found
