"""Activations: the rows × width matrix of one site, wherever its numbers live."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .devices import pick_device
from .errors import InputError
from .results import Result
from .rows import Rows

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_ROWS = 4096


class Source(ABC):
    """Where a matrix is read from: an array in memory, chunks in a store."""

    shape: tuple[int, int]
    nonfinite: int = 0  # rows with NaN or infinity, as counted when they were stored

    def opened(self) -> AbstractContextManager[Any]:
        """Hold open what several reads share."""
        return nullcontext()

    @abstractmethod
    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Fill `out` (stop - start, width) with rows start…stop, cast to its dtype."""

    @abstractmethod
    def gather(self, index: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Fill `out` (len(index), width) with the rows at `index`, in that order."""


@final
class ArraySource(Source):
    """A matrix in memory (or memory-mapped)."""

    def __init__(self, array: NDArray[Any]):
        self.array, self.shape = array, (array.shape[0], array.shape[1])

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `Source.read`."""
        out[...] = self.array[start:stop]

    def gather(self, index: NDArray[np.int64], out: NDArray[Any]) -> None:
        """See `Source.gather`."""
        out[...] = self.array[index]


@final
@dataclass(frozen=True, eq=False)
class Activations:
    """The matrix of one site: `len(acts)` rows × `acts.width`, read as often as wanted.

    Iterating gives float32 chunks (n, width) in row order; `numpy()` the whole matrix;
    `acts[rows]` any rows; `torch()` and `torch_chunks()` tensors on a chosen device.
    `acts.rows` says where each row comes from.
    """

    source: Source
    site: str = "array"
    chunk_rows: int = CHUNK_ROWS
    device: str = "cpu"
    index: NDArray[np.int64] | None = None
    load_rows: Callable[[], Rows] | None = None
    _cache: dict[str, Rows] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        array: Any,
        *,
        rows: Rows | None = None,
        site: str = "array",
        chunk_rows: int = CHUNK_ROWS,
    ) -> "Activations":
        """Wrap a matrix (rows, width) of anything numpy understands, a torch tensor included.

        Raises InputError for anything that is not a matrix of real numbers, or where `rows`
        has another length.
        """
        if hasattr(array, "detach"):  # a tensor; numpy has no bfloat16
            array = array.detach().cpu()
            array = array.float() if "bfloat16" in str(array.dtype) else array
        matrix = np.asarray(array)
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
            raise InputError(
                f"activations are a matrix (rows, width) of real numbers, not shape "
                f"{matrix.shape} of {matrix.dtype}; use array.reshape(-1, width)"
            )
        if rows is not None and len(rows) != len(matrix):
            raise InputError(f"{len(matrix)} activations but provenance of {len(rows)} rows")
        known = rows if rows is not None else Rows.of_samples(len(matrix))
        return cls(ArraySource(matrix), site, chunk_rows, load_rows=lambda: known)

    def __len__(self) -> int:
        return self.source.shape[0] if self.index is None else len(self.index)

    @property
    def width(self) -> int:
        """Number of dimensions of a row."""
        return self.source.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, width)."""
        return len(self), self.width

    @property
    def rows(self) -> Rows:
        """Provenance of the rows, loaded when first asked for."""
        if "rows" not in self._cache:
            assert self.load_rows is not None
            rows = self.load_rows()
            self._cache["rows"] = rows if self.index is None else rows.take(self.index)
        return self._cache["rows"]

    def _fill(self, start: int, stop: int, out: NDArray[Any]) -> None:
        if self.index is None:
            self.source.read(start, stop, out)
        else:
            self.source.gather(self.index[start:stop], out)

    def chunks(
        self, size: int | None = None, dtype: DTypeLike = np.float32
    ) -> Iterator[NDArray[Any]]:
        """Yield (n ≤ size, width) arrays in row order."""
        step = self.chunk_rows if size is None else size
        if step < 1:
            raise InputError(f"a chunk of {step} rows; use 1 or more")
        for start in range(0, len(self), step):
            stop = min(start + step, len(self))
            out = np.empty((stop - start, self.width), dtype)
            self._fill(start, stop, out)
            yield out

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self.chunks()

    def numpy(self, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the whole matrix (rows, width) as a new array."""
        out = np.empty(self.shape, dtype)
        self._fill(0, len(self), out)
        return out

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Return rows as float32: one vector for an integer, a matrix otherwise."""
        if isinstance(rows, int | np.integer):
            return self[[int(rows)]][0]  # type: ignore[no-any-return]
        if isinstance(rows, slice) and self.index is None:
            start, stop, step = rows.indices(len(self))
            if step == 1:
                out = np.empty((max(stop - start, 0), self.width), np.float32)
                self.source.read(start, max(stop, start), out)
                return out
        picked = self._positions(rows)
        out = np.empty((len(picked), self.width), np.float32)
        self.source.gather(picked if self.index is None else self.index[picked], out)
        return out

    def _positions(self, rows: slice | Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        n = len(self)
        if isinstance(rows, slice):
            return np.arange(n)[rows]
        picked = np.asarray(rows)
        if picked.dtype == bool:
            if picked.shape != (n,):
                raise InputError(f"a mask over {n} rows cannot have shape {picked.shape}")
            return np.flatnonzero(picked)
        if len(picked) and picked.dtype.kind not in "iu":
            raise InputError(f"rows are whole numbers, a slice or a mask, not {picked.dtype}")
        picked = picked.astype(np.int64)
        least, most = (picked.min(), picked.max()) if len(picked) else (0, -1)
        if least < -n or most >= n:
            raise InputError(f"row {int(np.abs(picked).max())} is outside 0…{n - 1}")
        return np.where(picked < 0, picked + n, picked) if least < 0 else picked

    def take(self, rows: slice | Sequence[int] | NDArray[Any]) -> "Activations":
        """Return a view on some rows (indices, slice or mask); nothing is read yet."""
        picked = self._positions(rows)
        index = picked if self.index is None else self.index[picked]
        return replace(self, index=index, _cache={})

    def numbers(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers that some rows of a view have in the matrix it is a view on.

        Results name rows so: by what they are in the extraction, whatever was left out.
        """
        return places if self.index is None else self.index[places]

    def places(self, numbers: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        """Return where rows of those numbers are here; InputError for one that is not."""
        wanted = np.asarray(numbers, np.int64)
        here = np.arange(len(self)) if self.index is None else self.index
        order = np.argsort(here, kind="stable")
        last = max(len(here) - 1, 0)
        found: NDArray[np.int64] = order[np.searchsorted(here, wanted, sorter=order).clip(max=last)]
        lost = wanted[here[found] != wanted]
        if len(lost):
            raise InputError(f"{self.site}: row {lost[0]} is not among the {len(self):,} rows read")
        return found

    def chunked(self, chunk_rows: int) -> "Activations":
        """Return the same matrix, iterated in chunks of `chunk_rows`."""
        return replace(self, chunk_rows=chunk_rows)

    def torch(self, device: str | None = None) -> "Tensor":
        """Return the whole matrix as a float32 tensor on `device` (default: the run's)."""
        import torch

        return torch.from_numpy(self.numpy()).to(pick_device(device or self.device))

    def torch_chunks(
        self, size: int | None = None, device: str | None = None
    ) -> "Iterator[Tensor]":
        """Yield float32 tensors (n ≤ size, width) on `device` (default: the run's)."""
        import torch

        chosen = pick_device(device or self.device)
        for chunk in self.chunks(size):
            yield torch.from_numpy(chunk).to(chosen)

    def finite_rows(self) -> NDArray[np.bool_]:
        """Return a mask (rows,) of the rows without NaN or infinity; reads everything once."""
        found = [np.isfinite(chunk).all(axis=1) for chunk in self.chunks()]
        return np.concatenate(found) if found else np.zeros(0, bool)


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """All sites of an extraction, in the order of the forward pass.

    bases: of each the result of the analysis that is built on; empty where there is none.
    """

    sites: tuple[Activations, ...]
    bases: tuple[Result, ...] = ()

    @classmethod
    def of(cls, *sites: Activations, bases: Sequence[Result] = ()) -> "Layers":
        """Make layers from activations with equal numbers of rows."""
        if len({len(site) for site in sites}) > 1:
            raise InputError("the sites of one extraction have the same rows; these differ")
        if len(bases) not in (0, len(sites)):
            raise InputError(f"{len(bases)} results for {len(sites)} sites; give one a site")
        return cls(tuple(sites), tuple(bases))

    def __iter__(self) -> Iterator[Activations]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __getitem__(self, site: int | str) -> Activations:
        """Return a site by its place or its name."""
        if isinstance(site, int):
            return self.sites[site]
        for acts in self.sites:
            if acts.site == site:
                return acts
        raise InputError(f"no site {site!r}; there is {', '.join(self.names)}")

    def at(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return some rows of every site, by its name (see `Activations.__getitem__`)."""
        if not self.sites:
            return {}
        with self.sites[0].source.opened():
            return {acts.site: acts[rows] for acts in self.sites}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites, in order."""
        return tuple(site.site for site in self.sites)
