"""Extract with actlas: token pooling, all layers, float16, into a new SQLite store."""

from pathlib import Path

import torch

import actlas
from actlas.core import Dataset

from .contender import Contender, main


class Actlas(Contender):
    """Timed from opening the store to closing it, which copies what is left in the log."""

    def __init__(self, model: Path):
        super().__init__(model)
        self.loaded = actlas.load_model(str(model), device="cpu")

    def store(self, texts: list[str], folder: Path) -> None:
        """See `Contender.store`."""
        folder.mkdir()
        with actlas.open(f"sqlite:///{folder}/store.db") as opened:
            opened.extract(self.loaded, Dataset.of(texts))

    def rows(self, texts: list[str], folder: Path) -> int:
        """See `Contender.rows`."""
        with actlas.open(f"sqlite:///{folder}/store.db") as opened:
            return len(opened.extraction().activations("embed"))

    def first(self, folder: Path, tokens: int) -> torch.Tensor:
        """See `Contender.first`."""
        with actlas.open(f"sqlite:///{folder}/store.db") as opened:
            layers = opened.extraction().layers()
            # GPT-2 has a norm after its last block, a site of its own that the others leave out.
            kept = [a for a in layers if a.site != "final"]
            return torch.stack([torch.from_numpy(a[:tokens]) for a in kept])


if __name__ == "__main__":
    main(Actlas)
