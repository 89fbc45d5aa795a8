"""Chunks: consecutive rows of a site as bytes, and the matrix read back from them."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import numpy as np
import sqlalchemy as sa
import xxhash
from numpy.typing import NDArray
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from ..core import CorruptError, Source
from .backends import PAGE_SIZE, Backend
from .tables import Chunk

if TYPE_CHECKING:
    from .database import Database

# Twelve overflow pages of SQLite and the least it keeps in the row itself, so that no page is
# left half empty: 1,034 rows of 384 float16 numbers, 258 of 768 float32 numbers.
CHUNK_BYTES = 12 * (PAGE_SIZE - 4) + (PAGE_SIZE - 12) * 32 // 255 - 64
RAW = "raw"
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def checksum(data: Any) -> str:
    """Return the xxh3-64 of bytes, as 16 hex digits."""
    return str(xxhash.xxh3_64_hexdigest(data))


def rows_a_chunk(width: int, dtype: str) -> int:
    """Rows that fit a chunk of three quarters of a MiB, at least one."""
    return max(1, CHUNK_BYTES // (width * ITEM_BYTES[dtype]))


def write_chunks(
    backend: Backend,
    session: Session,
    matrices: Sequence[tuple[int, int, str, NDArray[np.uint8]]],
) -> None:
    """Write matrices in one go: (activation id, first row, dtype, bytes (rows, row bytes))."""
    described: list[dict[str, Any]] = []
    datas: list[memoryview] = []
    for activation_id, first_row, dtype, matrix in matrices:
        step = rows_a_chunk(matrix.shape[1] // ITEM_BYTES[dtype], dtype)
        for start in range(0, len(matrix), step):
            data = matrix[start : start + step].data.cast("B")
            datas.append(data)
            described.append(
                {
                    "activation_id": activation_id,
                    "first_row": first_row + start,
                    "rows": len(matrix[start : start + step]),
                    "dtype": dtype,
                    "codec": RAW,
                    "checksum": checksum(data),
                }
            )
    if not described:
        return
    statement = sa.insert(Chunk).returning(Chunk.id, sort_by_parameter_order=True)
    ids = session.scalars(statement, described).all()
    backend.insert(
        session.connection(), "chunk_data", ["chunk_id", "data"], zip(ids, datas, strict=True)
    )


@final
class ChunkSource(Source):
    """The matrix of one site in a store; every connection is opened for one read."""

    def __init__(
        self, database: "Database", activation_id: int, shape: tuple[int, int], nonfinite: int
    ):
        self.database, self.activation_id, self.shape = database, activation_id, shape
        self.nonfinite = nonfinite
        self._index: list[Any] | None = None

    def _chunks(self, connection: Connection) -> list[Any]:
        if self._index is None:
            self._index = list(
                connection.execute(
                    sa.select(Chunk.id, Chunk.first_row, Chunk.rows, Chunk.dtype, Chunk.checksum)
                    .where(Chunk.activation_id == self.activation_id)
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
                decode(data, chunk.dtype, self.shape[1], out[a - start : b - start])

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
                decode(data, chunk.dtype, self.shape[1], rows)
                out[order[group]] = rows[ordered[group] - low]

    def _bytes(self, connection: Connection, parts: list[tuple[int, int, int]]) -> Iterator[bytes]:
        found = self.database.backend.blobs(connection, parts)
        for (chunk, start, stop), data in zip(parts, found, strict=True):
            if len(data) != stop - start:
                raise CorruptError(
                    f"chunk {chunk} has lost bytes: the store is damaged; restore it or "
                    f"extract again"
                )
            yield data

    def _part(self, chunk: Any, start: int, stop: int) -> tuple[int, int, int]:
        size = self.shape[1] * ITEM_BYTES[chunk.dtype]
        return chunk.id, (start - chunk.first_row) * size, (stop - chunk.first_row) * size

    def _verify(self, chunk: Any, data: bytes) -> None:
        if checksum(data) != chunk.checksum:
            raise CorruptError(
                f"chunk {chunk.id} (from row {chunk.first_row}, {chunk.rows} rows) does "
                f"not match its checksum: the store is damaged; restore it or extract again"
            )


def decode(data: bytes, dtype: str, width: int, out: NDArray[Any]) -> None:
    """Fill `out` (rows, width) from a chunk's bytes, cast to its dtype."""
    if dtype == "bfloat16":  # numpy has none: it is the upper half of a float32
        halves = np.frombuffer(data, np.uint16).reshape(-1, width)
        out[...] = (halves.astype(np.uint32) << 16).view(np.float32)
    elif dtype == "float16" and out.dtype == np.float32 and out.flags.c_contiguous:
        widen(np.frombuffer(data, np.float16).reshape(-1, width), out)
    else:
        out[...] = np.frombuffer(data, dtype).reshape(-1, width)


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Cast float16 to float32; torch, where it is loaded anyway, does so 8 times faster."""
    torch = sys.modules.get("torch")
    if torch is None:
        out[...] = halves
    else:
        with warnings.catch_warnings():  # the bytes are read-only, and only read
            warnings.simplefilter("ignore", UserWarning)
            torch.from_numpy(out).copy_(torch.from_numpy(halves))
