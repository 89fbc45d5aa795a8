"""Decoders of frozen activations, trained on rows or on items; all is standardised."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from actlas import tell

from .targets import Target

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["mlp", "ridge"]
STEPS = 32  # of an epoch, at least: batches of few rows are small
DRAWN = 10.0  # log-variances are cut at ±10


@dataclass(frozen=True, eq=False)
class Latents:
    """Frozen activations: mean (rows, width), log-variance alike where there is one."""

    mean: "Tensor"
    logvar: "Tensor | None"

    def drawn(self, rows: "Tensor", generator: Any) -> "Tensor":
        """Return z = μ + σε of some rows (any shape), or μ where there is no log-variance."""
        import torch

        mean = self.mean[rows]
        if self.logvar is None:
            return mean
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        return mean + (self.logvar[rows].clamp(-DRAWN, DRAWN) / 2).exp() * noise


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and standard deviation, by column or of all."""

    mean: "Tensor"
    std: "Tensor"

    @classmethod
    def of(cls, values: "Tensor") -> "Scale":
        """Measure them over the first dimension; a constant is only centred."""
        mean, std = values.double().mean(0), values.double().std(0, correction=0)
        std = std.where(std > 1e-9 * (mean.abs() + std.max()), std.new_ones(()))
        return cls(mean.float(), std.float())

    def to(self, values: "Tensor") -> "Tensor":
        """Standardise."""
        return (values - self.mean) / self.std

    def back(self, values: "Tensor") -> "Tensor":
        """Return to the units of the values."""
        return values * self.std + self.mean


@dataclass(frozen=True, eq=False)
class Decoder:
    """A trained decoder; `decode` gives standardised outputs (n, frames, channels).

    scale: to the units of the target. Of waveforms frames are 1 and channels samples.
    """

    decode: "Callable[[Tensor], Tensor]"
    scale: Scale


def seeded(seed: int) -> Any:
    """Return a generator on the CPU, so that every device draws the same."""
    import torch

    return torch.Generator().manual_seed(seed)


def built(make: "Callable[[], Any]", seed: int, device: Any) -> Any:
    """Build a network whose weights depend on the seed only."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().to(device)


def batches(count: int, size: int, generator: Any) -> "Iterator[Tensor]":
    """Yield the numbers below `count` in a random order, batch by batch."""
    import torch

    yield from torch.split(torch.randperm(count, generator=generator), size)


@dataclass(frozen=True)
class Training:
    """How a decoder is trained."""

    kind: Kind
    hidden: int
    epochs: int
    lr: float
    batch: int
    alpha: float
    seed: int


def row_decoder(latents: Latents, target: Target, rows: Any, how: Training) -> Decoder:
    """Train a decoder of single rows: an MLP of two hidden layers, or ridge regression."""
    import torch

    rows = torch.from_numpy(rows)
    generator = seeded(how.seed)
    goals = torch.from_numpy(target.values)[rows].to(latents.mean.device)
    inputs, outputs = Scale.of(latents.drawn(rows, generator)), Scale.of(goals)
    goals = outputs.to(goals)
    if how.kind == "ridge":
        network = _ridge(inputs.to(latents.drawn(rows, generator)), goals, how.alpha)
    else:
        network = _mlp(latents, rows, goals, inputs, how, generator)
    return Decoder(lambda z: network(inputs.to(z)), outputs)


def _ridge(x: "Tensor", y: "Tensor", alpha: float) -> "Callable[[Tensor], Tensor]":
    import torch

    x = x.double()
    gram = x.T @ x / len(x) + alpha * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(gram, x.T @ y.double() / len(x)).float()
    return lambda z: z @ weight


def _mlp(
    latents: Latents, rows: "Tensor", goals: "Tensor", inputs: Scale, how: Training, generator: Any
) -> Any:
    import torch
    from torch import nn

    width, channels = latents.mean.shape[1], goals.shape[1]
    network = built(
        lambda: nn.Sequential(
            nn.Linear(width, how.hidden), nn.ReLU(),
            nn.Linear(how.hidden, how.hidden), nn.ReLU(),
            nn.Linear(how.hidden, channels),
        ), how.seed, goals.device,
    )  # fmt: skip
    optimiser = torch.optim.AdamW(network.parameters(), how.lr)
    for epoch in range(how.epochs):
        total = 0.0
        size = min(how.batch, max(16, len(rows) // STEPS))
        for some in batches(len(rows), size, generator):
            made = network(inputs.to(latents.drawn(rows[some], generator)))
            total += _step(optimiser, (made - goals[some]).square().mean()) * len(some)
        tell(f"epoch {epoch + 1} of {how.epochs}, error {total / len(rows):.3f}")
    return network.eval()


def wave_decoder(
    latents: Latents, target: Target, items: Any, samples: Any, how: Training,
    loss: "Callable[[Tensor, Tensor], Tensor]",
) -> Decoder:  # fmt: skip
    """Train a stack of transposed convolutions from items (n, frames) to their waveforms."""
    import torch

    assert target.stack is not None
    stack, width = target.stack, latents.mean.shape[1]
    items, generator = torch.from_numpy(items), seeded(how.seed)
    goals = torch.from_numpy(target.values[samples]).to(latents.mean.device)
    whole = Scale.of(goals.flatten())
    outputs = Scale(whole.mean.expand(goals.shape[1]), whole.std.expand(goals.shape[1]))
    goals = outputs.to(goals)
    inputs = Scale.of(latents.drawn(items.flatten(), generator))
    network = built(lambda: stack.network(width, how.hidden), how.seed, goals.device)
    optimiser = torch.optim.Adam(network.parameters(), how.lr)

    def decode(z: "Tensor") -> "Tensor":
        made: Tensor = network(inputs.to(z).transpose(1, 2))
        return made

    for epoch in range(how.epochs):
        total = 0.0
        for some in batches(len(items), how.batch, generator):
            made = decode(latents.drawn(items[some], generator))[:, 0]
            total += _step(optimiser, loss(made, goals[some])) * len(some)
        tell(f"epoch {epoch + 1} of {how.epochs}, loss {total / len(items):.3f}")
    network.eval()
    return Decoder(decode, outputs)


def _step(optimiser: Any, loss: "Tensor") -> float:
    import torch

    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimiser.step()
    return float(loss.detach())
