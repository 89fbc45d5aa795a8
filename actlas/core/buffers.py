"""One window's matrices, filled batch by batch where the model runs."""

import mmap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .sites import Site

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Aim:
    """Where the rows of a batch are, and where they go; lengths: None where all are one token."""

    source: "torch.Tensor"
    target: "torch.Tensor"
    lengths: "torch.Tensor | None"
    in_order: bool


class Buffers:
    """Matrices in the storage dtype (int8: float32, made small when written), in row order.

    They lie on the device of the site's tensors, so that nothing waits for a copy until the
    window is full. Batches may come from several threads.
    """

    def __init__(self, sites: Sequence[Site], rows: int, dtype: str, pool: "Pool | None" = None):
        import torch

        self._pool = pool or Pool()
        self._making = threading.Lock()
        self._widths = {site.name: site.width for site in sites}
        self._rows = rows
        self._kind = torch.float32 if dtype == "int8" else getattr(torch, dtype)
        self._data: dict[str, torch.Tensor] = {}
        self._nonfinite: dict[str, set[int]] = {site.name: set() for site in sites}
        self._overflow: dict[str, set[int]] = {site.name: set() for site in sites}

    def aim(
        self, source: NDArray[np.int64], lengths: NDArray[np.int64], target: NDArray[np.int64]
    ) -> "Callable[[str, torch.Tensor], None]":
        """Say where a batch's rows are: `lengths` tokens each of `source`, into `target`.

        Returns what takes each site's tensor (batch, length, width), pools it and keeps its rows.
        """
        import torch

        last = len(source) - 1
        aim = _Aim(
            torch.from_numpy(source),
            torch.from_numpy(target),
            None if (lengths == 1).all() else torch.from_numpy(lengths),
            bool(last < 0 or (source[last] == last and (np.diff(source) == 1).all())),
        )
        return lambda name, tensor: self._put(aim, name, tensor)

    def _put(self, aim: "_Aim", name: str, tensor: "torch.Tensor") -> None:
        given = tensor.reshape(-1, tensor.shape[-1])
        device = given.device
        if aim.lengths is not None:
            rows = _means(given.index_select(0, aim.source.to(device)), aim.lengths.to(device))
            kept = rows.to(self._kind)
        else:
            rows = given
            kept = given.to(self._kind)
            if not (aim.in_order and len(aim.source) == len(given)):
                kept = _wide(kept).index_select(0, aim.source.to(device)).view(self._kind)
        data = self._matrix(name, device)
        _wide(data).index_copy_(0, aim.target.to(device), _wide(kept))
        if not _all_finite(kept):
            pooled = rows if aim.lengths is not None else given[aim.source.to(device)]
            self._count(name, aim.target, pooled)

    def _matrix(self, name: str, device: "torch.device") -> "torch.Tensor":
        import torch

        with self._making:
            if name not in self._data:
                shape = (self._rows, self._widths[name])
                self._data[name] = (
                    self._pool.take(name, shape, self._kind)
                    if device.type == "cpu"
                    else torch.empty(shape, dtype=self._kind, device=device)
                )
            return self._data[name]

    def _count(self, name: str, target: "torch.Tensor", rows: "torch.Tensor") -> None:
        import torch

        bad = ~torch.isfinite(rows.to(self._kind)).all(dim=1).cpu()
        before = torch.isfinite(rows).all(dim=1).cpu()
        self._nonfinite[name].update(target[bad].tolist())
        self._overflow[name].update(target[bad & before].tolist())

    def fetch(self) -> "dict[str, torch.Tensor]":
        """Return the matrices on the CPU."""
        import torch

        if not any(data.is_cuda for data in self._data.values()):
            return {name: data.cpu() for name, data in self._data.items()}
        fetched = {
            name: torch.empty(data.shape, dtype=data.dtype, pin_memory=True).copy_(
                data, non_blocking=True
            )
            for name, data in self._data.items()
        }
        for device in {data.device for data in self._data.values()}:
            torch.cuda.synchronize(device)
        return fetched

    @property
    def nonfinite(self) -> dict[str, int]:
        """Number of rows with NaN or infinity, as kept, by site."""
        return {name: len(rows) for name, rows in self._nonfinite.items()}

    @property
    def overflow(self) -> dict[str, int]:
        """How many of them were finite before the cast."""
        return {name: len(rows) for name, rows in self._overflow.items()}


class Pool:
    """Memory for windows, one after the other: fresh pages cost more than what is put there.

    It is the system's own, given back the moment nobody holds it: the allocator would keep it.
    """

    def __init__(self) -> None:
        self._held: dict[str, mmap.mmap] = {}

    def take(self, name: str, shape: tuple[int, int], kind: "torch.dtype") -> "torch.Tensor":
        """Return a matrix in the memory that the last one of this name had, if it is enough."""
        import torch

        size = shape[0] * shape[1] * kind.itemsize
        if size == 0:
            return torch.empty(shape, dtype=kind)
        if name not in self._held or len(self._held[name]) < size:
            self._held[name] = mmap.mmap(-1, size + size // 8)
            if hasattr(mmap, "MADV_HUGEPAGE"):  # a fifth less time than with small pages
                self._held[name].madvise(mmap.MADV_HUGEPAGE)
        return torch.frombuffer(self._held[name], dtype=kind, count=shape[0] * shape[1]).view(shape)


def _means(rows: "torch.Tensor", lengths: "torch.Tensor") -> "torch.Tensor":
    """Average consecutive rows, `lengths` at a time, in float32."""
    import torch

    return torch.segment_reduce(rows.float(), "mean", lengths=lengths)


def _wide(matrix: "torch.Tensor") -> "torch.Tensor":
    """View rows as 8-byte words where they divide so: moving them is several times faster."""
    import torch

    row_bytes = matrix.shape[1] * matrix.element_size()
    return matrix.view(torch.int64) if row_bytes % 8 == 0 else matrix


def _all_finite(matrix: "torch.Tensor") -> bool:
    """Whether every number is finite: the sum shows it, unless it is itself too large."""
    import torch

    if bool(torch.isfinite(matrix.sum(dtype=torch.float32))):
        return True
    return bool(torch.isfinite(matrix).all())
