"""Writing to PostgreSQL against SQLite, and from two processes against one, without a model."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np

from .common import Bar
from .servers import drop, fresh_url, has_postgres, server

ROUNDS = 3
WINDOWS, SAMPLES, TOKENS = 4, 280, 17  # a window of 4,760 rows, as real ones are
SITES, WIDTH = 13, 768


def prepared(url: str, writer: int) -> list[Callable[[], object]]:
    """Record an extraction of random numbers, and return what writes its windows one by one.

    All that this module knows of how actlas writes.
    """
    import torch

    from actlas.core import Dataset, Rows, Site, Window
    from actlas.storage import (
        Database,
        Extraction,
        Model,
        Place,
        add_dataset,
        begin_extraction,
        claim,
        missing_parts,
        owner_name,
        pack_window,
        write_window,
    )

    database = Database.open(url)
    sites = [Site(f"layers.{i}", "", WIDTH, residual=True) for i in range(SITES)]
    names = [site.name for site in sites]
    with database.write() as session:
        model = Model(
            spec="random", digest=f"{writer:032x}", architecture="none", parameters=0,
            max_length=512, config={},
        )  # fmt: skip
        session.add(model)
    dataset = add_dataset(
        database, Dataset.of([f"text {i} of {writer}" for i in range(WINDOWS * SAMPLES)])
    )
    wanted = Extraction(
        key=f"{writer:032x}", model_id=model.id, dataset_id=dataset.id, pooling="token",
        dtype="float16", options={}, versions={}, device="cpu", seconds=0.0,
    )  # fmt: skip
    extraction, _ = begin_extraction(database, wanted, sites, names, samples=dataset.samples)
    place = Place(extraction, 0, owner_name())
    claim(database, extraction.id, 0, place.owner)
    missing_parts(database, extraction.id, 0, names)

    rows = SAMPLES * TOKENS
    torch.manual_seed(writer)
    data = {name: torch.randn(rows, WIDTH).half() for name in names}
    position = np.tile(np.arange(TOKENS), SAMPLES)
    none = dict.fromkeys(names, 0)
    packed = pack_window(Window(0, SAMPLES, Rows.of_samples(rows), data, none, none), "float16")
    writes: list[Callable[[], object]] = []
    for number in range(WINDOWS):
        first = number * SAMPLES
        sample = np.repeat(np.arange(first, first + SAMPLES), TOKENS)
        provenance = Rows.build(
            sample, position, ["token"] * rows, position + 1000, position * 5, position * 5 + 4
        )
        window = Window(first, first + SAMPLES, provenance, data, none, none)
        writes.append(partial(write_window, database, place, window, packed, 0.0))
    return [*writes, database.close]


def write(url: str, writer: int) -> None:
    """Say when all is prepared, and write when told to."""
    steps = prepared(url, writer)
    print("ready", flush=True)
    sys.stdin.readline()
    for step in steps:
        step()
    print("done", flush=True)


def rate(place: str, writers: int) -> float:
    """MiB a second that processes write at once, closing included."""
    from actlas.storage import Database

    url = fresh_url(place)
    Database.open(url).close()
    command = [sys.executable, "-m", "benchmarks.postgres", url]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(1, writers + 1)
        ]  # fmt: skip
        for process in started:
            _hear(process, "ready")
        clock = time.perf_counter()
        for process in started:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        for process in started:
            _hear(process, "done")
        seconds = time.perf_counter() - clock
    drop(place, url)
    return writers * WINDOWS * SAMPLES * TOKENS * SITES * WIDTH * 2 / 2**20 / seconds


def _hear(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout
    if process.stdout.readline().strip() != word:
        raise SystemExit(f"a writer ended before it was {word}")


def run() -> list[Bar]:
    """Measure."""
    if not has_postgres():
        return []
    rates: list[tuple[float, float, float]] = []
    with server("sqlite") as folder, server("postgresql") as cluster:
        for _ in range(ROUNDS):
            rates.append((rate(folder, 1), rate(cluster, 1), rate(cluster, 2)))
    lite, one, two = (statistics.median(column) for column in zip(*rates, strict=True))
    return [
        Bar("PostgreSQL / SQLite, write rate of one writer",
            statistics.median(one / lite for lite, one, _ in rates), 0.5,
            note=f"{one:.0f} and {lite:.0f} MiB/s", at_least=True),
        Bar("PostgreSQL, two writers / one",
            statistics.median(two / one for _, one, two in rates), 1.5,
            note=f"{two:.0f} and {one:.0f} MiB/s", at_least=True),
    ]  # fmt: skip


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
