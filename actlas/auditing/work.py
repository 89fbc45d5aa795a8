"""One job, done where it is sent to: claimed, computed, recorded."""

import errno
import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from ..api import Store, StoredExtraction, load_model, open
from ..api.kept import SHELF
from ..core import (
    ActlasError,
    Dataset,
    ExtractOptions,
    UnavailableError,
    count,
    free_memory,
    human_bytes,
    out_of_memory,
)
from ..registry import registry
from ..storage import beat_job, beating, claim_job, finish_job, owner_name, release_jobs
from .data import Shelf
from .jobs import Kind
from .memory import forget_peak, peak_memory

Cause = Literal["error", "memory", "timeout", "died", "passing"]
TOKENS = ExtractOptions().batch_tokens
LEAST_TOKENS = 64  # a batch that is not halved any more
PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENFILE,
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
# What of the work of a job is not an argument of `Store.run` as it stands.
PLANNED = (
    "analysis", "parameters", "plugins", "extraction", "base", "others", "other_sites", "runs",
)  # fmt: skip
NETWORK = ("httpx", "httpcore", "requests", "urllib3")


@dataclass(frozen=True)
class Task:
    """A job as it is sent, the jobs that it needs replaced by what they gave.

    work: as of a `Job`. extraction: number of the extraction that it is of; others: those that it
    is compared with. base: numbers of the runs that it may build on; runs: those that it is over.
    threads: how many it may use.
    """

    url: str
    audit: int
    name: str
    kind: Kind
    key: str
    work: Mapping[str, Any]
    extraction: int | None = None
    others: tuple[int, ...] = ()
    base: tuple[int, ...] = ()
    runs: tuple[int, ...] = ()
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    cause: of a failure: error (it would fail again), memory, or passing (it may do better).
    held_by: who is at work on the same already; then nothing was done. found: it was done
    already, as part of another audit. seconds: from claim to record. memory: peak bytes of the
    process meanwhile. recorded: whether its row says all this.
    """

    status: Literal["done", "failed", "held"]
    extraction: int | None = None
    runs: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: int = 0
    error: str | None = None
    cause: Cause | None = None
    held_by: str | None = None
    found: bool = False
    recorded: bool = True


@final
@dataclass
class _Worker:
    """What a process keeps from one job to the next."""

    url: str = ""
    store: Store | None = None
    data: Shelf = field(default_factory=Shelf)

    def opened(self, url: str) -> Store:
        """Return the store, opened once."""
        if self.store is None or self.url != url:
            self.close()
            self.store, self.url = open(url, create=False), url
        return self.store

    def close(self) -> None:
        """Let go of the store, the model and the data sets."""
        if self.store is not None:
            self.store.close()
        self.store, self.data = None, Shelf()
        SHELF.clear()


_worker = _Worker()


def forget() -> None:
    """Let go of what this process keeps for jobs to come."""
    _worker.close()


def do(task: Task) -> Outcome:
    """Do a job, unless somebody else is at it, and record what became of it.

    It never raises: what fails is said in the outcome.
    """
    start = time.perf_counter()
    forget_peak()
    owner = owner_name()
    try:
        store = _worker.opened(task.url)
        claim = claim_job(store.database, task.audit, task.name, task.key, owner, task.extraction)
        if claim.held_by is not None:
            return Outcome("held", held_by=claim.held_by)
        if claim.found is not None:
            runs = tuple(claim.found.runs)
            return Outcome("done", claim.found.extraction_id, runs, found=True)
        try:
            with beating(lambda: beat_job(store.database, task.audit, task.name, owner)):
                outcome = _tried(store, task)
        except BaseException:  # Ctrl-C, where this process is the audit's own
            release_jobs(store.database, task.audit, [task.name])
            raise
        seconds = time.perf_counter() - start
        outcome = replace(outcome, seconds=seconds, memory=peak_memory())
        finish_job(store.database, task.audit, task.name, owner, _recorded(outcome))
        return outcome
    except ActlasError as error:  # of the store
        return replace(_failure(error), recorded=False)


def _recorded(outcome: Outcome) -> dict[str, Any]:
    """What is written into the row of a job; one that may do better waits again."""
    again = outcome.cause == "passing"
    return {
        "status": "waiting" if again else outcome.status,
        "error": outcome.error,
        "cause": outcome.cause,
        "extraction_id": outcome.extraction,
        "runs": list(outcome.runs),
        "warnings": list(outcome.warnings),
        "seconds": outcome.seconds,
        "memory": outcome.memory,
    }


def _tried(store: Store, task: Task) -> Outcome:
    """Do a job; whatever it raises is its outcome."""
    try:
        with _threads(task.threads), SHELF.keeping():
            return _extracted(store, task) if task.kind == "extract" else _ran(store, task)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Outcome:
    said = " ".join(str(error).split())
    cause: Cause = "passing" if _may_pass(error) else "error"
    if any(map(_is_memory, _chain(error))):
        cause = "memory"
        said = f"{said or 'out of memory'} (the process had grown to {human_bytes(peak_memory())})"
    named = said if isinstance(error, ActlasError) else f"{type(error).__name__}: {said}"
    return Outcome("failed", error=named, cause=cause)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _may_pass(error: Exception) -> bool:
    """Whether the same may go well in a moment: a lock, a full disk, a network that is away."""
    return any(
        isinstance(one, UnavailableError | ConnectionError | TimeoutError)
        or (isinstance(one, OSError) and one.errno in PASSING)
        or type(one).__module__.partition(".")[0] in NETWORK
        for one in _chain(error)
    )


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and out_of_memory(error)
    )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch, BLAS and OpenMP use so many threads, wherever they were loaded before."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def _extracted(store: Store, task: Task) -> Outcome:
    """Extract; where memory does not suffice, in batches of half the size, and again."""
    work = task.work["extract"]
    options = dict(work["options"])
    texts: Dataset = _worker.data.read(work["path"], work["reading"])
    first = tokens = options.pop("batch_tokens", TOKENS)

    def attempt() -> StoredExtraction:
        network = load_model(
            work["model"], device=work["device"], compute_dtype=work["compute_dtype"],
            trust_remote_code=work["trust_remote_code"], modality=texts.modality,
            plugins=work["plugins"],
        )  # fmt: skip
        return store.extract(
            network, texts, work["sites"], pooling=work["pooling"], batch_tokens=tokens, **options
        )

    while True:
        try:
            done = attempt()
            return Outcome("done", done.id, warnings=_said(done, texts, first, tokens))
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            if tokens < 2 * LEAST_TOKENS:
                raise MemoryError(f"in batches of {tokens} tokens: {error}") from error
        tokens //= 2
        SHELF.clear()
        gc.collect()
        free_memory()


def _said(done: StoredExtraction, texts: Dataset, first: int, tokens: int) -> tuple[str, ...]:
    notes = [*texts.notes, *done.warnings]
    if texts.skipped:
        notes.append(f"left out {count(texts.skipped, 'unreadable or empty record')}")
    if tokens < first:
        notes.append(f"batches of {first} tokens did not fit into memory, those of {tokens} did")
    return tuple(notes)


def _ran(store: Store, task: Task) -> Outcome:
    """Run an analysis over what it is of: an extraction, with others, or runs."""
    given = {name: value for name, value in task.work.items() if name not in PLANNED}
    if task.runs:
        given["runs"] = list(task.runs)
    if task.others:
        sites = task.work["other_sites"]
        given["other"] = [f"{number}:{site}" for number in task.others for site in sites]
    if task.base:
        given["base"] = _readable(store, task)
    analysis = registry(tuple(task.work["plugins"])).get(task.work["analysis"])
    given |= task.work["parameters"]  # which may have the seed, too
    runs = store.run(analysis, task.extraction, **given)
    found = {f"{run.site or 'all sites'}: {w}" for run in runs for w in run.record.warnings}
    return Outcome("done", task.extraction, tuple(run.id for run in runs), tuple(sorted(found)))


def _readable(store: Store, task: Task) -> list[int]:
    """Those of the runs to build on that are of a site which is read."""
    assert task.extraction is not None
    asked = [(task.extraction, task.work["sites"])]
    asked += [(number, task.work["other_sites"]) for number in task.others]
    read = {(n, site) for n, s in asked for site in store.extraction(n).layers(s).names}
    records = [store.result(run).record for run in task.base]
    return [run.id for run in records if (run.extraction_id, run.site) in read]
