"""`convexity` against the published package nnconvexity 0.1.1: time, memory, the same scores."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Labels, Result
from actlas.plugins.convexity import convexity

from .common import Bar

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / ".venv-nnconvexity/bin/python"
WIDTH, PAIRS = 768, 5000
AGAINST = ((10, 100, 60.0, None), (10, 200, 80.0, 1.5))  # classes, rows each, ×, seconds
ALONE = ((100, 50, 8.0, 400.0), (100, 100, 30.0, 800.0))  # classes, rows each, seconds, MB
PEAK = """
import sys, threading, time
from benchmarks.convexity import clusters, solved
held = [0]
def look():
    while True:
        with open("/proc/self/status") as status:
            held.append(next(int(line.split()[1]) for line in status if line.startswith("RssAnon")))
        time.sleep(0.005)
solved(*clusters(3, 20))
X, y = clusters(int(sys.argv[1]), int(sys.argv[2]))
threading.Thread(target=look, daemon=True).start()
time.sleep(0.1)
before = held[-1]
solved(X, y)
print((max(held) - before) / 1024)
"""


def clusters(classes: int, rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Weak clusters in 768 dimensions: hubs and long paths, the hard case."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), rows)
    centres = rng.normal(size=(classes, WIDTH)) / 5
    return (centres[y] + rng.normal(size=(len(y), WIDTH))).astype(np.float32), y


def solved(X: NDArray[np.float32], y: NDArray[np.int64]) -> Result:
    """Score all pairs."""
    return convexity(Activations.of(X), Labels.of(y.tolist()))


def timed(X: NDArray[np.float32], y: NDArray[np.int64], rounds: int = 3) -> tuple[float, Result]:
    """Best of some rounds, in seconds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = solved(X, y)
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def published(X: NDArray[np.float32], y: NDArray[np.int64]) -> dict[str, Any]:
    """What the package prints, in a process of its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "data.npz", X=X.astype(np.float64), y=y)
        script = Path(__file__).parent / "peers/run_nnconvexity.py"
        done = subprocess.run(
            [PUBLISHED, script, Path(folder) / "data.npz"],
            check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "2"},
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def worst(result: Result, theirs: dict[str, Any]) -> float:
    """Largest gap of a class, in standard errors of the pairs the package draws; 0: the same."""
    gaps = []
    for row, other in zip(result.tables["classes"], theirs["classes"], strict=True):
        pairs = row["n"] * (row["n"] - 1)
        sd = row["sem"] * np.sqrt(row["n"])
        error = sd / np.sqrt(PAIRS) * np.sqrt(max(1 - PAIRS / pairs, 0))
        gap = max(abs(row["graph_convexity"] - other) - 5e-5, 0)  # it rounds to 0.01 %
        gaps.append(0.0 if gap == 0 else gap / max(error, 1e-9))
    return max(gaps)


def run() -> Iterator[Bar]:
    """Measure."""
    start = time.perf_counter()
    solved(*clusters(3, 20))
    first = time.perf_counter() - start
    print(f"convexity: first call, which compiles or loads what was compiled: {first:.1f} s")
    for classes, rows, least, most in AGAINST:
        X, y = clusters(classes, rows)
        name = f"convexity {len(X):,} × {WIDTH}, {classes} classes"
        seconds, result = timed(X, y)
        if most is not None:
            yield Bar(f"{name}: seconds", seconds, most, unit="s")
        if not PUBLISHED.exists():
            print(f"{name}: nnconvexity is not there; `make bench-convexity` installs it")
            continue
        theirs = published(X, y)
        note = f"{theirs['seconds']:.1f} s / {seconds:.3f} s"
        ratio = theirs["seconds"] / seconds
        yield Bar(f"{name}: nnconvexity / actlas", ratio, least, note=note, at_least=True)
        gap = worst(result, theirs)
        yield Bar(f"{name}: largest gap of a class", gap, 4.0, unit="se")
    small, labels = clusters(10, 50)  # 2,450 pairs a class: the package draws none out
    if PUBLISHED.exists():
        gap = worst(timed(small, labels, 1)[1], published(small, labels))
        yield Bar("convexity 500 rows, all pairs in both: gap", gap, 0.0, unit="se")
    for classes, rows, most_s, most_mb in ALONE:
        name = f"convexity {classes * rows:,} × {WIDTH}, {classes} classes"
        yield Bar(f"{name}: seconds", timed(*clusters(classes, rows), 1)[0], most_s, unit="s")
        command = [sys.executable, "-c", PEAK, str(classes), str(rows)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        yield Bar(f"{name}: peak above the data", float(done.stdout), most_mb, unit="MB")


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
