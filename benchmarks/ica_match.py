"""`ica_match`: time to match 768 axes with 768 on 100,000 pairs of rows, the fits left out."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Others, Result
from actlas.plugins.ica import ica, ica_match

from .common import Bar

N, D, SHARED = 100_000, 768, 200
ROUNDS = 3


def site(sources: NDArray[np.float32], seed: int, name: str) -> tuple[Activations, Result]:
    """Mix white sources by a rotation; and the result that a fit which found them would give."""
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((D, D)))[0]
    variances = np.geomspace(100.0, 0.01, D)
    mixing = (rotation * np.sqrt(variances)).astype(np.float32)
    few = Activations.of(sources[: 2 * D] @ mixing.T)
    like = ica(few, max_iter=1, restarts=0, tol=1.0)
    arrays = dict(like.arrays) | {
        "mean": (sources.mean(axis=0, dtype=np.float64) @ mixing.T),
        "reading": (rotation / np.sqrt(variances)).T,
        "writing": rotation * np.sqrt(variances),
        "principal": rotation.T,
        "variances": variances,
    }
    return Activations.of(sources @ mixing.T, site=name), Result(like.tables, arrays)


def run() -> Iterator[Bar]:
    """Measure."""
    rng = np.random.default_rng(0)
    one = rng.standard_exponential((N, D), np.float32) - 1
    other = rng.standard_exponential((N, D), np.float32) - 1
    strength = np.linspace(0.9, 0.05, SHARED, dtype=np.float32)
    other[:, :SHARED] *= np.sqrt(1 - strength**2)
    other[:, :SHARED] += strength * one[:, :SHARED]
    (acts, base), (target, its) = site(one, 1, "one"), site(other, 2, "other")
    del one, other
    seconds, cpu = [], []
    for _ in range(ROUNDS):
        start, before = time.perf_counter(), time.process_time()
        found = ica_match(acts, Others.of(target, bases=[its]), base)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - before)
    summary = next(iter(found.tables["summary"]))
    note = (
        f"{min(cpu):.1f} s of all cores; {summary['shared']} of {SHARED} planted axes shared, "
        f"{summary['shuffles']} shuffles"
    )
    yield Bar(
        f"ica_match {D} × {D} axes, {N:,} pairs: least of {ROUNDS}", min(seconds), 5.0, unit="s",
        note=note,
    )  # fmt: skip


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
