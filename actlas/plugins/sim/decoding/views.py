"""The outputs of a decoder as they are compared, and back in the units of the target."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .decoders import Decoder, Scale
from .sound import mel_decibels
from .targets import Target

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 4096  # frames decoded at once


@dataclass(frozen=True, eq=False)
class View:
    """A decoder, and how its outputs are seen.

    Contribution and paths are of the outputs themselves. Realism and effects are of what is seen
    of them: of a waveform log-mel spectra, since waveforms of one sound differ by their phases.
    """

    decoder: Decoder
    target: Target
    scale: Scale  # of what is seen

    @classmethod
    def of(cls, decoder: Decoder, target: Target, real: "Tensor") -> "View":
        """Measure the scale of what is seen on real outputs (n, frames, channels)."""
        if target.stack is None:
            return cls(decoder, target, decoder.scale)
        return cls(decoder, target, Scale.of(_spectra(real[:, 0], target).flatten(0, 1)))

    def decode(self, latents: "Tensor") -> "Tensor":
        """Return standardised outputs (n, frames, channels)."""
        return self.decoder.decode(latents)

    def seen(self, latents: "Tensor") -> "Tensor":
        """Return standardised outputs (n, frames, channels) as they are compared."""
        made = self.decoder.decode(latents)
        if self.target.stack is None:
            return made
        return self.scale.to(_spectra(self.decoder.scale.back(made)[:, 0], self.target))

    def real(self, goals: "Tensor") -> "Tensor":
        """Return real outputs (n, frames, channels) alike."""
        if self.target.stack is None:
            return self.scale.to(goals)
        return self.scale.to(_spectra(goals[:, 0], self.target))

    def shown(self, latents: "Tensor") -> NDArray[np.float32]:
        """Return outputs as they are seen, in the units of the target."""
        import torch

        with torch.no_grad():
            found: NDArray[np.float32] = self.scale.back(self.seen(latents)).cpu().numpy()
        return found

    def waves(self, latents: "Tensor") -> NDArray[np.float32]:
        """Return waveforms (n, samples) of latents, where the target is sound."""
        import torch

        with torch.no_grad():
            made = self.decoder.scale.back(self.decode(latents)).cpu().numpy()
        return self.sounds(made)

    def sounds(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return waveforms (n, samples) of outputs in the target's units."""
        target = self.target
        if target.stack is not None:
            return outputs[:, 0]
        assert target.bands is not None
        return np.stack([target.bands.waveform(one, target.hop) for one in outputs])


def _spectra(waves: "Tensor", target: Target) -> "Tensor":
    assert target.bands is not None
    made = mel_decibels(waves, target.rate, target.bands.size, target.bands.count)
    return made.transpose(1, 2)


def error(view: View, latents: "Tensor", goals: "Tensor") -> float:
    """Return the squared error of latents (n, frames, width) / that of the training mean.

    goals: (n, frames, channels) in the target's own units; every channel weighs alike. Of
    waveforms it is that of log-mel spectra: phases cannot be foreseen.
    """
    import torch

    goals = view.real(goals)
    squared, some = 0.0, max(1, BLOCK // latents.shape[1])
    with torch.no_grad():
        for z, y in zip(torch.split(latents, some), torch.split(goals, some), strict=True):
            squared += float((view.seen(z) - y).square().double().sum())
    return squared / max(float(goals.square().double().sum()), 1e-30)
