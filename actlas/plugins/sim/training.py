"""Training: epochs over clips, with checkpoints from which it goes on bit for bit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, NonFiniteError, pick_device, tell

from .clips import Clips
from .config import SimConfig
from .metrics import ACTIVE, Metrics, Watch, beta_in, faults, read_metrics, write_metrics
from .network import CONFIG, METRICS, STATE, WEIGHTS, build, read_config, read_weights, save_model
from .sequences import SiteClips
from .state import State, gathered, read_state, restore, write_state

if TYPE_CHECKING:
    from torch import Tensor

    from .side import Start
    from .steps import ModuleLoss

CHECKPOINT_SECONDS = 300.0  # within an epoch; at its end there is always one
SCALARS = 5  # sums of a module before those of its channels


@final
@dataclass(frozen=True)
class Hooks:
    """What is called as a training goes on: at each epoch's beginning, its end, and to warn."""

    begin: Callable[[int], None] = lambda epoch: None
    end: Callable[[list[Metrics]], None] = lambda lines: None
    warn: Callable[[str], None] = lambda text: None


@final
@dataclass(frozen=True)
class TrainedSim:
    """What a training gave: its folder, the metrics of every epoch, and warnings."""

    folder: Path
    config: SimConfig
    metrics: list[Metrics]
    warnings: list[str] = field(default_factory=list)

    def last(self) -> list[Metrics]:
        """The last epoch's metrics, a module each; empty where nothing was trained."""
        return [one for one in self.metrics if one.epoch == self.metrics[-1].epoch]

    def verdicts(self) -> dict[str, str]:
        """Return for each module `trained`, or what is wrong."""
        return {one.module: ", ".join(faults(one, self.config)) or "trained" for one in self.last()}


def train_sim(
    clips: Clips | SiteClips,
    folder: Path,
    *,
    classes: NDArray[np.int64] | None = None,
    start: Path | None = None,
    device: str = "auto",
    force: bool = False,
    hooks: Hooks | None = None,
) -> TrainedSim:
    """Train a network on clips into a folder that `sim:FOLDER` loads, or go on with one there.

    clips: with the configuration, see `read_clips` and `site_clips`. classes: (clips,) for a
        supervised network.
    start: folder of a network of the same layers to begin with. force: begin anew.

    Every draw depends on the seed, the epoch and the step, so a training that was stopped ends
    with the same numbers. Raises InputError where the folder holds another training or there are
    fewer clips than a batch, NonFiniteError where the loss is no number any more.
    """
    training = _Training(clips, folder, classes, pick_device(device), hooks or Hooks())
    if start is not None and (force or not (folder / STATE).exists()):
        training.begin_with(start)
    if force:  # by now what is asked for can be done
        for name in (CONFIG, WEIGHTS, STATE, METRICS):
            (folder / name).unlink(missing_ok=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); name another") from error
    return training.run()


class _Training:
    """A training under way."""

    def __init__(
        self, clips: Clips | SiteClips, folder: Path, classes: NDArray[np.int64] | None,
        device: str, hooks: Hooks,
    ):  # fmt: skip
        import torch

        self.config, self.clips, self.folder, self.hooks = clips.config, clips, folder, hooks
        self.device, self.classes = device, classes
        self.beside: Start[ModuleLoss]  # while it runs, see `side_by_side`
        config = self.config
        order = self._random("held out").permutation(len(clips))
        held = round(config.held_out * len(clips))
        self.held_out, self.train = np.sort(order[:held]), np.sort(order[held:])
        if len(self.train) < config.batch and config.epochs:
            raise InputError(
                f"{len(self.train)} clips to train on ({held} held out) give no batch of "
                f"{config.batch}; use --batch {max(len(self.train), 2)} or more clips"
            )
        self.network = build(config).to(device)
        trained = [p for p in self._trained_parts() for p in p.parameters()]
        self.optimizer = torch.optim.Adam(trained, lr=config.learning_rate, fused=True)
        self.began, self.sums = monotonic(), self._no_sums()
        self.data = f"{clips.digest} {len(clips)}"

    def _random(self, *parts: object) -> np.random.Generator:
        import xxhash

        text = " ".join(map(str, (self.config.seed, *parts)))
        return np.random.default_rng(xxhash.xxh3_64_intdigest(text.encode()))

    def _trained_parts(self) -> "list[Any]":
        network, only = self.network, self.config.train_layer
        if only is None:
            return [network]
        part = network.context if only == len(network.layers) else network.layers[only]
        return [part, network.critics[only]]

    @property
    def apart(self) -> bool:
        """Whether no gradient goes from module to module, so that each has its own at once."""
        return self.config.local and self.config.isolated

    @property
    def modules(self) -> list[str]:
        """The sites of the modules that have a loss."""
        last = "context" if self.config.gru else f"layers.{len(self.network.layers) - 1}"
        if not self.config.local:
            return ["classifier" if self.config.classes else last]
        named = [f"layers.{i}" for i in range(len(self.network.layers))]
        return [*named, "context"] if self.config.gru else named

    def _no_sums(self) -> "Tensor":
        import torch

        shape = len(self.modules), SCALARS + 3 * self.config.channels
        return torch.zeros(shape, dtype=torch.float64)

    def run(self) -> TrainedSim:
        """Train from where the folder is to the end."""
        from .side import side_by_side

        with side_by_side(self.config, self.device) as self.beside:
            return self._run()

    def _run(self) -> TrainedSim:
        config, first = self.config, 0
        state = read_state(self.folder, config, self.data)
        skip = 0
        if state is not None:
            restore(self.network, self.optimizer, state)
            first, skip, self.sums = state.epoch, state.step, state.tensors["sums"]
        path = self.folder / METRICS
        metrics = read_metrics(path, first)
        path.unlink(missing_ok=True)
        write_metrics(path, metrics)
        watch, warnings = Watch(config, metrics), []
        for epoch in range(first, config.epochs):
            self.hooks.begin(epoch)
            lines = self._epoch(epoch, skip)
            skip = 0
            metrics += lines
            for said in filter(None, map(watch.look, lines)):
                warnings.append(said)
                self.hooks.warn(said)
            write_metrics(path, lines)
            self._checkpoint(epoch + 1, 0)
            self.hooks.end(lines)
        found = TrainedSim(self.folder, config, metrics, warnings)
        self._save(found)
        return found

    def begin_with(self, start: Path) -> None:
        """Take the weights of a network of the same layers."""
        network = ("modules", "channels", "gru", "head", "batch_norm", "steps", "kind", "classes")
        other, _ = read_config(start)
        unlike = [name for name in network if getattr(other, name) != getattr(self.config, name)]
        if unlike:
            raise InputError(f"{start} differs in {', '.join(unlike)}; begin with a network alike")
        read_weights(start, self.network)

    def _save(self, found: TrainedSim) -> None:
        clips, config = self.clips, self.config
        about = {
            "data": clips.name, "digest": self.data, "clips": len(self.train),
            "held_out": len(self.held_out), "notes": list(clips.notes), **clips.about,
            "verdicts": found.verdicts() if found.metrics else {},
        }  # fmt: skip
        self.network.config = config
        save_model(self.folder, self.network, clips.scaling, about)

    def _checkpoint(self, epoch: int, step: int) -> None:
        tensors = {**gathered(self.network, self.optimizer), "sums": self.sums}
        write_state(self.folder, self.config, self.data, State(epoch, step, tensors))

    def _epoch(self, epoch: int, skip: int) -> list[Metrics]:
        """Train an epoch from its step `skip`, and return its metrics."""
        config, beta = self.config, beta_in(self.config, epoch)
        steps = len(self.train) // config.batch  # the rest is in other epochs' batches
        if not skip:
            self.sums = self._no_sums()
        order = self._random("order", epoch).permutation(self.train)
        starts = self._random("crop", epoch).random(len(order))
        self.network.train()
        self._freeze()
        last = monotonic()
        for step in range(skip, steps):
            chosen = slice(step * config.batch, (step + 1) * config.batch)
            self._step(order[chosen], starts[chosen], beta, (config.seed, epoch, step))
            if monotonic() - last > CHECKPOINT_SECONDS:
                self._checkpoint(epoch, step + 1)
                last = monotonic()
        measured = self._measured(beta)
        lines = [self._metrics(epoch, steps, beta, i, measured) for i in range(len(self.modules))]
        tell(_said(lines, config))
        return lines

    def _freeze(self) -> None:
        """Keep modules that are not trained from changing their running statistics."""
        if self.config.train_layer is not None:
            self.network.eval()
            for part in self._trained_parts():
                part.train()

    def _losses(
        self, places: NDArray[np.int64], starts: NDArray[np.float64], beta: float,
        seed: tuple[object, ...],
    ) -> "list[ModuleLoss]":  # fmt: skip
        import torch

        from .steps import class_loss, end_loss, local_losses

        wave = torch.from_numpy(self.clips.batch(places, starts)).to(self.device)
        wave = wave[:, None] if wave.ndim == 2 else wave
        if self.config.local:
            return local_losses(self.network, wave, beta, seed, self._start)
        if self.classes is None:
            return end_loss(self.network, wave, seed)
        labels = torch.from_numpy(self.classes[places]).to(self.device)
        return class_loss(self.network, wave, labels)

    def _start(self, work: "Callable[[], ModuleLoss]") -> "Callable[[], ModuleLoss]":
        from .steps import learned

        return self.beside(partial(learned, work) if self.apart else work)

    def _step(
        self, places: NDArray[np.int64], starts: NDArray[np.float64], beta: float,
        seed: tuple[object, ...],
    ) -> None:  # fmt: skip
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        losses = self._losses(places, starts, beta, seed)
        totals = [one.total for one in losses if one.total is not None]
        total = sum(totals[1:], totals[0])
        if not bool(total.isfinite()):
            epoch, step = seed[1], seed[2]
            raise NonFiniteError(
                f"the loss is no number in epoch {int(str(epoch)) + 1}, step {step}; {self.folder} "
                f"keeps the checkpoint before: use --force with a lower --learning-rate (now "
                f"{self.config.learning_rate:g})"
            )
        if not self.apart:
            torch.autograd.backward(total)
        self.optimizer.step()
        self.sums += _summed(losses, self.config.channels)

    def _measured(self, beta: float) -> "Tensor | None":
        """Sums over the clips held out, drawn alike in every epoch; None where there are none."""
        import torch

        if not len(self.held_out):
            return None
        sums, batches = self._no_sums(), ceil(len(self.held_out) / self.config.batch)
        self.network.eval()
        with torch.no_grad():  # in even parts: a rest of one short clip has too few negatives
            for at, places in enumerate(np.array_split(self.held_out, batches)):
                starts = np.full(len(places), 0.5)
                losses = self._losses(places, starts, beta, (self.config.seed, "held out", at))
                sums += _summed(losses, self.config.channels) * len(places)
        return sums

    def _metrics(
        self, epoch: int, steps: int, beta: float, index: int, measured: "Tensor | None"
    ) -> Metrics:
        config, sums = self.config, self.sums[index]
        count, nce, accuracy, kl, code = sums[:SCALARS].tolist()
        rated = config.gaussian and index < len(self.network.layers)
        units = config.local and index < len(self.network.layers)
        line = Metrics(
            epoch + 1, (epoch + 1) * steps, self.modules[index], nce / count, accuracy / count,
            kl / count if rated else None, code / count if rated else None, beta,
            _active(sums, config.channels) if units else None, round(monotonic() - self.began, 3),
        )  # fmt: skip
        if measured is None:
            return line
        count, nce, accuracy, kl, _ = measured[index, :SCALARS].tolist()
        return replace(
            line, held_out_nce=nce / count, held_out_accuracy=accuracy / count,
            held_out_kl=kl / count if rated else None,
        )  # fmt: skip


def _summed(losses: "list[ModuleLoss]", channels: int) -> "Tensor":
    """One step: 1, NCE, accuracy, both KLs; means, their squares, variances. (modules, 5 + 3·C)"""
    import torch

    rows = []
    for one in losses:
        zero = torch.zeros((), device=one.nce.device)
        rate = (one.rate.per_vector.detach(), one.rate.paper_compat.detach()) if one.rate else None
        scalars = torch.stack([zero + 1, one.nce, one.accuracy, *(rate or (zero, zero))])
        none = zero.expand(channels)
        mean = none if one.mean is None else one.mean
        variance = none if one.variance is None else one.variance
        rows.append(torch.cat([scalars, mean, mean.square(), variance]))
    return torch.stack(rows).double().cpu()


def _active(sums: "Tensor", channels: int) -> int:
    """Units whose mean varies over the epoch: variance within batches, and between them."""
    count = float(sums[0])
    mean, square, variance = (sums[SCALARS:] / count).view(3, channels)
    return int((variance + square - mean.square() > ACTIVE).sum())


def _said(lines: list[Metrics], config: SimConfig) -> str:
    from math import log

    def joined(values: Iterator[str]) -> str:
        return "/".join(values)

    text = f"NCE {joined(f'{one.nce:.2f}' for one in lines)}"
    if config.kind != "supervised":
        text += f" of log {config.negatives + 1} = {log(config.negatives + 1):.2f}"
    text += f" · right {joined(f'{one.accuracy:.0%}' for one in lines)}"
    rated = [one for one in lines if one.kl is not None]
    if rated:
        text += f" · rate {joined(f'{one.kl:.0f}' for one in rated)}"
        text += f" · active {joined(f'{one.active_units}' for one in rated)}"
    return text
