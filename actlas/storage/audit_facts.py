"""What is known from what was done before: data sets by their files, and what work took."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .audits import whole_jobs
from .database import Database
from .tables import Activation, AuditJob, Dataset, Extraction, LabelSet, Model, Run, Sample

ROWS = sa.func.coalesce(Extraction.rows, 0)
Sizes = dict[str, dict[str, int]]  # extraction's key → site → rows × width
Known = tuple[int, str, dict[str, str], bool]  # samples, modality, label sets, with targets
Metric = tuple[int, str | None, int, str, float]  # run, site, item, metric, value


def dataset_facts(database: Database) -> dict[str, Known]:
    """Return what the store knows of data sets, by the stamps that extractions of audits had."""
    with database.read() as session:
        of_stamp = _stamped(session)
        known = {}
        for number in set(of_stamp.values()):
            data = session.get_one(Dataset, number)
            levels = sa.select(LabelSet.name, LabelSet.level).order_by(LabelSet.id)
            own = sa.select(Sample.target).where(Sample.dataset_id == number).limit(1)
            known[number] = (
                data.samples, data.modality,
                dict(session.execute(levels.where(LabelSet.dataset_id == number)).all()),
                session.scalar(own) is not None,
            )  # fmt: skip
        return {stamp: known[number] for stamp, number in of_stamp.items()}


def _stamped(session: Session) -> dict[str, int]:
    """Numbers of data sets by stamp."""
    chosen = (
        sa.select(AuditJob.work, Extraction.dataset_id)
        .join(Extraction, Extraction.id == AuditJob.extraction_id)
        .where(AuditJob.kind == "extract", AuditJob.status == "done")
    )
    return {work["extract"]["stamp"]: number for work, number in session.execute(chosen)}


@dataclass(frozen=True)
class PastExtraction:
    """An extraction that is complete. seconds: of the model and of writing, without loading."""

    dataset_id: int
    pooling: str
    samples: int
    rows: int
    parameters: int
    seconds: float


@dataclass(frozen=True)
class PastRun:
    """A run of an analysis; numbers: rows × width of all that it read."""

    analysis: str
    numbers: int
    seconds: float


@dataclass(frozen=True)
class Past:
    """What was done before.

    stamps: numbers of data sets by stamp. sites: of models by spec, as stored. memory: of each
    analysis the numbers of the largest site that a job has read, and the most bytes one has held.
    """

    stamps: dict[str, int]
    extractions: list[PastExtraction]
    runs: list[PastRun]
    sites: dict[str, list[dict[str, Any]]]
    memory: dict[str, tuple[int, int]]


def past(database: Database) -> Past:
    """Look up what estimates are made from."""
    with database.read() as session:
        sizes = _sizes(session)
        sites = session.execute(sa.select(Model.spec, Model.sites)).all()
        return Past(
            _stamped(session), _extractions(session), _runs(session, sizes),
            {spec: found for spec, found in sites if found}, _memory(session, sizes),
        )  # fmt: skip


def _extractions(session: Session) -> list[PastExtraction]:
    chosen = (
        sa.select(
            Extraction.dataset_id, Extraction.pooling, Dataset.samples, ROWS,
            Model.parameters, Extraction.seconds,
        )
        .join(Model, Model.id == Extraction.model_id)
        .join(Dataset, Dataset.id == Extraction.dataset_id)
        .where(Extraction.rows > 0, Extraction.seconds > 0)
    )  # fmt: skip
    return [
        PastExtraction(data, pooling, samples, rows, parameters, seconds)
        for data, pooling, samples, rows, parameters, seconds in session.execute(chosen)
    ]


def _sizes(session: Session) -> Sizes:
    chosen = (
        sa.select(Extraction.key, Activation.site, Extraction.rows * Activation.width)
        .join(Activation, Activation.extraction_id == Extraction.id)
        .where(Activation.complete)
    )
    found: Sizes = defaultdict(dict)
    for key, site, numbers in session.execute(chosen):
        found[key][site] = numbers or 0
    return found


def _runs(session: Session, sizes: Sizes) -> list[PastRun]:
    chosen = sa.select(Run.analysis, Run.inputs, Run.seconds).where(Run.status == "done")
    return [
        PastRun(analysis, _numbers(inputs, sizes), seconds)
        for analysis, inputs, seconds in session.execute(chosen)
    ]


def _numbers(inputs: dict[str, Any], sizes: Sizes) -> int:
    """Count the numbers that a run has read."""
    own = [(inputs["extraction"], site) for site in inputs["sites"]]
    read = [*own, *((other[0], other[1]) for other in inputs.get("others", ()))]
    return sum(sizes.get(key, {}).get(site, 0) for key, site in read)


def _memory(session: Session, sizes: Sizes) -> dict[str, tuple[int, int]]:
    chosen = sa.select(AuditJob.analysis, AuditJob.memory, Extraction.key).join(
        Extraction, Extraction.id == AuditJob.extraction_id, isouter=True
    )
    done = chosen.where(AuditJob.status == "done", AuditJob.memory > 0, AuditJob.kind != "extract")
    found: dict[str, tuple[int, int]] = {}
    for analysis, memory, key in session.execute(done):
        numbers, most = found.get(analysis, (0, 0))
        own = max(sizes.get(key, {}).values(), default=0)
        found[analysis] = max(numbers, own), max(most, memory or 0)
    return found


def done_jobs(database: Database) -> set[tuple[str, str]]:
    """Key and fingerprint of the jobs of all audits that are done and still in the store."""
    with database.read() as session:
        jobs = session.scalars(sa.select(AuditJob).where(AuditJob.status == "done")).all()
    whole = {
        (audit, name)
        for audit in {job.audit_id for job in jobs}
        for name in whole_jobs(database, [job for job in jobs if job.audit_id == audit])
    }
    return {(job.key, job.fingerprint) for job in jobs if (job.audit_id, job.job) in whole}


def metric_values(database: Database, runs: Sequence[int]) -> list[Metric]:
    """Read the numbers of some runs from the view `metric`."""
    if not runs:
        return []
    query = sa.text(
        "SELECT run_id, site, item, metric, value FROM metric WHERE run_id BETWEEN :low AND :high"
    )
    wanted = set(runs)
    with database.read() as session:
        found = session.execute(query, {"low": min(wanted), "high": max(wanted)})
        return [(row[0], row[1], row[2], row[3], row[4]) for row in found if row[0] in wanted]
