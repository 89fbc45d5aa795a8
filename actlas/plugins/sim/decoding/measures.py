"""What a decode function shows of the space that it decodes: pure functions of it and latents.

A decode function takes latents (n, frames, width) and gives outputs (n, …) of one shape. Sources:
Denoodt et al. 2024 (arXiv 2408.12936), its thesis and code; path length: Karras et al. 2019.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    Decode = Callable[[Tensor], Tensor]

Floats = NDArray[np.float64]
REACH = 2.68  # of a traversal: 99.3 % of N(0, 1) lies within
BLOCK = 2048  # latents decoded at once, in frames
LINE = 50  # steps of a path that is measured
NUDGE = 0.01  # of the share along a path, for its speed


def decoded(decode: "Decode", latents: "Tensor") -> "Tensor":
    """Decode many latents, a block at a time, each to a flat vector (n, outputs)."""
    import torch

    each = max(1, BLOCK // latents.shape[1])
    with torch.no_grad():
        return torch.cat([decode(part).flatten(1) for part in torch.split(latents, each)])


def sizes(width: int) -> list[int]:
    """Return numbers of dimensions from 0 to all: all of a few, else 1, 2, 3, 4, 6, 8, 12 …"""
    if width <= 16:
        return list(range(width + 1))
    powers = {step << i for i in range(width.bit_length()) for step in (1, 3)}
    return sorted({0, width, *(k for k in powers if k < width)})


def order(a: "Tensor", b: "Tensor") -> "Tensor":
    """Return (n, width) dimensions from where two items differ most, in their means over time."""
    apart = (a.mean(1) - b.mean(1)).square()
    return apart.argsort(dim=1, descending=True, stable=True)


def contribution(decode: "Decode", a: "Tensor", b: "Tensor", ks: Sequence[int]) -> Floats:
    """Return E(k), the squared error of D(a with its top k dimensions of b) to D(b) (ks,).

    a, b: (pairs, frames, width). E(0) is what the score is divided by.
    """
    place = order(a, b).argsort(1)  # (pairs, width) rank of each dimension
    goal = decoded(decode, b)
    errors = []
    for k in ks:
        mixed = b.where((place < k)[:, None, :], a)
        errors.append(float((decoded(decode, mixed) - goal).square().mean()))
    return np.array(errors)


def area(ks: Sequence[int], score: Floats) -> float:
    """Return the area under a score over k from 0 to all, by trapezoids, divided by all."""
    return float(np.trapezoid(score, ks) / ks[-1])


def nearest(queries: "Tensor", known: "Tensor") -> "Tensor":
    """Return (n,) the distance of each query to the nearest of the known (m, channels)."""
    import torch

    exact = "donot_use_mm_for_euclid_dist"
    return torch.cat(
        [torch.cdist(q, known, compute_mode=exact).amin(1) for q in torch.split(queries, 64)]
    )


def realism(made: "Tensor", test: "Tensor", real: "Tensor") -> tuple[float, float]:
    """Return the ratio of made outputs to those of test latents, and its reverse.

    First: mean distance to the nearest real one. Second, coverage: mean distance of real ones to
    the nearest output; made and test are of equal number. Over-dispersed data have a first ratio
    below 1, and a second above.
    """
    here = [float(nearest(x, real).mean()) for x in (made, test)]
    back = [float(nearest(real, x).mean()) for x in (made, test)]
    return here[0] / max(here[1], 1e-12), back[0] / max(back[1], 1e-12)


def between(a: "Tensor", b: "Tensor", shares: "Tensor") -> "Tensor":
    """Return (n, shares, frames, width) points of the lines from a to b."""
    at = shares[None, :, None, None]
    return a[:, None] * (1 - at) + b[:, None] * at


@dataclass(frozen=True, eq=False)
class Lines:
    """Decoded lines, one of n each: see `tables.Path`; linearity is NaN where the ends meet."""

    ends: Floats
    linearity: Floats
    jump: Floats
    bend: Floats


def lines(decode: "Decode", a: "Tensor", b: "Tensor", steps: int = LINE) -> Lines:
    """Measure the outputs of straight lines from a to b (n, frames, width)."""
    import torch

    shares = torch.linspace(0, 1, steps + 1, device=a.device)
    found = []
    for one, other in zip(a, b, strict=True):
        path = decoded(decode, between(one[None], other[None], shares)[0]).double()
        first, second = path.diff(dim=0), path.diff(n=2, dim=0)
        step = first.norm(dim=1)
        ends, largest = float((path[-1] - path[0]).norm()), float(step.max())
        moved = float(step.sum())
        median = max(float(step.median()), 1e-6 * largest)  # most steps of a jump are 0
        straight = moved / ends if ends > 1e-6 * max(moved, 1e-30) else np.nan
        energy = max(float(first.square().sum()), 1e-30)
        jump = largest / median if largest else 1.0
        found.append((ends, straight, jump, float(second.square().sum()) / energy))
    return Lines(*np.array(found).T)


def path_length(decode: "Decode", a: "Tensor", b: "Tensor", shares: "Tensor") -> float:
    """Return E[mean (D(z(s + e)) − D(z(s)))² / e²] along lines from a to b, s of shares (n,)."""
    at = shares[:, None, None] * (1 - NUDGE)
    here, there = (a * (1 - s) + b * s for s in (at, at + NUDGE))
    moved = (decoded(decode, there) - decoded(decode, here)).double()
    return float(moved.square().mean() / NUDGE**2)


def traversed(base: "Tensor", dim: int, values: "Tensor") -> "Tensor":
    """Return (n × values, frames, width): each base with one dimension at each value."""
    found = base[:, None].repeat(1, len(values), 1, 1)
    found[..., dim] = values[None, :, None]
    return found.flatten(0, 1)


def effects(decode: "Decode", base: "Tensor", values: "Tensor") -> Floats:
    """Return (width, channels) variance of each channel while one dimension is traversed.

    base: (n, frames, width); values: (values,) or (values, width), of each dimension its own.
    Outputs are (…, frames, channels); the mean over bases and frames of V = Var_v.
    """
    import torch

    found, each = [], max(1, BLOCK // base.shape[1])
    for dim in range(base.shape[2]):
        own = values if values.ndim == 1 else values[:, dim]
        latents = traversed(base, dim, own)
        with torch.no_grad():
            out = torch.cat([decode(part) for part in torch.split(latents, each)])
        spread = out.reshape(len(base), len(own), -1, out.shape[-1]).var(1, correction=0)
        found.append(spread.mean((0, 1)).double().cpu().numpy())
    return np.array(found)


def bandwidth(effect: Floats) -> Floats:
    """Return (width,) the entropy of the effects (width, channels) over channels, from 0 to 1."""
    total = effect.sum(1, keepdims=True)
    share = np.divide(effect, total, out=np.zeros_like(effect), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(-(share * logs).sum(1) / max(np.log(effect.shape[1]), 1e-12))
