"""Rows as they were kept: in float64 where they hold more than float32 does."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actlas import Activations

if TYPE_CHECKING:
    from torch import Tensor

READ_ROWS = 512  # the same whatever chunks the host reads in, so that results are


def in_double(acts: Activations) -> bool:
    """Whether the first rows hold numbers that float32 cannot; no store keeps such."""
    first = next(acts.chunks(READ_ROWS, np.float64), np.empty((0, 0)))
    with np.errstate(over="ignore"):
        return not np.array_equal(first, first.astype(np.float32))


def row_blocks(acts: Activations, size: int = READ_ROWS) -> "Iterator[Tensor]":
    """Yield rows (n ≤ size, width) in order on the run's device, in float32 or float64."""
    import torch

    if not in_double(acts):
        yield from acts.torch_chunks(size)
        return
    device = next(acts.torch_chunks(1)).device
    for rows in acts.chunks(size, np.float64):
        yield torch.from_numpy(rows).to(device)


def rows_at(acts: Activations, places: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float64]:
    """Return rows (n, width) at some places, in float64."""
    found: NDArray[np.float64] = acts.take(places).numpy(np.float64)
    return found
