"""How long it takes to see whether axes can be read, by DistRatio."""

import time
from collections.abc import Iterator

import numpy as np

from actlas import Activations, Rows
from actlas.plugins.ica import Axes
from actlas.plugins.ica.intrusion import intrusion
from actlas.plugins.ica.items import Items, lengths

from .common import Bar
from .ica import mixture

ROWS, AXES, TOKENS = 100_000, 300, 30_000


def run() -> Iterator[Bar]:
    """Measure: rows that are all different, and occurrences of tokens as in a text (Zipf)."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((AXES, AXES)))[0]
    X = mixture(ROWS, AXES)
    axes = Axes(np.zeros(AXES), turn)
    words = [f"t{i % TOKENS}" for i in rng.zipf(1.3, ROWS)]
    for name, tokens in (("rows", [None] * ROWS), ("tokens", words)):
        acts = Activations.of(X, rows=Rows.build(np.arange(ROWS), token=tokens))
        start = time.perf_counter()
        items = Items.of(acts.rows.token)
        intrusion(acts, axes, items, lengths(acts, axes), top=5, intruders=10, seed=0, turn=True)
        seconds = time.perf_counter() - start
        yield Bar(
            f"DistRatio, {AXES} axes × {ROWS:,} {name}, both rankings", seconds, 10.0, unit="s"
        )
