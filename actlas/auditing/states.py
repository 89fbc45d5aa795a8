"""Where every job of an audit stands, and what may be begun."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from ..storage import UNTOUCHED, AuditJob
from .jobs import Job

LASTING = ("error", "memory")  # causes by which the same command would fail again


@dataclass
class State:
    """A job and how far it is: waiting, running, done, failed or skipped.

    tries: how often it was begun in vain, by cause. now: whether this audit settled it.
    """

    job: Job
    status: str = "waiting"
    error: str | None = None
    extraction: int | None = None
    runs: tuple[int, ...] = ()
    tries: Counter[str] = field(default_factory=Counter)
    now: bool = False

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be done."""
        return self.status in ("done", "failed", "skipped")


@final
class Jobs:
    """All jobs by name, in the order of the file; those that become ready are given once."""

    def __init__(self, jobs: Iterable[Job]):
        self.all = {job.name: State(job) for job in jobs}
        self._dependents: dict[str, list[str]] = {}
        for state in self.all.values():
            for need in state.job.needs:
                self._dependents.setdefault(need, []).append(state.job.name)

    def __getitem__(self, name: str) -> State:
        return self.all[name]

    def counts(self) -> Counter[str]:
        """How many there are of each status."""
        return Counter(state.status for state in self.all.values())

    @property
    def open(self) -> list[State]:
        """Those that are not settled."""
        return [state for state in self.all.values() if not state.settled]

    def ready(self, names: Iterable[str]) -> list[str]:
        """Return those that wait for nothing but a place."""
        return [n for n in names if self[n].status == "waiting" and self.verdict(n) == ""]

    def after(self, name: str) -> Sequence[str]:
        """Names of the jobs that need one."""
        return self._dependents.get(name, ())

    def verdict(self, name: str) -> str | None:
        """Return "" where a job can be begun, None where not yet, else why it never can."""
        job = self[name].job
        if not all(self[need].settled for need in job.needs):
            return None
        vital = job.needs if job.enough is None else self._own(job)
        lost = [need for need in vital if self[need].status != "done"]
        if not lost and job.enough is not None:
            there = len(self.compared(job)) + ("extraction" in job.work)
            if there < job.enough:
                lost = [need for need in job.needs if self[need].status != "done"]
        return f"{lost[0]} {self[lost[0]].status}: {self[lost[0]].error}" if lost else ""

    def _own(self, job: Job) -> list[str]:
        """What a comparison cannot do without: its own extraction, and what it builds on there."""
        mine = job.work.get("extraction")
        return [n for n in job.needs if mine in (n, self[n].job.work.get("extraction"))]

    def compared(self, job: Job) -> list[str]:
        """What a job is compared with, or is over the runs of, and that is there."""
        base = set(job.work.get("base", ()))
        names = [*job.work.get("others", ()), *job.work.get("runs", ())]
        built = {n: {b for b in base if self[b].job.work.get("extraction") == n} for n in names}
        return [n for n in names if all(self[m].status == "done" for m in {n, *built[n]})]

    def skip(self, names: Iterable[str]) -> dict[str, State]:
        """Mark those that never can be begun as skipped, and those that need them in turn."""
        skipped: dict[str, State] = {}
        left = list(names)
        while left:
            name = left.pop()
            reason = self.verdict(name) if self[name].status == "waiting" else None
            if reason:
                state = skipped[name] = self[name]
                state.status, state.error, state.now = "skipped", reason, True
                left += self.after(name)
        return skipped


def recalled(
    jobs: Iterable[Job], rows: Mapping[str, AuditJob], whole: set[str], *, retry_failed: bool
) -> tuple[Jobs, dict[str, dict[str, Any]]]:
    """Return where jobs stand by their rows, and which rows are to be written otherwise.

    jobs: each after those that it needs. whole: those whose results the store has. A job is done
    anew where one that it needs is.
    """
    known = Jobs(jobs)
    changed: dict[str, dict[str, Any]] = {}
    for name, state in known.all.items():
        row = rows[name]
        if state.job.skipped:
            state.status, state.error = "skipped", state.job.skipped
        elif known.verdict(name) == "":
            _recall(state, row, name in whole, retry_failed)
        else:
            known.skip([name])
            state.now = False
        if values := _otherwise(state, row):
            changed[name] = values
    return known, changed


def _recall(state: State, row: AuditJob, whole: bool, retry_failed: bool) -> None:
    if row.status == "done" and whole:
        state.status = "done"
        state.extraction, state.runs = row.extraction_id, tuple(row.runs)
    elif row.status == "failed" and row.cause in LASTING and not retry_failed:
        state.status, state.error = "failed", row.error


def _otherwise(state: State, row: AuditJob) -> dict[str, Any]:
    """What a row should say where it says something else; one at work on it is left alone."""
    if state.status == "waiting":
        right = row.status in ("waiting", "running")
    else:
        right = (row.status, row.error) == (state.status, state.error)
    return {} if right else UNTOUCHED | {"status": state.status, "error": state.error}
