"""Copying the matrix of one site: its chunks, checked on the way, and its indexes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import CorruptError
from .chunks import COLUMNS
from .codecs import checksum, row_bytes
from .copies import values
from .database import Database, patiently
from .tables import Activation, Chunk, Extraction, Payload, TopIndex

BATCH_BYTES = 16 << 20
TOP_COLUMNS = tuple(c.name for c in TopIndex.__table__.columns)
Advance = Callable[[int, int], None]


@dataclass
class Copied:
    """What `copy` brought over; left: what it did not, and why."""

    extractions: int = 0
    sites: int = 0
    chunks: int = 0
    bytes: int = 0
    shared: int = 0
    runs: int = 0
    left: list[str] = field(default_factory=list)


@final
@dataclass
class SiteCopier:
    """Brings sites of one extraction into a draft of it; lock: what its writers take turns by."""

    source: Database
    target: Database
    extraction: Extraction
    lock: str
    done: Copied
    advance: Advance

    def copy(self, draft: int, activation: Activation) -> None:
        """Bring over what a site of the draft still lacks."""
        with self.target.write(self.lock) as session:
            found = session.scalar(
                sa.select(Activation.id).where(
                    Activation.extraction_id == draft, Activation.site == activation.site
                )
            )
            if found is None:
                given = {"extraction_id": draft, "complete": False}
                added = Activation(**values(activation, "id") | given)
                session.add(added)
                session.flush()
                found = added.id
        with self.source.read() as session:
            chunks, tops = (
                session.execute(
                    sa.select(*kind.__table__.c).where(kind.activation_id == activation.id)
                    .order_by(order)
                ).all()
                for kind, order in ((Chunk, Chunk.first_row), (TopIndex, TopIndex.first_sample))
            )  # fmt: skip
        known = self._shared(activation)
        for batch in self._batches(chunks, activation.width):
            patiently(partial(self._put_chunks, found, activation, batch, known))
            self.advance(len(batch), sum(chunk.rows for chunk in batch))
        patiently(partial(self._put_tops, found, activation, tops, known))

    @staticmethod
    def _batches(chunks: Sequence[Any], width: int) -> Iterator[list[Any]]:
        batch: list[Any] = []
        size = 0
        for chunk in chunks:
            batch.append(chunk)
            size += chunk.rows * row_bytes(chunk.codec, chunk.dtype, width)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _shared(self, activation: Activation) -> dict[int, int]:
        """Where payloads of a site are in the target already: those of another extraction.

        A data set that has grown shares its bytes with the smaller one; the same chunk of
        the other (by key, site and place) tells where they are.
        """
        found: dict[int, int] = {}
        for kind, place in ((Chunk, "first_row"), (TopIndex, "first_sample")):
            with self.source.read() as session:
                mine = sa.select(kind.data_id).where(kind.activation_id == activation.id)
                others = self._placed(session, kind, place, kind.data_id.in_(mine))
            keys = {key for key, *_ in others if key != self.extraction.key}
            with self.target.read() as session:
                same = Extraction.key.in_(keys) & (Activation.site == activation.site)
                there = {
                    (key, site, first, digest): data
                    for key, site, first, digest, data in self._placed(session, kind, place, same)
                }
            for *place_there, data in others:
                if tuple(place_there) in there:
                    found[data] = there[tuple(place_there)]
        return found

    @staticmethod
    def _placed(session: Session, kind: Any, place: str, which: Any) -> Sequence[Any]:
        return session.execute(
            sa.select(
                Extraction.key, Activation.site, getattr(kind, place), kind.checksum, kind.data_id
            )
            .join(Activation, Activation.id == kind.activation_id)
            .join(Extraction, Extraction.id == Activation.extraction_id)
            .where(which)
        ).all()

    def _bytes(self, activation: Activation, described: Sequence[Any]) -> dict[int, bytes]:
        """Read payloads and compare them with their checksums; payload id → bytes."""
        found: dict[int, bytes] = {}
        with self.source.read() as session:
            lengths = sa.select(Payload.id, sa.func.length(Payload.data)).where(
                Payload.id.in_([d.data_id for d in described])
            )
            sizes: dict[int, int] = dict(session.execute(lengths).all())
            parts = [(d.data_id, 0, sizes.get(d.data_id, 0)) for d in described]
            datas = self.source.backend.blobs(session.connection().connection, parts)
            for one, data in zip(described, datas, strict=True):
                if checksum(data) != one.checksum:
                    raise CorruptError(
                        f"extraction {self.extraction.id}, {activation.site}: bytes of payload "
                        f"{one.data_id} do not match their checksum; find out more with "
                        f"`actlas store verify --store {self.source.backend.name}`"
                    )
                found[one.data_id] = data
        return found

    def _put_chunks(
        self, ident: int, activation: Activation, batch: Sequence[Any], known: dict[int, int]
    ) -> None:
        with self.target.read() as session:
            there = self._there(session, Chunk.first_row, Chunk.activation_id == ident, batch)
        wanted = [chunk for chunk in batch if chunk.first_row not in there]
        datas = self._bytes(activation, [c for c in wanted if c.data_id not in known])
        with self.target.write(self.lock) as session:
            there = self._there(session, Chunk.first_row, Chunk.activation_id == ident, batch)
            wanted = [chunk for chunk in wanted if chunk.first_row not in there]
            ids = self._put_payloads(session, wanted, datas, known)
            rows = [
                (ident, c.first_row, c.rows, c.dtype, c.codec, c.checksum, ids[c.data_id])
                for c in wanted
            ]
            if rows:
                self.target.backend.insert(session.connection(), "chunks", COLUMNS, rows)
        self.done.chunks += len(wanted)

    @staticmethod
    def _there(session: Session, column: Any, mine: Any, batch: Sequence[Any]) -> set[int]:
        places = [getattr(one, column.key) for one in batch]
        low, high = min(places, default=0), max(places, default=-1)
        return set(session.scalars(sa.select(column).where(mine, column.between(low, high))))

    def _put_payloads(
        self,
        session: Session,
        wanted: Sequence[Any],
        datas: dict[int, bytes],
        known: dict[int, int],
    ) -> dict[int, int]:
        """Write bytes that are not in the target yet; return where all of them are there."""
        new = sorted({one.data_id for one in wanted if one.data_id not in known})
        connection, backend = session.connection(), self.target.backend
        ids = dict(zip(new, backend.reserve(connection, "payloads", len(new)), strict=True))
        if new:
            rows = ((ids[i], datas[i]) for i in new)
            backend.insert(connection, "payloads", ("id", "data"), rows)
        self.done.bytes += sum(len(datas[i]) for i in new)
        self.done.shared += len(wanted) - len(new)
        return known | ids

    def _put_tops(
        self, ident: int, activation: Activation, tops: Sequence[Any], known: dict[int, int]
    ) -> None:
        datas = self._bytes(activation, [t for t in tops if t.data_id not in known])
        with self.target.write(self.lock) as session:
            mine = TopIndex.activation_id == ident
            there = self._there(session, TopIndex.first_sample, mine, tops)
            wanted = [top for top in tops if top.first_sample not in there]
            ids = self._put_payloads(session, wanted, datas, known)
            given = [
                tuple({**t._mapping, "activation_id": ident, "data_id": ids[t.data_id]}.values())
                for t in wanted
            ]
            if given:
                self.target.backend.insert(session.connection(), "top_indexes", TOP_COLUMNS, given)
