"""What is said of a result: the gate, and what data and settings do to it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fitting import GATE
from .measured import Measured
from .sequences import MOST_FRAMES, Sequences, usual

WAVES = (
    "a stack of convolutions to the waveform wants thousands of steps: try more --epochs, "
    "or --form spectrum, which is decoded row by row"
)
NEAR = 0.3  # nats a dimension from N(0, 1), below which values may be means of posteriors


def gate(r2: float, active: NDArray[np.bool_] | None) -> str:
    """Say whether scores mean something, and of how many dimensions."""
    if r2 <= GATE:
        return f"uninformative: R² of test samples {r2:.2f}, not above {GATE}"
    if active is None or active.all():
        return "informative"
    count, width = int(active.sum()), len(active)
    if not count:
        return f"collapsed: none of {width} dimensions active; no smoothness is told"
    word = "partly collapsed" if count <= width // 2 else "informative"
    return f"{word}: {count} of {width} dimensions active; scores of the others mean nothing"


def remarks(
    on: Measured, head: Mapping[str, Any], order: Sequences, frames: int | None
) -> list[str]:
    """Return what is said of any result. frames: of an item as asked for."""
    return [*_of_gate(on, head), *_of_items(order, frames), *_of_sound(on), *_of_scale(on)]


def _of_gate(on: Measured, head: Mapping[str, Any]) -> Iterator[str]:
    if head["r2"] <= GATE:
        yield (
            f"the decoder explains {max(head['r2'], 0):.1%} of the test samples' variance, so "
            f"the space is not called smooth: a collapsed one would look so"
        )
        if on.view.target.stack is not None:
            yield WAVES
    active, width = head["active"], on.items.shape[2]
    if active is not None and active <= width // 2:
        yield (
            f"{'partly ' * bool(active)}collapsed: {active} of {width} dimensions are active; the "
            f"others are noise, and their scores mean nothing"
        )


def _of_items(order: Sequences, frames: int | None) -> Iterator[str]:
    if frames is None and usual(order) > MOST_FRAMES:
        yield (
            f"items are the first {MOST_FRAMES} frames of samples that have {usual(order)} or more "
            f"(three quarters of them); use --frames {usual(order)} to interpolate longer ones"
        )


def _of_sound(on: Measured) -> Iterator[str]:
    bands = on.view.target.bands
    if bands is not None and bands.top < bands.rate / 2:
        yield (
            f"recordings of {2 * bands.top:.0f} Hz hold no sound above {bands.top:.0f} Hz, where "
            f"bands end"
        )


def _of_scale(on: Measured) -> Iterator[str]:
    middle = float(on.drawn.std.median())
    if on.units == "unit" and not 0.2 < middle < 5:
        yield (
            f"dimensions have a standard deviation of {middle:.2g}, and are traversed over ±2.68; "
            f"use --units spread"
        )


def of_posterior(site: str, on: Measured) -> list[str]:
    """Advise a log-variance where it is none, of a site that may be one of a SIM's means."""
    if site.endswith(".logvar"):
        return [
            f"{site} is a log-variance: draws of N(0, I) are none of its values; decode "
            f"{site.removesuffix('.logvar')}, with --other {site}"
        ]
    mean, std = on.drawn.mean, on.drawn.std
    apart = float(((mean.square() + std.square() - 1) / 2 - std.log()).median())
    if not re.fullmatch(r"layers\.\d+", site) or not on.view.target.rate or apart > NEAR:
        return []
    return [
        f"trained on the values of {site}, which are near N(0, I): if they are means of "
        f"posteriors (a SIM's), extract {site}.logvar too and name it (--other {site}.logvar), "
        f"else scores of samples mislead"
    ]
