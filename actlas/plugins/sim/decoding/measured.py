"""Tables of what a decoder shows: contribution, realism, paths and traversals of test items."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import measures
from .decoders import Scale
from .tables import Dimension, Path, Realism, Step
from .views import View, error

if TYPE_CHECKING:
    from torch import Tensor

Units = Literal["unit", "spread"]
POINTS = 1000  # outputs whose nearest is sought
REAL = 2000  # real ones among which it is
LINES = 40  # pairs whose path is measured
BASES = 16  # items of which dimensions are masked; of waveforms, that are traversed
ROWS = 128  # frames that are traversed
VALUES = 9  # of a traversal that is measured
DEAD = 0.01  # of the largest effect


@dataclass(frozen=True, eq=False)
class Measured:
    """What is measured on.

    items: (n, frames, width) means of test items; goals: (n, frames, channels) real outputs.
    real: (m, frames, channels) real outputs of training items.
    drawn: scale of the training latents as they are trained on.
    """

    view: View
    items: "Tensor"
    goals: "Tensor"
    real: "Tensor"
    drawn: Scale
    units: Units
    generator: Any

    def noise(self, *shape: int) -> "Tensor":
        """Draw from N(0, I)."""
        import torch

        return torch.randn(shape, generator=self.generator).to(self.items.device)

    def chosen(self, count: int, most: int) -> "Tensor":
        """Choose some of `count`, in a random order."""
        import torch

        return torch.randperm(count, generator=self.generator)[:most]

    def values(self, steps: int) -> "Tensor":
        """Return (steps,) values of a traversal, or (steps, width) of each dimension its own."""
        import torch

        values = torch.linspace(-measures.REACH, measures.REACH, steps).to(self.items.device)
        if self.units == "unit":
            return values
        return self.drawn.mean + self.drawn.std * values[:, None]

    @property
    def origin(self) -> "Tensor":
        """(width,) where traversals that are drawn begin: 0, or the mean."""
        zero = self.drawn.mean.new_zeros(self.drawn.mean.shape)
        return zero if self.units == "unit" else self.drawn.mean


def pairs(count: int, most: int, generator: Any) -> NDArray[np.int64]:
    """Return (pairs, 2) ordered pairs of different items, all or a random choice."""
    import torch

    every = np.array([(i, j) for i in range(count) for j in range(count) if i != j], np.int64)
    if len(every) <= most:
        return every
    found: NDArray[np.int64] = every[torch.randperm(len(every), generator=generator)[:most].numpy()]
    return found


def curve(on: Measured, chosen: NDArray[np.int64], effect: NDArray[np.float64]) -> list[Step]:
    """Return the contribution of the top k dimensions, and what is left of the k of most effect."""
    a, b = on.items[chosen[:, 0]], on.items[chosen[:, 1]]
    ks = measures.sizes(on.items.shape[2])
    errors = measures.contribution(on.view.decode, a, b, ks)
    score = errors / max(errors[0], 1e-30)
    rank = np.argsort(np.argsort(-effect.sum(1), kind="stable"), kind="stable")
    kept = [masked_error(on, rank >= k) for k in ks]
    found = zip(ks, errors.tolist(), score.tolist(), kept, strict=True)
    return [Step(*one) for one in found]


def masked_error(on: Measured, hidden: NDArray[np.bool_]) -> float:
    """Return the error of some test items with hidden dimensions at their mean."""
    import torch

    mask = torch.from_numpy(hidden).to(on.items.device)
    latents = on.drawn.mean.where(mask, on.items[:BASES])
    return error(on.view, latents, on.goals[:BASES])


def traversals(on: Measured) -> NDArray[np.float64]:
    """Return (width, channels) effects of traversals of test items: of frames where it can."""
    base = on.items[:BASES]
    if on.view.target.stack is None:  # any frames: the first has seen padding, and is like no other
        base = on.items.flatten(0, 1)[:, None]
        base = base[on.chosen(len(base), ROWS)]
    return measures.effects(on.view.seen, base, on.values(VALUES))


def dimensions(
    on: Measured, effect: NDArray[np.float64] | None, active: NDArray[np.bool_] | None
) -> list[Dimension]:
    """Return what each dimension does; without effects where nothing can be decoded."""
    mean, variance = on.drawn.mean.tolist(), (on.drawn.std**2).tolist()
    count = len(mean)
    known = [None] * count if active is None else active.tolist()
    if effect is None:
        return [
            Dimension(d, mean[d], variance[d], *(None,) * 5, known[d], None) for d in range(count)
        ]
    total = effect.mean(1)
    share, band = total / max(total.max(), 1e-30), measures.bandwidth(effect)
    peak = on.view.target.channels[effect.argmax(1)]
    return [
        Dimension(
            d, mean[d], variance[d], float(total[d]), float(share[d]), float(band[d]),
            float(peak[d]), bool(share[d] < DEAD), known[d],
            masked_error(on, np.arange(count) == d),
        )
        for d in range(count)
    ]  # fmt: skip


def realisms(on: Measured, chosen: NDArray[np.int64]) -> list[Realism]:
    """Return how real outputs of priors and of midpoints are."""
    whole = on.view.target.stack is not None
    latents = on.items if whole else on.items.flatten(0, 1)[:, None]
    latents = latents[on.chosen(len(latents), POINTS)]
    unit = on.noise(*latents.shape)
    a, b = (on.items[chosen[:, side]] for side in (0, 1))
    halves = (a + b) / 2 if whole else ((a + b) / 2).flatten(0, 1)[:, None]
    halves = halves[on.chosen(len(halves), len(latents))]
    kinds = {"prior": unit, "fitted": on.drawn.back(unit), "midpoint": halves}
    real = on.view.real(on.real).flatten(0, 1)
    real = real[on.chosen(len(real), REAL)]

    def seen(z: "Tensor") -> "Tensor":
        made = measures.decoded(on.view.seen, z).reshape(-1, real.shape[1])
        return made[:POINTS]

    test, rows = seen(latents), []
    for kind, z in kinds.items():
        made = seen(z)
        count = min(len(made), len(test))
        ratio, back = measures.realism(made[:count], test[:count], real)
        rows.append(Realism(kind, ratio, back, abs(float(np.log(max(ratio, 1e-12))))))
    return rows


def paths(on: Measured, chosen: NDArray[np.int64]) -> list[Path]:
    """Measure the lines of some pairs, and lines to random points as far away."""
    some = chosen[:LINES]
    a, b = on.items[some[:, 0]], on.items[some[:, 1]]
    apart = (b - a).flatten(1).norm(dim=1)
    away = on.noise(*a.shape)
    away = a + away * (apart / away.flatten(1).norm(dim=1))[:, None, None]
    rows = []
    for kind, ends in (("items", b), ("random", away)):
        found = measures.lines(on.view.decode, a, ends)
        for i in range(len(some)):
            straight = float(found.linearity[i])
            rows.append(
                Path(
                    i, kind, float(apart[i]), float(found.ends[i]),
                    None if np.isnan(straight) else straight,
                    float(found.jump[i]), float(found.bend[i]),
                )
            )  # fmt: skip
    return rows


def speed(on: Measured, chosen: NDArray[np.int64]) -> float:
    """Return the perceptual path length of the pairs."""
    import torch

    a, b = on.items[chosen[:, 0]], on.items[chosen[:, 1]]
    shares = torch.rand(len(a), generator=on.generator).to(a.device)
    return measures.path_length(on.view.decode, a, b, shares)
