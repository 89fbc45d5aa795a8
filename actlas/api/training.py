"""Training toy models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
