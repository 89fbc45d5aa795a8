"""`capacity` against the N × N computation: time, memory, and the same numbers."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas.plugins.capacity.features import prepared
from actlas.plugins.capacity.frame import capacities, frame

from .common import Bar

TOKENS = (50_257, 768)
WIDE = (100_000, 4_096)
NAIVE_ROWS = 2_048  # of the naive computation, which is timed on so many and multiplied
PEAK = """
import sys, threading, time
import numpy as np
from actlas.plugins.capacity.features import prepared
from actlas.plugins.capacity.frame import frame
held = [0]
def look():  # at memory of its own: the features' file is mapped
    while True:
        with open("/proc/self/status") as status:
            held.append(next(int(line.split()[1]) for line in status if line.startswith("RssAnon")))
        time.sleep(0.005)
W = np.load(sys.argv[1], mmap_mode="r")
frame(prepared(W[:5000, :64], "some"))
threading.Thread(target=look, daemon=True).start()
time.sleep(0.1)
before, start = max(held), time.perf_counter()
found = frame(prepared(W, "features"))
print(time.perf_counter() - start, (max(held) - before) * 1024 / 1e9, found.capacity.sum())
"""


def gaussian(n: int, d: int) -> NDArray[np.float32]:
    """Features of normal numbers, norms spread as those of tokens are."""
    rng = np.random.default_rng(0)
    norms = np.exp(0.3 * rng.standard_normal((n, 1), dtype=np.float32))
    rows: NDArray[np.float32] = rng.standard_normal((n, d), dtype=np.float32) * norms
    return rows


def falling(n: int, d: int) -> NDArray[np.float32]:
    """Features whose spectrum falls over seven decades: single precision would not do."""
    scale = np.geomspace(1, 10**-3.5, d)
    return (gaussian(n, d) * scale).astype(np.float32)


def naive(W: NDArray[Any], some: NDArray[np.int64], dtype: type) -> NDArray[np.float64]:
    """Capacity of some features by their products with all, as numpy does them in this dtype."""
    rows: NDArray[Any] = W[some].astype(dtype)
    products = rows @ W.astype(dtype, copy=False).T
    below = np.square(products, out=products).sum(axis=1)
    found: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows) ** 2 / below
    return found


def fastest(work: Callable[[], object], rounds: int = 4) -> float:
    """Seconds, the best of a few."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
        time.sleep(0.05)  # for threads that still spin
    return min(seconds)


def tokens() -> Iterator[Bar]:
    """As many features as GPT-2 has tokens."""
    n, d = TOKENS
    name, W = f"capacity {n:,} × {d}", gaussian(n, d)
    seconds = fastest(lambda: frame(prepared(W, "features")))
    alone = fastest(lambda: capacities(W))
    some = np.random.default_rng(1).choice(n, NAIVE_ROWS, replace=False)
    double = W.astype(np.float64)
    yield Bar(f"{name}: with leverage and residuals", seconds, 1.0, unit="s")
    yield Bar(f"{name}: capacity alone", alone, 1.0, unit="s")
    # In double precision, which results are held to; and as numpy does it for data as they come,
    # less exactly. Of the latter N/d is all that can be had: products run equally fast.
    for rows in (double, W):
        whole = fastest(partial(naive, rows, some, rows.dtype.type), 3) * n / NAIVE_ROWS
        yield Bar(
            f"{name}: N × N in {rows.dtype} / capacity alone", whole / alone, 60, at_least=True,
            note=f"{whole:.1f} s, from {NAIVE_ROWS:,} rows; {whole / seconds:.0f} × with all; "
            f"N/d = {n / d:.0f}",
        )  # fmt: skip
    steep = falling(n, d)
    seconds = fastest(lambda: frame(prepared(steep, "features")), 2)
    yield Bar(f"{name}, falling spectrum (float64 products)", seconds, 3.0, unit="s")
    yield from same(W, some[:256], "float32", 1e-5)
    yield from same(steep, some[:256], "falling spectrum", 1e-5)
    yield from same(double, some[:256], "float64", 1e-10)


def same(W: NDArray[Any], some: NDArray[np.int64], kind: str, limit: float) -> Iterator[Bar]:
    """Compare with N × N in double precision."""
    exact = naive(W, some, np.float64)
    for way, found in (
        ("all", frame(prepared(W, "features")).capacity), ("alone", capacities(W)),
    ):  # fmt: skip
        error = float(np.abs(found[some] / exact - 1).max())
        name = f"capacity {kind} ({way}): from naive float64 / {limit:g}"
        yield Bar(name, error / limit, 1.0, note=f"{error:.1e}")


def wide() -> Iterator[Bar]:
    """A file that is mapped, in a process of its own."""
    n, d = WIDE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "W.npy"
        held = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
        rng = np.random.default_rng(0)
        for at in range(0, n, 10_000):
            held[at : at + 10_000] = rng.standard_normal((10_000, d), dtype=np.float32)
        held.flush()
        del held
        command = [sys.executable, "-c", PEAK, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory, _ = map(float, done.stdout.split())
    yield Bar(f"capacity {n:,} × {d:,}, memory-mapped", seconds, 60, unit="s")
    yield Bar("the same: memory beyond the input", memory, 1.0, unit="GB")


def run() -> Iterator[Bar]:
    """Measure."""
    yield from tokens()
    yield from wide()


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
