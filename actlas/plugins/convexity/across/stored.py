"""Reading results of `convexity`, and whether two may be compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Result

SAME = (
    "regions",
    "k",
    "graph",
    "metric",
    "standardise",
    "duplicates",
    "ties",
    "per_class",
    "max_pairs",
)


def check_settings(who: str, sites: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError where scores were computed in ways that do not compare."""
    if apart := differing(SAME, dict(zip(sites, settings, strict=True))):
        raise InputError(
            f"{who}: convexity has {apart}; run it with the same there, or name the runs with "
            f"--base"
        )


def differing(names: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Say which of these settings (by site) is another at some site than at the first; else ''."""
    for site, given in settings.items():
        first, wanted = next(iter(settings.items()))
        for name in names:
            then, now = wanted.get(name), given.get(name)
            if then != now:
                return f"{name}={then} at {first} and {name}={now} at {site}"
    return ""


def names_of(base: Result) -> list[str]:
    """Classes in the order of the codes."""
    return [str(name) for name in base.tables["classes"]["label"]]


def row_scores(base: Result) -> NDArray[np.float64]:
    """(n,) of each vertex, NaN where it has none."""
    scores: NDArray[np.float64] = np.asarray(base.arrays["row_scores"], np.float64)
    return np.where(scores < 0, np.nan, scores)
