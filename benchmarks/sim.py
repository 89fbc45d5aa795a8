"""Training of Smooth InfoMax: the small recipe's time, and steps against a plain implementation."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from time import perf_counter

import numpy as np
import soundfile
import torch
from torch.nn import functional

import actlas
from actlas.plugins.sim import SimConfig, read_clips, recipe, train_sim
from actlas.plugins.sim.blocks import SimNetwork
from actlas.plugins.sim.network import build
from actlas.plugins.sim.side import side_by_side
from actlas.plugins.sim.steps import ModuleLoss, learned, local_losses

from .common import Bar, interleaved, ratio

WORDS = 680  # of 0.64 s, as the specification's small reproduction has
STEPS = 8


def words(folder: Path, count: int = WORDS) -> actlas.Dataset:
    """Recordings of three buzzing syllables each: harmonics through moving resonances."""
    draws = np.random.default_rng(0)
    time = np.arange(10_400) / 16_000
    for i in range(count):
        pitch = draws.uniform(90, 220)
        wave = np.zeros_like(time)
        for part in range(3):
            inside = (time >= part * 0.21) & (time < part * 0.21 + 0.17)
            centre = draws.choice([500, 900, 1500, 2300])
            for harmonic in range(1, 24):
                level = np.exp(-((harmonic * pitch - centre) ** 2) / 2e5)
                wave += inside * level * np.sin(2 * np.pi * harmonic * pitch * time)
        wave = 0.1 * wave + 0.002 * draws.standard_normal(len(time))
        soundfile.write(folder / f"{i:03}.wav", wave, 16_000, subtype="FLOAT")
    return actlas.read_dataset(folder)


def plain_losses(network: SimNetwork, wave: torch.Tensor, beta: float) -> torch.Tensor:
    """The same losses as one writes them down: every k by itself, on slices.

    Negatives are gathered once, from permutations of all frames, as the published code does.
    """
    config, total, x = network.config, torch.zeros(()), wave
    for index, block in enumerate(network.blocks):
        mu, logvar = block.posterior(x)
        c = z = mu
        if logvar is not None:
            c = mu + (logvar / 2).exp() * torch.randn_like(mu)
            z = mu + (logvar / 2).exp() * torch.randn_like(mu)
        c, targets = c.transpose(1, 2), z.transpose(1, 2)  # (B, T, C)
        rows = targets.reshape(-1, config.channels)
        scored = min(targets.shape[1], config.window)
        start = int(torch.randint(targets.shape[1] - scored + 1, (1,)))
        drawn = [rows[torch.randperm(len(rows))].view_as(targets) for _ in range(config.negatives)]
        against = torch.stack(drawn, 3)[:, start : start + scored]  # (B, T', C, N)
        c, targets = c[:, start : start + scored], targets[:, start : start + scored]
        for k in range(1, config.steps + 1):
            weight = network.weight(index)[(k - 1) * config.channels : k * config.channels]
            predicted = c[:, :-k] @ weight.T
            right = (predicted * targets[:, k:]).sum(2, keepdim=True)
            wrong = (predicted[..., None] * against[:, k:]).sum(2)
            scores = torch.cat([right, wrong], 2)
            total = total - functional.log_softmax(scores, 2)[..., 0].mean() / config.steps
        if logvar is not None:
            kl = (mu.square() + logvar.exp() - 1 - logvar) / 2
            total = total + beta * kl.sum(1).mean()
        x = z.detach()
    return total


@contextmanager
def training(config: SimConfig, wave: torch.Tensor, how: str) -> Iterator[Callable[[], None]]:
    """Give what trains for some steps."""
    network = build(config)
    ours = how == "ours"  # each as it is trained: the plain one's Adam is torch's default
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=ours or None)

    def run(losses: Callable[[int], object]) -> None:
        for step in range(STEPS):
            optimizer.zero_grad()
            losses(step)
            optimizer.step()

    if not ours:
        yield lambda: run(
            lambda _: torch.autograd.backward(plain_losses(network, wave, config.beta))
        )
        return
    with side_by_side(config, "cpu") as start:

        def started(work: Callable[[], ModuleLoss]) -> Callable[[], ModuleLoss]:
            return start(partial(learned, work))

        yield lambda: run(lambda step: local_losses(network, wave, config.beta, (0, step), started))


class Apart:
    """One of the two in a process of its own, since training changes how malloc keeps memory."""

    def __init__(self, kind: str, how: str):
        command = [sys.executable, "-m", "benchmarks.sim", "--serve", kind, how]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)

    def __call__(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        self._process.stdout.readline()

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


def serve(kind: str, how: str) -> None:
    """Train for some steps whenever a line comes."""
    config = recipe(kind)
    draws = torch.Generator().manual_seed(0)
    wave = torch.randn(config.batch, 1, config.crop, generator=draws)
    with training(config, wave, how) as run:
        for _ in sys.stdin:
            run()
            print(flush=True)


def speeds() -> Iterator[Bar]:
    """Measure steps, both contenders in turn."""
    for kind in ("sim", "gim"):
        plain, ours = Apart(kind, "plain"), Apart(kind, "ours")
        for one in (plain, ours):
            one()
        timed = interleaved(5, plain=plain, ours=ours)
        for one in (plain, ours):
            one.end()
        said = " against ".join(f"{min(timed[n]) / STEPS * 1e3:.0f}" for n in ("ours", "plain"))
        yield Bar(
            f"{kind}: steps/s, of a plain implementation's", ratio(timed, "plain", "ours"), 3.0,
            at_least=True, note=f"{said} ms a step",
        )  # fmt: skip


def trainings(epochs: int) -> Iterator[Bar]:
    """Measure whole trainings; with fewer epochs the time of 60 is reckoned from them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "words").mkdir()
        data = words(folder / "words")
        for kind, minutes in (("sim", 3.0), ("gim", 2.0)):
            clips = read_clips(data, recipe(kind, held_out=0.0, epochs=epochs))
            start = perf_counter()
            done = train_sim(clips, folder / kind, device="cpu")
            spent = (perf_counter() - start) / 60 * (60 / epochs)
            said = ", ".join(f"{one.module} {one.nce:.2f}" for one in done.last())
            yield Bar(f"{kind}: the small recipe, 60 epochs", spent, minutes, "min", said)


def run(epochs: int = 60) -> Iterator[Bar]:
    """Measure; with 0 epochs only steps."""
    yield from speeds()
    if epochs:
        yield from trainings(epochs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        sys.exit()
    for bar in run(*map(int, sys.argv[1:])):
        print(bar, flush=True)
