"""What is logged of every module and epoch, and the watch for collapse."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from math import log
from pathlib import Path
from typing import Annotated, final

from .config import SimConfig

ACTIVE = 0.01  # Var_x μ_d above which a dimension is active (Burda et al. 2016)
AT_CHANCE = 0.98  # share of log(N + 1) from which a loss says nothing was learned
HEALTHY = 2.2 / log(11)  # share of log(N + 1) below which a module counts as trained
PATIENCE = 10  # epochs at full β before a module that has learned nothing is reported


@final
@dataclass(frozen=True)
class Metrics:
    """One line of metrics.jsonl: a module in an epoch, means over its steps."""

    epoch: Annotated[int, "number of the epoch, from 1"]
    step: Annotated[int, "optimiser steps done at its end"]
    module: Annotated[str, "site of the module"]
    nce: Annotated[float, "InfoNCE, nats; log(N + 1) says nothing (supervised: cross-entropy)"]
    accuracy: Annotated[float, "share of predictions won, ties split; 1 / (N + 1) is chance"]
    kl: Annotated[float | None, "KL to N(0, I) per vector, nats: the rate"]
    kl_code: Annotated[float | None, "the same, summed over frames, mean over channels"]
    beta: Annotated[float, "weight of the KL term in force"]
    active_units: Annotated[int | None, "dimensions whose mean varies (variance above 0.01)"]
    seconds: Annotated[float, "time since the training or its resumption began, s"]
    held_out_nce: Annotated[float | None, "InfoNCE on the clips held out, nats"] = None
    held_out_accuracy: Annotated[float | None, "accuracy on the clips held out"] = None
    held_out_kl: Annotated[float | None, "rate on the clips held out, nats per vector"] = None


def write_metrics(path: Path, lines: Iterable[Metrics]) -> None:
    """Append lines."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(line)) + "\n" for line in lines)


def read_metrics(path: Path, epochs: int | None = None) -> list[Metrics]:
    """Read metrics.jsonl, at most of the first `epochs`; a line cut off by a kill is no line."""
    if not path.exists():
        return []
    names, found = {field.name for field in fields(Metrics)}, []
    for text in path.read_text("utf-8").splitlines():
        try:
            values = json.loads(text)
        except ValueError:
            continue
        found.append(Metrics(**{name: values[name] for name in names & set(values)}))
    return [line for line in found if epochs is None or line.epoch <= epochs]


def beta_in(config: SimConfig, epoch: int) -> float:
    """Return the weight of the KL term in an epoch (from 0): it rises from 0 over the warm-up."""
    return config.beta * (min(epoch / config.warmup, 1.0) if config.warmup else 1.0)


def faults(line: Metrics, config: SimConfig) -> list[str]:
    """Say what keeps a module from counting as trained; empty where nothing does."""
    if config.kind == "supervised":
        return []
    found, most = [], log(config.negatives + 1)
    if (
        line.active_units is not None
        and config.gaussian
        and 2 * line.active_units <= config.channels
    ):
        found.append(f"{line.active_units} of {config.channels} units active")
    if line.nce >= HEALTHY * most:
        found.append(f"NCE {line.nce:.2f} of log(N + 1) = {most:.2f}")
    return found


class Watch:
    """Warns once of a module that has collapsed, or that learns nothing."""

    def __init__(self, config: SimConfig, before: Iterable[Metrics] = ()):
        self._config = config
        self._said: set[str] = set()
        self._lived: set[str] = set()
        for line in before:
            self.look(line)

    def look(self, line: Metrics) -> str | None:
        """Return a warning about a module, the first time there is reason for one."""
        config, module = self._config, line.module
        most = log(config.negatives + 1)
        at_chance = line.nce >= AT_CHANCE * most and config.kind != "supervised"
        few = (
            config.gaussian
            and line.active_units is not None
            and (2 * line.active_units <= config.channels)
        )
        if not (few or at_chance):
            self._lived.add(module)
        late = line.epoch > config.warmup + PATIENCE
        if module in self._said or not (few or at_chance) or not (late or module in self._lived):
            return None
        self._said.add(module)
        seen = f"{module} in epoch {line.epoch}: NCE {line.nce:.2f} of {most:.2f}"
        if not config.gaussian:
            return f"{seen}: it learns nothing; try another --learning-rate or more data"
        return (
            f"{seen}, {line.active_units} of {config.channels} units active, rate {line.kl:.2g} "
            f"nats: the posterior has collapsed; use a lower --beta (now {config.beta:g}), a "
            f"longer --warmup, --free-bits, or a --logvar-bias of -4 or lower"
        )
