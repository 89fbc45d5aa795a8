"""Cache with nnsight: `tracer.cache` of the modules wanted, saved with `torch.save`.

Its documentation says to name the modules, to let the cache cast, to wrap a collection in
`torch.no_grad`, and that `torch.save` writes a cache. The task `feature-extraction` loads the model
without its head, which spares nnsight the logits; then it pads decoders, too, on the right.
"""

from pathlib import Path

import torch
from nnsight import TransformersModel

from .contender import Contender, batches, main

PATHS = {"bert": ("embeddings", "encoder.layer"), "gpt2": ("drop", "h")}


class Nnsight(Contender):
    """The modules that give the embedding, and all blocks."""

    def __init__(self, model: Path):
        super().__init__(model)
        self.network = TransformersModel(str(model), task="feature-extraction", dispatch=True)
        embedding, blocks = PATHS[self.network.config.model_type]
        depth = self.network.config.num_hidden_layers
        self.paths = [f"model.{embedding}", *(f"model.{blocks}.{i}" for i in range(depth))]

    def store(self, texts: list[str], folder: Path) -> None:
        """See `Contender.store`."""
        folder.mkdir()
        for number, batch in batches(texts):
            with torch.no_grad(), self.network.trace(batch) as tracer:
                cache = tracer.cache(modules=self.paths, dtype=torch.float16)
            torch.save(cache, folder / f"{number}.pt")

    def first(self, folder: Path, tokens: int) -> torch.Tensor:
        """See `Contender.first`."""
        cache = torch.load(folder / "0.pt", weights_only=False)
        return torch.stack([cache[path].output[0, :tokens] for path in self.paths])


if __name__ == "__main__":
    main(Nnsight)
