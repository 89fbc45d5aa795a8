"""What is read of a run of `ica` again: its rows, columns of its axes, and items among rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Result

from .fit import row_norms
from .project import Axes
from .reading import row_blocks

HELD = 1 << 27  # numbers held at a time, so that memory does not grow with rows × axes
BLOCK_ROWS = 4096  # the same whatever chunks the host reads in, so that results are


def fitted_rows(acts: Activations, base: Result) -> NDArray[np.int64]:
    """Return the rows (numbers) that a run was fitted to: those far out may have been left out."""
    far = float(base.parameters.get("outlier_norm", 0.0))
    if far <= 0:
        return np.arange(len(acts))
    norms = row_norms(acts)
    return np.flatnonzero(norms <= far * np.median(norms))


def fitted(acts: Activations, base: Result) -> Activations:
    """Return the rows that a run was fitted to."""
    rows = fitted_rows(acts, base)
    return acts if len(rows) == len(acts) else acts.take(rows)


def stable_axes(base: Result) -> list[bool | None]:
    """Return of every axis whether it is stable; None where the run did not ask."""
    return [None if flag is None else bool(flag) for flag in base.tables["axes"]["stable"]]


def column_blocks(acts: Activations, axes: Axes) -> Iterator[NDArray[np.float32]]:
    """Yield all axes (some, rows) in float32, in order, as many at a time as can be held."""
    axes.check(acts.width)
    at_once = max(16, HELD // len(acts))
    for first in range(0, axes.k, at_once):
        part = axes.part(slice(first, first + at_once))
        columns = np.empty((part.k, len(acts)), np.float32)
        start = 0
        for rows in row_blocks(acts, BLOCK_ROWS):
            block = part(rows)
            columns[:, start : start + len(block)] = block.T.cpu().numpy()
            start += len(block)
        yield columns


def lengths(acts: Activations, axes: Axes) -> NDArray[np.float32]:
    """Return the length |s| of every row, in axes; never 0."""
    blocks = map(axes, row_blocks(acts, BLOCK_ROWS))
    found = [block.norm(dim=1).cpu().numpy() for block in blocks]
    return np.concatenate(found).clip(min=np.finfo(np.float32).tiny)


def raw_axes(acts: Activations, base: Result) -> Axes:
    """Return the site's own dimensions, each standardised; those that are constant are left out."""
    centre = Axes.of(base)
    unturned = Axes(centre.mean, np.eye(acts.width), centre.normalise)
    total, squares = np.zeros(acts.width), np.zeros(acts.width)
    for rows in acts.chunks(BLOCK_ROWS, np.float64):
        X = unturned.exact(rows)
        total += X.sum(axis=0)
        squares += (X**2).sum(axis=0)
    offset = total / len(acts)
    spread = np.sqrt((squares / len(acts) - offset**2).clip(min=0))
    live = np.flatnonzero(spread > 1e-6 * spread.max())
    reading = np.zeros((len(live), acts.width))
    reading[np.arange(len(live)), live] = 1 / spread[live]
    return Axes(centre.mean + offset, reading, centre.normalise)


@dataclass(frozen=True, eq=False)
class Items:
    """What rows are occurrences of: rows of one token are one item, others one each.

    codes: (rows,) number of each row's item. order: rows sorted by item, then by number.
    starts: (items,) where in `order` each item begins.
    """

    codes: NDArray[np.int64]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, tokens: Sequence[str | None]) -> "Items":
        """Take items from the rows' tokens."""
        numbers: dict[str | int, int] = {}
        named = (i if token is None else token for i, token in enumerate(tokens))
        codes = np.array([numbers.setdefault(name, len(numbers)) for name in named], np.int64)
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(numbers))
        return cls(codes, order, np.concatenate([[0], np.cumsum(counts)[:-1]]))

    def __len__(self) -> int:
        return len(self.starts)

    def first_rows(self, columns: NDArray[np.float32], most: int) -> NDArray[np.int64]:
        """Return (columns, most) rows of the items highest on each (columns, rows).

        An item is as high as its highest row. Of equal rows the lower number comes first.
        """
        if len(self) == len(self.codes):
            return np.stack([_highest(column, most) for column in columns])
        best = np.maximum.reduceat(columns[:, self.order], self.starts, axis=1)
        return np.stack([self._rows(*pair, most) for pair in zip(columns, best, strict=True)])

    def _rows(
        self, column: NDArray[np.float32], best: NDArray[np.float32], most: int
    ) -> NDArray[np.int64]:
        ends = np.append(self.starts[1:], len(self.order))
        rows = []
        for item in _highest(best, most):
            mine = self.order[self.starts[item] : ends[item]]
            rows.append(mine[column[mine].argmax()])
        return np.array(rows, np.int64)


def _highest(values: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return the places of the highest values, highest first; of equal ones the lower place."""
    threshold = np.partition(values, len(values) - most)[len(values) - most]
    places = np.flatnonzero(values >= threshold)
    return places[np.argsort(-values[places], kind="stable")][:most]
