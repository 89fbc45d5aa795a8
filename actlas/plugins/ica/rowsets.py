"""Whitened rows in blocks: held in memory, or read from the store at every pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from actlas import Activations

from .reading import row_blocks
from .whitening import Whitening

if TYPE_CHECKING:
    from torch import Tensor

FLAT = 1e-6  # of the largest variance: what float32 makes of none
BLOCK_NUMBERS = 1 << 20  # of a block: it and what is made of it stay in the cache


class RowSet(Protocol):
    """Rows (float32) with weights (None: equal), however often they are asked for.

    root: symmetric (k, k) map that makes them white; None where they are.
    """

    @property
    def root(self) -> "NDArray[np.float64] | None":
        """See above."""

    @property
    def k(self) -> int:
        """Directions."""

    @property
    def judged(self) -> int:
        """Rows, the first, on which the objective is taken at every pass."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def blocks(self) -> "Iterator[tuple[Tensor, Tensor | None]]":
        """Yield rows (n, k) and their weights (n,)."""


@dataclass(frozen=True, eq=False)
class Pinned:
    """Rows in memory, in an order drawn by chance, so that any stretch of them is a sample."""

    rows: "Tensor"
    weights: "Tensor | None"
    root: NDArray[np.float64] | None = None

    @property
    def k(self) -> int:
        """Directions."""
        return int(self.rows.shape[1])

    @property
    def judged(self) -> int:
        """A block of them, since they are in an order drawn by chance."""
        return min(len(self), max(256, BLOCK_NUMBERS // self.k))

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self) -> "Iterator[tuple[Tensor, Tensor | None]]":
        """See `RowSet`."""
        for start in range(0, len(self), self.judged):
            part = slice(start, start + self.judged)
            yield self.rows[part], None if self.weights is None else self.weights[part]

    def half(self, i: int, of: int) -> "Pinned":
        """Half of the rows: the i-th of several that begin at equal distances."""
        import torch

        n = len(self)
        begin, size = i * n // of, max(1, n // 2)
        if begin + size <= n:
            return self._part(slice(begin, begin + size))
        picked = (torch.arange(size) + begin).remainder(n).to(self.rows.device)
        return self._part(picked)

    def whitened(self) -> "Pinned":
        """These rows with the map that makes them white by themselves.

        Some of many white rows are not white, and what they lack outweighs what FastICA looks for.
        Where they do not vary in some direction the map is not finite.
        """
        import torch

        products, total = np.zeros((self.k, self.k)), 0.0
        for block, weights in self.blocks():
            weighted = block if weights is None else block * weights[:, None]
            products += (weighted.T @ block).double().cpu().numpy()
            total += len(block) if weights is None else float(weights.sum(dtype=torch.float64))
        values, vectors = np.linalg.eigh(products / total)
        values = np.where(values > FLAT * values[-1], values, np.nan)
        return Pinned(self.rows, self.weights, (vectors / np.sqrt(values)) @ vectors.T)

    def _part(self, rows: "slice | Tensor") -> "Pinned":
        return Pinned(self.rows[rows], None if self.weights is None else self.weights[rows])


@dataclass(frozen=True, eq=False)
class Streamed:
    """Rows that are read and whitened anew at every pass: memory does not grow with them."""

    acts: Activations
    whitening: Whitening
    weights: NDArray[np.float64] | None
    root: None = None

    @property
    def k(self) -> int:
        """Directions."""
        return len(self.whitening.variances)

    @property
    def judged(self) -> int:
        """All: they are in no order of chance, and reading them costs more."""
        return len(self)

    def __len__(self) -> int:
        return len(self.acts)

    def blocks(self) -> "Iterator[tuple[Tensor, Tensor | None]]":
        """See `RowSet`."""
        import torch

        start = 0
        for chunk in row_blocks(self.acts):
            rows = self.whitening(chunk)
            weights = None
            if self.weights is not None:
                weights = torch.from_numpy(self.weights[start : start + len(rows)])
                weights = weights.to(rows.device, torch.float32)
            start += len(rows)
            yield rows, weights


def pinned(
    acts: Activations, whitening: Whitening, weights: NDArray[np.float64] | None, seed: int
) -> tuple[Pinned, NDArray[np.int64]]:
    """Whiten rows into memory; returns them, and at which place each row is."""
    import torch

    place = np.random.default_rng(seed).permutation(len(acts))
    where = torch.from_numpy(place)
    kept: Tensor | None = None
    start = 0
    for chunk in row_blocks(acts):
        rows = whitening(chunk)
        if kept is None:
            kept = torch.empty((len(acts), rows.shape[1]), device=rows.device)
        kept.index_copy_(0, where[start : start + len(rows)].to(rows.device), rows)
        start += len(rows)
    assert kept is not None
    ordered = None
    if weights is not None:
        ordered = torch.empty(len(acts), device=kept.device)
        ordered[where.to(kept.device)] = torch.from_numpy(weights).to(kept.device, torch.float32)
    return Pinned(kept, ordered), place
