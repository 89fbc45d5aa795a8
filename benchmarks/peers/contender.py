"""What all contenders share: the command line, warming up, timing, and showing what was stored."""

import argparse
import json
import resource
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import AutoTokenizer

BATCH = 32


class Contender(ABC):
    """Stores the embedding and the output of every block of a model over texts.

    Made untimed, with the model and the tokenizer loaded.
    """

    def __init__(self, model: Path):
        self.model = model

    @abstractmethod
    def store(self, texts: list[str], folder: Path) -> None:
        """Write the activations of all texts into a folder."""

    @abstractmethod
    def first(self, folder: Path, tokens: int) -> torch.Tensor:
        """Read back what was stored of the first text's tokens: (sites, tokens, width)."""

    def rows(self, texts: list[str], folder: Path) -> int:
        """Count the tokens that were stored, special ones included and padding apart."""
        tokenizer = AutoTokenizer.from_pretrained(self.model)
        return sum(map(len, tokenizer(texts)["input_ids"]))


def batches(texts: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield numbered batches in the given order."""
    for number, start in enumerate(range(0, len(texts), BATCH)):
        yield number, texts[start : start + BATCH]


def main(kind: type[Contender]) -> None:
    """Measure one contender in this process and print a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    texts = json.loads(given.texts.read_text())
    contender = kind(given.model)
    with tempfile.TemporaryDirectory(dir=given.texts.parent) as name:
        folder = Path(name)
        contender.store(texts[:BATCH], folder / "warm")
        start = time.perf_counter()
        contender.store(texts, folder / "timed")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows = contender.rows(texts, folder / "timed")
        alone = Contender.rows(contender, texts[:1], folder)
        means = contender.first(folder / "timed", alone).float().abs().mean(dim=(1, 2))
        stored = sum(p.stat().st_size for p in (folder / "timed").rglob("*") if p.is_file())
    found = {"rows": rows, "seconds": seconds, "peak_mb": peak, "stored_mb": stored / 2**20}
    print(json.dumps(found | {"means": means.tolist()}))
