"""A third party's loaders of models, as their module would be installed."""

import torch
from torch import nn

from actlas import LoadedModel, TorchFeed, loader, pick_device


class Spikes(nn.Module):
    """A network that is simulated: characters in, one vector a character out."""

    def __init__(self, width: int):
        super().__init__()
        self.embedding = nn.Embedding(128, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the last layer's activity."""
        x = self.embedding(codes)
        for layer in self.layers:
            x = layer(x)
        return x


def collate(texts: list[str]) -> dict[str, torch.Tensor]:
    """Give character codes, and which are real."""
    longest = max(map(len, texts))
    codes = torch.tensor([[ord(c) % 128 for c in text.ljust(longest)] for text in texts])
    mask = torch.tensor([[int(i < len(text)) for i in range(longest)] for text in texts])
    return {"codes": codes, "attention_mask": mask}


@loader("spikes")
def spikes(rest: str, *, device: str, compute_dtype: str, trust_remote_code: bool) -> LoadedModel:
    """A simulated network of the width named: spikes:WIDTH."""
    torch.manual_seed(0)
    device = pick_device(device)
    module = Spikes(int(rest)).eval().to(device, getattr(torch, compute_dtype))
    feed = TorchFeed(collate, forward=module.forward)
    return LoadedModel(f"spikes:{rest}", module, feed, f"simulated {rest}", device)


@loader("fake_wrong")
def wrong(rest: str, **options: object) -> LoadedModel:
    """Returns something else."""
    return rest  # type: ignore[return-value]
