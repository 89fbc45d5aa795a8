"""Clips of stored activations: the rows of a sample, in order, as a sequence to train on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Rows

# Short modules over positions: receptive fields of 3 and 5 positions, hops of 1 and 2.
SEQUENCE: dict[str, Any] = {
    "modules": (((3, 1, 1),), ((3, 2, 1),)), "crop": 16, "window": 16, "steps": 4, "rate": 1,
    "crop_step": 1,
}  # fmt: skip
MOST_BYTES = 1 << 30
LEAST_STD = 1e-6  # of a dimension that does not vary; it stays at 0


@dataclass(frozen=True)
class SiteClips:
    """Clips of the rows of a site, each dimension with mean 0 and variance 1.

    clips: (clips, width, positions). sample: (clips,) whose rows they are.
    mean, std: (width,) of the rows of all clips, before.
    short: samples with fewer rows than a clip, which give none. unused: clips left out.
    """

    clips: NDArray[np.float32]
    sample: NDArray[np.int64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    short: tuple[int, ...]
    unused: int = 0


def site_clips(acts: Activations, positions: int, most: int | None = None) -> SiteClips:
    """Cut each sample's rows into clips of `positions` rows, one after another from its start.

    most: clips at most, evenly spread over all (default: as many as take 1 GiB); a rest shorter
        than a clip is left out.

    Raises InputError where rows are whole samples, have gaps, or no sample is long enough.
    """
    rows = acts.rows
    first, lengths = _runs(rows, acts.site)
    short = rows.sample[first[lengths < positions]]
    starts = np.concatenate(
        [a + np.arange(n // positions) * positions for a, n in zip(first, lengths, strict=True)]
    ).astype(np.int64)
    if not len(starts):
        raise InputError(
            f"{acts.site}: the longest sample has {lengths.max()} rows, and a clip {positions}; "
            f"use --crop {lengths.max()} or less"
        )
    fits = max(1, MOST_BYTES // (4 * positions * acts.width))
    many = min(len(starts), fits, most or fits)
    kept = starts[np.linspace(0, len(starts) - 1, many).astype(np.int64)]
    clips = _read(acts, kept, positions)
    if not np.isfinite(clips).all():
        raise InputError(f"{acts.site}: rows hold NaN or infinity; extract with --dtype float32")
    mean = clips.mean((0, 2), dtype=np.float64).astype(np.float32)
    std = np.maximum(clips.std((0, 2), dtype=np.float64), LEAST_STD).astype(np.float32)
    clips -= mean[:, None]
    clips /= std[:, None]
    return SiteClips(clips, rows.sample[kept], mean, std, tuple(short.tolist()), len(starts) - many)


def _runs(rows: Rows, site: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of every sample, and how many it has."""
    if not len(rows) or (rows.position < 0).any():
        raise InputError(
            f"{site}: a row is a whole sample, and a sequence needs one a position; extract with "
            f"--pooling token"
        )
    first = np.flatnonzero(np.diff(rows.sample, prepend=-1))
    lengths = np.diff(np.append(first, len(rows)))
    steps = np.arange(len(rows)) - np.repeat(first, lengths)
    if not np.array_equal(rows.position, steps):
        raise InputError(f"{site}: rows of positions are left out; extract with --pooling token")
    return first, lengths


def _read(acts: Activations, starts: NDArray[np.int64], positions: int) -> NDArray[np.float32]:
    """Read clips (clips, width, positions), some at a time."""
    clips = np.empty((len(starts), acts.width, positions), np.float32)
    at_once = max(1, (1 << 24) // (positions * acts.width))
    for i in range(0, len(starts), at_once):
        some = starts[i : i + at_once]
        rows = acts[(some[:, None] + np.arange(positions)).reshape(-1)]
        clips[i : i + at_once] = rows.reshape(len(some), positions, -1).swapaxes(1, 2)
    return clips
