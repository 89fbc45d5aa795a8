"""`ica` against scikit-learn's FastICA and python-picard: time to the same axes, and memory."""

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actlas import Activations
from actlas.plugins.ica.fit import Settings, fit

from .common import Bar

SIZES = ((50_000, 300), (100_000, 384))
MEMORY = (100_000, 768)
TOL, MAX_ITER = 1e-4, 200  # scikit-learn's own
PEAK = """
import sys, threading, time
import numpy as np
from actlas import Activations
from benchmarks.ica import solved
held = [0]
def look():  # at memory of its own: the rows' file is mapped
    while True:
        with open("/proc/self/status") as status:
            held.append(next(int(line.split()[1]) for line in status if line.startswith("RssAnon")))
        time.sleep(0.005)
X = np.load(sys.argv[1], mmap_mode="r")
solved(Activations.of(X[:20_000, :64]), 1.0, 2)
threading.Thread(target=look, daemon=True).start()
time.sleep(0.1)
before = max(held)
solved(Activations.of(X), float(sys.argv[2]), 2)
print((max(held) - before) * 1024)
"""


def mixture(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    """Mix d columns of four kinds, from close to normal to sparse, by a random matrix."""
    rng = np.random.default_rng(seed)
    X = np.empty((n, d))
    for j in range(d):
        X[:, j] = (
            rng.gamma(0.5 + j / d, size=n),
            rng.laplace(size=n),
            rng.standard_normal(n) * (rng.random(n) < 0.05 + 0.3 * j / d),
            rng.standard_t(5, size=n),
        )[j % 4]
    X /= X.std(axis=0)
    mixed: NDArray[np.float32] = (X @ rng.standard_normal((d, d))).astype(np.float32)
    return mixed


def solved(
    acts: Activations, memory_gb: float = 4.0, max_iter: int = MAX_ITER
) -> NDArray[np.float64]:
    """Whiten and solve; returns the axes as they are read (k, width)."""
    settings = Settings("logcosh", TOL, max_iter, 0, "actlas")
    found = fit(
        acts, settings, n_components=None, restarts=0, by_token=False, outlier_norm=0.0,
        normalise=False, memory_gb=memory_gb,
    )  # fmt: skip
    return found.solution.rotation @ found.white.reading


def whitened(X: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows whitened in float64, and the map (width, k) that does it."""
    centred = X - X.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(X))
    return centred @ (vectors / np.sqrt(values)), vectors / np.sqrt(values)


def timed(n: int, d: int) -> Iterator[Bar]:
    """Time the three on one mixture."""
    from picard import picard
    from sklearn.decomposition import FastICA

    X = mixture(n, d)
    solved(Activations.of(X[:2_000, :20]))  # imports, and starts threads
    start = time.perf_counter()
    ours = solved(Activations.of(X))
    seconds = time.perf_counter() - start
    Z, to_white = whitened(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model = FastICA(whiten=False, tol=TOL, max_iter=MAX_ITER, random_state=0).fit(Z)
        sklearn = time.perf_counter() - start
        start = time.perf_counter()
        picard(
            Z.T, ortho=True, extended=True, whiten=False, centering=False, tol=TOL,
            max_iter=MAX_ITER, random_state=0,
        )  # fmt: skip
        other = time.perf_counter() - start
    # Correlation of axes on the data: s = reading (x − mean), so by the covariance.
    cosines = np.abs((ours @ np.linalg.pinv(to_white.T)) @ model.components_.T)
    least = float(cosines.max(axis=1).min())
    name = f"ica {n:,} × {d}"
    yield Bar(
        f"{name}: scikit-learn / actlas with whitening", sklearn / seconds, 4.0, at_least=True,
        note=f"{sklearn:.1f} s, {model.n_iter_} iterations / {seconds:.1f}  s",
    )  # fmt: skip
    yield Bar(
        f"{name}: picard / actlas", other / seconds, 1.0, at_least=True, note=f"{other:.1f} s"
    )
    yield Bar(f"{name}: least |r| of matched axes", least, 0.9999, unit="", at_least=True)


def peak(memory_gb: float) -> float:
    """Peak of fitting over the bytes of the rows as float32."""
    n, d = MEMORY
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        np.save(path, mixture(n, 8).repeat(d // 8, axis=1) + np.random.default_rng(1)
                .standard_normal((n, d)).astype(np.float32))  # fmt: skip
        command = [sys.executable, "-c", PEAK, str(path), str(memory_gb)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) / (n * d * 4)


def run() -> Iterator[Bar]:
    """Measure."""
    for n, d in SIZES:
        yield from timed(n, d)
    yield Bar(f"ica {MEMORY[0]:,} × {MEMORY[1]}: peak / float32 rows", peak(4.0), 1.3)
    yield Bar("the same, rows read anew at every pass", peak(0.05), 0.5)


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
