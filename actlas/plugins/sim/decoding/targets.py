"""What is decoded: log spectra or waveforms of recordings, pixels of images, another site."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Others, Rows, Samples

from .sequences import Sequences
from .sound import Bands, Form, clip
from .stack import Stack, stack_for

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be decoded.

    values: (rows, channels) in the order of the activations, or of waveforms (samples, length).
    channels: (channels,) in Hz, or numbers; of waveforms those of the spectra they are seen by.
    """

    name: str
    values: Floats
    channels: NDArray[np.float64]
    unit: str = ""
    rate: int = 0
    hop: float = 0.0
    bands: Bands | None = None
    stack: Stack | None = None


def of_site(acts: Activations, others: Others | None) -> Target:
    """Take the one further site that is no log-variance."""
    found = [one for one in others or () if not is_logvar(acts, one.name)]
    if len(found) != 1:
        raise InputError(
            f"sim_decode: target=site decodes one other site, and {len(found)} are named; name "
            f"one with --other SITE"
        )
    _same_rows(acts, found[0].acts, found[0].name)
    values = found[0].acts.numpy()
    return Target(f"site {found[0].name}", values, np.arange(values.shape[1], dtype=float))


def logvar_of(acts: Activations, others: Others | None) -> Floats | None:
    """Return the log-variance (rows, width) where a further site is one, else None."""
    found = [one for one in others or () if is_logvar(acts, one.name)]
    if not found:
        return None
    _same_rows(acts, found[0].acts, found[0].name)
    if found[0].acts.width != acts.width:
        raise InputError(
            f"sim_decode: the log-variance {found[0].name} is {found[0].acts.width} wide and "
            f"{acts.site} {acts.width}; name that of the same module"
        )
    return found[0].acts.numpy()


def is_logvar(acts: Activations, name: str) -> bool:
    """Whether a site is a log-variance, by its name."""
    return name.endswith(".logvar") and not acts.site.endswith(".logvar")


def _same_rows(acts: Activations, other: Activations, name: str) -> None:
    if not other.rows.same_places(acts.rows):
        raise InputError(
            f"sim_decode: the rows of {name} are not those of {acts.site}; extract both with the "
            f"same data and pooling"
        )


def of_samples(
    samples: Samples, rows: Rows, order: Sequences, form: Form, rate: int, bands: int, frames: int,
    pixels: int,
) -> Target:  # fmt: skip
    """Read what the samples are: spectra or waveforms of recordings, pixels of images."""
    kind = samples.dataset.modality
    if kind == "image":
        return _pixels(samples, order, len(rows), pixels)
    if kind == "text":
        raise InputError(
            "sim_decode: texts are decoded to another site, such as the input embedding: "
            "--target site --other embed"
        )
    if rate < 1000:
        raise InputError(f"sim_decode: rate={rate} Hz; use 1000 or more")
    whole = bool((rows.start < 0).all() and (order.sizes == 1).all())
    if form == "wave" or not whole:
        _refuse_without_times(rows, order)
    hop = rate * WHOLE_HOP if whole else _hop(rows, order, rate)
    if form == "wave":
        return _waves(samples, rows, order, rate, hop, bands, frames)
    made = Bands.for_hop(rate, hop, bands, form == "mel")
    values = np.zeros((len(rows), bands), np.float32)
    for i, sample in enumerate(order.samples.tolist()):
        wave, own = clip(samples, sample, rate), order.rows[order.bounds[i] : order.bounds[i + 1]]
        if whole:
            values[own] = made.frames(wave, np.arange(0, len(wave), round(hop))).mean(0)
        else:
            middle = (rows.start[own] + rows.end[own]) / 2000 * rate
            values[own] = made.frames(wave, middle)
    return Target(f"{form}, {bands} bands", values, made.centres, "dB", rate, hop, made)


WHOLE_HOP = 0.01  # seconds between the frames that stand for a whole recording


def _refuse_without_times(rows: Rows, order: Sequences) -> None:
    if (rows.start < 0).any() or (order.sizes < 2).all():
        raise InputError(
            "sim_decode: these rows are not frames in order, so there is no waveform of each; "
            "extract with --pooling token, or use --form spectrum on whole samples"
        )


def _hop(rows: Rows, order: Sequences, rate: int) -> float:
    """Samples from frame to frame; of milliseconds, so over the longest sample."""
    i = int(order.sizes.argmax())
    own = order.rows[order.bounds[i] : order.bounds[i + 1]]
    middle = (rows.start[own] + rows.end[own]) / 2
    inner = middle[1:-1] if len(middle) > 3 else middle  # the ends are cut at the clip's
    return float((inner[-1] - inner[0]) / max(len(inner) - 1, 1) / 1000 * rate)


def _waves(
    samples: Samples, rows: Rows, order: Sequences, rate: int, hop: float, bands: int, frames: int
) -> Target:
    stack = stack_for(hop, rate)
    length, seen = stack.length(frames), Bands.for_hop(rate, hop, bands, True)
    if length < seen.size:
        raise InputError(
            f"sim_decode: clips of {frames} frames ({length} samples) are too short to decode to a "
            f"waveform; use more --frames, so that there are {seen.size} samples"
        )
    values = np.zeros((len(order), length), np.float32)
    for i in np.flatnonzero(order.sizes >= frames).tolist():
        first = int(rows.start[order.rows[order.bounds[i]]]) * rate // 1000
        wave = clip(samples, int(order.samples[i]), rate)[first : first + length]
        values[i, : len(wave)] = wave
    return Target("waveform", values, seen.centres, "dB", rate, hop, seen, stack)


def _pixels(samples: Samples, order: Sequences, rows: int, size: int) -> Target:
    if (order.sizes != 1).any():
        raise InputError(
            "sim_decode: pixels are decoded of whole images; extract with --pooling mean or first"
        )
    if not 2 <= size <= 64:
        raise InputError(f"sim_decode: pixels={size}; use 2 to 64")
    media: Sequence[Any] = samples.dataset.media or ()
    values = np.zeros((rows, size * size * 3), np.float32)
    for place, sample in zip(order.rows.tolist(), order.samples.tolist(), strict=True):
        image = media[sample].load().resize((size, size))
        values[place] = np.asarray(image, np.float32).ravel() / 255
    return Target(f"{size} × {size} pixels", values, np.arange(values.shape[1], dtype=float))
