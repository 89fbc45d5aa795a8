"""Extraction against the bare forward pass: the demo model and two of twelve layers × 768."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import actlas
from actlas.api import StoredExtraction
from actlas.core import Batch, Dataset, ExtractOptions, Extractor, LoadedModel, TopKeeper

from .common import Bar, interleaved, ratio
from .peers.models import UD, save_model, sentences

SENTENCES = 4000
BATCH = 32
WINDOW = 4096  # rows that the index is given at once
MODELS = {"demo": (5, 1.08), "bert": (3, 1.03), "gpt2": (3, 1.03)}  # rounds, limit
Arguments = Mapping[str, torch.Tensor]
INDEX_BYTES = """
SELECT SUM(LENGTH(p.data)) AS n FROM top_indexes t JOIN payloads p ON p.id = t.data_id
"""


@contextmanager
def loaded(name: str) -> Iterator[LoadedModel]:
    """Load the demo model, or a random one of a shape."""
    with tempfile.TemporaryDirectory() as folder:
        spec = "actlas:demo" if name == "demo" else str(save_model(name, Path(folder)))
        yield actlas.load_model(spec, device="cpu")


def sorted_batches(model: LoadedModel, texts: list[str]) -> list[Arguments]:
    """What one writes by hand: 32 sentences at a time, the longest first, padded and masked."""
    tokenizer: Any = model.tokenizer
    ordered = sorted(texts, key=lambda text: -len(tokenizer(text)["input_ids"]))
    return [
        dict(tokenizer(ordered[i : i + BATCH], padding=True, return_tensors="pt"))
        for i in range(0, len(ordered), BATCH)
    ]


def bare(model: LoadedModel, batches: list[Arguments]) -> None:
    """Run the bare model over prepared batches."""
    with torch.inference_mode():
        for batch in batches:
            model.module(**batch)


class Extraction:
    """Extracts into a fresh SQLite store each time; stores are opened and removed untimed."""

    def __init__(self, model: LoadedModel, data: Dataset, folder: Path, dtype: str = "float16"):
        self.model, self.data, self.folder, self.dtype = model, data, folder, dtype
        self.store = self._fresh()

    def _fresh(self) -> actlas.Store:
        return actlas.open(f"sqlite:///{self.folder}/{len(list(self.folder.glob('*.db')))}.db")

    def __call__(self) -> Callable[[], None]:
        """Extract, and return what clears up."""
        self.store.extract(self.model, self.data, dtype=self.dtype)  # type: ignore[arg-type]
        return self.renew

    def renew(self) -> None:
        """Remove the store and open another."""
        self.store.close()
        for path in self.folder.iterdir():
            path.unlink()
        self.store = self._fresh()

    def size(self) -> int:
        """Extract once more, and return the bytes of the closed store."""
        self.store.extract(self.model, self.data, dtype=self.dtype)  # type: ignore[arg-type]
        self.store.close()
        size = sum(path.stat().st_size for path in self.folder.iterdir())
        self.store = actlas.open(f"sqlite:///{next(self.folder.glob('*.db'))}")
        return size


def index_seconds(extraction: StoredExtraction) -> float:
    """Seconds that the index of highest and lowest rows takes by itself, over all sites."""
    total = 0.0
    for acts in extraction.layers():
        keeper = TopKeeper(acts.width)
        for chunk in acts.chunks(WINDOW, np.float16):
            given = torch.from_numpy(chunk)
            start = time.perf_counter()
            keeper.update(given, finite=True)
            total += time.perf_counter() - start
    return total


def sizes(name: str, model: LoadedModel, data: Dataset) -> list[Bar]:
    """Bytes on disk over bytes of numbers, as float16 and as int8."""
    bars = []
    for dtype, item, limit in (("float16", 2, 1.01), ("int8", 4, 0.27)):
        with tempfile.TemporaryDirectory() as folder:
            extract = Extraction(model, data, Path(folder), dtype)
            size = extract.size()
            found = extract.store.extraction()
            payload = sum(len(acts) * acts.width * item for acts in found.layers())
            index = int(extract.store.sql(INDEX_BYTES)["n"][0])
            extract.store.close()
        against = "float16 payload" if item == 2 else "float32"
        note = f"{(size - index) / payload:.3f} without its index of top rows"
        bars.append(Bar(f"{name}: {dtype} store / {against}", size / payload, limit, note=note))
        if item == 4:
            bars.append(Bar(f"{name}: index of top rows / float32", index / payload, 0.03))
    return bars


def measured(name: str, texts: list[str]) -> Iterator[Bar]:
    """Measure one model."""
    rounds, limit = MODELS[name]
    data = Dataset.of(texts)
    with loaded(name) as model, tempfile.TemporaryDirectory() as folder:
        by_hand = sorted_batches(model, texts)
        extractor = Extractor(model, data, model.select("residual"), ExtractOptions())
        own: list[Batch] = list(extractor.batches())
        bare(model, by_hand[:4])
        extract = Extraction(model, data, Path(folder))
        seconds = interleaved(
            rounds,
            bare=lambda: bare(model, by_hand),
            own=lambda: bare(model, [batch.arguments for batch in own]),
            extract=extract,
        )
        rows = sum(int(batch["attention_mask"].sum()) for batch in by_hand)
        sites = len(extractor.sites)
        rate = rows / np.median(seconds["extract"])
        note = f"{ratio(seconds, 'extract', 'own'):.3f} × its own batches bare; {rate:,.0f} rows/s"
        title = f"{name}: extract ({sites} sites, float16) / bare sorted forward"
        yield Bar(title, ratio(seconds, "extract", "bare"), limit, note=note)
        extract()
        index = index_seconds(extract.store.extraction())
        extract.store.close()
        share = index / float(np.median(seconds["extract"]))
        yield Bar(f"{name}: index of top rows / extraction, in seconds", share, 0.03)
        yield from sizes(name, model, data)


def run() -> Iterator[Bar]:
    """Measure."""
    texts = sentences(SENTENCES, UD)
    for name in MODELS:
        yield from measured(name, texts)


if __name__ == "__main__":
    for model_name in sys.argv[2:]:
        for bar in measured(model_name, sentences(int(sys.argv[1]), UD)):
            print(bar, flush=True)
