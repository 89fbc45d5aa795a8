"""The rows of a run of `ica`, whitened as it did, and resamples of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Result

from .fit import row_norms, token_weights
from .project import Axes
from .rowsets import Pinned

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class BaseRows:
    """The base's rows, whitened as it did, and its axes.

    base: (k, k) the base's axes in whitened rows; reading: (k, width) the whitening.
    """

    held: Pinned
    base: NDArray[np.float64]
    reading: NDArray[np.float64]
    said: list[str]


def base_rows(acts: Activations, base: Result, seed: int, memory_gb: float) -> BaseRows:
    """Read the rows that the base was made of, in an order drawn by chance."""
    used = _used(acts, base)
    weights = token_weights(used) if base.parameters["weighting"] == "token" else None
    white = Axes.of(base, "pca")
    white.check(used.width)
    place = np.random.default_rng(seed).permutation(len(used))
    most = int(memory_gb * 1e9) // (4 * white.k)
    said = []
    if most < len(used):
        if most <= white.k:
            raise InputError(f"memory_gb={memory_gb:g} holds {most} rows; use more")
        said.append(f"{most:,} of {len(used):,} rows fit into memory_gb and were used")
        kept = np.sort(place[:most])  # they are read in their order
        used, place = used.take(kept), np.random.default_rng(seed).permutation(most)
        weights = None if weights is None else weights[kept]
    writing = base.arrays["principal"].T * np.sqrt(base.arrays["variances"])
    axes = base.arrays["reading"] @ writing
    return BaseRows(_placed(used, white, weights, place), axes, white.reading, said)


def _used(acts: Activations, base: Result) -> Activations:
    used = acts
    if (norm := base.parameters["outlier_norm"]) > 0:
        norms = row_norms(acts)
        used = acts.take(np.flatnonzero(norms <= norm * np.median(norms)))
    rows = int(base.tables["summary"]["rows"][0])
    if len(used) != rows:
        raise InputError(
            f"the base was made of {rows:,} rows, these are {len(used):,}; give "
            f"the result of ica for these rows"
        )
    return used


def _placed(
    used: Activations,
    white: Axes,
    weights: NDArray[np.float64] | None,
    place: NDArray[np.int64],
) -> Pinned:
    import torch

    kept: Tensor | None = None
    start = 0
    for block in white.blocks(used):
        if kept is None:
            kept = torch.empty((len(used), white.k), device=block.device)
        where = torch.from_numpy(place[start : start + len(block)]).to(block.device)
        kept.index_copy_(0, where, block)
        start += len(block)
    assert kept is not None
    if weights is None:
        return Pinned(kept, None)
    ordered = np.empty_like(weights)
    ordered[place] = weights
    return Pinned(kept, torch.from_numpy(ordered).to(kept.device, torch.float32))


def resampled(held: Pinned, chance: np.random.Generator) -> Pinned:
    """As many rows drawn with replacement: those that were drawn, weighted by how often."""
    import torch

    n = len(held)
    times = np.bincount(chance.integers(0, n, n), minlength=n)
    drawn = np.flatnonzero(times)
    if len(drawn) <= held.k:
        raise too_few(len(drawn), held.k)
    picked = torch.from_numpy(drawn).to(held.rows.device)
    weights = torch.from_numpy(times[drawn]).to(held.rows.device, torch.float32)
    if held.weights is not None:
        weights *= held.weights[picked]
    return Pinned(held.rows[picked], weights)


def too_few(rows: int, k: int) -> InputError:
    """What to say where axes cannot be made of so few rows."""
    return InputError(
        f"ica_stability: {rows} different rows are too few for {k} axes; use more rows, a base of "
        f"fewer n_components, or bootstrap=none"
    )
