"""Recordings as a network of convolutions reads them: waveforms in, frames out."""

import re
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, gcd
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from actlas import Batch, Dataset, DatasetError, Encoded, Feed, Site

from .config import SimConfig
from .geometry import Geometry, geometries
from .network import Scaling

Wave = NDArray[np.float32]
EXAMPLE_SECONDS = 0.6
PLACE = re.compile(r"layers\.(\d+)(?:\.convs\.(\d+))?")


def load_wave(dataset: Dataset, sample: int, rate: int) -> tuple[Wave, int]:
    """Return a recording at `rate` Hz (samples,), and the rate it was recorded at.

    Raises DatasetError for a sample without a file, one that cannot be decoded, and silence.
    """
    if dataset.media is None or dataset.modality != "audio":
        raise DatasetError(
            f"{dataset.name} has no recordings; name a folder of audio files, or a table with a "
            f"column of them (--media COLUMN)"
        )
    found: Any = dataset.media[sample].load()
    wave, recorded = found
    if not np.any(wave != wave[0]):
        raise DatasetError(
            f"{dataset.name}: {dataset.texts[sample]} is silent (every sample is {wave[0]:g}); "
            f"leave it out"
        )
    return resampled(wave, recorded, rate), recorded


def resampled(wave: Wave, rate: int, wanted: int) -> Wave:
    """Resample a waveform (samples,) by a polyphase filter."""
    if rate == wanted:
        return wave
    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    found: Wave = resample_poly(wave, wanted // common, rate // common).astype(np.float32)
    return found


def scaled(wave: Wave, config: SimConfig, scaling: Scaling) -> Wave:
    """Normalise a waveform (…, samples) as the network was trained."""
    mean, std = np.float32(scaling.mean), np.float32(scaling.std)
    if config.normalise == "clip":
        mean = wave.mean(-1, keepdims=True, dtype=np.float32)
        std = np.maximum(wave.std(-1, keepdims=True, dtype=np.float32), np.float32(1e-8))
    found: Wave = (wave - mean) / std
    return found


@final
class WaveFeed(Feed):
    """Gives a network recordings at its rate, normalised; only equal lengths share a batch."""

    modality = "audio"

    def __init__(self, config: SimConfig, scaling: Scaling):
        super().__init__()
        self._config, self._scaling = config, scaling
        self._modules = geometries(config)

    @property
    def rate(self) -> int:
        """Samples a second that the network expects."""
        return self._config.rate

    def geometry(self, site: Site) -> Geometry:
        """Return where the frames of a site lie on the waveform."""
        found = PLACE.match(site.path)
        if found is None:
            return self._modules[-1]
        module, conv = int(found[1]), found[2]
        before = self._modules[module - 1].layers if module else ()
        if site.port == "input":
            return Geometry(before)
        own = self._modules[module].layers[len(before) :]
        return Geometry(before + own[: len(own) if conv is None else int(conv) + 1])

    def encode(
        self, dataset: Dataset, samples: Sequence[int], *, site: Site, max_length: int,
        on_long: str = "truncate",
    ) -> list[Encoded]:  # fmt: skip
        """Load, resample and normalise recordings; see `Feed.encode`."""
        return [self._encode(dataset, i, site, max_length, on_long) for i in samples]

    def _encode(
        self, dataset: Dataset, sample: int, site: Site, max_length: int, on_long: str
    ) -> Encoded:
        wave, recorded = load_wave(dataset, sample, self.rate)
        if recorded != self.rate:
            self.note(f"resampled {recorded} → {self.rate} Hz")
        name, geometry = dataset.texts[sample], self.geometry(site)
        longest = geometry.samples(max_length)
        truncated = not site.whole and len(wave) > longest
        if truncated and on_long == "error":
            raise DatasetError(
                f"{dataset.name}: {name} has {len(wave) / self.rate:.2f} s, the limit is "
                f"{longest / self.rate:.2f} s; shorten it, or use --long truncate"
            )
        wave = wave[:longest] if truncated else wave
        refuse_short(dataset.name, name, len(wave), self._config)
        one = Encoded(
            sample, name, scaled(wave, self._config, self._scaling),
            ceil(len(wave) / self._modules[-1].hop), truncated=truncated, group=len(wave),
            **self._frames(geometry, len(wave)),
        )  # fmt: skip
        return one.as_one() if site.whole else one

    def _frames(self, geometry: Geometry, samples: int) -> dict[str, Any]:
        frames = geometry.frames(samples)
        seconds = np.array(geometry.edges(frames, samples)) / self.rate
        names = [f"{a:.3f}–{b:.3f} s" for a, b in pairwise(seconds.tolist())]
        milliseconds = np.rint(seconds * 1000).astype(np.int64)
        return {
            "starts": milliseconds[:-1], "ends": milliseconds[1:], "names": names,
            "special": np.zeros(frames, bool),
        }  # fmt: skip

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Stack waveforms (batch, 1, samples) of one length."""
        import torch

        waves = torch.from_numpy(np.stack([one.inputs for one in encoded])[:, None])
        return Batch({}, (len(encoded), max(map(len, encoded))), (waves,))

    def example(self) -> Batch:
        """Return two recordings of noise."""
        import torch

        samples = max(int(EXAMPLE_SECONDS * self.rate), 4 * self._modules[-1].receptive_field)
        noise = [np.random.default_rng(s).standard_normal(samples, np.float32) for s in (0, 1)]
        return Batch({}, (2, 0), (torch.from_numpy(np.stack(noise)[:, None]),))


def refuse_short(dataset: str, name: str, samples: int, config: SimConfig) -> None:
    """Raise DatasetError for a recording shorter than what a frame of the last module sees."""
    field = geometries(config)[-1].receptive_field
    if samples < field:
        raise DatasetError(
            f"{dataset}: {name} has {samples} samples at {config.rate} Hz, less than the receptive "
            f"field of the network ({field}); leave it out"
        )
