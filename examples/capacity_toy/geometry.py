"""Many features in few dimensions: how ReLU models divide them, by density."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas.plugins.capacity import capacities
from actlas.plugins.toy import RECIPES, Recipe, ToyTask, Trained, keep_toy, settle, train_relu

Rows = list[dict[str, Any]]
LINES = {"1": 1.0, "3/4": 0.75, "2/3": 2 / 3, "1/2": 0.5, "2/5": 0.4, "3/8": 0.375}
"""Capacity in a regular arrangement: alone, tetrahedron, triangle, antipodal pair, pentagon,
square antiprism (Elhage et al. 2022)."""
NEAR = 0.02  # of capacity: a feature is at a line
HALF = 0.5  # squared norm above which a feature counts as represented


@dataclass(frozen=True)
class Known:
    """What an earlier measurement with the same recipe and another implementation gave.

    each: dimensions per feature, D / ‖W‖². represented: features. at: line → features near it.
    typical: least and greatest capacity that represented features were said to have.
    """

    each: float | None = None
    represented: int | None = None
    at: Mapping[str, int] = field(default_factory=dict)
    typical: tuple[float, float] | None = None


@dataclass(frozen=True)
class Setting:
    """Features of importance decay^i in `dims` dimensions, at several densities.

    least: total capacity that an earlier measurement had at every density, or more.
    """

    features: int
    dims: int
    decay: float
    recipe: str
    known: Mapping[float, Known]
    least: float | None = None

    @property
    def name(self) -> str:
        """How it is called."""
        return f"{self.features} in {self.dims}"


UNEQUAL = (
    Setting(20, 5, 0.7, "fast", dict.fromkeys((1.0, 0.3, 0.1, 0.03), Known())),
    Setting(80, 20, 0.9, "wide", dict.fromkeys((1.0, 0.3, 0.1, 0.03), Known())),
)
EQUAL = (
    Setting(80, 10, 1.0, "wide", {
        1.0: Known(1.0), 0.7: Known(at={"2/3": 9}), 0.5: Known(0.559, 18, {"1/2": 18}),
        0.2: Known(None, 28, {"2/5": 9}), 0.1: Known(None, 43, typical=(0.21, 0.25)),
        0.05: Known(None, 61, typical=(0.164, 0.164)),
        0.02: Known(None, 80, typical=(0.125, 0.125)),
    }, 9.99),
    Setting(200, 20, 1.0, "tms", {
        1.0: Known(1.002), 0.5: Known(0.560, None, {"1/2": 36}),
        0.3: Known(0.503, None, {"1/2": 38}), 0.2: Known(0.356, 55, {"3/8": 37}),
    }, 19.976),
)  # fmt: skip
LARGE = Setting(400, 30, 1.0, "tms", dict.fromkeys((0.5, 0.2, 0.05), Known()))


def measured(setting: Setting, folder: Path, brief: Recipe | None = None) -> Rows:
    """Train a setting at all its densities; keep each model in a folder that `toy:` loads.

    brief: trained like this for a try, in place of the setting's own recipe.
    """
    importance = setting.decay ** np.arange(setting.features)
    recipe = brief or RECIPES[setting.recipe]
    density = np.array(list(setting.known))
    found = train_relu(importance, density, setting.dims, starts=1, recipe=recipe)
    if brief:
        setting = replace(setting, recipe="brief")
    return [_cell(setting, p, found.cell(number), folder) for number, p in enumerate(setting.known)]


def _cell(setting: Setting, density: float, trained: Trained, folder: Path) -> dict[str, Any]:
    place = folder / f"relu-{setting.features}-{setting.dims}-{density:g}"
    task = ToyTask("relu", setting.features, setting.dims, str(setting.decay), density=density)
    config = replace(settle(task), recipe=setting.recipe)
    keep_toy(config, trained, place, samples=200)
    W, known = trained.weights[0, 0], setting.known[density]
    capacity, squares = capacities(W), np.square(W).sum(axis=1)
    there = squares > HALF
    return {
        "setting": setting.name, "dims": setting.dims, "decay": setting.decay, "density": density,
        "model": place.name, "loss": float(trained.loss[0, 0]), "total": float(capacity.sum()),
        "each": float(setting.dims / squares.sum()), "represented": int(there.sum()),
        "at": {k: int((np.abs(capacity - line) < NEAR).sum()) for k, line in LINES.items()},
        "known_each": known.each, "known_represented": known.represented,
        "known_at": dict(known.at), "known_typical": known.typical, "least": setting.least,
        "typical": _median(capacity[there]),
        "capacities": capacity.tolist(),
        "importance": config.importance,
    }  # fmt: skip


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None
