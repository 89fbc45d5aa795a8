"""Store with captum: `AV.generate_dataset_activations` over a `DataLoader`.

The loader tokenizes and pads each batch to its longest text; the model is called with tensors in
the order of its forward's arguments. AV writes one file a layer and batch, in the model's float32.
"""

from pathlib import Path
from typing import Any

import torch
from captum._utils.av import AV
from torch.utils.data import DataLoader
from transformers import AutoModel, AutoTokenizer

from .contender import BATCH, Contender, main

PATHS = {"bert": ("embeddings", "encoder.layer"), "gpt2": ("drop", "h")}


class Masked(torch.nn.Module):
    """Calls a model with its inputs in an order that all architectures share."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden state."""
        found: torch.Tensor = self.network(
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state
        return found


class Captum(Contender):
    """The modules that give the embedding, and all blocks."""

    def __init__(self, model: Path):
        super().__init__(model)
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModel.from_pretrained(model).eval()
        embedding, blocks = PATHS[network.config.model_type]
        depth = network.config.num_hidden_layers
        self.layers = [f"network.{embedding}", *(f"network.{blocks}.{i}" for i in range(depth))]
        self.masked = Masked(network)

    def store(self, texts: list[str], folder: Path) -> None:
        """See `Contender.store`."""
        loader: Any = DataLoader(texts, batch_size=BATCH, collate_fn=self._collate)  # type: ignore[arg-type]
        AV.generate_dataset_activations(str(folder), self.masked, "model", self.layers, loader)

    def _collate(self, texts: list[str]) -> tuple[tuple[torch.Tensor, torch.Tensor], None]:
        """Inputs and, as captum unpacks them, labels, of which there are none."""
        batch = self.tokenizer(texts, padding=True, return_tensors="pt")
        return (batch["input_ids"], batch["attention_mask"]), None

    def first(self, folder: Path, tokens: int) -> torch.Tensor:
        """See `Contender.first`."""
        values = [AV.load(str(folder), "model", "default", n, "0")[0] for n in self.layers]
        return torch.stack([value[0, :tokens] for value in values])


if __name__ == "__main__":
    main(Captum)
