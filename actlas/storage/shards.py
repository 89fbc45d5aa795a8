"""Shards: who extracts which samples, how far it has come, and how the parts join."""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import InputError, StoreError, count
from .chunks import ChunkSource
from .database import Database
from .tables import Activation, Audit, AuditJob, Chunk, Extraction, Part, Row, Shard, TopIndex

PROVISIONAL = 1 << 40  # rows of shard s are numbered from s × this until all are joined
STALE_SECONDS = 60.0
BEAT_SECONDS = 10.0


def cut(samples: int, shards: int) -> list[tuple[int, int]]:
    """Cut samples into shards: the first and the stop sample of each."""
    edges = [samples * s // shards for s in range(shards + 1)]
    return list(pairwise(edges))


def add_shards(session: Session, extraction: Extraction, spans: Sequence[tuple[int, int]]) -> None:
    """Record the shards of a new extraction."""
    for shard, (first, stop) in enumerate(spans):
        session.add(
            Shard(
                extraction_id=extraction.id, shard=shard, first_sample=first, stop_sample=stop,
                samples_done=first, rows_done=0, rows_sum=0,
            )
        )  # fmt: skip
    session.flush()


def check_shards(session: Session, extraction: Extraction, wanted: int | None) -> None:
    """Cut the extraction into `wanted` shards, or raise InputError where it is cut otherwise."""
    if wanted in (None, extraction.shards):
        return
    begun = session.scalars(sa.select(Shard).where(Shard.extraction_id == extraction.id)).all()
    at_work = any(s.rows_done or s.owner for s in begun)
    if at_work:
        raise InputError(
            f"extraction {extraction.id} is cut into {count(extraction.shards, 'shard')}, not "
            f"{wanted}; use the same number, or leave out --shard to do what is missing"
        )
    samples = max(s.stop_sample for s in begun)
    session.execute(sa.delete(Shard).where(Shard.extraction_id == extraction.id))
    ids = sa.select(Activation.id).where(Activation.extraction_id == extraction.id)
    session.execute(sa.delete(Part).where(Part.activation_id.in_(ids)))
    assert wanted is not None
    extraction.shards = wanted
    add_shards(session, extraction, cut(samples, wanted))


def shards_of(database: Database, extraction_id: int) -> Sequence[Shard]:
    """The shards of an extraction, in order."""
    with database.read() as session:
        return session.scalars(
            sa.select(Shard).where(Shard.extraction_id == extraction_id).order_by(Shard.shard)
        ).all()


def missing_parts(
    database: Database, extraction_id: int, shard: int, sites: Sequence[str]
) -> list[tuple[Activation, Part]]:
    """The sites that lack samples or the index of a shard, with how far each has come."""
    with database.write(f"extraction {extraction_id}") as session:
        span = session.get_one(Shard, (extraction_id, shard))
        activations = session.scalars(
            sa.select(Activation).where(
                Activation.extraction_id == extraction_id, Activation.site.in_(sites)
            )
        ).all()
        indexed = set(
            session.scalars(
                sa.select(TopIndex.activation_id).where(
                    TopIndex.activation_id.in_([a.id for a in activations]),
                    TopIndex.shard == shard,
                )
            )
        )
        pairs = [(a, _part(session, a, span)) for a in activations if not a.complete]
        return [
            (a, part)
            for a, part in pairs
            if part.samples_done < span.stop_sample or a.id not in indexed
        ]


def _part(session: Session, activation: Activation, span: Shard) -> Part:
    part = session.get(Part, (activation.id, span.shard))
    if part is None:
        part = Part(
            activation_id=activation.id, shard=span.shard, samples_done=span.first_sample,
            rows_done=0, squared_error=0.0,
        )  # fmt: skip
        session.add(part)
    return part


def owner_name() -> str:
    """Name this process and this piece of work: host, process, a number of its own."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _is_alive(owner: str) -> bool:
    """Whether the process of an owner may still run; on another host nobody here can tell."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_held(work: Shard | Audit | AuditJob, now: float) -> bool:
    """Whether somebody is at work on a shard, audit or job, at the database's time `now`."""
    if work.owner is None:
        return False
    return now - (work.heartbeat or 0.0) < STALE_SECONDS and _is_alive(work.owner)


def claim(database: Database, extraction_id: int, shard: int, owner: str) -> str | None:
    """Take a shard for `owner`; None, or who is at work on it.

    A process that died on this host, or was not heard of for a minute, loses its claim.
    """
    with database.write(f"extraction {extraction_id}") as session:
        found = session.get_one(Shard, (extraction_id, shard), with_for_update=True)
        now = database.backend.clock(session.connection())
        if found.owner != owner and is_held(found, now):
            return found.owner
        found.owner, found.heartbeat = owner, now
        return None


def release(database: Database, extraction_id: int, shard: int, owner: str) -> None:
    """Give a shard back."""
    with database.write() as session:
        session.execute(
            sa.update(Shard)
            .where(Shard.extraction_id == extraction_id, Shard.shard == shard, Shard.owner == owner)
            .values(owner=None, heartbeat=None)
        )


def beat(database: Database, extraction_id: int, shard: int, owner: str) -> None:
    """Say that the owner of a shard is still at work."""
    with database.write() as session:
        now = database.backend.clock(session.connection())
        session.execute(
            sa.update(Shard)
            .where(Shard.extraction_id == extraction_id, Shard.shard == shard, Shard.owner == owner)
            .values(heartbeat=now)
        )


@contextmanager
def held(database: Database, extraction_id: int, shard: int, owner: str) -> Iterator[None]:
    """Keep a claim alive from a thread of its own, and give it back at the end."""
    try:
        with beating(lambda: beat(database, extraction_id, shard, owner)):
            yield
    finally:
        release(database, extraction_id, shard, owner)


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Say again and again, from a thread of its own, that somebody is at work."""
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(BEAT_SECONDS):
            try:
                beat()
            except StoreError:
                continue  # the writer says what is wrong, where it stays so

    thread = threading.Thread(target=keep, name="actlas-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def owned(session: Session, extraction_id: int, shard: int, owner: str) -> Shard:
    """Return the shard for writing; StoreError where another process has taken it over."""
    found = session.get(Shard, (extraction_id, shard), with_for_update=True)
    if found is None:
        raise StoreError(
            f"extraction {extraction_id} was removed, or cut into other shards, while it was "
            f"written; run the same command again to begin anew"
        )
    if found.owner != owner:
        raise StoreError(
            f"extraction {extraction_id}: this process was not heard of for a minute and "
            f"{found.owner or 'another'} took shard {shard} over; run the same command again to "
            f"see it through"
        )
    return found


def join(session: Session, extraction: Extraction) -> None:
    """Number the rows through once every shard has them, and mark complete what is."""
    # Before the extraction's row, as a writer of another shard takes them.
    shards = session.scalars(
        sa.select(Shard)
        .where(Shard.extraction_id == extraction.id)
        .order_by(Shard.shard)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if any(s.samples_done < s.stop_sample for s in shards):
        return
    offset = 0
    for shard in shards:
        if shard.first_row is None:
            _renumber(session, Row, Row.extraction_id == extraction.id, Row.row, shard, offset)
            shard.first_row = offset
        offset += shard.rows_done
    extraction.rows = offset
    for activation in session.scalars(
        sa.select(Activation).where(
            Activation.extraction_id == extraction.id, Activation.complete.is_(False)
        )
    ):
        _complete(session, activation, shards)


def _renumber(
    session: Session, table: Any, mine: Any, column: Any, shard: Shard, first_row: int
) -> None:
    base = shard.shard * PROVISIONAL
    if shard.rows_done and base:
        session.execute(
            sa.update(table)
            .where(mine, column >= base, column < base + PROVISIONAL)
            .values({column.key: column - base + first_row})
            .execution_options(synchronize_session=False)
        )


def _complete(session: Session, activation: Activation, shards: Sequence[Shard]) -> None:
    parts = {
        p.shard: p
        for p in session.scalars(sa.select(Part).where(Part.activation_id == activation.id))
    }
    if any(s.shard not in parts or parts[s.shard].samples_done < s.stop_sample for s in shards):
        return
    indexed = sa.select(TopIndex.shard).where(TopIndex.activation_id == activation.id)
    if not {s.shard for s in shards} <= set(session.scalars(indexed)):
        return  # the process that wrote the last rows has yet to write their index
    for shard in shards:
        assert shard.first_row is not None
        mine = Chunk.activation_id == activation.id
        _renumber(session, Chunk, mine, Chunk.first_row, shard, shard.first_row)
        session.execute(
            sa.update(TopIndex)
            .where(
                TopIndex.activation_id == activation.id,
                TopIndex.shard == shard.shard,
                TopIndex.first_row.is_(None),
            )
            .values(first_row=shard.first_row)
        )
    rows = sum(p.rows_done for p in parts.values())
    squared = sum(p.squared_error for p in parts.values())
    activation.error = (squared / rows) ** 0.5 if rows and squared else None
    activation.complete = True


def part_source(database: Database, activation: Activation, part: Part) -> ChunkSource:
    """Open the rows that a site has in one shard so far."""
    shape = (part.rows_done, activation.width)
    return ChunkSource(database, activation.id, shape, 1, part.shard * PROVISIONAL)
