"""Stored results of `probe`, read as decisions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels, Result


def linear(X: Any, probe: Result, who: str) -> NDArray[np.float64]:
    """Return the logits (n, classes) of a stored probe.

    Raises InputError, in the name of the analysis `who`, for rows of another width.
    """
    coef, intercept = probe.arrays["coef"], probe.arrays["intercept"]
    if X.shape[1] != coef.shape[1]:
        raise InputError(
            f"{who}: the probe reads {coef.shape[1]} dimensions, these rows have {X.shape[1]}; "
            f"name a run of probe at the same site with --base"
        )
    found: NDArray[np.float64] = X.astype(np.float64) @ coef.T + intercept
    return found


def probe_names(probe: Result) -> tuple[str, ...]:
    """Return the classes that a stored probe tells apart, in the order of its logits."""
    return tuple(str(name) for name in probe.tables["classes"]["label"])


def predicted(acts: Activations, labels: Labels, probe: Result, who: str) -> Labels:
    """Return what a probe predicts of the rows that have a label."""
    names = probe_names(probe)
    codes = linear(acts.numpy(), probe, who).argmax(axis=1)
    told = [names[code] if known else None for code, known in zip(codes, labels.known, strict=True)]
    return Labels.of(told, name=f"{labels.name}, predicted")
