"""Chunks: consecutive rows of a site as bytes, and the matrix read back from them."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection
from sqlalchemy.pool import PoolProxiedConnection

from ..core import CorruptError, InputError, Source
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
    """The chunks of a matrix in row order: first rows, bytes a row, ids of their bytes.

    kind: equal where chunks have the same codec and dtype.
    start: what to take from a row's number times its bytes for its place in its chunk.
    """

    chunks: Sequence[Any]
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    data: NDArray[np.int64]
    kind: NDArray[np.int64]
    start: NDArray[np.int64]


@dataclass(frozen=True)
class _Runs:
    """Ascending rows in stretches that are read in one go.

    parts: what to read; edges: where the rows of each begin, and their end; chunk, kind: of each;
    place: of every row among all that is read, laid end to end.
    """

    parts: list[tuple[int, int, int]]
    edges: NDArray[np.int64]
    place: NDArray[np.int64]
    chunk: NDArray[np.int64]
    kind: NDArray[np.int64]

    def alike(self) -> Iterator[tuple[int, int]]:
        """Cut the runs where the kind of their chunks changes, which is mostly nowhere."""
        cuts = np.flatnonzero(self.kind[1:] != self.kind[:-1]) + 1
        return itertools.pairwise([0, *cuts.tolist(), len(self.kind)])


@final
class ChunkSource(Source):
    """The matrix of one site in a store; every connection is opened for one read.

    Chunks never change, so where they lie is looked up once, and later reads only make sure
    that they are still there.

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
    def _reading(self) -> Iterator[tuple[PoolProxiedConnection, _Layout]]:
        if self._layout is None:
            with self.database.reading() as connection:
                self._layout = self._load(connection)
                yield connection.connection, self._layout
            return
        with self.database.payloads() as driver:
            self._ensure(driver, self._layout)
            yield driver, self._layout

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
        known: dict[tuple[str, str], int] = {}
        kinds = [known.setdefault((c.codec, c.dtype), len(known)) for c in chunks]
        starts = [c.first_row * size for c, size in zip(chunks, sizes, strict=True)]
        columns = ([c.first_row for c in chunks], sizes, [c.data_id for c in chunks], kinds, starts)
        return _Layout(chunks, *(np.array(column, np.int64) for column in columns))

    def _ensure(self, driver: PoolProxiedConnection, layout: _Layout) -> None:
        """Raise InputError where the matrix is gone: its numbers may be those of another now."""
        cursor = driver.cursor()
        cursor.execute(f"SELECT checksum FROM chunks WHERE id = {layout.chunks[0].id}")
        if list(cursor.fetchall()) != [(layout.chunks[0].checksum,)]:
            raise InputError(
                "the extraction was removed from the store after it was opened; open another"
            )

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """See `Source.read`; whole chunks are checked against their checksum."""
        if stop <= start:
            return
        with self._reading() as (driver, layout):
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
            datas = self._bytes(driver, parts)
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
        with self._reading() as (driver, layout):
            runs = self._runs(layout, rows)
            datas = list(self._bytes(driver, runs.parts))
        for start, stop in runs.alike():
            mine = slice(runs.edges[start], runs.edges[stop])
            chunk = layout.chunks[runs.chunk[start]]
            records = np.frombuffer(b"".join(datas[start:stop]), np.uint8)
            records = records.reshape(-1, layout.size[runs.chunk[start]])
            place = runs.place[mine] - runs.place[mine.start]
            self._scatter(records, place, order[mine], chunk, out)

    def _runs(self, layout: _Layout, rows: NDArray[np.int64]) -> _Runs:
        """Cut ascending rows where they change their chunk or lie far apart."""
        where = layout.first.searchsorted(rows, "right") - 1
        far = self.database.backend.seek_bytes // (2 * self.shape[1]) + 1
        apart = rows + where * far  # another chunk is far as well
        breaks = np.flatnonzero(apart[1:] - apart[:-1] > far) + 1
        edges = np.concatenate([[0], breaks, [len(rows)]])
        lows, ends = rows[edges[:-1]], rows[edges[1:] - 1] + 1
        chunk, lengths = where[edges[:-1]], ends - lows
        size, start = layout.size[chunk], layout.start[chunk]
        columns = (layout.data[chunk], lows * size - start, ends * size - start)
        parts = list(zip(*(column.tolist() for column in columns), strict=True))
        skipped = lows - (np.cumsum(lengths) - lengths)
        place = rows - np.repeat(skipped, edges[1:] - edges[:-1])
        return _Runs(parts, edges, place, chunk, layout.kind[chunk])

    def _scatter(
        self,
        records: NDArray[np.uint8],
        place: NDArray[np.int64],
        to: NDArray[np.int64],
        chunk: Any,
        out: NDArray[Any],
    ) -> None:
        """Decode the records at `place` into the rows `to`, which are mostly all."""
        if len(to) == len(out):
            moved = np.empty_like(place)
            moved[to] = place
            decode(records.take(moved, axis=0), chunk.codec, chunk.dtype, out)
            return
        found = np.empty((len(to), self.shape[1]), out.dtype)
        decode(records.take(place, axis=0), chunk.codec, chunk.dtype, found)
        out[to] = found

    def _bytes(
        self, driver: PoolProxiedConnection, parts: list[tuple[int, int, int]]
    ) -> Iterator[bytes]:
        found = self.database.backend.blobs(driver, parts)
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
