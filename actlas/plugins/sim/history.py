"""`sim_training`: what a training of Smooth InfoMax wrote as it went, as tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Annotated

from actlas import InputError, LoadedModel, Result, analysis

from . import history_figures as figures
from .config import SimConfig
from .metrics import Metrics, faults, read_metrics
from .network import METRICS, read_config


@dataclass(frozen=True)
class Summary:
    """The training as a whole; one row a run."""

    kind: Annotated[str, "sim, gim, cpc or supervised"]
    modules: Annotated[int, "losses, one a module"]
    epochs: Annotated[int, "epochs trained"]
    steps: Annotated[int, "steps of the optimiser"]
    seconds: Annotated[float, "time of all epochs, in seconds"]
    steps_per_second: Annotated[float | None, "steps / seconds, measuring what is held out too"]
    bound: Annotated[float | None, "log(N + 1), nats: the loss of a critic that knows nothing"]
    chance: Annotated[float | None, "1 / (N + 1), the accuracy of such a critic"]
    collapsed: Annotated[int, "modules whose verdict is not `trained`"]
    collapsed_modules: Annotated[str, "their sites, parted by commas"]


@dataclass(frozen=True)
class Module:
    """How one module ended, and whether what it gives can be interpreted."""

    module: Annotated[str, "site of the module"]
    nce: Annotated[float, "InfoNCE of the last epoch, nats (supervised: cross-entropy)"]
    gap: Annotated[
        float | None, "log(N + 1) - nce, nats: a lower bound of what a frame tells of later ones"
    ]
    held_out_nce: Annotated[float | None, "InfoNCE on the clips held out, nats"]
    held_out_gap: Annotated[float | None, "log(N + 1) - held_out_nce, nats"]
    accuracy: Annotated[float, "share of predictions won, ties split"]
    kl: Annotated[float | None, "KL to N(0, I) per vector, nats: the rate"]
    active_units: Annotated[int | None, "dimensions whose mean varies (variance above 0.01)"]
    channels: Annotated[int, "dimensions of a vector"]
    verdict: Annotated[str, "`trained`, or what speaks against it"]
    collapsed: Annotated[bool, "whether the verdict is not `trained`"]


@analysis(
    version=1,
    tables={"summary": Summary, "modules": Module, "epochs": Metrics},
    figures={
        "loss": figures.loss,
        "accuracy": figures.accuracy,
        "rate": figures.rate,
        "active_units": figures.active_units,
    },
)
def sim_training(model: LoadedModel) -> Result:
    """Loss, accuracy, rate and active units of a `sim:` model, by epoch and module.

    Reads metrics.jsonl beside the checkpoint. A module counts as trained where more than half of
    its units are active (Burda et al. 2016: the posterior's mean has a variance above 0.01) and its
    loss is below 2.2 / log 11 = 0.917 of log(N + 1), which a critic reaches that knows nothing.
    That another one is smooth or Gaussian means nothing.
    """
    folder = _folder(model)
    config, _ = read_config(folder)
    lines = read_metrics(folder / METRICS)
    if not lines:
        raise InputError(
            f"{folder / METRICS} has no epoch: the model was copied without it or never trained; "
            f"train it with `actlas train {config.kind}`"
        )
    last = {line.module: line for line in lines}
    modules = [_module(line, config) for line in last.values()]
    bad = [module for module in modules if module.collapsed]
    warnings = [f"{module.module} is not to be interpreted: {module.verdict}" for module in bad]
    tables = {"summary": _summary(config, lines, bad), "modules": modules, "epochs": lines}
    return Result(tables, warnings=warnings)


def _folder(model: LoadedModel) -> Path:
    scheme, _, place = model.spec.partition(":")
    if scheme != "sim":
        raise InputError(
            f"sim_training reads what a training of `actlas train sim` wrote; {model.spec} is no "
            f"such model: choose an extraction of a sim: model"
        )
    return Path(place)


def _module(line: Metrics, config: SimConfig) -> Module:
    bound, wrong = _bound(config), ", ".join(faults(line, config))
    held = line.held_out_nce
    return Module(
        module=line.module,
        nce=line.nce,
        gap=None if bound is None else bound - line.nce,
        held_out_nce=held,
        held_out_gap=None if bound is None or held is None else bound - held,
        accuracy=line.accuracy,
        kl=line.kl,
        active_units=line.active_units,
        channels=config.gru if line.module.endswith("context") else config.channels,
        verdict=wrong or "trained",
        collapsed=bool(wrong),
    )


def _bound(config: SimConfig) -> float | None:
    """Return log(N + 1), nats; None where nothing is contrasted."""
    return None if config.kind == "supervised" else log(config.negatives + 1)


def _summary(config: SimConfig, lines: Sequence[Metrics], bad: Sequence[Module]) -> Summary:
    bound, steps, seconds = _bound(config), max(line.step for line in lines), _seconds(lines)
    return Summary(
        kind=config.kind,
        modules=len({line.module for line in lines}),
        epochs=len({line.epoch for line in lines}),
        steps=steps,
        seconds=seconds,
        steps_per_second=steps / seconds if seconds else None,
        bound=bound,
        chance=None if bound is None else 1 / (config.negatives + 1),
        collapsed=len(bad),
        collapsed_modules=", ".join(module.module for module in bad),
    )


def _seconds(lines: Sequence[Metrics]) -> float:
    """Add up the stretches between interruptions, after each of which the clock begins at 0."""
    clocks = list({line.epoch: line.seconds for line in lines}.values())
    follows = [*clocks[1:], 0.0]
    return sum(now for now, after in zip(clocks, follows, strict=True) if after < now)
