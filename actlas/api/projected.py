"""Extremes along the directions of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import InputError, nearest
from .handles import StoredRun
from .lookups import Found
from .store import Store


def top_of(
    store: Store,
    site: str | None,
    units: Sequence[int],
    k: int | None,
    *,
    run: str | None = None,
    array: str | None = None,
    extraction: str | None = None,
    **options: Any,
) -> Found:
    """Find extremes of units, or along the directions in an array of a run; see `Store.top`.

    The site and the extraction default to those of the run.
    """
    if (run is None) != (array is None):
        raise InputError("--run and --array go together: name a run and one of its arrays")
    directions = None
    if run is not None and array is not None:
        opened = store.result(run)
        directions = directions_of(opened, array)
        site = site or opened.site
        extraction = extraction or str(opened.record.extraction_id)
    if site is None:
        raise InputError("no site; name one with --site, as in `actlas top --site layers.-1 …`")
    return store.top(site, units, k, extraction=extraction, directions=directions, **options)


def directions_of(run: StoredRun, name: str) -> NDArray[Any]:
    """An array of a run as directions (directions, width)."""
    arrays = run.result.arrays
    if name not in arrays:
        raise InputError(f"run {run.id} has no array {name!r}; {nearest(name, arrays)}")
    array = np.atleast_2d(np.asarray(arrays[name]))
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{name} of run {run.id} is no list of directions: shape {array.shape}")
    return array
