"""Sound: recordings at one rate, log spectra of their frames, and a waveform from such spectra."""

from dataclasses import dataclass
from functools import cache, cached_property
from math import gcd
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import DatasetError, InputError, Samples

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Form = Literal["spectrum", "mel", "wave"]
FLOOR = 1e-10  # of power, before its logarithm
WINDOW_SECONDS = 0.025
LOOKED = 100  # recordings whose rate is looked at
LOUDEST = 100.0  # dB of a band; a full-scale waveform has about 50
ROUNDS = 60  # of Griffin and Lim


def clip(samples: Samples, sample: int, rate: int) -> Floats:
    """Return a recording at `rate` Hz, mono (samples,); DatasetError where it cannot be read."""
    media = samples.dataset.media
    if media is None or samples.dataset.modality != "audio":
        raise InputError(
            "sim_decode: the samples are no recordings; decode another site with --target site "
            "--other SITE"
        )
    found: Any = media[sample].load()
    wave, recorded = found
    if recorded != rate:
        from scipy.signal import resample_poly

        common = gcd(rate, recorded)
        wave = resample_poly(wave, rate // common, recorded // common)
    if not len(wave):
        raise DatasetError(f"{samples.dataset.texts[sample]} has no sound in it; leave it out")
    return np.asarray(wave, np.float32)


def highest(samples: Samples, chosen: NDArray[np.int64], rate: int) -> float:
    """Return the frequency (Hz) below which some recordings hold sound: half the lowest rate."""
    media = samples.dataset.media or ()
    found: list[Any] = [media[i].load() for i in chosen[:: max(1, len(chosen) // LOOKED)].tolist()]
    lowest: int = min([rate, *(recorded for _, recorded in found)])
    return lowest / 2


@dataclass(frozen=True)
class Bands:
    """Triangular filters over the power spectrum of Hann-windowed frames, in dB.

    mel: spaced by mel (2595 log10(1 + f/700)); else evenly in Hz. top: highest edge in Hz.
    """

    rate: int
    size: int  # of the Fourier transform
    count: int
    mel: bool
    top: float

    @classmethod
    def for_hop(cls, rate: int, hop: float, count: int, mel: bool, top: float) -> "Bands":
        """Choose the power of two that holds 25 ms and three hops."""
        wanted = max(WINDOW_SECONDS * rate, 3 * hop)
        size = 1 << int(np.ceil(np.log2(wanted)))
        if not 2 <= count <= size // 4:
            raise InputError(f"sim_decode: bands={count}; use 2 to {size // 4} at {rate} Hz")
        return cls(rate, size, count, mel, top)

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        if not self.mel:
            return np.linspace(0, self.top, self.count + 2)
        mels = np.linspace(0, 2595 * np.log10(1 + self.top / 700), self.count + 2)
        return np.asarray(700 * (10 ** (mels / 2595) - 1))

    @property
    def centres(self) -> NDArray[np.float64]:
        """(count,) centre of each band in Hz."""
        return self._edges[1:-1]

    @cached_property
    def filters(self) -> Floats:
        """(count, size / 2 + 1) weight of each bin; each band's sum to 1."""
        hertz = np.linspace(0, self.rate / 2, self.size // 2 + 1)
        low, mid, high = (self._edges[i : i + self.count, None] for i in range(3))
        shape = np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)).clip(0)
        nearest = np.abs(hertz - mid) == np.abs(hertz - mid).min(1, keepdims=True)
        shape = np.where(shape.sum(1, keepdims=True) > 0, shape, nearest)  # narrower than a bin
        return np.asarray(shape / shape.sum(1, keepdims=True), np.float32)

    @cached_property
    def _inverse(self) -> Floats:
        """(size / 2 + 1, count) pseudo-inverse of the filters."""
        return np.asarray(np.linalg.pinv(self.filters), np.float32)

    def frames(self, wave: Floats, centres: NDArray[Any]) -> Floats:
        """Return (frames, count) dB of the frames around some places (in samples)."""
        half = self.size // 2
        padded = np.pad(wave, (half, half + self.size))
        first = np.clip(np.rint(centres).astype(np.int64), 0, len(wave))
        cut = padded[first[:, None] + np.arange(self.size)]
        window = np.hanning(self.size + 1)[:-1].astype(np.float32)
        power = np.abs(np.fft.rfft(cut * window)) ** 2
        return self.decibels(power.astype(np.float32))

    def decibels(self, power: Floats) -> Floats:
        """Return bands (frames, count) in dB of power spectra (frames, bins)."""
        import torch

        bands = (torch.from_numpy(power) @ torch.from_numpy(self.filters).T).numpy()
        return np.asarray(10 * np.log10(np.maximum(bands, FLOOR)), np.float32)

    def waveform(self, decibels: Floats, hop: float) -> Floats:
        """Return a waveform of bands (frames, count) that are `hop` samples apart.

        Bands are spread evenly over their bins (the filters' pseudo-inverse, no less than 0), and
        phases found by Griffin and Lim (1984), sixty rounds from phase 0: no phase is decoded.
        """
        import torch

        step, length = self.size // 4, round(len(decibels) * hop)
        count = length // step + 1
        at = np.arange(count) * step / hop - 0.5
        bands = np.stack(
            [np.interp(at, np.arange(len(decibels)), column) for column in decibels.T], 1
        )
        loud = 10 ** (np.minimum(bands.T, LOUDEST) / 10)  # a decoder may give thousands of dB
        power = torch.from_numpy(self._inverse) @ torch.from_numpy(loud).float()
        size = power.clamp(min=0).sqrt()  # (bins, count)
        window = torch.hann_window(self.size)
        phase = torch.ones_like(size, dtype=torch.complex64)

        def heard() -> "Tensor":
            return torch.istft(size * phase, self.size, step, window=window, length=length)

        for _ in range(ROUNDS):
            again = torch.stft(heard(), self.size, step, window=window, return_complex=True)
            phase = again[:, :count] / again[:, :count].abs().clamp(min=1e-9)
        return np.asarray(heard().numpy(), np.float32)


def mel_decibels(
    waves: "Tensor", rate: int, top: float, size: int = 4096, bands: int = 128
) -> "Tensor":
    """Return log-mel spectra (clips, bands, frames) in dB of waveforms (clips, samples).

    Up to `top` Hz. Hop of half a window, as the published decoder's (4096, 2048, 128 bands, floor
    1e-10).
    """
    import torch

    size = min(size, 1 << int(np.log2(waves.shape[-1])))
    filters = torch.from_numpy(_mel_bands(rate, size, min(bands, size // 4), top).filters)
    power = power_spectra(waves, size)
    return 10 * (filters.to(waves.device) @ power).clamp(min=FLOOR).log10()


@cache
def _mel_bands(rate: int, size: int, count: int, top: float) -> Bands:
    return Bands(rate, size, count, True, top)  # a loss wants the same filters at every step


def power_spectra(waves: "Tensor", size: int) -> "Tensor":
    """Return power spectra (clips, bins, frames) of waveforms, half a window apart."""
    import torch

    window = torch.hann_window(size, device=waves.device)
    made = torch.stft(waves, size, size // 2, window=window, pad_mode="constant",
                      return_complex=True)  # fmt: skip
    return made.real.square() + made.imag.square()
