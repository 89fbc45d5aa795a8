"""Reading from a store against numpy on the same float16 bytes: a layer, a sample, random rows."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import actlas
from actlas.api import StoredExtraction

from .common import Bar, interleaved, ratio, sentences

ROUNDS = 15
SAMPLES = 200


def sample_ms(extraction: StoredExtraction) -> float:
    """Median milliseconds to read all rows of a random sample at every site."""
    layers, sample = extraction.layers(), extraction.rows.sample
    seconds = []
    for one in np.random.default_rng(0).choice(sample[-1] + 1, SAMPLES, replace=False):
        start, stop = np.searchsorted(sample, [one, one + 1]).tolist()
        clock = time.perf_counter()
        for activations in layers:
            activations[start:stop]
        seconds.append(time.perf_counter() - clock)
    return statistics.median(seconds) * 1e3


def run() -> list[Bar]:
    """Measure."""
    model = actlas.load_model("actlas:demo", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        with actlas.open(f"sqlite:///{folder}/store.db") as store:
            extraction = store.extract(model, sentences(2000))
            acts = extraction.activations("layers.3")
            path = Path(folder) / "layer.npy"
            np.save(path, acts.numpy(np.float16))
            index = np.random.default_rng(0).choice(len(acts), len(acts) // 100, replace=False)
            mapped = np.load(path, mmap_mode="r")
            contenders: dict[str, Callable[[], Any]] = {
                "read": acts.numpy,
                "load": lambda: np.load(path).astype(np.float32),
                "gather": lambda: acts[index],
                "memmap": lambda: mapped[index].astype(np.float32),
            }
            assert np.array_equal(contenders["gather"](), contenders["memmap"]())
            interleaved(1, **contenders)  # warm
            seconds = interleaved(ROUNDS, **contenders)
            one_sample = sample_ms(extraction)
            sites = len(extraction.sites)
            payload = len(acts) * acts.width * 2 * sites
        size = sum(p.stat().st_size for p in Path(folder).glob("store.db*"))
    return [
        Bar("read a layer to float32 / np.load + astype", ratio(seconds, "read", "load"), 1.3),
        Bar(f"read one sample at all {sites} sites", one_sample, 0.5, "ms"),
        Bar("read 1 % random rows / the same from a memmap", ratio(seconds, "gather", "memmap"), 5),
        Bar("store size / float16 payload (rows and texts included)", size / payload, 1.01),
    ]
