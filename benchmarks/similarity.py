"""`cka`: time of all pairs of 2 × 13 sites of 20,000 × 384, and how far from plain float64."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, Layers, Others
from actlas.plugins.similarity import cka

from .common import Bar

SITES, N, D = 13, 20_000, 384
FEW = 6000  # rows on which Gram matrices in float64 are the judge
ROUNDS = 2


def model(common: NDArray[np.float32], seed: int) -> list[NDArray[np.float32]]:
    """Make the sites of a model, which drift from what models have in common; one outlier each."""
    rng = np.random.default_rng(seed)
    state, sites = common.copy(), []
    for _ in range(SITES):
        state = 0.9 * state + 0.1 * rng.standard_normal(state.shape, np.float32)
        X = state + state @ (rng.standard_normal((D, D), np.float32) / D**0.5)
        X[:, 7] = 3 * X[:, 7] + 100
        sites.append(X)
    return sites


def layers(arrays: list[NDArray[np.float32]]) -> Layers:
    """Name sites in order."""
    return Layers.of(*(Activations.of(X, site=f"layers.{i}") for i, X in enumerate(arrays)))


def plain(X: NDArray[np.float32], Y: NDArray[np.float32]) -> float:
    """Debiased CKA by Gram matrices in float64 (Song et al. 2012, equation 5)."""

    def gram(Z: NDArray[np.float32]) -> NDArray[np.float64]:
        K = Z.astype(np.float64) @ Z.T.astype(np.float64)
        np.fill_diagonal(K, 0)
        return K

    def hsic(K: NDArray[np.float64], L: NDArray[np.float64]) -> float:
        n = len(K)
        k, m = K.sum(axis=0), L.sum(axis=0)
        last = k.sum() * m.sum() / ((n - 1) * (n - 2))
        return float(np.einsum("ij,ij", K, L) + last - 2 / (n - 2) * (k @ m))

    K, L = gram(X), gram(Y)
    return hsic(K, L) / float(np.sqrt(hsic(K, K) * hsic(L, L)))


def run() -> Iterator[Bar]:
    """Measure."""
    common = np.random.default_rng(0).standard_normal((N, D), np.float32)
    one, other = model(common, 1), model(common, 2)
    names = [f"2:layers.{i}" for i in range(SITES)]
    others = Others.of(*(Activations.of(X) for X in other), names=names)
    seconds, cpu = [], []
    for _ in range(ROUNDS):
        start, before = time.perf_counter(), time.process_time()
        cka(layers(one), others)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - before)
    yield Bar(
        f"cka {2 * SITES} sites of {N:,} × {D}, all pairs: least of {ROUNDS}",
        min(seconds), 20.0, unit="s", note=f"{min(cpu):.1f} s of all cores",
    )  # fmt: skip
    few = [one[0][:FEW], one[-1][:FEW], other[5][:FEW]]
    values = [row["cka"] for row in cka(layers(few)).tables["pairs"]]
    exact = [plain(few[i], few[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    worst = max(abs(a - b) for a, b in zip(values, exact, strict=True))
    yield Bar(
        f"cka in float32 products, {FEW:,} rows: off plain float64 (1e-6)",
        worst * 1e6, 1.0, note=f"of {', '.join(f'{value:.4f}' for value in exact)}",
    )  # fmt: skip


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
