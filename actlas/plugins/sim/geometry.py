"""Lengths: how many frames a chain of convolutions gives, and what of the clip each has seen."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from .config import Layer, SimConfig


@dataclass(frozen=True)
class Geometry:
    """Where the frames of a site lie on the waveform.

    layers: the convolutions from the waveform to there, (kernel, stride, padding).
    """

    layers: tuple[Layer, ...]

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return prod(stride for _, stride, _ in self.layers)

    @property
    def receptive_field(self) -> int:
        """Samples that a frame has seen."""
        seen = 1
        for kernel, stride, _ in reversed(self.layers):
            seen = (seen - 1) * stride + kernel
        return seen

    @property
    def start(self) -> int:
        """First sample that frame 0 has seen; below 0 where it is padding."""
        start, step = 0, 1
        for _, stride, padding in self.layers:
            start -= padding * step
            step *= stride
        return start

    def frames(self, samples: int) -> int:
        """Return the frames of a clip of `samples` samples; 0 or less where it is too short."""
        for kernel, stride, padding in self.layers:
            samples = (samples + 2 * padding - kernel) // stride + 1
        return samples

    def samples(self, frames: int) -> int:
        """Return the most samples of which there are no more than `frames` frames."""
        for kernel, stride, padding in reversed(self.layers):
            frames = frames * stride + kernel - 2 * padding - 1
        return frames

    def edges(self, frames: int, samples: int) -> list[int]:
        """Return frames + 1 samples: frame i stands for those from edge i to edge i + 1.

        Each is as long as the hop and centred on what the frame has seen, within the clip.
        """
        first = self.start + (self.receptive_field - self.hop) // 2
        return [min(max(first + i * self.hop, 0), samples) for i in range(frames + 1)]


def geometries(config: SimConfig) -> list[Geometry]:
    """Return the geometry of each module's output, in order."""
    return [Geometry(_joined(config.modules[: i + 1])) for i in range(len(config.modules))]


def _joined(modules: Iterable[tuple[Layer, ...]]) -> tuple[Layer, ...]:
    return tuple(layer for module in modules for layer in module)
