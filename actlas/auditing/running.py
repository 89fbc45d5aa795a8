"""`actlas.audit`: from a file to what was done, in as many processes as a machine has room for."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ..api import Store, open
from ..core import InputError, count, human_seconds
from ..storage import (
    Audit,
    AuditJob,
    Database,
    Extraction,
    audit_jobs,
    beating,
    begin_audit,
    mark_audit,
    now,
    owner_name,
    set_tags,
    settle_jobs,
    tags_of,
    whole_jobs,
)
from .coordinator import Coordinator, Order
from .executors import Cluster, Crew, Here, Processes
from .jobs import Job
from .memory import cores, spare_memory
from .parsing import parse
from .planning import plan
from .progress import shown
from .spec import AuditSpec, Limits
from .states import Jobs, recalled


@final
@dataclass(frozen=True)
class Audited:
    """What an audit has come to.

    counts: jobs by status. computed: how many this call did; the others were there, or could not
    be done. failures: job and error of those that failed. seconds: wall-clock time of the call.
    """

    name: str
    store: str
    counts: Mapping[str, int]
    computed: int
    failures: Sequence[tuple[str, str]]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no job failed."""
        return not self.failures


def audit(
    file: str | Path | AuditSpec,
    *,
    store: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    progress: bool = False,
) -> Audited:
    """Do what an audit file says: every model over every data set, every analysis, comparisons.

    What is done already is not done again, so the same call goes on after whatever ended it. A job
    that fails is recorded with its error and never stops the others.

    store: URL of the store (default: ACTLAS_STORE, else sqlite:///actlas.db).
    workers: jobs at a time (default: what the file says, else as many as cores and memory allow);
        0: in this process, one after the other, where a debugger can look on.
    scheduler: `tcp://HOST:PORT` of a Dask scheduler, whose workers reach the store by the same
        URL; `local`: a Dask cluster of this machine.
    retry_failed: also jobs that failed in a way that would fail again.
    progress: show a bar on standard error, where that is a terminal.

    Raises InputError for what is wrong in the file, StoreError where the store stays away.
    """
    start = time.perf_counter()
    spec = file if isinstance(file, AuditSpec) else parse(Path(file))
    with open(store) as opened:
        owner = owner_name()
        jobs = plan(spec, opened.database)
        record, known = _begun(opened.database, spec, jobs, owner, retry_failed)
        ended: dict[str, Any] = {"owner": None}
        try:
            tagger = _Tagger(opened.database)
            for state in known.all.values():
                if state.job.kind == "extract" and state.extraction is not None:
                    tagger(state.job, state.extraction)
            if known.open:
                _work(opened, record, spec.limits, known, tagger, workers, scheduler, progress)
                ended |= {"finished": now(), "seconds": time.perf_counter() - start}
        finally:
            mark_audit(opened.database, record.id, owner, **ended)
        return _audited(spec.name, opened.url, known, time.perf_counter() - start)


def _begun(
    database: Database, spec: AuditSpec, jobs: Sequence[Job], owner: str, retry_failed: bool
) -> tuple[Audit, Jobs]:
    """Record an audit and say where its jobs stand."""
    wanted = Audit(
        name=spec.name, text=spec.text, folder=str(spec.path.resolve().parent), started=now(),
        owner=owner,
    )  # fmt: skip
    record = begin_audit(database, wanted, [_row(job, i) for i, job in enumerate(jobs)])
    rows = {row.job: row for row in audit_jobs(database, record.id)}
    whole = whole_jobs(database, rows.values())
    known, changed = recalled(jobs, rows, whole, retry_failed=retry_failed)
    if changed:
        settle_jobs(database, record.id, changed)
    return record, known


def _row(job: Job, place: int) -> AuditJob:
    return AuditJob(
        job=job.name, place=place, kind=job.kind, model=job.model, dataset=job.dataset,
        pooling=job.pooling, analysis=job.analysis, parameters=dict(job.parameters),
        needs=list(job.needs), work=dict(job.work), key=job.key, fingerprint=job.fingerprint,
        status="skipped" if job.skipped else "waiting", error=job.skipped or None,
        runs=[], warnings=[],
    )  # fmt: skip


def _work(
    opened: Store, record: Audit, limits: Limits, known: Jobs, tagger: "_Tagger",
    workers: int | None, scheduler: str | None, progress: bool,
) -> None:  # fmt: skip
    database = opened.database
    memory = limits.memory or spare_memory()
    asked = limits.workers if workers is None else workers
    number = _room(limits, memory, known) if asked is None else min(asked, len(known.open))
    crew = _crew(scheduler, number, limits)
    with (
        beating(lambda: mark_audit(database, record.id, record.owner or "")),
        shown(record.name, len(known.all), progress=progress) as on_change,
    ):
        begun = {"started": now(), "finished": None, "workers": len(crew.slots())}
        mark_audit(database, record.id, record.owner or "", **begun)
        order = Order(database, database.url, record.id, limits, memory, on_change, tagger)
        Coordinator(order, known, crew).run()


def _room(limits: Limits, memory: int | None, known: Jobs) -> int:
    """How many jobs there is room for at a time, by cores and by the largest memory."""
    number = max(1, cores() // limits.threads)
    most = max(state.job.memory for state in known.open)
    if memory is not None and most:
        number = min(number, max(1, memory // most))
    return min(number, len(known.open))


def _crew(scheduler: str | None, workers: int, limits: Limits) -> Crew:
    if workers < 0:
        raise InputError(f"{workers} workers do nothing; use 1 or more, or 0: in this process")
    if scheduler is not None:
        return Cluster(scheduler, workers, limits.threads)
    if workers == 0:
        return Here()
    return Processes(workers, limits.threads, limits.memory)


@final
class _Tagger:
    """Gives stored models the tags and qualities that the file says."""

    def __init__(self, database: Database):
        self._database = database
        self._done: set[int] = set()

    def __call__(self, job: Job, extraction: int) -> None:
        """Set those of the model of an extraction that it does not have."""
        wanted = job.work["extract"]["tags"]
        model = self._database.find(Extraction, extraction).model_id
        if not wanted or model in self._done:
            return
        self._done.add(model)
        there = tags_of(self._database, model)
        if any(there.get(name) != value for name, value in wanted.items()):
            set_tags(self._database, model, wanted)


def _audited(name: str, store: str, known: Jobs, seconds: float) -> Audited:
    failures = [
        (state.job.name, state.error or "") for state in known.all.values()
        if state.status == "failed"
    ]  # fmt: skip
    computed = sum(state.now and state.status == "done" for state in known.all.values())
    return Audited(name, store, dict(known.counts()), computed, failures, seconds)


def described(done: Audited) -> str:
    """Say in a line what an audit has come to."""
    counts = done.counts
    rest = "".join(f", {counts[s]} {s}" for s in ("failed", "skipped") if counts.get(s))
    of = count(sum(counts.values()), "job")
    return (
        f"audit {done.name}: {counts.get('done', 0)} of {of} done, {done.computed} of them now"
        f"{rest}, in {human_seconds(done.seconds)}; actlas audit status {done.name}"
    )


def audited_record(done: Audited) -> dict[str, Any]:
    """Return what an audit has come to as JSON has it."""
    failures = [{"job": job, "error": error} for job, error in done.failures]
    return asdict(done) | {"failures": failures}
