"""What an audit would do: which jobs, what is there already, what it takes, what cannot be."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ..api import Store, open, store_url
from ..core import count, human_bytes, human_seconds
from ..storage import Database, done_jobs
from .estimates import Estimate
from .jobs import Job
from .parsing import parse
from .planning import estimated
from .spec import AuditSpec


@final
@dataclass(frozen=True)
class Line:
    """Jobs of one kind: extractions, or those of one analysis.

    there: done already. seconds: of what is to be done, one job after the other, of untimed of
    them unknown. memory: bytes of the largest. bytes: of activations that are to be stored, of
    unsized of the jobs unknown.
    """

    what: str
    jobs: int
    there: int
    skipped: int
    seconds: float
    untimed: int
    memory: int
    bytes: int
    unsized: int

    @property
    def left(self) -> int:
        """How many are to be done."""
        return self.jobs - self.there - self.skipped


@final
@dataclass(frozen=True)
class Checked:
    """An audit before it is run.

    lines: one a kind of job, and `total`. skipped: why cells cannot be → their jobs. unknown:
    what the estimates do not know. left: jobs to be done. empty: entries that give no job.
    """

    name: str
    models: int
    datasets: int
    lines: tuple[Line, ...]
    total: Line
    skipped: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    left: tuple[Job, ...]
    empty: tuple[str, ...] = ()


def check(file: str | Path | AuditSpec, *, store: str | Store | None = None) -> Checked:
    """Check an audit file and say what it comes to; no model is loaded, nothing is stored.

    store: where it would be run, a URL or an open store (default: ACTLAS_STORE, else
    sqlite:///actlas.db); it need not be there yet. Raises AuditError for what is wrong in the file.
    """
    spec = file if isinstance(file, AuditSpec) else parse(file)
    with _database(store) as database:
        found, empty = estimated(spec, database)
        done = done_jobs(database) if database else set()
    there = {job.name for job, _ in found if not job.skipped and (job.key, job.fingerprint) in done}
    groups: dict[str, list[tuple[Job, Estimate]]] = {}
    for job, took in found:
        what = f"compare {job.analysis}" if job.kind == "compare" else job.analysis or "extract"
        groups.setdefault(what, []).append((job, took))
    skipped: dict[str, tuple[str, ...]] = {}
    for job, _ in found:
        if job.skipped:
            skipped[job.skipped] = (*skipped.get(job.skipped, ()), job.name)
    left = [(job, took) for job, took in found if not job.skipped and job.name not in there]
    unknown = dict.fromkeys(said for _, took in left for said in took.unknown)
    return Checked(
        spec.name, len(spec.models), len(spec.datasets),
        tuple(_line(what, jobs, there) for what, jobs in groups.items()),
        _line("all", found, there), skipped, tuple(unknown), tuple(job for job, _ in left),
        tuple(f"{spec.path.name}:{entry.line}: {entry.name}" for entry in empty),
    )  # fmt: skip


@contextmanager
def _database(store: str | Store | None) -> Iterator[Database | None]:
    """Open a store where there is one; it is not made."""
    if isinstance(store, Store):
        yield store.database
    elif Database.is_at(store_url(store)):
        with open(store, create=False) as opened:
            yield opened.database
    else:
        yield None


def _line(what: str, found: Iterable[tuple[Job, Estimate]], there: set[str]) -> Line:
    jobs = list(found)
    left = [took for job, took in jobs if not job.skipped and job.name not in there]
    seconds = [took.seconds for took in left if took.seconds is not None]
    sizes = [took.bytes for took in left if took.bytes is not None]
    return Line(
        what,
        len(jobs),
        sum(job.name in there for job, _ in jobs),
        sum(bool(job.skipped) for job, _ in jobs),
        sum(seconds),
        len(left) - len(seconds),
        max((took.memory for took in left), default=0),
        sum(sizes),
        sum(took.stores for took in left) - len(sizes),
    )


def checked_record(checked: Checked) -> dict[str, Any]:
    """Return a check as plain values."""
    return {
        "audit": checked.name, "models": checked.models, "datasets": checked.datasets,
        "jobs": [_record(line) for line in checked.lines], "total": _record(checked.total),
        "skipped": [
            {"reason": reason, "jobs": list(jobs)} for reason, jobs in checked.skipped.items()
        ],
        "not_known": list(checked.unknown), "to_do": [job.name for job in checked.left],
        "without_jobs": list(checked.empty),
    }  # fmt: skip


def _record(line: Line) -> dict[str, Any]:
    return {
        "what": line.what, "jobs": line.jobs, "there": line.there, "skipped": line.skipped,
        "to_do": line.left, "seconds": line.seconds, "untimed": line.untimed,
        "memory": line.memory, "bytes": line.bytes, "unsized": line.unsized,
    }  # fmt: skip


def checked_rows(checked: Checked) -> list[dict[str, Any]]:
    """Return the lines of a check as a table for a terminal."""
    return [
        {
            "what": line.what, "jobs": line.jobs, "there": line.there, "skipped": line.skipped,
            "to do": line.left,
            "time": _bound(human_seconds(line.seconds), line.seconds, line.untimed),
            "memory": human_bytes(line.memory) * bool(line.left),
            "stored": _bound(human_bytes(line.bytes), line.bytes, line.unsized),
        }
        for line in (*checked.lines, *[checked.total] * (len(checked.lines) > 1))
    ]  # fmt: skip


def _bound(said: str, known: float, unknown: int) -> str | None:
    """Write a sum of which parts may be unknown."""
    if not known:
        return None if unknown else ""
    return f"over {said}" if unknown else said


def checked_lines(checked: Checked) -> list[str]:
    """Say what is skipped and why, and what is not known."""
    lines = [
        f"{entry} gives no job: no extraction fits, or nothing is there to build on or compare"
        for entry in checked.empty
    ]
    lines += [
        f"skipped: {reason} ({count(len(jobs), 'job')}, as {jobs[0]})"
        for reason, jobs in checked.skipped.items()
    ]
    lines += [f"not known: {said}" for said in checked.unknown]
    if not checked.left:
        lines.append("nothing is left to do")
    elif checked.total.there:
        lines.append(f"{count(len(checked.left), 'job')} left to do")
    return lines
