"""Checking a store: every payload against its checksum, every count against what it counts."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ..core import TopKeeper, UnavailableError, count
from .checks import database_faults, dataset_faults, reference_faults, result_faults
from .codecs import INT8, RAW, checksum, decode, row_bytes
from .database import Database
from .entries import entry_bytes, unpack_entries
from .faults import Fault, guarded, placed
from .shards import PROVISIONAL
from .tables import Activation, Chunk, Extraction, Part, Shard, TopIndex
from .tallies import progress_faults

COPYING = "copy-"  # how the key of an extraction begins that `copy` has not seen through
Advance = Callable[[int, int], None]


def chunk_count(database: Database, extraction_id: int | None = None) -> int:
    """How many chunks `verify` reads."""
    statement = sa.select(sa.func.count()).select_from(Chunk)
    if extraction_id is not None:
        mine = sa.select(Activation.id).where(Activation.extraction_id == extraction_id)
        statement = statement.where(Chunk.activation_id.in_(mine))
    with database.read() as session:
        return session.scalar(statement) or 0


def verify(
    database: Database,
    extraction_id: int | None = None,
    advance: Advance = lambda chunks, rows: None,
) -> Iterator[Fault]:
    """Read the whole store, or one extraction, and yield what is wrong, as it is found.

    advance: told after every chunk 1, and its number of rows.

    Not noticed is what nothing in the store tells of: a changed name, time, token or number of
    a result, and the texts of a data set whose words were given and are not labelled.
    """
    if extraction_id is None:
        for check in (database_faults, reference_faults, dataset_faults, result_faults):
            yield from guarded(check.__name__.replace("_faults", ""), check(database))
    idents: list[int] = [] if extraction_id is None else [extraction_id]
    if extraction_id is None:
        yield from guarded("extractions", _idents(database, idents))
    for ident in idents:
        checked = _extraction_faults(database, ident, advance)
        yield from guarded("it", checked, extraction=ident)


def _idents(database: Database, into: list[int]) -> Iterator[Fault]:
    with database.read() as session:
        into.extend(session.scalars(sa.select(Extraction.id).order_by(Extraction.id)))
    yield from ()


def _extraction_faults(database: Database, ident: int, advance: Advance) -> Iterator[Fault]:
    with database.read() as session:
        extraction = session.get(Extraction, ident)
        if extraction is None:  # removed meanwhile
            return
        copying = extraction.key.startswith(COPYING)
        found = [] if copying else list(progress_faults(session, extraction))
        activations = session.scalars(
            sa.select(Activation).where(Activation.extraction_id == ident).order_by(Activation.id)
        ).all()
        plans = [_plan(session, a, whole=not copying) for a in activations]
    yield from found
    for plan in plans:
        where = {"extraction": ident, "site": plan.activation.site}
        yield from guarded("it", plan.coverage(), **where)
        yield from guarded("it", _payload_faults(database, plan, advance), **where)


@dataclass
class _Plan:
    """One site as it is described: what is to be read, and where its rows ought to be.

    spans: first row and number of rows of every stretch that chunks must cover.
    """

    activation: Activation
    chunks: Sequence[Any]
    tops: Sequence[TopIndex]
    spans: list[tuple[int, int]] | None
    described: list[str] = field(default_factory=list)

    def coverage(self) -> Iterator[Fault]:
        """Yield gaps and overlaps of the chunks, and counts that disagree."""
        where: dict[str, Any] = {
            "extraction": self.activation.extraction_id,
            "site": self.activation.site,
        }
        yield from (Fault(what, **where) for what in self.described)
        if self.spans is None:
            return
        left = deque(self.chunks)
        for first, rows in self.spans:
            edge, stop = first, first + rows
            while left and left[0].first_row < stop:
                chunk = left.popleft()
                if chunk.first_row != edge:
                    size = chunk.first_row - edge
                    said = "no chunk holds them" if size > 0 else "two chunks hold them"
                    yield Fault(said, **where, **placed(min(edge, chunk.first_row), abs(size)))
                edge = chunk.first_row + chunk.rows
            if edge < stop:
                yield Fault("no chunk holds them", **where, **placed(edge, stop - edge))
            elif edge > stop:
                yield Fault("there is no such row", **where, **placed(stop, edge - stop))
        for chunk in left:
            place = placed(chunk.first_row, chunk.rows)
            yield Fault("there is no such row", chunk=chunk.id, **where, **place)


def _plan(session: Session, activation: Activation, *, whole: bool) -> _Plan:
    chunks = session.execute(
        sa.select(*Chunk.__table__.c)
        .where(Chunk.activation_id == activation.id)
        .order_by(Chunk.first_row)
    ).all()
    tops = session.scalars(
        sa.select(TopIndex)
        .where(TopIndex.activation_id == activation.id)
        .order_by(TopIndex.first_sample)
    ).all()
    plan = _Plan(activation, chunks, tops, None)
    if not whole:
        return plan
    parts = session.scalars(
        sa.select(Part).where(Part.activation_id == activation.id).order_by(Part.shard)
    ).all()
    shards = {
        s.shard: s
        for s in session.scalars(
            sa.select(Shard).where(Shard.extraction_id == activation.extraction_id)
        )
    }
    if activation.complete:
        plan.spans = [(0, activation.rows_done)]
    else:
        plan.spans = [(p.shard * PROVISIONAL, p.rows_done) for p in parts]
    plan.described = list(_part_faults(activation, parts, shards))
    if activation.complete:
        plan.described += _index_faults(activation, tops)
    return plan


def _part_faults(
    activation: Activation, parts: Sequence[Part], shards: dict[int, Shard]
) -> Iterator[str]:
    if sum(p.rows_done for p in parts) != activation.rows_done:
        yield f"its parts do not have its {activation.rows_done:,} rows together"
    begun = [(p, shards[p.shard]) for p in parts if p.shard in shards]
    if len(begun) < len(parts):
        yield "it has a part of a shard that is not there"
    if sum(p.samples_done - s.first_sample for p, s in begun) != activation.samples_done:
        yield f"its parts do not have its {activation.samples_done:,} samples together"
    for part, shard in begun:
        level = part.samples_done == shard.samples_done
        if part.samples_done > shard.samples_done or (level and part.rows_done != shard.rows_done):
            yield f"it has {part.rows_done:,} of {shard.rows_done:,} rows of shard {part.shard}"
    done = len(begun) == len(shards) and all(p.samples_done == s.stop_sample for p, s in begun)
    if activation.complete and not done:
        yield "it is marked complete, but lacks samples"


def _index_faults(activation: Activation, tops: Sequence[TopIndex]) -> Iterator[str]:
    if not tops:  # as an actlas before schema 0002 left it; look-ups scan
        return
    spans = sorted((t.first_row or 0, t.rows) for t in tops)
    edges = [0, *(first + rows for first, rows in spans)]
    joined = all(t.first_row is not None for t in tops)
    if not joined or edges[:-1] != [s[0] for s in spans] or edges[-1] != activation.rows_done:
        yield "its indexes do not cover its rows one after another"


@dataclass
class _Ranking:
    """An index made again from the rows of a site as they go by."""

    index: TopIndex
    first_row: int
    keeper: TopKeeper | None = None
    sound: bool = True

    def update(self, first_row: int, size: int, rows: NDArray[np.float32] | None) -> None:
        """Take in those rows that the index is about; None where they cannot be read."""
        import torch

        low = max(self.first_row, first_row) - first_row
        high = min(self.first_row + self.index.rows, first_row + size) - first_row
        if low >= high:
            return
        if rows is None:
            self.sound = False
            return
        if self.keeper is None:  # only now is it known that the width is right
            self.keeper = TopKeeper(rows.shape[1], max(self.index.k, 1))
        self.keeper.update(torch.from_numpy(rows[low:high]))


def _payload_faults(database: Database, plan: _Plan, advance: Advance) -> Iterator[Fault]:
    """Read the chunks of a site, then its indexes, one at a time."""
    activation = plan.activation
    where: dict[str, Any] = {"extraction": activation.extraction_id, "site": activation.site}
    rankings = [
        _Ranking(t, t.shard * PROVISIONAL if t.first_row is None else t.first_row)
        for t in plan.tops
    ]
    nonfinite: int | None = 0
    for chunk in plan.chunks:
        rows = _chunk_rows(database, chunk, activation.width)
        advance(1, chunk.rows)
        if isinstance(rows, str):
            if _is_gone(database, activation.id):
                return
            yield Fault(rows, chunk=chunk.id, **where, **placed(chunk.first_row, chunk.rows))
        for ranking in rankings:
            found = None if isinstance(rows, str) else rows
            ranking.update(chunk.first_row, chunk.rows, found)
        if isinstance(rows, str) or chunk.codec != RAW:
            nonfinite = None
        elif nonfinite is not None:
            nonfinite += int((~np.isfinite(rows).all(axis=1)).sum())
    if nonfinite not in (None, activation.nonfinite):
        said = f"NaN or infinity in {count(nonfinite or 0, 'row')}, not {activation.nonfinite}"
        yield Fault(said, **where)
    for ranking in rankings:
        what = _ranking_fault(database, activation.width, ranking)
        if what is not None:
            yield Fault(what, shard=ranking.index.shard, **where)


def _is_gone(database: Database, activation_id: int) -> bool:
    """Whether a site was removed while its bytes were read."""
    with database.read() as session:
        return session.get(Activation, activation_id) is None


def _read(database: Database, payload: int, size: int) -> bytes | str:
    """Return the bytes of a payload, or what is wrong with them."""
    try:
        with database.read() as session:
            parts = [(payload, 0, size + 1)]
            data = next(iter(database.backend.blobs(session.connection().connection, parts)))
    except UnavailableError:
        raise
    except Exception as error:  # whatever the damage makes the driver say
        return f"the bytes cannot be read ({' '.join(str(error).split())})"
    if len(data) > size:
        return f"there are more than its {size:,} bytes"
    return data if len(data) == size else f"there are {len(data):,} of its {size:,} bytes"


def _chunk_rows(database: Database, chunk: Any, width: int) -> NDArray[np.float32] | str:
    """Return the rows of a chunk, or what is wrong with it."""
    try:
        size = chunk.rows * row_bytes(chunk.codec, chunk.dtype, width)
        known = chunk.codec.partition("+")[0] in (RAW, INT8)
    except (KeyError, ValueError):
        known = False
    if not known:
        return f"codec {chunk.codec!r} and dtype {chunk.dtype!r} are unknown"
    data = _read(database, chunk.data_id, size)
    if isinstance(data, str):
        return data
    if checksum(data) != chunk.checksum:
        return "the bytes do not match their checksum"
    rows = np.empty((chunk.rows, width), np.float32)
    decode(data, chunk.codec, chunk.dtype, rows)
    return rows


def _ranking_fault(database: Database, width: int, ranking: _Ranking) -> str | None:
    """Compare a stored index with the one made from the rows."""
    index, keeper = ranking.index, ranking.keeper
    try:
        size = width * 2 * index.k * entry_bytes(index.codec)
    except ValueError as error:
        return f"index of highest and lowest rows: {error}"
    data = _read(database, index.data_id, size)
    if isinstance(data, str):
        return f"index of highest and lowest rows: {data}"
    if checksum(data) != index.checksum:
        return "index of highest and lowest rows: the bytes do not match their checksum"
    if not ranking.sound or keeper is None:
        return None  # what it was made from is damaged, or there are no rows
    made = keeper.entries()
    if made.shape[2] != index.k:
        return f"its index ranks {index.k} of {keeper.rows:,} rows"
    stored = unpack_entries(data, index.codec).reshape(made.shape)
    units = np.flatnonzero((stored != made).any(axis=(1, 2)))
    if not len(units):
        return None
    return f"its index is not that of its rows: unit {units[0]} of {count(len(units), 'unit')}"
