"""Cache with TransformerLens 4: a bridge to a local Hugging Face model, `run_with_cache`.

Its documentation batches strings into `run_with_cache` and chooses activations by `names_filter`;
it pads on the right and computes with eager attention. It has no store: activations are cast to
float16 and written with `torch.save`, a file a batch.
"""

from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoTokenizer

from .contender import Contender, batches, main


class TransformerLens(Contender):
    """The residual stream before the first block and after every block."""

    def __init__(self, model: Path):
        super().__init__(model)
        self.bridge = TransformerBridge.boot_transformers(
            str(model), tokenizer=AutoTokenizer.from_pretrained(model), device="cpu"
        )
        depth = AutoConfig.from_pretrained(model).num_hidden_layers
        after = [f"blocks.{i}.hook_resid_post" for i in range(depth)]
        self.names = ["blocks.0.hook_resid_pre", *after]

    def store(self, texts: list[str], folder: Path) -> None:
        """See `Contender.store`."""
        folder.mkdir()
        for number, batch in batches(texts):
            with torch.no_grad():
                _, cache = self.bridge.run_with_cache(
                    batch, names_filter=self.names, return_type=None
                )
            halves = {name: cache[name].half() for name in self.names}
            torch.save(halves, folder / f"{number}.pt")

    def first(self, folder: Path, tokens: int) -> torch.Tensor:
        """See `Contender.first`."""
        cache = torch.load(folder / "0.pt")
        return torch.stack([cache[name][0, :tokens] for name in self.names])


if __name__ == "__main__":
    main(TransformerLens)
