"""Top-k look-ups among a million rows, without a model: time of a query, size of the index."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import actlas

from .common import Bar

ROWS, WIDTH, K = 1_000_000, 64, 20
QUERIES = 400


def imported(folder: Path) -> tuple[actlas.Store, NDArray[np.float32]]:
    """Store a million rows of 64 units, ten rows (tokens) a sample."""
    matrix = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    columns: dict[str, Any] = {
        "site": matrix,
        "rows/sample": np.arange(ROWS) // 10,
        "rows/token": np.array([f"t{i % 997}" for i in range(ROWS)]),
    }
    np.savez(folder / "acts.npz", **columns)
    store = actlas.open(f"sqlite:///{folder}/store.db")
    store.import_matrix(folder / "acts.npz")
    return store, matrix


def timed(query: Callable[[int], object]) -> list[float]:
    """Milliseconds of queries, each for another unit than the one before."""
    units = np.random.default_rng(1).integers(0, WIDTH, QUERIES).tolist()
    query(0)
    found = []
    for unit in units:
        start = time.perf_counter()
        query(unit)
        found.append(1e3 * (time.perf_counter() - start))
    return found


def run() -> list[Bar]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        store, matrix = imported(Path(folder))
        with store:
            for unit in range(WIDTH):
                want = np.argsort(-matrix[:, unit], kind="stable")[:K]
                assert [hit.row for hit in store.top("site", unit, K)] == want.tolist()
            with_texts = timed(lambda unit: store.top("site", unit, K))
            scans = timed(lambda unit: store.top("site", 0, 65) if unit == 1 else None)
            size = store.sql("SELECT sum(length(data)) AS n FROM payloads WHERE id IN "
                             "(SELECT data_id FROM top_indexes)")  # fmt: skip
            index = int(size["n"].iloc[0] if hasattr(size, "iloc") else size[0]["n"])
    note = f"99 of 100 within {np.percentile(with_texts, 99):.2f} ms; a scan {max(scans):,.0f} ms"
    return [
        Bar(f"top {K} of a unit among 1,000,000 rows, with texts",
            statistics.median(with_texts), 1.0, "ms", note),
        Bar("index of extremes / float32 size", index / matrix.nbytes, 0.03),
    ]  # fmt: skip
