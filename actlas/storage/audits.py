"""Audits and their jobs in the store: what is waiting, running, done, failed or skipped."""

from collections.abc import Sequence

import sqlalchemy as sa

from ..core import InputError, listing
from .database import Database
from .tables import Audit, AuditJob


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

    A job that was there keeps its status and results where key and fingerprint are the same;
    jobs that the file has no more are forgotten, what they computed stays.
    """
    with database.write(f"audit {audit.name}") as session:
        found = session.scalar(sa.select(Audit).where(Audit.name == audit.name))
        if found is None:
            session.add(audit)
            found = audit
        else:
            for name in ("text", "folder", "started", "finished", "seconds", "workers"):
                setattr(found, name, getattr(audit, name))
        session.flush()
        known = {
            job.job: job
            for job in session.scalars(sa.select(AuditJob).where(AuditJob.audit_id == found.id))
        }
        for job in jobs:
            job.audit_id = found.id
            old = known.pop(job.job, None)
            if old is not None and (old.key, old.fingerprint) == (job.key, job.fingerprint):
                old.place, old.needs, old.work = job.place, job.needs, job.work
            elif old is not None:
                session.delete(old)
                session.flush()
                session.add(job)
            else:
                session.add(job)
        for gone in known.values():
            session.delete(gone)
        return found
