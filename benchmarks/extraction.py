"""Extraction of the demo model over 2,000 sentences against the bare forward pass."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import actlas
from actlas.core import Batch, Dataset, ExtractOptions, Extractor, LoadedModel

from .common import Bar, interleaved, ratio, sentences

ROUNDS = 7


def bare(model: LoadedModel, prepared: list[Batch]) -> None:
    """Run the bare model over prepared batches."""
    with torch.inference_mode():
        for batch in prepared:
            model.module(**batch.arguments)


def plain_loop(model: LoadedModel, texts: list[str]) -> list[Any]:
    """What one writes without a tool: unsorted batches of 32, all hidden states kept."""
    kept = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            batch = model.tokenizer(texts[start : start + 32], padding=True, return_tensors="pt")
            kept.append(model.module(**batch, output_hidden_states=True).hidden_states)
    return kept


class Extraction:
    """Extracts into a fresh SQLite store each time; stores are opened and removed untimed."""

    def __init__(self, model: LoadedModel, data: Dataset, folder: Path):
        self.model, self.data, self.folder = model, data, folder
        self.store = self._fresh()

    def _fresh(self) -> actlas.Store:
        return actlas.open(f"sqlite:///{self.folder}/{len(list(self.folder.glob('*.db')))}.db")

    def __call__(self) -> Callable[[], None]:
        """Extract, and return what clears up."""
        self.store.extract(self.model, self.data)
        return self.renew

    def renew(self) -> None:
        """Remove the store and open another."""
        self.store.close()
        for path in self.folder.iterdir():
            path.unlink()
        self.store = self._fresh()


def run() -> list[Bar]:
    """Measure."""
    model = actlas.load_model("actlas:demo", device="cpu")
    data = sentences(2000)
    extractor = Extractor(model, data, model.select("residual"), ExtractOptions())
    prepared = list(extractor.batches())
    bare(model, prepared)
    with tempfile.TemporaryDirectory() as folder:
        extract = Extraction(model, data, Path(folder))
        seconds = interleaved(
            ROUNDS,
            bare=lambda: bare(model, prepared),
            extract=extract,
            plain=lambda: plain_loop(model, list(data.texts)).clear(),
        )
        extract.store.close()
    tokens = sum(len(ids) for ids in model.tokenizer(list(data.texts))["input_ids"])
    note = f"{tokens / statistics.median(seconds['extract']):,.0f} tokens/s"
    return [
        Bar("extract (7 sites, float16, SQLite) / bare sorted forward",
            ratio(seconds, "extract", "bare"), 1.10, note=note),
        Bar("extract / plain loop of 32, output_hidden_states",
            ratio(seconds, "extract", "plain"), 0.6),
    ]  # fmt: skip
