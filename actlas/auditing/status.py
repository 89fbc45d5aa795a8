"""How far an audit is, by its rows in the store: the grid, what runs, what failed, what is left."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ..api import Store
from ..core import count, human_seconds
from ..storage import AuditJob, audit_jobs, audit_named, held_keys, is_run

if TYPE_CHECKING:
    from rich.console import Group

MARKS = {"done": "✓", "running": "▸", "waiting": "·", "failed": "✗", "skipped": "–"}
ALL = "(several)"  # where a comparison over all models stands
SHOWN = 20  # failures that are printed


@dataclass(frozen=True)
class Active:
    """A job that is being done: since when (UTC), by which process."""

    job: str
    since: str
    owner: str


@dataclass(frozen=True)
class Status:
    """How far an audit is.

    alive: whether a process runs it. grid: model → data set and pooling → job, named without
    either → status. failures: job → error. left: seconds that are left, as long jobs of the same
    kind took, None where none is done.
    """

    name: str
    started: str
    finished: str | None
    seconds: float | None
    workers: int | None
    alive: bool
    counts: Mapping[str, int]
    grid: Mapping[str, Mapping[str, Mapping[str, str]]]
    running: Sequence[Active]
    failures: Mapping[str, str]
    left: float | None


def status(opened: Store, name: str | None = None) -> Status:
    """Say how far an audit is, by default the newest; InputError where there is none."""
    record = audit_named(opened.database, name)
    jobs = audit_jobs(opened.database, record.id)
    held = held_keys(opened.database, (job.key for job in jobs if job.status == "running"))
    now = {job.job: _standing(job, held) for job in jobs}
    grid: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for job in jobs:
        column = f"{job.dataset} {job.pooling}".strip() or ALL
        grid[job.model or ALL][column][_label(job)] = now[job.job]
    return Status(
        record.name, record.started, record.finished, record.seconds, record.workers,
        is_run(opened.database, record), dict(Counter(now.values())),
        {model: dict(columns) for model, columns in grid.items()},
        [Active(j.job, j.started or "", j.owner or "") for j in jobs if now[j.job] == "running"],
        {job.job: job.error or "" for job in jobs if job.status == "failed"},
        _left(jobs, record.workers or 1),
    )  # fmt: skip


def _standing(job: AuditJob, held: set[str]) -> str:
    """The status of a job; one whose process is no more waits."""
    return "waiting" if job.status == "running" and job.key not in held else job.status


def _label(job: AuditJob) -> str:
    """The name of a job without its model, data set and pooling, which are row and column."""
    words = job.job.split(" ")
    for word in (job.model, job.dataset, job.pooling):
        if word and word in words:
            words.remove(word)
    return " ".join(words)


def _left(jobs: Sequence[AuditJob], workers: int) -> float | None:
    """Seconds that what is not settled will take, by what jobs of the same analysis took."""
    took: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.status == "done" and job.seconds is not None:
            for kind in (job.analysis or job.kind, ""):
                took[kind].append(job.seconds)
    open_jobs = [job for job in jobs if job.status in ("waiting", "running")]
    if not took:
        return None
    known = [took.get(job.analysis or job.kind) or took[""] for job in open_jobs]
    return sum(map(fmean, known)) / workers


def status_record(found: Status) -> dict[str, Any]:
    """Return a status as JSON has it."""
    return asdict(found)


def _drawn(found: Status) -> "Group":
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = list(dict.fromkeys(name for cells in found.grid.values() for name in cells))
    labels = {
        column: list(dict.fromkeys(
            label for cells in found.grid.values() for label in cells.get(column, ())
        )) for column in columns
    }  # fmt: skip
    table = Table("model", *columns, box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for model, cells in found.grid.items():
        marks = [
            "".join(
                MARKS.get(cells.get(column, {}).get(label, ""), " ") for label in labels[column]
            )
            for column in columns
        ]
        table.add_row(model, *marks)
    legends = defaultdict(list)
    for column, names in labels.items():
        legends[tuple(names)].append(column)
    lines = [f"{', '.join(of)}: {' · '.join(names)}" for names, of in legends.items()]
    return Group(Text(_headline(found)), table, *map(Text, [*lines, *_notes(found)]))


def _headline(found: Status) -> str:
    said = [f"{found.counts[s]} {s} {MARKS[s]}" for s in MARKS if found.counts.get(s)]
    ended = f" in {human_seconds(found.seconds)}" if found.seconds and not found.alive else ""
    state = "running" if found.alive else "ended" if found.finished else "interrupted"
    return f"audit {found.name}, {state}{ended}: {', '.join(said)}"


def _notes(found: Status) -> list[str]:
    lines = [f"{one.job}: since {one.since}, {one.owner}" for one in found.running]
    if found.left:
        with_ = f" with {count(found.workers, 'worker')}" if found.workers else ""
        lines.append(f"left: about {human_seconds(found.left)}{with_}")
    failures = list(found.failures.items())
    lines += [f"failed: {job}: {error}" for job, error in failures[:SHOWN]]
    if len(failures) > SHOWN:
        lines.append(f"… {len(failures) - SHOWN} more failures (--json has all)")
    return lines


def show(found: Status) -> None:
    """Print a status."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_drawn(found), width=None if console.is_terminal else 10_000, crop=False)


def watch(opened: Store, name: str | None, pause: float) -> None:
    """Show a status again and again, until nobody runs the audit."""
    from rich.console import Console
    from rich.live import Live

    found = status(opened, name)
    console = Console(highlight=False)
    if not console.is_terminal:
        show(found)
        return
    with Live(_drawn(found), console=console, auto_refresh=False) as live:
        while found.alive:
            time.sleep(pause)
            found = status(opened, found.name)
            live.update(_drawn(found), refresh=True)
