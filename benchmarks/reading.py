"""Reading one layer back as float32 against np.load of the same float16 bytes and a cast."""

import tempfile
from pathlib import Path

import numpy as np

import actlas

from .common import Bar, interleaved, ratio, sentences

ROUNDS = 15


def run() -> list[Bar]:
    """Measure."""
    model = actlas.load_model("actlas:demo", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        with actlas.open(f"sqlite:///{folder}/store.db") as store:
            extraction = store.extract(model, sentences(2000))
            acts = extraction.activations("layers.3")
            path = Path(folder) / "layer.npy"
            np.save(path, acts.numpy(np.float16))
            seconds = interleaved(
                ROUNDS,
                warm=lambda: (np.load(path).astype(np.float32), acts.numpy()),
                read=acts.numpy,
                load=lambda: np.load(path).astype(np.float32),
            )
            payload = len(acts) * acts.width * 2 * len(extraction.sites)
        size = sum(p.stat().st_size for p in Path(folder).glob("store.db*"))
    return [
        Bar("read a layer to float32 / np.load + astype", ratio(seconds, "read", "load"), 2.0),
        Bar("store size / float16 payload (rows and texts included)", size / payload, 1.05),
    ]
