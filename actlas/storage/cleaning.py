"""Giving back what a store no longer needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .checks import unused_payloads
from .database import Database, batched, drop_orphans, payloads_of
from .results import delete_rows
from .shards import is_held
from .tables import Activation, Chunk, Dataset, Extraction, Model, Payload, Run, Shard, TopIndex

FRESH_MINUTES = 10  # a model or data set this new may be about to be extracted


@dataclass(frozen=True)
class Removal:
    """What `clean` removed of one kind, and the bytes of the payloads that went with it."""

    what: str
    count: int
    bytes: int = 0


class _DryRun(Exception):
    """Rolls everything back at the end."""


def clean(
    database: Database,
    *,
    failed_days: int | None = None,
    unused: bool = False,
    incomplete: bool = False,
    dry_run: bool = False,
) -> list[Removal]:
    """Remove payloads that nothing names and claims of dead processes, and what is asked for.

    failed_days: failed runs that are at least so old.
    incomplete: sites and extractions that lack samples, unless somebody is at work on them.
    unused: models and data sets of no extraction, unless they are only minutes old.
    dry_run: do it, count, and roll it back.
    """
    done: list[Removal] = []
    try:
        with database.write("extractions") as session:
            now = database.backend.clock(session.connection())
            done.append(_stale_claims(session, now))
            if incomplete:
                done += _incomplete(session, now)
            if failed_days is not None:
                done.append(_failed(session, now, failed_days))
            if unused:
                done += [_unused(session, kind, now) for kind in (Dataset, Model)]
            done.append(_orphans(session))
            if dry_run:
                raise _DryRun
    except _DryRun:
        return done
    database.shrink()
    return done


def _iso(now: float, before: timedelta) -> str:
    """Write a time so long before now as records hold it: these sort as they follow."""
    return (datetime.fromtimestamp(now, UTC) - before).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stale_claims(session: Session, now: float) -> Removal:
    claimed = session.scalars(sa.select(Shard).where(Shard.owner.is_not(None))).all()
    stale = [shard for shard in claimed if not is_held(shard, now)]
    for shard in stale:
        shard.owner, shard.heartbeat = None, None
    session.flush()
    return Removal("claims of processes that are gone", len(stale))


def _incomplete(session: Session, now: float) -> list[Removal]:
    """Remove extractions without a pass over all samples, and sites that lack some."""
    shards = session.scalars(sa.select(Shard).where(Shard.owner.is_not(None))).all()
    busy = {shard.extraction_id for shard in shards if is_held(shard, now)}
    whole = set(
        session.scalars(
            sa.select(Extraction.id).where(Extraction.rows.is_(None), Extraction.id.not_in(busy))
        )
    )
    sites = session.scalars(
        sa.select(Activation.id).where(
            Activation.complete.is_(False), Activation.extraction_id.not_in(busy | whole)
        )
    ).all()
    freed: set[int] = set().union(*(payloads_of(session, ident) for ident in whole))
    runs = session.scalars(sa.select(Run.id).where(Run.extraction_id.in_(whole))).all()
    delete_rows(session, runs)
    _delete(session, Extraction, sorted(whole))
    left = Removal("extractions that lack samples", len(whole), _drop(session, freed))
    freed = set().union(*(_payloads_of_sites(session, some) for some in batched(sites, 500)))
    _delete(session, Activation, sites)
    return [left, Removal("sites that lack samples", len(sites), _drop(session, freed))]


def _payloads_of_sites(session: Session, activations: Sequence[int]) -> set[int]:
    """Ids of the bytes of some sites' chunks and indexes."""
    return {
        ident
        for kind in (Chunk, TopIndex)
        for ident in session.scalars(
            sa.select(kind.data_id).where(kind.activation_id.in_(activations))
        )
    }


def _failed(session: Session, now: float, days: int) -> Removal:
    runs = session.scalars(
        sa.select(Run.id).where(
            Run.status == "failed", Run.started <= _iso(now, timedelta(days=days))
        )
    ).all()
    _delete(session, Run, runs)
    return Removal("failed runs", len(runs))


def _unused(session: Session, kind: type[Model] | type[Dataset], now: float) -> Removal:
    column = Extraction.model_id if kind is Model else Extraction.dataset_id
    idents = session.scalars(
        sa.select(kind.id).where(
            ~sa.exists().where(column == kind.id).correlate(kind),
            kind.created <= _iso(now, timedelta(minutes=FRESH_MINUTES)),
        )
    ).all()
    _delete(session, kind, idents)
    noun = "models" if kind is Model else "data sets"
    return Removal(f"{noun} that no extraction uses", len(idents))


def _orphans(session: Session) -> Removal:
    idents = session.scalars(unused_payloads()).all()
    size = _drop(session, set(idents))
    return Removal("payloads that nothing names", len(idents), size)


def _delete(session: Session, kind: Any, idents: Sequence[int]) -> None:
    for some in batched(idents, 500):
        session.execute(sa.delete(kind).where(kind.id.in_(some)))


def _drop(session: Session, payloads: set[int]) -> int:
    """Delete those payloads that nothing names any more; return how many bytes they had."""
    size = 0
    for some in batched(sorted(payloads), 500):
        size += (
            session.scalar(
                sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(Payload.data)), 0)).where(
                    Payload.id.in_(unused_payloads().where(Payload.id.in_(some)))
                )
            )
            or 0
        )
        drop_orphans(session, some)
    return size
