"""The parts of the network. Imported when one is made, since this file imports torch."""

from collections.abc import Sequence
from typing import cast, final

import torch
import xxhash
from torch import Tensor, nn

from .config import Layer, SimConfig
from .layout import lies_by_frames, product, rectified


@final
class Convolution(nn.Module):
    """Conv1d, BatchNorm1d where the configuration has it, and ReLU."""

    def __init__(self, given: int, channels: int, layer: Layer, batch_norm: bool):
        super().__init__()
        kernel, stride, padding = layer
        self.conv = nn.Conv1d(given, channels, kernel, stride, padding)
        self.norm = nn.BatchNorm1d(channels) if batch_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, given, n) to (B, C, T), by frames where that lies so (see `by_frames`)."""
        if lies_by_frames(x):
            return rectified(x, self.conv, self.norm)
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return torch.relu_(x) if self.training else torch.relu(x)  # else a site would be changed


@final
class LogVariance(nn.Conv1d):
    """A 1×1 convolution to log-variances, clamped."""

    def __init__(self, channels: int, bias: float, clamp: float):
        self.start, self.clamp = bias, clamp
        super().__init__(channels, channels, 1)

    def reset_parameters(self) -> None:
        """Draw the weights anew; every bias is the configured start."""
        super().reset_parameters()
        assert self.bias is not None
        nn.init.constant_(self.bias, self.start)

    def forward(self, input: Tensor) -> Tensor:
        """Return the log-variances (B, C, T) of features (B, C, T)."""
        return super().forward(input).clamp(-self.clamp, self.clamp)


@final
class Sample(nn.Module):
    """One draw of a posterior for each clip: its noise is a function of the clip and the seed.

    So a clip gives the same sample in any batch, in any run.
    """

    data_format = "channels_first"  # by which actlas knows how the output is laid out

    def __init__(self, index: int, seed: int):
        super().__init__()
        self._index, self._seed = index, seed

    def forward(self, mu: Tensor, logvar: Tensor, keys: Sequence[int]) -> Tensor:
        """Return a draw (B, C, T); keys: of each clip, see `clip_keys`."""
        shape = mu.shape[1:]
        noise = torch.stack([torch.randn(shape, generator=self._generator(key)) for key in keys])
        return mu + (logvar / 2).exp() * noise.to(mu)

    def _generator(self, key: int) -> torch.Generator:
        mixed = xxhash.xxh3_64_intdigest(f"{key} {self._seed} {self._index}".encode())
        return torch.Generator().manual_seed(mixed)


@final
class Block(nn.Module):
    """A module of the network: convolutions and the head that gives z."""

    def __init__(self, config: SimConfig, index: int):
        super().__init__()
        channels = config.channels
        given = config.inputs if index == 0 else channels
        widths = [given, *[channels] * len(config.modules[index])]
        self.convs = nn.Sequential(
            *(
                Convolution(width, channels, layer, config.batch_norm)
                for width, layer in zip(widths, config.modules[index], strict=False)
            )
        )
        self.mu = None if config.head == "none" else nn.Conv1d(channels, channels, 1)
        self.logvar: LogVariance | None = None
        self.sample: Sample | None = None
        if config.gaussian:
            self.logvar = LogVariance(channels, config.logvar_bias, config.logvar_clamp)
            self.sample = Sample(index, config.seed)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return mean and log-variance (B, C, T) of z; None where the head gives no variance."""
        h = self.convs(x)
        mu = h if self.mu is None else self.mu(h)
        return mu, None if self.logvar is None else self.logvar(h)

    def heads(self, x: Tensor) -> Tensor:
        """Return means, and behind them log-variances not yet clamped, in one product.

        x: (B, given, n), by frames (see `by_frames`). Returns (B, T, C) or (B, T, 2·C).
        """
        h: Tensor = self.convs(x).transpose(1, 2)
        found = [one for one in (self.mu, self.logvar) if one is not None]
        if not found:
            return h
        weight = torch.cat([one.weight for one in found]).squeeze(2)
        return product(h, weight, torch.cat([cast(Tensor, one.bias) for one in found]))

    def forward(self, x: Tensor, keys: Sequence[int]) -> Tensor:
        """Return the mean of z (B, C, T) for (B, given, n)."""
        mu, logvar = self.posterior(x)
        if logvar is not None and self.sample is not None:
            self.sample(mu, logvar, keys)  # for who reads it; what goes on is the mean
        return mu


@final
class Context(nn.Module):
    """A GRU over the frames of the last module."""

    def __init__(self, channels: int, width: int, remove_bptt: bool):
        super().__init__()
        self.gru = nn.GRU(channels, width, batch_first=True)
        self._remove_bptt = remove_bptt

    def forward(self, z: Tensor) -> Tensor:
        """Return the states (B, T, gru) over z (B, C, T)."""
        x = z.transpose(1, 2)
        if not (self._remove_bptt and self.training):
            found: Tensor = self.gru(x)[0]
            return found
        return torch.stack(self._steps(x), 1)

    def _steps(self, x: Tensor) -> list[Tensor]:
        """Step by step, without gradient through the state."""
        found = []
        state = x.new_zeros(len(x), self.gru.hidden_size)
        weights: Sequence[Tensor] = self.gru.all_weights[0]
        for frame in x.unbind(1):
            state = torch.gru_cell(frame, state.detach(), *weights)
            found.append(state)
        return found


@final
class SimNetwork(nn.Module):
    """Modules one after another on a waveform, and what their losses are scored with.

    `layers.i` gives the mean of module i's z, (B, C, T); the mean is what the next module reads.
    `layers.i.logvar` and `layers.i.sample` are there where modules give distributions, `context`
    (B, T, gru) where there is a GRU. The critics W_k are no part of the forward pass.
    """

    def __init__(self, config: SimConfig):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Block(config, i) for i in range(len(config.modules)))
        self.context = (
            Context(config.channels, config.gru, config.remove_bptt) if config.gru else None
        )
        self.critics = nn.ModuleList(_critics(config))
        classes = len(config.classes)
        self.classifier = nn.Linear(config.channels, classes) if classes else None
        self._reset()

    def forward(self, wave: Tensor) -> Tensor:
        """Return what the last part gives for waveforms (B, 1, samples)."""
        keys = clip_keys(wave)
        z = wave
        for layer in self.layers:
            z = layer(z, keys)
        if self.context is not None:
            z = self.context(z)
        return z if self.classifier is None else self.classifier(z.mean(2))

    @property
    def blocks(self) -> list[Block]:
        """The modules before the GRU."""
        return cast(list[Block], list(self.layers))

    def weight(self, index: int) -> Tensor:
        """W of a loss: (K·C, contexts)."""
        return cast(nn.Linear, self.critics[index]).weight

    def _reset(self) -> None:
        """Draw every part from a seed of its own, so that twins share what both have."""
        with torch.random.fork_rng(devices=[]):
            for path, part in self.named_modules():
                reset = getattr(part, "reset_parameters", None)
                if callable(reset):
                    text = f"{path} {self.config.seed}".encode()
                    torch.manual_seed(xxhash.xxh3_64_intdigest(text))
                    reset()


def _critics(config: SimConfig) -> list[nn.Linear]:
    """W_k of each loss: (contexts → K·C) without bias."""
    if config.kind == "supervised":
        return []
    wide = config.steps * config.channels
    widths = [config.channels] * len(config.modules) if config.local else []
    if config.gru:
        widths.append(config.gru)
    widths = widths or [config.channels]
    return [nn.Linear(width, wide, bias=False) for width in widths]


def clip_keys(wave: Tensor) -> list[int]:
    """Return a number of each clip's own samples."""
    held = wave.detach().contiguous().cpu().view(torch.uint8).numpy()
    return [xxhash.xxh3_64_intdigest(one.tobytes()) for one in held]
