"""Eight processes that record 200 small results each while others read: nothing lost, no error."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

import actlas
from actlas import Activations, Result, analysis

from .common import Bar
from .kills import save_model
from .servers import backends, fresh_url, server

WRITERS, WRITES, READERS = 8, 200, 3
PATIENCE_SECONDS = 900


@dataclass(frozen=True)
class Tally:
    """One number."""

    number: Annotated[int, "what it was given"]


@analysis(version=1, tables={"tally": Tally}, name="tally")
def tally(acts: Activations, *, number: Annotated[int, "what to record"] = 0) -> Result:
    """Record a number and nothing else."""
    return Result({"tally": {"number": np.array([number])}}, {})


def write(url: str, writer: int) -> None:
    """Record a writer's numbers."""
    with actlas.open(url, create=False) as store:
        for number in range(writer * WRITES, (writer + 1) * WRITES):
            store.run(tally, sites="embed", number=number)


def read(url: str) -> None:
    """Read a matrix and count the runs again and again until all are there; print how often."""
    with actlas.open(url, create=False) as store:
        expected = store.extraction().activations("embed").numpy()
        reads, runs, deadline = 0, 0, time.monotonic() + PATIENCE_SECONDS
        while runs < WRITERS * WRITES and time.monotonic() < deadline:
            now = len(store.records("runs"))
            if now < runs:
                raise SystemExit(f"{runs} runs were there, now {now}")
            if not np.array_equal(store.extraction().activations("embed").numpy(), expected):
                raise SystemExit("read other numbers")
            reads, runs = reads + 1, now
            time.sleep(0.05)
        print(reads)


def recorded(url: str) -> list[int]:
    """Return the numbers that both a finished run and its table hold."""
    with actlas.open(url, create=False) as store:
        runs = {run.id: run.parameters["number"] for run in store.records("runs")}
        table = list(store.sql("SELECT sql_name FROM result_tables")["sql_name"])
        assert len(table) == 1, table
        stored = store.sql(f'SELECT run_id, number FROM "{table[0]}"')
        pairs = zip(stored["run_id"].tolist(), stored["number"].tolist(), strict=True)
        return [number for run, number in pairs if runs[run] == number]


def started(*arguments: object) -> "subprocess.Popen[str]":
    """Start this module in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.concurrency", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def measure(backend: str, place: str, model: Path) -> list[Bar]:
    """Write and read from many processes, then count."""
    url = fresh_url(place)
    with actlas.open(url) as store:
        texts = actlas.read_dataset("actlas:concepts", limit=20)
        store.extract(str(model), texts, device="cpu")
    clock = time.perf_counter()
    writers = [started("write", url, number) for number in range(WRITERS)]
    readers = [started("read", url) for _ in range(READERS)]
    said = [process.communicate() for process in writers]
    seconds = time.perf_counter() - clock
    failed = [f"exit {p.returncode}: {err}" for p, (_, err) in zip(writers, said, strict=True)
              if p.returncode or err.strip()]  # fmt: skip
    numbers = recorded(url)
    reads = 0
    for process in readers:
        if len(numbers) < WRITERS * WRITES:
            process.terminate()
        out, err = process.communicate()
        reads += int(out or 0)
        if process.returncode or err.strip():
            failed.append(f"reader, exit {process.returncode}: {err}")
    for one in failed:
        print(one, file=sys.stderr)
    note = f"{len(numbers) / seconds:.0f} writes/s, start included; {reads} reads meanwhile"
    whole = len(set(numbers)) if len(set(numbers)) == len(numbers) else 0
    title = f"{WRITERS} processes × {WRITES} small writes ({backend})"
    return [
        Bar(f"{title}: stored once", whole, WRITERS * WRITES, "", note, at_least=True),
        Bar(f"{title}: processes with an error", len(failed), 0, ""),
    ]


def run() -> list[Bar]:
    """Measure."""
    bars = []
    with tempfile.TemporaryDirectory() as name:
        model = save_model(Path(name))
        for backend in backends():
            with server(backend) as place:
                bars += measure(backend, place, model)
    return bars


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        read(sys.argv[2])
