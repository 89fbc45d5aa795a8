"""Audits in processes: workers that die, take too long or have too little; who does what."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import actlas
from actlas.auditing import executors
from actlas.auditing.coordinator import Coordinator, Order
from actlas.auditing.executors import Crew, Slot
from actlas.auditing.jobs import Job
from actlas.auditing.spec import Limits
from actlas.auditing.states import Jobs
from actlas.auditing.work import Outcome

from .audit_files import lines, rows, statuses, tried, write_audit


@pytest.fixture
def extracted(sqlite_store, tmp_path, tiny_folder):
    """Return the models of an audit whose extraction is done: what follows needs no network."""
    models = {"b": tiny_folder("bert")}
    path = write_audit(tmp_path, models, "", name="first")
    actlas.audit(path, store=sqlite_store.url, workers=0)
    return models


def test_a_worker_that_dies_or_takes_too_long_takes_no_other_along(
    sqlite_store, tmp_path, extracted
):
    log = tmp_path / "log"
    entries = "".join(
        tried(log, number=number, fault=fault, times=1)
        for number, fault in enumerate(["kill", "sleep", ""])
    )
    path = write_audit(tmp_path, extracted, entries, limits='timeout = "3 s"\nthreads = 1')
    done = actlas.audit(path, store=sqlite_store.url, workers=2)
    begun = [sum(line.endswith(str(n)) for line in lines(log)) for n in range(3)]
    assert begun == [2, 1, 1]
    assert statuses(sqlite_store.database) == ["done", "done", "failed", "done"]
    assert [error for _, error in done.failures] == ["took longer than 3.0 s (timeout of [limits])"]
    assert set(sqlite_store.sql("SELECT threads FROM tried_summary")["threads"]) == {1}
    assert all(job.owner is None for job in rows(sqlite_store.database).values())


def test_workers_have_no_more_memory_than_the_limit(sqlite_store, tmp_path, extracted):
    hungry = '[[analyses]]\nname = "hungry"\nsites = "embed"\n'
    path = write_audit(tmp_path, extracted, hungry, limits='memory = "3 GB"')
    done = actlas.audit(path, store=sqlite_store.url, workers=1)
    ((_, error),) = done.failures
    assert "Unable to allocate 8.00 GiB" in error
    assert "the process had grown to" in error


def started(path, store, *options):
    command = [sys.executable, "-m", "actlas", "audit", "run", str(path), "--store", store.url]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def waited(log: Path, count: int) -> None:
    deadline = time.monotonic() + 100
    while len(lines(log)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_audit_that_is_ended_goes_on(sqlite_store, tmp_path, extracted, end):
    log = tmp_path / "log"
    entries = tried(log, number=1) + tried(log, number=2, fault="sleep", times=1)
    path = write_audit(tmp_path, extracted, entries)
    process = started(path, sqlite_store, "--workers", "1")
    waited(log, 2)
    process.send_signal(end)
    said = process.communicate()
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert said[1].strip().count("\n") == 0
        assert "the same command goes on there" in said[1]
        assert statuses(sqlite_store.database) == ["done", "done", "waiting"]
    done = actlas.audit(path, store=sqlite_store.url, workers=0)
    assert (dict(done.counts), done.computed) == ({"done": 3}, 1)
    assert len(lines(log)) == 3


def test_the_command_says_what_failed(sqlite_store, tmp_path, extracted):
    path = write_audit(tmp_path, extracted, tried(tmp_path / "log", fault="value", times=9))
    ended = started(path, sqlite_store, "--workers", "0", "--json")
    said, errors = ended.communicate()
    assert (ended.returncode, errors) == (1, "")
    found = json.loads(said)
    assert found["counts"] == {"done": 1, "failed": 1}
    assert [one["error"] for one in found["failures"]] == ["ValueError: never this way"]


class Watched(Crew):
    """Slots that end a job when told to, and keep what was begun where."""

    def __init__(self, *hosts: str):
        self._slots = [Told(self, number, host) for number, host in enumerate(hosts)]
        self.begun: list[tuple[int, str]] = []

    def slots(self):
        return self._slots

    def close(self):
        return True


class Told(Slot):
    def __init__(self, crew, number, host):
        self.crew, self.number, self.host = crew, number, host

    def submit(self, task):
        self.crew.begun.append((self.number, task.name))
        self.future = Future()
        return self.future


def coordinator(jobs, crew, memory=None, database=None):
    order = Order(database, "", 0, Limits(), memory, lambda _: None, lambda job, extraction: None)
    return Coordinator(order, Jobs(jobs), crew)


def job(name, model="", memory=0, needs=()):
    return Job(name, "extract", {}, name, "", model=model, memory=memory, needs=needs)


def end(made, slot):
    made.crew.slots()[slot].future.set_result(Outcome("done"))
    made._hear()
    made._begin()


def test_jobs_are_begun_while_memory_lasts():
    crew = Watched("", "", "", "other")
    jobs = [job("a", memory=6), job("b", memory=5), job("c", memory=4), job("d", memory=99)]
    made = coordinator(jobs, crew, memory=10)
    made._begin()
    assert crew.begun == [(0, "a"), (1, "c"), (3, "b")]  # the other machine has its own memory
    end(made, 0)
    end(made, 3)
    assert crew.begun[3:] == [(3, "d")]  # too large for any, so alone
    end(made, 1)
    assert len(crew.begun) == 4


def test_a_slot_goes_on_with_the_model_that_it_had():
    crew = Watched("", "")
    jobs = [job(f"{m}{n}", model=m) for m in "abc" for n in (1, 2)]
    made = coordinator(jobs, crew)
    made._begin()
    assert crew.begun == [(0, "a1"), (1, "b1")]
    end(made, 1)
    end(made, 0)
    end(made, 0)
    assert crew.begun[2:] == [(1, "b2"), (0, "a2"), (0, "c1")]


def test_what_is_needed_is_done_before():
    crew = Watched("", "")
    made = coordinator([job("a"), job("b", needs=("a",))], crew)
    made._begin()
    assert crew.begun == [(0, "a")]
    end(made, 0)
    assert crew.begun == [(0, "a"), (0, "b")]


def test_a_job_whose_worker_dies_again_and_again_is_given_up(sqlite_store):
    crew = Watched("")
    jobs = [job("a"), job("b", needs=("a",))]
    made = coordinator(jobs, crew, database=sqlite_store.database)
    for _ in range(3):
        while not made.running:
            made._begin()
            made._look()
        crew.slots()[0].future.set_exception(BrokenProcessPool("gone"))
        made._hear()
    states = made.jobs.all
    assert states["a"].error == "its worker died (BrokenProcessPool: gone) (3 attempts)"
    assert states["b"].error == f"a failed: {states['a'].error}"
    assert made.jobs.counts() == {"failed": 1, "skipped": 1}


def test_through_dask_it_is_the_same(tmp_path, extracted, sqlite_store):
    pytest.importorskip("distributed")
    log = tmp_path / "log"
    entries = tried(log, number=1) + tried(log, number=2, fault="kill", times=1)
    path = write_audit(tmp_path, extracted, entries)
    done = actlas.audit(path, store=sqlite_store.url, workers=1, scheduler="local")
    assert (dict(done.counts), done.computed) == ({"done": 3}, 2)
    assert len(lines(log)) == 3


def test_a_scheduler_that_is_not_there_is_said(tmp_path, extracted, sqlite_store, monkeypatch):
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.5)
    path = write_audit(tmp_path, extracted, tried(tmp_path / "log"))
    words = "no Dask scheduler at tcp://127.0.0.1:9|--scheduler needs Dask"
    with pytest.raises(actlas.InputError, match=words):
        actlas.audit(path, store=sqlite_store.url, scheduler="tcp://127.0.0.1:9")
