"""Toy models: a phase diagram of ReLU models, and quadratic ones against their optimum."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas.plugins.toy import train_quadratic, train_relu
from examples.capacity_toy.study import cases, located

from .common import Bar

SIDE, STARTS = 10, 6


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what is made, and the seconds on the clock and of the processor."""
    wall, used = time.perf_counter(), time.process_time()
    made = work()
    return made, time.perf_counter() - wall, time.process_time() - used


def diagram(features: int) -> Bar:
    """Time a diagram of ReLU models."""
    ratio, density = grid()
    importance = np.ones((SIDE**2, features))
    importance[:, -1] = ratio
    _, wall, used = timed(lambda: train_relu(importance, density, features - 1, starts=STARTS))
    name = f"toy: {SIDE**2} cells of {features} in {features - 1}, {STARTS} starts, ReLU"
    return Bar(name, wall, 60, "s", f"{used:.1f} s of one core")


def grid() -> list[NDArray[np.float64]]:
    """Importance and density of the cells of a diagram."""
    return [
        g.ravel() for g in np.meshgrid(np.geomspace(0.1, 10, SIDE), np.geomspace(0.01, 1, SIDE))
    ]


def run() -> Iterator[Bar]:
    """Measure."""
    yield diagram(2)
    yield diagram(3)
    importance = np.stack([np.ones(SIDE**2), grid()[0] / 10], 1)
    _, wall, used = timed(lambda: train_quadratic(importance, 8, 1, starts=STARTS))
    name = f"toy: {SIDE**2} cells of 2 in 1, {STARTS} starts, quadratic"
    yield Bar(name, wall, 5, "s", f"{used:.2f} s of one core")
    rows = cases()
    error = max(row["error"] for row in rows)
    yield Bar("toy: capacities off the optimum", error * 1e4, 1, "e-4", f"{len(rows)} cases")
    rows = [row for bias in (True, False) for row in located(bias=bias)]
    error = max(abs(row["trained"] - row["analytic"]) for row in rows)
    yield Bar("toy: boundary on trained models", error * 1e3, 1, "e-3", f"{len(rows)} boundaries")
