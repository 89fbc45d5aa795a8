"""Chunks: consecutive rows of a site as bytes, and the matrix read back from them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from ..core import CorruptError, Source
from .backends import Backend
from .codecs import Packed, checksum, decode, row_bytes
from .tables import Chunk

if TYPE_CHECKING:
    from .database import Database

COLUMNS = ("activation_id", "first_row", "rows", "dtype", "codec", "checksum", "data_id")


def write_chunks(
    backend: Backend, connection: Connection, packed: Sequence[tuple[int, int, Packed]]
) -> None:
    """Write chunks: (activation id, first row, bytes)."""
    ids = backend.reserve(connection, "payloads", len(packed))
    payloads = ((i, p.data) for i, (_, _, p) in zip(ids, packed, strict=True))
    backend.insert(connection, "payloads", ("id", "data"), payloads)
    described = (
        (activation, first, p.rows, p.dtype, p.codec, p.checksum, i)
        for i, (activation, first, p) in zip(ids, packed, strict=True)
    )
    backend.insert(connection, "chunks", COLUMNS, described)


@dataclass(frozen=True)
class _Layout:
    """The chunks of a matrix in row order: first rows, bytes a row, ids of their bytes."""

    chunks: Sequence[Any]
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    data: NDArray[np.int64]


@final
class ChunkSource(Source):
    """The matrix of one site in a store; every connection is opened for one read.

    base: number of its first row in the store, where that is not 0: in a shard.
    """

    def __init__(
        self,
        database: "Database",
        activation_id: int,
        shape: tuple[int, int],
        nonfinite: int,
        base: int = 0,
    ):
        self.database, self.activation_id, self.shape = database, activation_id, shape
        self.nonfinite, self.base = nonfinite, base
        self._layout: _Layout | None = None

    def opened(self) -> AbstractContextManager[Any]:
        """See `Source.opened`: one transaction for many reads."""
        return self.database.reading()

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, _Layout]]:
        with self.database.reading() as connection:
            if self._layout is None:
                self._layout = self._load(connection)
            yield connection, self._layout

    def _load(self, connection: Connection) -> _Layout:
        statement = (
            sa.select(
                Chunk.id,
                (Chunk.first_row - self.base).label("first_row"),
                Chunk.rows,
                Chunk.dtype,
                Chunk.codec,
                Chunk.checksum,
                Chunk.data_id,
            )
            .where(
                Chunk.activation_id == self.activation_id,
                Chunk.first_row >= self.base,
                Chunk.first_row < self.base + max(self.shape[0], 1),
            )
            .order_by(Chunk.first_row)
        )
        chunks = list(connection.execute(statement))
        covered = chunks[-1].first_row + chunks[-1].rows if chunks else 0
        if covered != self.shape[0] or covered != sum(c.rows for c in chunks):
            raise CorruptError(
                f"chunks hold {covered} of {self.shape[0]} rows; extract again into a new store"
            )
        sizes = [row_bytes(c.codec, c.dtype, self.shape[1]) for c in chunks]
        columns = ([c.first_row for c in chunks], sizes, [c.data_id for c in chunks])
        return _Layout(chunks, *(np.array(column, np.int64) for column in columns))

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `Source.read`; whole chunks are checked against their checksum."""
        if stop <= start:
            return
        with self._reading() as (connection, layout):
            low = int(layout.first.searchsorted(start, "right")) - 1
            high = int(layout.first.searchsorted(stop, "left"))
            wanted = layout.chunks[low:high]
            spans = [(max(start, c.first_row), min(stop, c.first_row + c.rows)) for c in wanted]
            parts = [
                (c.data_id, (a - c.first_row) * size, (b - c.first_row) * size)
                for c, (a, b), size in zip(
                    wanted, spans, layout.size[low:high].tolist(), strict=True
                )
            ]
            datas = self._bytes(connection, parts)
            for chunk, (a, b), data in zip(wanted, spans, datas, strict=True):
                if b - a == chunk.rows:
                    self._verify(chunk, data)
                decode(data, chunk.codec, chunk.dtype, out[a - start : b - start])

    def gather(self, index: NDArray[np.int64], out: NDArray[Any]) -> None:
        """See `Source.gather`; rows of a chunk that lie close together are read in one go."""
        if not len(index):
            return
        order = np.argsort(index, kind="stable")
        rows = index[order]
        with self._reading() as (connection, layout):
            where = layout.first.searchsorted(rows, "right") - 1
            far = self.database.backend.seek_bytes // (2 * self.shape[1]) + 1
            breaks = (np.diff(where) > 0) | (np.diff(rows) > far)
            edges = np.array([0, *(np.flatnonzero(breaks) + 1), len(rows)])
            lows, highs = rows[edges[:-1]], rows[edges[1:] - 1] + 1
            chunk_of = where[edges[:-1]]
            offset, size = layout.first[chunk_of], layout.size[chunk_of]
            columns = (layout.data[chunk_of], (lows - offset) * size, (highs - offset) * size)
            parts = list(zip(*(column.tolist() for column in columns), strict=True))
            datas = list(self._bytes(connection, parts))
        # Place of every row in the runs that were read, laid end to end.
        starts = np.cumsum(highs - lows) - (highs - lows)
        run = np.repeat(np.arange(len(lows)), np.diff(edges))
        place = starts[run] + rows - lows[run]
        self._decode_runs(layout, chunk_of, highs - lows, datas, place, order, run, out)

    def _decode_runs(
        self,
        layout: _Layout,
        chunk_of: NDArray[np.int64],
        lengths: NDArray[np.int64],
        datas: list[bytes],
        place: NDArray[np.int64],
        order: NDArray[np.int64],
        run: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        """Decode rows; runs of chunks with one codec together, which are mostly all."""
        kinds = [(layout.chunks[c].codec, layout.chunks[c].dtype) for c in chunk_of.tolist()]
        first = np.cumsum(lengths) - lengths
        for start, stop in _same(kinds):
            codec, dtype = kinds[start]
            size = row_bytes(codec, dtype, self.shape[1])
            records = np.frombuffer(b"".join(datas[start:stop]), np.uint8).reshape(-1, size)
            mine = slice(*run.searchsorted([start, stop]))
            found = np.empty((mine.stop - mine.start, self.shape[1]), out.dtype)
            decode(records[place[mine] - first[start]], codec, dtype, found)
            out[order[mine]] = found

    def _bytes(self, connection: Connection, parts: list[tuple[int, int, int]]) -> Iterator[bytes]:
        found = self.database.backend.blobs(connection, parts)
        for (payload, start, stop), data in zip(parts, found, strict=True):
            if len(data) != stop - start:
                raise CorruptError(
                    f"payload {payload} has lost bytes: the store is damaged; restore it or "
                    f"extract again"
                )
            yield data

    def _verify(self, chunk: Any, data: bytes) -> None:
        if checksum(data) != chunk.checksum:
            raise CorruptError(
                f"chunk {chunk.id} (from row {chunk.first_row}, {chunk.rows} rows) does "
                f"not match its checksum: the store is damaged; restore it or extract again"
            )


def _same(kinds: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Cut a sequence where its values change."""
    start = 0
    for i in range(1, len(kinds) + 1):
        if i == len(kinds) or kinds[i] != kinds[start]:
            yield start, i
            start = i
