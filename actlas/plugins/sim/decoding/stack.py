"""The decoder to the waveform: a stack of transposed convolutions, and its losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from actlas import InputError

from .sound import mel_decibels, power_spectra

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal[
    "wave", "stft", "wave+stft", "fft", "wave+fft", "mel", "wave+mel", "mels", "wave+mels"
]
SPECTRUM = 1024  # samples of a window of the loss stft
WINDOWS = ((512, 40), (1024, 80), (4096, 128))  # samples and bands of the loss mels


@dataclass(frozen=True)
class Stack:
    """Layers (kernel, stride, padding, output padding) from frames to samples."""

    layers: tuple[tuple[int, int, int, int], ...]

    def length(self, frames: int) -> int:
        """Return the samples that it makes of as many frames; 0 where there are too few."""
        for kernel, stride, padding, more in self.layers:
            frames = (frames - 1) * stride - 2 * padding + kernel + more
        return max(frames, 0)

    def network(self, width: int, channels: int) -> Any:
        """Build it: (n, width, frames) → (n, 1, samples), ReLU between, no batch norm."""
        from torch import nn

        parts: list[nn.Module] = []
        for i, (kernel, stride, padding, more) in enumerate(self.layers):
            last = i == len(self.layers) - 1
            outputs = 1 if last else channels
            parts.append(nn.ConvTranspose1d(width, outputs, kernel, stride, padding, more))
            parts += [] if last else [nn.ReLU()]
            width = outputs
        return nn.Sequential(*parts)


# The published decoders of the modules 2, 1 and 0, by their hops in samples.
_DEEP = ((4, 2, 1, 1), (4, 2, 2, 0), (4, 2, 2, 1), (8, 4, 2, 3), (10, 5, 2, 4))
STACKS = {
    160: Stack(_DEEP),
    80: Stack(_DEEP[1:]),
    20: Stack(
        ((8, 4, 2, 3), (3, 1, 1, 0), (3, 1, 1, 0), (10, 5, 2, 4), (3, 1, 1, 0), (3, 1, 1, 0))
    ),
}


def stack_for(hop: float, rate: int) -> Stack:
    """Return the stack for frames that are `hop` samples apart."""
    for known, stack in STACKS.items():
        if abs(hop - known) <= 0.05 * known:
            return stack
    fits = ", ".join(str(known) for known in sorted(STACKS))
    raise InputError(
        f"sim_decode: frames are {hop:.0f} samples apart at {rate} Hz, and waveforms are decoded "
        f"of {fits}; use another --rate, or --form spectrum"
    )


def loss_of(name: Loss, rate: int, top: float) -> "Callable[[Tensor, Tensor], Tensor]":
    """Return the loss of waveforms (n, samples), made and real; parts of a sum weigh alike.

    wave: squared error; stft: of power spectra; fft: absolute error of magnitude and phase of the
    whole clip; mel: squared error of log-mel spectra up to `top` Hz, in units of 10 dB; mels: the
    same over windows of several lengths (as Yamamoto et al. 2020 do): one of 4096 samples alone
    leaves open when a sound is within a quarter of a second.
    """

    def mels(made: "Tensor", real: "Tensor", *window: int) -> "Tensor":
        return _squared(*(mel_decibels(x, rate, top, *window) / 10 for x in (made, real)))

    import torch

    parts: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "wave": _squared,
        "stft": lambda made, real: _squared(*(_stft(x) for x in (made, real))),
        "fft": _fourier,
        "mel": mels,
        "mels": lambda made, real: torch.stack([mels(made, real, *w) for w in WINDOWS]).mean(),
    }
    chosen = [parts[part] for part in name.split("+")]

    def total(made: "Tensor", real: "Tensor") -> "Tensor":
        return sum((part(made, real) for part in chosen), made.new_zeros(()))

    return total


def _squared(made: "Tensor", real: "Tensor") -> "Tensor":
    found: Tensor = (made - real).square().mean()
    return found


def _stft(waves: "Tensor") -> "Tensor":
    size = min(SPECTRUM, 1 << (waves.shape[-1].bit_length() - 1))
    return power_spectra(waves, size) / size


def _fourier(made: "Tensor", real: "Tensor") -> "Tensor":
    import torch

    a, b = (torch.fft.rfft(x, norm="ortho") for x in (made, real))
    found: Tensor = (a.abs() - b.abs()).abs().mean() + (a.angle() - b.angle()).abs().mean()
    return found
