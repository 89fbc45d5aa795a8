"""Training models: toy models, and speech encoders."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core import Dataset, read_dataset
from .loading import load_model
from .progress import bar, telling_bar
from .store import open as open_store

if TYPE_CHECKING:
    from ..plugins.sim import Hooks, TrainedSim


def train_toy(folder: str | Path, *, force: bool = False, **task: Any) -> Mapping[str, Any]:
    """Train toy models into a folder that `toy:FOLDER` loads, and return what was found.

    task: kind, features, dims, importance, kurtosis, density, values, bias, recipe, instances,
        seed and samples; see `actlas.plugins.toy.ToyTask`.
    force: replace what the folder holds.

    Returns model, kind, recipe, instances, loss (the lowest), spread (of the highest above it) and
    for every feature its importance, capacity and squared norm of its direction in the best
    instance;
    for quadratic models with a bias also the optimum's loss, capacities and norms.
    """
    from ..plugins.capacity import capacities
    from ..plugins.toy import ToyTask
    from ..plugins.toy import train_toy as trained_toy

    done = trained_toy(ToyTask(**task), Path(folder), force=force)
    config, loss = done.config, done.config.loss
    found: dict[str, Any] = {
        "model": f"toy:{done.folder}", "kind": config.kind, "recipe": config.recipe,
        "instances": len(loss), "loss": loss[0], "spread": loss[-1] / loss[0] - 1 if loss[0] else 0,
    }  # fmt: skip
    best = done.weights[0]
    norms, capacity = (best**2).sum(axis=1), capacities(best)
    rows: list[dict[str, Any]] = [
        {"feature": f"f{i}", "importance": v, "capacity": float(C), "norm2": float(n)}
        for i, (v, C, n) in enumerate(zip(config.importance, capacity, norms, strict=True))
    ]
    if config.kind == "quadratic" and config.bias:
        _add_optimum(found, rows, config)
    if (done.folder / "samples.jsonl").exists():
        found["samples"] = str(done.folder / "samples.jsonl")
    return {**found, "features": rows}


def _add_optimum(found: dict[str, Any], rows: list[dict[str, Any]], config: Any) -> None:
    from ..plugins.toy import optimum

    best = optimum(config.importance, config.kurtosis, config.dims)
    found["optimal loss"] = best.loss
    for row, n, capacity in zip(rows, best.norm2, best.capacity, strict=True):
        row |= {"optimal capacity": float(capacity), "optimal norm2": float(n)}


def train_speech(
    kind: Literal["sim", "gim", "cpc", "supervised"],
    data: str | Path | Dataset,
    folder: str | Path,
    *,
    recipe_name: str = "small",
    labels: str | None = None,
    settings: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
    start: Path | None = None,
    device: str = "auto",
    force: bool = False,
    store: str | None = None,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> Mapping[str, Any]:
    """Train a speech encoder into a folder that `sim:FOLDER` loads, or go on with one there.

    data: recordings, by what `read_dataset` takes (reading: its options). recipe_name and
    settings: see `actlas.plugins.sim.recipe`. labels: label set of a supervised network's classes.
    start: folder of a network to begin with. force: begin again where the folder has a training.
    store: URL of a store in which the recordings are then extracted and the metrics kept (see
    `keep_training`), None for none. say: is given what was done to recordings, and warnings, such
    as of collapse.

    Returns model, kind, recipe, clips, epochs, log(N + 1), and of each module its last metrics and
    whether it counts as trained.
    """
    from ..plugins.sim import read_clips, recipe, train_sim

    told = say or (lambda text: None)
    changes = dict(settings or {})
    dataset = data if isinstance(data, Dataset) else read_dataset(data, **dict(reading or {}))
    for note in dataset.notes:
        told(note)
    # The classes are known only when the clips are; until then any two stand for them.
    config = recipe(kind, recipe_name, **changes, **({"classes": ("", " ")} if labels else {}))
    with bar("reading", len(dataset), "clips", shown=progress) as advance:
        skip_bad = bool((reading or {}).get("skip_bad"))
        clips = read_clips(dataset, config, skip_bad=skip_bad, told=lambda done: advance(1, 1))
    for note in clips.notes:
        told(note)
    classes = None
    if labels:
        classes, names = clips.classes(labels)
        config = replace(config, classes=names)
        clips = replace(clips, config=config)
    with epochs_shown(kind, config.epochs, told, progress) as hooks:
        done = train_sim(
            clips, Path(folder), classes=classes, start=start, device=device, force=force,
            hooks=hooks,
        )  # fmt: skip
    record = training_record(done, recipe_name, len(clips))
    return {**record, **keep_training(store, done, dataset, device=device)}


@contextmanager
def epochs_shown(
    kind: str, epochs: int, told: Callable[[str], None], shown: bool
) -> "Iterator[Hooks]":
    """Show a bar over epochs, and say warnings."""
    from ..plugins.sim import Hooks

    with telling_bar(kind, epochs, shown=shown) as begin:
        yield Hooks(
            begin=lambda epoch: begin(f"epoch {epoch + 1}"),
            warn=lambda text: told(f"warning: {text}"),
        )


def keep_training(
    store: str | None, done: "TrainedSim", dataset: Dataset, *, prefix: str = "", device: str
) -> Mapping[str, Any]:
    """Extract what a network was trained on, one row a sample, and run `sim_training` there.

    store: its URL; None keeps nothing. prefix: of the network's sites. Sites that cannot share an
    extraction get one each; the run is of the last.

    Returns store, extraction and, where there were epochs, run.
    """
    if store is None:
        return {}
    model = load_model(f"sim:{done.folder}", device=device)
    stacks: dict[str, list[str]] = {}
    for name in model.sites:
        if re.fullmatch(rf"{re.escape(prefix)}(layers\.\d+|context)", name):
            (site,) = model.select([name], "mean")
            stacks.setdefault(site.stack, []).append(name)
    with open_store(store) as opened:
        for sites in stacks.values():
            made = opened.extract(model, dataset, sites, pooling="mean", device=device)
        kept = {"store": opened.url, "extraction": made.id}
        if not done.metrics:  # the network before training
            return kept
        (run,) = opened.run("sim_training", made, device=device)
        return {**kept, "run": run.id}


def training_record(done: "TrainedSim", recipe_name: str, clips: int) -> Mapping[str, Any]:
    """Say how a training ended; see `train_speech`."""
    config, verdicts = done.config, done.verdicts()
    names = ("module", "nce", "accuracy", "held_out_nce", "held_out_accuracy", "kl", "active_units")
    modules = [
        {name: getattr(one, name) for name in names} | {"verdict": verdicts[one.module]}
        for one in done.last()
    ]
    record: dict[str, Any] = {
        "model": f"sim:{done.folder}", "kind": config.kind, "recipe": recipe_name,
        "clips": clips, "epochs": config.epochs,
    }  # fmt: skip
    if config.kind != "supervised":
        record["log(N + 1)"] = log(config.negatives + 1)
    return record | {"modules": modules}
