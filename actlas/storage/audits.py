"""Audits and their jobs in the store: what is waiting, running, done, failed or skipped."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import InputError, listing
from .database import Database, batched
from .shards import is_held
from .tables import Audit, AuditJob, Extraction, Run, now

RESULTS = ("extraction_id", "runs", "warnings", "seconds", "memory")
UNTOUCHED: dict[str, Any] = {
    "error": None, "cause": None, "attempts": 0, "owner": None, "heartbeat": None,
    "started": None, "seconds": None, "memory": None, "extraction_id": None, "runs": [],
    "warnings": [],
}  # fmt: skip


def audit_named(database: Database, name: str | None = None) -> Audit:
    """Return an audit by name, the newest where none is given; InputError lists those there are."""
    with database.read() as session:
        newest = sa.select(Audit).order_by(Audit.started.desc(), Audit.id.desc())
        found = session.scalar(
            (newest if name is None else newest.where(Audit.name == name)).limit(1)
        )
        if found is not None:
            return found
        known = session.scalars(sa.select(Audit.name).order_by(Audit.id)).all()
    wanted = "audit" if name is None else f"audit {name!r}"
    there = f"there is {listing(list(known))}" if known else "make one with `actlas audit run FILE`"
    raise InputError(f"the store has no {wanted}; {there}")


def audit_jobs(database: Database, audit_id: int) -> Sequence[AuditJob]:
    """Return the jobs of an audit in the order of its file."""
    with database.read() as session:
        chosen = sa.select(AuditJob).where(AuditJob.audit_id == audit_id)
        return session.scalars(chosen.order_by(AuditJob.place)).all()


def begin_audit(database: Database, audit: Audit, jobs: Sequence[AuditJob]) -> Audit:
    """Record an audit and its jobs in place of what its name stood for.

    A job that was there keeps its status and results where key and fingerprint are the same and
    it can still be done; jobs that the file has no more are forgotten, what they computed stays.
    """
    with database.write(f"audit {audit.name}") as session:
        found = session.scalar(sa.select(Audit).where(Audit.name == audit.name))
        if found is None:
            session.add(audit)
            found = audit
        else:
            for name in ("text", "folder", "owner"):
                setattr(found, name, getattr(audit, name))
        found.heartbeat = database.backend.clock(session.connection())
        session.flush()
        known = {
            job.job: job
            for job in session.scalars(sa.select(AuditJob).where(AuditJob.audit_id == found.id))
        }
        for job in jobs:
            job.audit_id = found.id
            _record(session, job, known.pop(job.job, None))
        for gone in known.values():
            session.delete(gone)
        return found


def _record(session: Session, job: AuditJob, old: AuditJob | None) -> None:
    """Put a job in place of one of the same name."""
    if old is None:
        session.add(job)
    elif (old.key, old.fingerprint) == (job.key, job.fingerprint) and job.status != "skipped":
        old.place, old.needs, old.work = job.place, job.needs, job.work
    else:
        session.delete(old)
        session.flush()
        session.add(job)


def whole_jobs(database: Database, jobs: Iterable[AuditJob]) -> set[str]:
    """Names of the done jobs whose extraction and runs the store still has."""
    done = [job for job in jobs if job.status == "done"]
    extractions = sorted({job.extraction_id for job in done if job.extraction_id is not None})
    runs = sorted({run for job in done for run in job.runs})
    with database.read() as session:
        here = _among(session, sa.select(Extraction.id), Extraction.id, extractions)
        ran = _among(session, sa.select(Run.id).where(Run.status == "done"), Run.id, runs)
    return {
        job.job
        for job in done
        if (job.extraction_id is None or job.extraction_id in here) and ran.issuperset(job.runs)
    }


def _among(
    session: Session, chosen: sa.Select[int], column: Any, idents: Sequence[int]
) -> set[int]:
    return {
        ident
        for some in batched(idents, 500)
        for ident in session.scalars(chosen.where(column.in_(some)))
    }


@dataclass(frozen=True)
class Claim:
    """What became of taking a job.

    held_by: who is at work on the same. found: the same work, done as part of another audit.
    """

    held_by: str | None = None
    found: AuditJob | None = None


def claim_job(
    database: Database, audit_id: int, job: str, key: str, owner: str, extraction: int | None
) -> Claim:
    """Take a job for `owner`, unless the same work is being done, or was done elsewhere.

    extraction: what it is of, where it is no extraction itself; results of others do not count.
    Raises InputError where the audit no longer has such a job.
    """
    with database.write(f"audit job {key}") as session:
        mine = session.get(AuditJob, (audit_id, job), with_for_update=True)
        if mine is None or mine.key != key:
            raise InputError(f"the audit has no job {job} any more: its file was run anew")
        at = database.backend.clock(session.connection())
        same = session.scalars(sa.select(AuditJob).where(AuditJob.key == key)).all()
        for other in same:
            if other.status == "running" and other.owner != owner and is_held(other, at):
                return Claim(held_by=other.owner)
        found = next((o for o in same if _serves(session, mine, o, extraction)), None)
        if found is not None:
            for name in RESULTS:
                setattr(mine, name, getattr(found, name))
            mine.status, mine.error, mine.cause = "done", None, None
            mine.owner = mine.heartbeat = None
            return Claim(found=found)
        mine.status, mine.owner, mine.heartbeat = "running", owner, at
        mine.started, mine.attempts = now(), mine.attempts + 1
        return Claim()


def _serves(session: Session, mine: AuditJob, other: AuditJob, extraction: int | None) -> bool:
    """Whether another's results are what a job is to give, and still there."""
    alike = other.status == "done" and other.fingerprint == mine.fingerprint
    if not alike or mine.kind == "compare":  # what is compared depends on what succeeded
        return False
    if extraction is not None and other.extraction_id != extraction:
        return False
    there = other.extraction_id is None or session.get(Extraction, other.extraction_id) is not None
    ran = _among(session, sa.select(Run.id).where(Run.status == "done"), Run.id, other.runs)
    return there and ran.issuperset(other.runs)


def beat_job(database: Database, audit_id: int, job: str, owner: str) -> None:
    """Say that the owner of a job is still at work."""
    with database.write() as session:
        at = database.backend.clock(session.connection())
        session.execute(
            sa.update(AuditJob)
            .where(AuditJob.audit_id == audit_id, AuditJob.job == job, AuditJob.owner == owner)
            .values(heartbeat=at)
        )


def finish_job(
    database: Database, audit_id: int, job: str, owner: str, values: Mapping[str, Any]
) -> None:
    """Record what became of a job, where `owner` still has it; nobody has it then."""
    with database.write() as session:
        session.execute(
            sa.update(AuditJob)
            .where(AuditJob.audit_id == audit_id, AuditJob.job == job, AuditJob.owner == owner)
            .values(owner=None, heartbeat=None, **values)
        )


def settle_jobs(
    database: Database, audit_id: int, settled: Mapping[str, Mapping[str, Any]]
) -> None:
    """Record several jobs at once, which nobody has then: of each its status and what goes with it.

    With UNTOUCHED among it, nothing stays of what was tried before.
    """
    with database.write() as session:
        for job, values in settled.items():
            session.execute(
                sa.update(AuditJob)
                .where(AuditJob.audit_id == audit_id, AuditJob.job == job)
                .values({"owner": None, "heartbeat": None} | dict(values))
            )


def release_jobs(database: Database, audit_id: int, jobs: Iterable[str]) -> None:
    """Let jobs wait again whose owners are no more; what was recorded meanwhile stays."""
    with database.write() as session:
        session.execute(
            sa.update(AuditJob)
            .where(
                AuditJob.audit_id == audit_id,
                AuditJob.job.in_(list(jobs)),
                AuditJob.status == "running",
            )
            .values(status="waiting", owner=None, heartbeat=None)
        )


def held_keys(database: Database, keys: Iterable[str]) -> set[str]:
    """Those of some keys that somebody is at work on."""
    with database.read() as session:
        at = database.backend.clock(session.connection())
        running = sa.select(AuditJob).where(AuditJob.status == "running")
        return {
            job.key
            for some in batched(sorted(set(keys)), 500)
            for job in session.scalars(running.where(AuditJob.key.in_(some)))
            if is_held(job, at)
        }


def is_run(database: Database, audit: Audit) -> bool:
    """Whether a process runs an audit."""
    with database.read() as session:
        return is_held(audit, database.backend.clock(session.connection()))


def mark_audit(database: Database, audit_id: int, owner: str, /, **values: Any) -> None:
    """Say that the owner of an audit is still at it, or how it ended."""
    with database.write() as session:
        at = database.backend.clock(session.connection())
        session.execute(
            sa.update(Audit)
            .where(Audit.id == audit_id, Audit.owner == owner)
            .values(**({"heartbeat": at} | values))
        )
