"""What is kept to look at and listen to: traversals, interpolations, prior samples, sounds."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .measured import Measured
from .measures import between, traversed
from .tables import Cell

if TYPE_CHECKING:
    from torch import Tensor

KEPT_DIMS = 64  # traversals in the arrays
DRAWN_DIMS = 8  # those in the table, to be drawn
DRAWN_PAIRS = 2
DRAWN_FRAMES = 32
DRAWN_CHANNELS = 40
PRIORS = 16
HEARD = 3
ARRAYS = {
    "traversal": "(dims, steps, channels) decoded traversals from 0 (units=spread: the mean), one "
    "frame (of waveforms the mean over frames), in the target's units",
    "traversal_dims": "(dims,) their dimensions, by effect, 64 at most",
    "interpolation": "(pairs, steps, frames, channels) decoded lines between two test items",
    "priors": "(samples, frames, channels) decoded draws of N(0, I), independent over frames",
    "effects": "(width, channels) variance of each output channel while a dimension is traversed",
    "waves": "(clips, samples) decoded sound; no clip where the target is no sound",
    "wave_names": "(clips,) what each is",
    "wave_rate": "(1,) samples a second, 0 where there are none",
}


def nothing() -> dict[str, Any]:
    """Return the arrays where nothing can be decoded."""
    shapes = {"traversal": (0, 0, 0), "interpolation": (0, 0, 0, 0), "priors": (0, 0, 0)}
    empty = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return empty | {
        "traversal_dims": np.zeros(0, np.int64), "effects": np.zeros((0, 0)), **_silence(),
    }  # fmt: skip


def _silence() -> dict[str, Any]:
    return {
        "waves": np.zeros((0, 0), np.float32), "wave_names": np.zeros(0, "U1"),
        "wave_rate": np.zeros(1, np.int64),
    }  # fmt: skip


def arrays(
    on: Measured, chosen: NDArray[np.int64], effect: NDArray[np.float64], steps: int
) -> dict[str, Any]:
    """Return the arrays of a result (see `ARRAYS`)."""
    import torch

    dims = np.argsort(-effect.sum(1), kind="stable")[:KEPT_DIMS]
    strips = [on.view.shown(_traversal(on, int(d), steps)).mean(1) for d in dims]
    pair = chosen[:DRAWN_PAIRS]
    a, b = on.items[pair[:, 0]], on.items[pair[:, 1]]
    shares = torch.linspace(0, 1, steps, device=a.device)
    lines = between(a, b, shares).flatten(0, 1)
    shown = on.view.shown(lines)
    noise = on.noise(PRIORS, *on.items.shape[1:])
    found = {
        "traversal": np.stack(strips), "traversal_dims": dims,
        "interpolation": shown.reshape(len(pair), steps, *shown.shape[1:]),
        "priors": on.view.shown(noise), "effects": effect,
    }  # fmt: skip
    return found | (_heard(on, dims, lines[:steps], noise) if _is_heard(on) else _silence())


def _is_heard(on: Measured) -> bool:
    """Whether items are sound, and at least a window long: a hop alone is none."""
    target = on.view.target
    if target.bands is None or target.stack is not None:
        return target.stack is not None
    return on.items.shape[1] * target.hop >= target.bands.size


def _traversal(on: Measured, dim: int, steps: int) -> "Tensor":
    values = on.values(steps)
    own = values if values.ndim == 1 else values[:, dim]
    frames = 1 if on.view.target.stack is None else on.items.shape[1]
    return traversed(on.origin.expand(1, frames, -1), dim, own)


def _heard(
    on: Measured, dims: NDArray[np.int64], line: "Tensor", noise: "Tensor"
) -> dict[str, Any]:
    """Decode originals, decoded items, a line between two, prior samples and traversed items."""
    originals = on.view.sounds(on.goals[:HEARD].cpu().numpy())
    decoded = on.view.waves(on.items[:HEARD])
    steps = range(0, len(line), max(1, (len(line) - 1) // 4))
    values = on.values(2)
    named: dict[str, NDArray[np.float32]] = {}
    for i in range(len(originals)):
        named |= {f"item {i} original": originals[i], f"item {i} decoded": decoded[i]}
    for i, wave in zip(steps, on.view.waves(line[list(steps)]), strict=True):
        named[f"line step {i}"] = wave
    named |= {f"prior {i}": wave for i, wave in enumerate(on.view.waves(noise[:HEARD]))}
    for dim in dims[:HEARD].tolist():
        own = values if values.ndim == 1 else values[:, dim]
        low, high = on.view.waves(traversed(on.items[:1], dim, own))
        named |= {f"dim {dim} low": low, f"dim {dim} high": high}
    rate = np.array([on.view.target.rate])
    return {"waves": np.stack(list(named.values())), "wave_names": np.array(list(named)),
            "wave_rate": rate}  # fmt: skip


def cells(on: Measured, kept: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the table of strips, column by column: some channels and frames of the arrays."""
    channels = on.view.target.channels
    few = np.unique(np.linspace(0, len(channels) - 1, DRAWN_CHANNELS).round().astype(int))
    table: dict[str, list[Any]] = {name: [] for name in Cell.__dataclass_fields__}
    steps = kept["traversal"].shape[1]
    values = on.values(steps).cpu().numpy()
    for dim, strip in zip(kept["traversal_dims"][:DRAWN_DIMS], kept["traversal"], strict=False):
        at = values if values.ndim == 1 else values[:, dim]
        _put(table, "traversal", int(dim), at, strip[:, None], channels, few)
    for number, strip in enumerate(kept["interpolation"]):
        frames = np.unique(np.linspace(0, strip.shape[1] - 1, DRAWN_FRAMES).round().astype(int))
        some = np.unique(np.linspace(0, steps - 1, 5).round().astype(int))
        shares = np.linspace(0, 1, steps)[some]
        _put(table, "interpolation", number, shares, strip[some][:, frames], channels, few, frames)
    return table


def _put(
    table: dict[str, list[Any]], strip: str, number: int, at: NDArray[Any], values: NDArray[Any],
    channels: NDArray[np.float64], few: NDArray[np.int64], frames: NDArray[Any] | None = None,
) -> None:  # fmt: skip
    """Add values (steps, frames, channels), of a few channels."""
    values = values[:, :, few]
    step, frame, channel = (place.ravel() for place in np.indices(values.shape))
    table["strip"] += [strip] * values.size
    table["number"] += [number] * values.size
    table["step"] += step.tolist()
    table["at"] += at[step].astype(float).tolist()
    table["frame"] += (frame if frames is None else frames[frame]).tolist()
    table["channel"] += channels[few][channel].tolist()
    table["value"] += values.ravel().astype(float).tolist()
