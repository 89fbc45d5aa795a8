"""Chunks: consecutive rows of a site as bytes, and the matrix read back from them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
        self._index: list[Any] | None = None

    def _chunks(self, connection: Connection) -> list[Any]:
        if self._index is None:
            self._index = list(
                connection.execute(
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
            )
            self._first = np.array([c.first_row for c in self._index], np.int64)
        return self._index

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, list[Any]]]:
        with self.database.read() as session:
            connection = session.connection()
            chunks = self._chunks(connection)
            covered = chunks[-1].first_row + chunks[-1].rows if chunks else 0
            if covered != self.shape[0] or covered != sum(c.rows for c in chunks):
                raise CorruptError(
                    f"chunks hold {covered} of {self.shape[0]} rows; extract again into a new store"
                )
            yield connection, chunks

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `Source.read`; whole chunks are checked against their checksum."""
        if stop <= start:
            return
        with self._reading() as (connection, chunks):
            low = int(np.searchsorted(self._first, start, "right")) - 1
            high = int(np.searchsorted(self._first, stop, "left"))
            wanted = chunks[low:high]
            spans = [(max(start, c.first_row), min(stop, c.first_row + c.rows)) for c in wanted]
            parts = [self._part(c, a, b) for c, (a, b) in zip(wanted, spans, strict=True)]
            datas = self._bytes(connection, parts)
            for chunk, (a, b), data in zip(wanted, spans, datas, strict=True):
                if b - a == chunk.rows:
                    self._verify(chunk, data)
                decode(data, chunk.codec, chunk.dtype, out[a - start : b - start])

    def gather(self, index: NDArray[np.int64], out: NDArray[Any]) -> None:
        """See `Source.gather`; of each chunk the rows between the first and last are read."""
        if not len(index):
            return
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        with self._reading() as (connection, chunks):
            where = np.searchsorted(self._first, ordered, "right") - 1
            cuts = np.flatnonzero(np.diff(where)) + 1
            groups = np.split(np.arange(len(ordered)), cuts)
            parts = []
            for group in groups:
                low, high = int(ordered[group[0]]), int(ordered[group[-1]]) + 1
                parts.append(self._part(chunks[where[group[0]]], low, high))
            datas = self._bytes(connection, parts)
            for group, data in zip(groups, datas, strict=True):
                chunk, low = chunks[where[group[0]]], int(ordered[group[0]])
                rows = np.empty((int(ordered[group[-1]]) + 1 - low, self.shape[1]), out.dtype)
                decode(data, chunk.codec, chunk.dtype, rows)
                out[order[group]] = rows[ordered[group] - low]

    def _bytes(self, connection: Connection, parts: list[tuple[int, int, int]]) -> Iterator[bytes]:
        found = self.database.backend.blobs(connection, parts)
        for (payload, start, stop), data in zip(parts, found, strict=True):
            if len(data) != stop - start:
                raise CorruptError(
                    f"payload {payload} has lost bytes: the store is damaged; restore it or "
                    f"extract again"
                )
            yield data

    def _part(self, chunk: Any, start: int, stop: int) -> tuple[int, int, int]:
        size = row_bytes(chunk.codec, chunk.dtype, self.shape[1])
        return chunk.data_id, (start - chunk.first_row) * size, (stop - chunk.first_row) * size

    def _verify(self, chunk: Any, data: bytes) -> None:
        if checksum(data) != chunk.checksum:
            raise CorruptError(
                f"chunk {chunk.id} (from row {chunk.first_row}, {chunk.rows} rows) does "
                f"not match its checksum: the store is damaged; restore it or extract again"
            )
