"""Cross-products of all pairs of sites, in few passes over their rows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from math import isqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, pick_device

from .sites import Place, Sites

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["float32", "float64"]
BOUND = 2**30  # bytes of cross-products that are summed at once
STEP = 4096  # rows that are multiplied at once


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (width,) of a site, and its scale: the root of the mean squared length about it."""

    mean: "Tensor"
    scale: float


def moments(sites: Sites) -> list[Moments]:
    """Read every site once; InputError for one that is constant or holds NaN or infinity."""
    return [_moments(sites.who, place) for place in sites]


def _moments(who: str, place: Place) -> Moments:
    import torch

    acts = place.acts
    start = torch.from_numpy(acts[0]).double()  # squares about a row: about 0 they may cancel
    total, squares = torch.zeros(acts.width, dtype=torch.float64), 0.0
    with acts.source.opened():
        for chunk in acts.chunks(STEP, np.float64):
            away = torch.from_numpy(chunk).sub_(start)
            total += away.sum(dim=0)
            squares += float(away.square_().sum())
    shift, squares = total / len(acts), squares / len(acts)
    left = squares - float(shift @ shift)
    if not np.isfinite(left):
        raise InputError(f"{who}: {place.name} holds NaN or infinity; use --nonfinite drop")
    if left <= 1e-12 * max(squares, float(start @ start)):
        raise InputError(f"{who}: {place.name} is the same in all rows; leave it out of the sites")
    return Moments(start + shift, left**0.5)


class Stream:
    """Rows of sites, centred and divided by their scale, multiplied with each other.

    precision: float32 products of `STEP` rows, summed in float64; or float64 throughout.
    """

    def __init__(self, sites: Sites, precision: Precision, bound: int = BOUND):
        self.sites, self.precision = sites, precision
        self.moments = moments(sites)
        self.device = pick_device(sites.places[0].acts.device)
        self.device = "cpu" if self.device == "mps" else self.device  # it has no float64
        self.lengths = np.empty((sites.rows, len(sites)))  # squared, of each row at each site
        self.blocks = _blocks(sites, isqrt(bound // 8))

    def products(self) -> "Iterator[tuple[int, int, Tensor]]":
        """Yield i ≤ j and the mean product XᵢᵀXⱼ / n (widthᵢ, widthⱼ) in float64, of all pairs.

        Those of a site with itself come before all others that it is in.
        """
        for block in self.blocks:
            yield from sorted(self._block(block, block), key=lambda found: found[0] != found[1])
        for rows, columns in combinations(self.blocks, 2):
            yield from self._block(rows, columns)

    def _block(
        self, rows: Sequence[int], columns: Sequence[int]
    ) -> "Iterator[tuple[int, int, Tensor]]":
        """Sum the products of two blocks of sites, of a block with itself one half."""
        import torch

        widths = [place.acts.width for place in self.sites]
        own = rows is columns
        right = {i: columns[columns.index(i) :] if own else columns for i in rows}
        sums = {
            i: torch.zeros(
                (widths[i], sum(widths[j] for j in right[i])),
                dtype=torch.float64, device=self.device,
            )
            for i in rows
        }  # fmt: skip
        room: dict[tuple[int, ...], Tensor] = {}  # fresh pages are dear
        for here, there in self._chunks(rows, columns):
            at = 0  # where the site begins in its block
            for i in rows:
                out = room.setdefault(tuple(sums[i].shape), here.new_empty(sums[i].shape))
                mine = here[:, at : at + widths[i]]
                sums[i] += torch.mm(mine.T, there[:, at:] if own else there, out=out)
                at += widths[i]
        for i in rows:
            mean = sums.pop(i).div_(self.sites.rows)
            parts = torch.split(mean, [widths[j] for j in right[i]], dim=1)
            yield from ((i, j, part) for j, part in zip(right[i], parts, strict=True))

    def _chunks(
        self, rows: Sequence[int], columns: Sequence[int]
    ) -> "Iterator[tuple[Tensor, Tensor]]":
        """Yield chunks of the sites of two blocks, side by side."""
        import torch

        both = dict.fromkeys([*rows, *columns])
        with ExitStack() as stack:
            for i in both:
                stack.enter_context(self.sites.places[i].acts.source.opened())
            readers = {i: self.sites.places[i].acts.chunks(STEP, np.float64) for i in both}
            for start in range(0, self.sites.rows, STEP):
                read = {i: self._centred(i, start, next(reader)) for i, reader in readers.items()}
                here = torch.cat([read[i] for i in rows], dim=1)
                same = rows is columns
                yield here, here if same else torch.cat([read[i] for i in columns], dim=1)

    def _centred(self, i: int, start: int, chunk: NDArray[np.float64]) -> "Tensor":
        import torch

        found = self.moments[i]
        exact = torch.from_numpy(chunk).sub_(found.mean).div_(found.scale)
        self.lengths[start : start + len(chunk), i] = exact.square().sum(dim=1).numpy()
        return exact.to(self.device, getattr(torch, self.precision))


def _blocks(sites: Sites, widest: int) -> list[list[int]]:
    """Cut the sites, in order, into blocks that are together at most `widest` wide."""
    blocks: list[list[int]] = []
    room = 0
    for i, place in enumerate(sites):
        if place.acts.width > widest:
            raise InputError(
                f"{sites.who}: {place.name} is {place.acts.width:,} wide, more than {widest:,}; "
                f"leave it out, or extract it with a pooling of fewer dimensions"
            )
        if place.acts.width > room:
            blocks.append([])
            room = widest
        blocks[-1].append(i)
        room -= place.acts.width
    return blocks
