"""A data set of recordings as clips of one length."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from actlas import Dataset, DatasetError, InputError, LabelError

from .config import SimConfig
from .geometry import geometries
from .network import Scaling
from .waves import Wave, load_wave, refuse_short, scaled

HELD_BYTES = 1 << 30  # waveforms beyond this are read again for every batch
Told = Callable[[int], None]


@final
@dataclass(frozen=True)
class Clips:
    """Recordings to train on, decoded, resampled and checked.

    samples: (clips,) their numbers in the data set. lengths: (clips,) samples at the network's
        rate. scaling: mean and standard deviation of all of them.
    held: the waveforms, as far as is cropped from, or empty where they are too many to hold.
    notes: what was done to recordings and to how many.
    """

    dataset: Dataset
    config: SimConfig
    samples: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scaling: Scaling
    held: Sequence[Wave] = field(repr=False, default=())
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def name(self) -> str:
        """What they are cut from."""
        return self.dataset.name

    @property
    def digest(self) -> str:
        """Digest of what they are cut from."""
        return self.dataset.digest()

    @property
    def about(self) -> dict[str, Any]:
        """What else config.json says of them."""
        return {}

    def batch(self, places: NDArray[np.int64], starts: NDArray[np.float64]) -> Wave:
        """Return crops (places, crop), normalised.

        places: which clips. starts: (places,) in [0, 1): where in its range each crop begins,
            if crops are random.
        """
        config, crops = self.config, np.zeros((len(places), self.config.crop), np.float32)
        for row, place, share in zip(crops, places.tolist(), starts.tolist(), strict=True):
            first = 0
            if config.random_crop:
                spare = max(int(self.lengths[place]) - config.crop, 0)
                first = int(share * (spare // config.crop_step + 1)) * config.crop_step
            part = self._wave(place)[first : first + config.crop]
            row[: len(part)] = part
        return scaled(crops, config, self.scaling)

    def _wave(self, place: int) -> Wave:
        if self.held:
            return self.held[place]
        return load_wave(self.dataset, int(self.samples[place]), self.config.rate)[0]

    def classes(self, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Return the class (clips,) of each clip in a label set, and the classes' names.

        Raises LabelError for labels of words, clips without one, and fewer than two classes.
        """
        labels = self.dataset.label_set(name)
        of: dict[int, str] = {}
        for sample, start, _, value in labels.items:
            if start is not None:
                raise LabelError(f"{name!r} labels words; recordings need one label each")
            of[sample] = value
        missing = [s for s in self.samples.tolist() if s not in of]
        if missing:
            raise LabelError(
                f"{len(missing)} of {len(self)} clips have no label {name!r}, the first is "
                f"{self.dataset.texts[missing[0]]}; label them or leave them out"
            )
        values = [of[s] for s in self.samples.tolist()]
        names = tuple(sorted(set(values)))
        if len(names) < 2:
            raise LabelError(f"{name!r} has one class only ({names[0]}); two or more are needed")
        codes = {value: code for code, value in enumerate(names)}
        return np.array([codes[value] for value in values], np.int64), names


def read_clips(
    dataset: Dataset, config: SimConfig, *, skip_bad: bool = False, told: Told | None = None
) -> Clips:
    """Decode every recording once, and keep those that can be trained on.

    skip_bad: leave out recordings that are silent or cannot be decoded.
    told: is told how many recordings were looked at.

    Other sampling rates are resampled, and that is noted. Raises DatasetError for a recording
    that cannot be used, by name, and for a crop that gives too few frames.
    """
    _check_crop(config)
    reading = _Reading(dataset, config, skip_bad)
    for sample in range(len(dataset)):
        reading.take(sample)
        if told is not None:
            told(sample + 1)
    return reading.finished()


def _check_crop(config: SimConfig) -> None:
    last = geometries(config)[-1]
    frames = min(last.frames(config.crop), config.window)
    if config.kind != "supervised" and frames <= config.steps:
        raise InputError(
            f"a crop of {config.crop} samples gives {last.frames(config.crop)} frames of the last "
            f"module and the window {config.window}; predicting {config.steps} ahead needs more: "
            f"use --crop {last.samples(config.steps) + 1} or larger, or fewer --steps"
        )


class _Reading:
    """What is gathered while recordings are decoded."""

    def __init__(self, dataset: Dataset, config: SimConfig, skip_bad: bool):
        self._dataset, self._config, self._skip_bad = dataset, config, skip_bad
        self._samples: list[int] = []
        self._lengths: list[int] = []
        self._held: list[Wave] | None = []
        self._bytes = self._bad = 0
        self._short: list[tuple[str, int]] = []
        self._resampled: Counter[int] = Counter()
        self._sums = np.zeros(3)  # samples, their sum, the sum of their squares

    def take(self, sample: int) -> None:
        """Look at the next recording."""
        config, name = self._config, self._dataset.texts[sample]
        try:
            wave, recorded = load_wave(self._dataset, sample, config.rate)
        except DatasetError:
            if not self._skip_bad or self._dataset.media is None:
                raise
            self._bad += 1
            return
        if recorded != config.rate:
            self._resampled[recorded] += 1
        if len(wave) < config.crop:
            self._short.append((name, len(wave)))
            if config.short == "skip":
                return
            if config.short == "pad":
                refuse_short(self._dataset.name, name, len(wave), config)
        self._samples.append(sample)
        self._lengths.append(len(wave))
        double = wave.astype(np.float64)
        self._sums += np.array([len(wave), double.sum(), double @ double])
        self._hold(wave)

    def _hold(self, wave: Wave) -> None:
        if self._held is None:
            return
        kept = wave if self._config.random_crop else wave[: self._config.crop].copy()
        self._bytes += kept.nbytes
        if self._bytes > HELD_BYTES:
            self._held = None
        else:
            self._held.append(kept)

    def finished(self) -> Clips:
        """Return the clips, or raise DatasetError where too few can be used."""
        config, count = self._config, len(self._samples)
        if self._short and config.short == "error":
            raise DatasetError(self._said_short(count))
        if not count:
            raise DatasetError(f"{self._dataset.name}: no clip can be trained on; use a lower crop")
        scaling = Scaling()
        if config.normalise == "data":
            n, total, squares = self._sums.tolist()
            scaling = Scaling(total / n, (squares / n - (total / n) ** 2) ** 0.5)
        return Clips(
            self._dataset, config, np.array(self._samples), np.array(self._lengths), scaling,
            self._held or (), tuple(self._notes()),
        )  # fmt: skip

    def _said_short(self, count: int) -> str:
        name, samples = self._short[0]
        crop = self._config.crop
        typical = median(self._lengths)
        return (
            f"{self._dataset.name}: {len(self._short)} of {count} clips are shorter than the crop "
            f"of {crop} samples ({crop / self._config.rate:.2f} s), the first is {name} "
            f"({samples}); the median has {typical:.0f}: use a lower --crop, or --short pad or skip"
        )

    def _notes(self) -> Iterator[str]:
        for rate, count in sorted(self._resampled.items()):
            yield f"{count} clips resampled {rate} → {self._config.rate} Hz"
        if self._short:
            done = "padded with zeros" if self._config.short == "pad" else "left out"
            yield f"{len(self._short)} clips shorter than {self._config.crop} samples {done}"
        if self._bad:
            yield f"{self._bad} silent or unreadable clips left out"
