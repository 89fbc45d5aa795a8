"""`sim_probe` of three factors on 20,000 × 512, without and with its refits of k dimensions."""

import time
from collections.abc import Iterator

import numpy as np

from actlas import Activations, Factors, Labels
from actlas.plugins.sim.probing import sim_probe

from .common import Bar

ROWS, WIDTH, GROUPS = 20_000, 512, 400
CLASSES = {"digit": 10, "speaker": 6, "vowel": 3}


def planted() -> tuple[Activations, Factors]:
    """Frames of recordings, 50 each: factors along some directions, correlated noise in all."""
    rng = np.random.default_rng(0)
    group = np.arange(ROWS) * GROUPS // ROWS
    mix = rng.standard_normal((WIDTH, WIDTH)) / np.geomspace(1, 30, WIDTH)[:, None]
    X = rng.standard_normal((ROWS, WIDTH)) @ mix
    sets = []
    for name, classes in CLASSES.items():
        codes = rng.integers(0, classes, GROUPS)[group]
        X += 0.2 * rng.standard_normal((classes, WIDTH))[codes]
        sets.append(Labels.of(codes, name=name, groups=group))
    return Activations.of(X.astype(np.float32)), Factors.of(*sets)


def run() -> Iterator[Bar]:
    """Measure."""
    acts, factors = planted()
    for topk, limit in ((False, 30.0), (True, 120.0)):
        start = time.perf_counter()
        result = sim_probe(acts, factors, None, topk=topk)
        taken = time.perf_counter() - start
        read = next(iter(result.tables["summary"]))["accuracy"]
        name = f"sim_probe, 3 factors, 20,000 × 512, {'with' if topk else 'without'} top-k refits"
        yield Bar(name, taken, limit, "s", f"mean accuracy {read:.2f}")


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
