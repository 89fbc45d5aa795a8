"""Other people's FastICA on the same whitened rows, to check ours against."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import InputError

from .fastica import Solution, decorrelated
from .rowsets import Pinned, RowSet


def cross_check(
    solver: str,
    held: RowSet,
    contrast: str,
    tol: float,
    max_iter: int,
    w_init: NDArray[np.float64],
) -> Solution:
    """Solve with scikit-learn or python-picard, from the start that ours has."""
    if not isinstance(held, Pinned) or held.weights is not None:
        raise InputError(
            f"ica: solver={solver} takes rows of equal weight that fit into memory_gb; use actlas"
        )
    Z = held.rows.double().cpu().numpy()
    Z = Z if held.root is None else Z @ held.root
    given = (Z, contrast, tol, max_iter, w_init)
    return _sklearn(*given) if solver == "sklearn" else _picard(*given)


def _sklearn(
    Z: NDArray[np.float64], contrast: str, tol: float, max_iter: int, w_init: NDArray[np.float64]
) -> Solution:
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    model = FastICA(whiten=False, fun=contrast, tol=tol, max_iter=max_iter, w_init=w_init)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(Z)
    failed = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return _solution(model.components_, int(model.n_iter_), not failed)


def _picard(
    Z: NDArray[np.float64], contrast: str, tol: float, max_iter: int, w_init: NDArray[np.float64]
) -> Solution:
    try:
        from picard import picard
    except ImportError as error:
        raise InputError("ica: solver=picard needs it; pip install python-picard") from error
    fun: Any = {"logcosh": "tanh", "exp": "exp", "cube": "cube"}[contrast]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, W, _, passes = picard(
            Z.T, fun=fun, ortho=True, extended=True, whiten=False, centering=False, w_init=w_init,
            tol=tol, max_iter=max_iter, return_n_iter=True,
        )  # fmt: skip
    failed = any("converge" in str(w.message) for w in caught)
    return _solution(W, int(passes), not failed)


def _solution(W: NDArray[np.float64], passes: int, converged: bool) -> Solution:
    """They do not say how far each axis turned, nor what the objective was."""
    unknown = np.full(len(W), 0.0 if converged else np.inf)
    untold = [np.full(len(W), np.nan)] * passes
    return Solution(decorrelated(W), [np.nan] * passes, converged, unknown, untold)
