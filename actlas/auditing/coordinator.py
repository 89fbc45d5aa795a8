"""The coordinator: which job is begun when and where, and what becomes of it."""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, final

from ..core import StoreError, human_seconds
from ..storage import Database, held_keys, patiently, release_jobs, settle_jobs
from .executors import Crew, Slot
from .jobs import Job
from .spec import Limits
from .states import Jobs, State
from .work import Outcome, Task

TICK_SECONDS = 0.5  # at most, between looks at the clock and at jobs that others are at
PAUSE_SECONDS = 0.5  # before a job is begun again, twice as long each time
ABSENCE_SECONDS = 60.0  # how long a cluster may have no worker


@dataclass
class Running:
    """A job that is being done; since: when it was begun, by the clock that never goes back."""

    state: State
    slot: Slot
    future: "Future[Outcome]"
    since: float


@dataclass(frozen=True)
class Order:
    """What the coordinator is told: the store, the audit, the limits.

    on_change: called whenever a job is begun or settled. on_extracted: called with a job and
    its extraction.
    """

    database: Database
    url: str
    audit: int
    limits: Limits
    memory: int | None
    on_change: Callable[["Coordinator"], None]
    on_extracted: Callable[[Job, int], None]


@final
class Coordinator:
    """Does the jobs of an audit that are not settled, on the slots of a crew."""

    def __init__(self, order: Order, jobs: Jobs, crew: Crew):
        self.order, self.jobs, self.crew = order, jobs, crew
        self.running: dict[str, Running] = {}
        self._place = {name: place for place, name in enumerate(jobs.all)}
        self._ready = set(jobs.ready(jobs.all))
        self._later: list[tuple[float, str]] = []  # to be begun again, and when
        self._held: set[str] = set()  # others are at work on the same
        self._late: set[str] = set()  # ended because they took too long
        self._seen = self._asked = time.monotonic()

    def run(self) -> None:
        """Do all jobs; whatever is raised meanwhile, what was begun can be begun again."""
        try:
            while self._ready or self.running or self._later or self._held:
                self._begin()
                self._hear()
                self._look()
        finally:
            if self.crew.close() and self.running:
                release_jobs(self.order.database, self.order.audit, self.running)

    def _begin(self) -> None:
        """Begin what is ready, while there are free slots and memory."""
        busy = {running.slot for running in self.running.values()}
        slots = self.crew.slots()
        self._check_absence(slots)
        for slot in slots:
            if slot in busy or not self._ready:
                continue
            name = self._next(slot)
            if name is not None:
                self._submit(name, slot)

    def _check_absence(self, slots: Any) -> None:
        now = time.monotonic()
        self._seen = now if slots else self._seen
        if now - self._seen > ABSENCE_SECONDS:
            raise StoreError(
                "the cluster has no worker any more; start some, and the same command goes on"
            )

    def _next(self, slot: Slot) -> str | None:
        """Choose what a slot does next: of the model it had last, else of one that nobody has."""
        limit = self.order.memory
        taken = [r.state.job.memory for r in self.running.values() if r.slot.host == slot.host]
        room = None if limit is None or not taken else limit - sum(taken)
        fitting = [n for n in self._ready if room is None or self.jobs[n].job.memory <= room]
        elsewhere = {r.state.job.model for r in self.running.values()}

        def worth(name: str) -> tuple[int, int]:
            model = self.jobs[name].job.model
            return (0 if model == slot.last_model else 2 if model in elsewhere else 1), (
                self._place[name]
            )

        return min(fitting, key=worth, default=None)

    def _submit(self, name: str, slot: Slot) -> None:
        state = self.jobs[name]
        self._ready.discard(name)
        state.status, slot.last_model = "running", state.job.model or slot.last_model
        since = time.monotonic()
        future = slot.submit(self._task(state.job))
        self.running[name] = Running(state, slot, future, since)
        self.order.on_change(self)

    def _task(self, job: Job) -> Task:
        """Put what its needs gave in place of their names."""
        order, work = self.order, job.work
        there = self.jobs.compared(job)
        of = self.jobs[work["extraction"]].extraction if "extraction" in work else None
        numbers = (self.jobs[name].extraction for name in work.get("others", ()) if name in there)
        base = (self.jobs[name] for name in work.get("base", ()))
        return Task(
            order.url, order.audit, job.name, job.kind, job.key, work, of,
            others=tuple(number for number in numbers if number is not None),
            base=_runs(state for state in base if state.status == "done"),
            runs=_runs(self.jobs[name] for name in work.get("runs", ()) if name in there),
            threads=order.limits.threads,
        )  # fmt: skip

    def _hear(self) -> None:
        """Wait for a job to end, but not for long."""
        now = time.monotonic()
        until = min([now + TICK_SECONDS, *(at for at, _ in self._later[:1])])
        futures = {running.future for running in self.running.values()}
        if futures:
            wait(futures, max(0.0, until - now), FIRST_COMPLETED)
        elif not self._ready or not self.crew.slots():
            time.sleep(max(0.0, until - now))
        for name, running in list(self.running.items()):
            if running.future.done():
                self._settle(name, self.running.pop(name))

    def _settle(self, name: str, running: Running) -> None:
        try:
            outcome = running.future.result()
        except Exception as error:  # of the worker: do() itself raises nothing
            outcome = self._lost(name, running, error)
        state = running.state
        if outcome.status == "held":
            state.status = "waiting"
            self._held.add(name)
        elif outcome.status == "done":
            state.status, state.now = "done", not outcome.found
            state.extraction, state.runs = outcome.extraction, outcome.runs
            if state.job.kind == "extract" and outcome.extraction is not None:
                self.order.on_extracted(state.job, outcome.extraction)
            self._follow(name)
        else:
            self._failed(name, state, outcome)
        self.order.on_change(self)

    def _lost(self, name: str, running: Running, error: Exception) -> Outcome:
        running.slot.kill()
        if name in self._late:
            most = human_seconds(self.order.limits.timeout or 0.0)
            said = f"took longer than {most} (timeout of [limits])"
            return Outcome("failed", error=said, cause="timeout", recorded=False)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Outcome("failed", error=f"its worker died ({said})", cause="died", recorded=False)

    def _failed(self, name: str, state: State, outcome: Outcome) -> None:
        """Begin a job again where that may help and it was not begun too often, else give it up."""
        cause = outcome.cause or "error"
        state.tries[cause] += 1
        tries = state.tries[cause]
        if cause in ("passing", "died") and tries < self.order.limits.attempts:
            state.status = "waiting"
            pause = PAUSE_SECONDS * 2 ** (tries - 1)
            heapq.heappush(self._later, (time.monotonic() + pause, name))
            if cause == "died":
                patiently(lambda: release_jobs(self.order.database, self.order.audit, [name]))
            return
        state.status, state.error, state.now = "failed", outcome.error, True
        if tries > 1:
            state.error = f"{outcome.error} ({tries} attempts)"
        if not outcome.recorded or cause == "passing":
            said = {"status": "failed", "error": state.error, "cause": cause}
            self._write({name: said})
        self._follow(name)

    def _follow(self, name: str) -> None:
        """Begin or skip what needed a job that is settled now."""
        skipped = self.jobs.skip(self.jobs.after(name))
        if skipped:
            self._write({n: {"status": "skipped", "error": s.error} for n, s in skipped.items()})
        after = {name, *skipped}
        self._ready.update(*(self.jobs.ready(self.jobs.after(one)) for one in after))

    def _write(self, settled: Mapping[str, Mapping[str, Any]]) -> None:
        patiently(lambda: settle_jobs(self.order.database, self.order.audit, settled))

    def _look(self) -> None:
        """Look at the clock, and at what others are at."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._ready.add(heapq.heappop(self._later)[1])
        if self.order.limits.timeout is not None:
            for name, running in self.running.items():
                if not running.slot.started:
                    running.since = now
                elif now - running.since > self.order.limits.timeout and name not in self._late:
                    self._late.add(name)
                    running.slot.kill()
        if self._held and now - self._asked >= TICK_SECONDS:
            self._asked = now
            keys = held_keys(self.order.database, (self.jobs[n].job.key for n in self._held))
            free = {name for name in self._held if self.jobs[name].job.key not in keys}
            self._held -= free
            self._ready |= free


def _runs(states: Iterable[State]) -> tuple[int, ...]:
    return tuple(sorted({run for state in states for run in state.runs}))
