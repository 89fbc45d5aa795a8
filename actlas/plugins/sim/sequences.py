"""Clips of stored activations: the rows of a sample, in order, as a sequence to train on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Rows

from .config import SimConfig
from .geometry import geometries
from .network import Scaling
from .on_site import Base

# Short modules over positions: receptive fields of 3 and 5 positions, hops of 1 and 2.
SEQUENCE: dict[str, Any] = {
    "modules": (((3, 1, 1),), ((3, 2, 1),)), "crop": 16, "window": 16, "steps": 4, "rate": 1,
    "crop_step": 1,
}  # fmt: skip
MOST_BYTES = 1 << 30
LEAST_STD = 1e-6  # of a dimension that does not vary; it stays at 0


@final
@dataclass(frozen=True)
class SiteClips:
    """Clips of the rows of a site, each dimension with mean 0 and variance 1 over all of them.

    held: (clips, width, positions). samples: (clips,) whose rows they are. name, digest: of what
        they were cut from. notes: what was left out, and how much.
    """

    config: SimConfig
    base: Base
    name: str
    digest: str
    samples: NDArray[np.int64]
    held: NDArray[np.float32]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def scaling(self) -> Scaling:
        """None is left to do for the network itself."""
        return Scaling()

    @property
    def about(self) -> dict[str, Any]:
        """What config.json says of them."""
        return {"base": asdict(self.base)}

    def batch(self, places: NDArray[np.int64], starts: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return clips (places, width, positions); they begin where they were cut."""
        return self.held[places]


def site_clips(
    acts: Activations, config: SimConfig, *, spec: str, digest: str, key: str
) -> SiteClips:
    """Cut each sample's rows into clips of `config.crop` rows, one after another from its start.

    spec, digest: of the model that gave the rows. key: of the extraction, by content.

    A rest shorter than a clip is left out, and so are clips beyond 1 GiB, evenly.

    Raises InputError where rows are whole samples, have gaps or are no numbers, where no sample is
    long enough, and where a clip gives too few frames.
    """
    _check_crop(config)
    rows, positions = acts.rows, config.crop
    first, lengths = _runs(rows, acts.site)
    starts = np.concatenate(
        [a + np.arange(n // positions) * positions for a, n in zip(first, lengths, strict=True)]
    ).astype(np.int64)
    if not len(starts):
        raise InputError(
            f"{acts.site}: the longest sample has {lengths.max()} rows, and a clip {positions}; "
            f"use --crop {lengths.max()} or less"
        )
    many = min(len(starts), max(1, MOST_BYTES // (4 * positions * acts.width)))
    kept = starts[np.linspace(0, len(starts) - 1, many).astype(np.int64)]
    held = _read(acts, kept, positions)
    if not np.isfinite(held).all():
        raise InputError(f"{acts.site}: rows hold NaN or infinity; extract with --dtype float32")
    mean = held.mean((0, 2), dtype=np.float64).astype(np.float32)
    std = np.maximum(held.std((0, 2), dtype=np.float64), LEAST_STD).astype(np.float32)
    held -= mean[:, None]
    held /= std[:, None]
    base = Base(spec, digest, acts.site, tuple(mean.tolist()), tuple(std.tolist()))
    short = rows.sample[first[lengths < positions]].tolist()
    notes = _notes(short, positions, len(starts), many)
    data = f"{key} {acts.site}"
    return SiteClips(config, base, acts.site, data, rows.sample[kept], held, tuple(notes))


def _check_crop(config: SimConfig) -> None:
    last = geometries(config)[-1]
    frames = last.frames(config.crop)
    if min(frames, config.window) <= config.steps:
        raise InputError(
            f"a clip of {config.crop} rows gives {frames} frames of the last module; predicting "
            f"{config.steps} ahead needs more: use --crop {last.samples(config.steps + 1)} or "
            f"larger, or fewer --steps"
        )


def _notes(short: Sequence[int], positions: int, found: int, kept: int) -> list[str]:
    notes = []
    if short:
        named = ", ".join(map(str, short[:5])) + (", …" if len(short) > 5 else "")
        notes.append(f"{len(short)} samples shorter than {positions} rows left out ({named})")
    if kept < found:
        notes.append(f"{found - kept} of {found} clips left out, evenly, to hold 1 GiB at most")
    return notes


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
