"""Recordings: resampled to the model's rate; rows are frames."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, gcd, prod
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from ..errors import DatasetError, ModelError
from ..sites import Site
from .base import (
    LENGTH_LIMIT,
    Batch,
    Encoded,
    Feed,
    OnLong,
    batch_shape,
    loaded,
    stacked,
    unnamed,
)

# Torch warns of how WavLM's attention joins its mask with its position bias, so it reads none.
READ_NO_MASK = ("wavlm",)
EXAMPLE_SECONDS = 0.6  # 29 frames of 20 ms: no other dimension alike by chance


@final
class AudioFeed(Feed):
    """Gives a network recordings: as waveforms (wav2vec2), or as features of a fixed window.

    extractor: a feature extractor of transformers.
    config: the network's configuration: strides of the convolutions, kind of normalization.

    Padding changes what a network with normalization over time makes of a recording, so only
    recordings of equal length share a batch, unless it is normalized by layer and reads a mask.
    """

    modality = "audio"

    def __init__(self, extractor: Any, config: Any):
        super().__init__()
        self.extractor, self.config = extractor, config
        self._fixed = self._has_fixed_window()
        if not self._fixed and not self._strides:
            raise ModelError(
                f"{type(self.extractor).__name__} gives neither waveforms nor a window of fixed "
                f"length, so frames cannot be told; load the model as torch:package.module:factory"
            )
        limit = getattr(self.config, "max_source_positions", None)
        self.max_length = int(limit) if self._fixed and limit else LENGTH_LIMIT

    @property
    def rate(self) -> int:
        """Samples a second that the network expects."""
        return int(self.extractor.sampling_rate)

    def encode(
        self,
        dataset: Dataset,
        samples: Sequence[int],
        *,
        site: Site,
        max_length: int,
        on_long: OnLong = "truncate",
    ) -> list[Encoded]:
        """Load, resample and preprocess recordings; see `Feed.encode`."""
        return [self._encode(dataset, i, site, max_length, on_long) for i in samples]

    def _encode(
        self, dataset: Dataset, sample: int, site: Site, max_length: int, on_long: OnLong
    ) -> Encoded:
        name = dataset.texts[sample]
        recorded, rate = loaded(dataset, sample)
        wave = self._resampled(recorded, rate)
        longest = self._samples_of(max_length, site)
        truncated = longest is not None and len(wave) > longest
        if truncated and on_long == "error":
            raise DatasetError(
                f"{dataset.name}: {name} has {len(wave) / self.rate:.2f} s, the limit is "
                f"{(longest or 0) / self.rate:.2f} s; shorten it, or use --long truncate"
            )
        wave = wave[:longest]
        frames = self._frames(len(wave), site)
        if frames < 1:
            raise DatasetError(f"{dataset.name}: {name} is too short for one frame; leave it out")
        window = self._window(site) if self._fixed else 0
        one = Encoded(
            sample,
            name,
            self._extracted(wave),
            max(frames, window),
            truncated=truncated,
            group=None if self._fixed or self._masked else len(wave),
            given=window,
            **self._positions(frames, len(wave), site),
        )
        return one.as_one() if site.whole else one

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Stack recordings, padded and masked where their lengths differ."""
        import torch

        inputs = [one.inputs for one in encoded]
        if self._fixed:
            return Batch(stacked(inputs), batch_shape(encoded))
        name = next(iter(inputs[0]))
        lengths = [len(one[name]) for one in inputs]
        padded = np.zeros((len(inputs), max(lengths)), np.float32)
        for row, one in zip(padded, inputs, strict=True):
            row[: len(one[name])] = one[name]
        arguments = {name: torch.from_numpy(padded)}
        if min(lengths) < max(lengths):
            mask = np.arange(max(lengths)) < np.c_[lengths]
            arguments["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        return Batch(arguments, batch_shape(encoded))

    def example(self) -> Batch:
        """Return two recordings of noise."""
        inputs = [self._extracted(self._noise(seed)) for seed in (0, 1)]
        length = 0 if self._fixed else self._frames(len(self._noise(0)), None)
        return Batch(stacked(inputs), (2, length))

    def _noise(self, seed: int, seconds: float = EXAMPLE_SECONDS) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal(int(seconds * self.rate), np.float32)
        return noise * np.float32(0.1)

    def _has_fixed_window(self) -> bool:
        short, long = (self._extracted(self._noise(0, EXAMPLE_SECONDS * k)) for k in (1, 2))
        return all(short[name].shape == long[name].shape for name in short)

    def _extracted(self, wave: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        made: Mapping[str, Any] = self.extractor(wave, sampling_rate=self.rate, return_tensors="np")
        name = str(self.extractor.model_input_names[0])
        return {name: np.asarray(made[name][0], np.float32)}

    def _resampled(self, wave: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        if rate == self.rate:
            return wave
        from scipy.signal import resample_poly

        self.note(f"resampled {rate} → {self.rate} Hz")
        common = gcd(rate, self.rate)
        resampled = resample_poly(wave, self.rate // common, rate // common)
        return np.asarray(resampled, np.float32)

    @property
    def _masked(self) -> bool:
        by_layer = getattr(self.config, "feat_extract_norm", None) == "layer"
        reads = bool(self.extractor.return_attention_mask)
        return by_layer and reads and self.config.model_type not in READ_NO_MASK

    @property
    def _strides(self) -> list[tuple[int, int]]:
        """Kernel and stride of each convolution over the waveform."""
        kernels = getattr(self.config, "conv_kernel", None) or ()
        strides = getattr(self.config, "conv_stride", None) or ()
        return list(zip(kernels, strides, strict=True))

    def _window(self, site: Site | None) -> int:
        """Return the frames of the fixed window at a site, 0 where they are not known."""
        if site is not None and len(site.frame) == 1:
            return site.frame[0]
        return int(getattr(self.config, "max_source_positions", 0) or 0)

    def _samples_a_frame(self, site: Site | None) -> int | None:
        if not self._fixed:
            return prod(stride for _, stride in self._strides)
        window, samples = self._window(site), getattr(self.extractor, "n_samples", None)
        return samples // window if samples and window and samples % window == 0 else None

    def _frames(self, samples: int, site: Site | None) -> int:
        """Return the frames that hold a recording of `samples` samples."""
        step = self._samples_a_frame(site)
        if self._fixed:
            return ceil(samples / step) if step else max(self._window(site), 1)
        for kernel, stride in self._strides:
            samples = (samples - kernel) // stride + 1
        return samples

    def _samples_of(self, frames: int, site: Site) -> int | None:
        """Return the most samples that fit into `frames` frames, None where all do."""
        if self._fixed:
            step, window = self._samples_a_frame(site), self._window(site)
            return step * min(frames, window) if step else None
        if frames >= self.max_length:
            return None
        for kernel, stride in reversed(self._strides):
            frames = (frames - 1) * stride + kernel
        return frames

    def _positions(self, frames: int, samples: int, site: Site) -> dict[str, Any]:
        step = self._samples_a_frame(site)
        if step is None:
            return unnamed(frames)
        edges = np.arange(frames + 1) * step
        edges[-1] = max(min(edges[-1], samples), edges[-2] + 1)
        seconds = edges / self.rate
        milliseconds = np.rint(seconds * 1000).astype(np.int64)
        names = [f"{a:.2f}–{b:.2f} s" for a, b in pairwise(seconds.tolist())]
        spans = {"starts": milliseconds[:-1], "ends": milliseconds[1:], "names": names}
        return unnamed(frames) | spans
