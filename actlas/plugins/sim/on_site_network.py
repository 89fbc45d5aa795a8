"""The network of an encoder on top of a site. Imported when one is made, as it imports torch."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, final

import torch
import xxhash
from torch import Tensor, nn

from actlas import ModelError, Site

from .blocks import SimNetwork


@final
class Parts(nn.Module):
    """Modules by number; in a ModuleList they would pass for the blocks of the model below."""

    def __init__(self, parts: Iterable[nn.Module]):
        super().__init__()
        for number, part in enumerate(parts):
            self.add_module(str(number), part)

    def forward(self, z: Tensor, keys: Sequence[int]) -> Tensor:
        """Run one after another on z (B, C, T)."""
        for part in self.children():
            z = part(z, keys)
        return z


@final
class Encoder(nn.Module):
    """What of a `SimNetwork` reads: its modules and the GRU."""

    def __init__(self, network: SimNetwork):
        super().__init__()
        self.layers, self.context = Parts(network.layers), network.context

    def forward(self, x: Tensor, keys: Sequence[int]) -> Tensor:
        """Return what the last part gives for x (B, width, positions)."""
        z: Tensor = self.layers(x, keys)
        return z if self.context is None else self.context(z)


@final
class OnSite(nn.Module):
    """A network, and an encoder of what one of its sites gives.

    mean, std: (width,) of the rows that the encoder was trained on.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, base: nn.Module, site: Site, network: SimNetwork, mean: Tensor, std: Tensor):
        super().__init__()
        self.base, self.sim = base, Encoder(network)
        self.config: Any = getattr(base, "config", None)
        self._site = site
        self._settings: dict[str, bool] = {}
        if "use_cache" in inspect.signature(base.forward).parameters:
            self._settings["use_cache"] = False
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, *given: Any, **named: Any) -> Tensor:
        """Run the network below, and the encoder on what its site gave."""
        own = self._read(given, named)
        rows = self._site.read(own, (len(own), 0))  # (B, n, width)
        x = ((rows - self.mean) / self.std).transpose(1, 2)
        found: Tensor = self.sim(x, sample_keys([*given, *named.values()]))
        return found

    def _read(self, given: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
        """Return the tensor of the site at its call."""
        seen: list[Tensor] = []
        sub = self.base.get_submodule(self._site.path)

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(_tensor([*args, kwargs.get("hidden_states"), *kwargs.values()]))

        def leave(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            seen.append(_tensor(output))

        if self._site.port == "input":
            handle = sub.register_forward_pre_hook(enter, with_kwargs=True)
        else:
            handle = sub.register_forward_hook(leave)
        try:
            self.base(*given, **named, **self._settings)
        finally:
            handle.remove()
        if len(seen) <= self._site.call:
            raise ModelError(f"the forward pass did not reach {self._site.name}")
        return seen[self._site.call].clone()  # what comes after may write into it


def _tensor(value: Any) -> Tensor:
    """Return the first tensor of what a module was given or gives."""
    if isinstance(value, dict):
        value = list(value.values())
    while isinstance(value, tuple | list):
        value = next(one for one in value if one is not None)
    assert isinstance(value, Tensor)
    return value


def sample_keys(given: Iterable[Any]) -> list[int]:
    """Return a number of each sample, of all that the network is given of it."""
    tensors = [value.detach().cpu().contiguous() for value in given if isinstance(value, Tensor)]
    hashers = [xxhash.xxh3_64() for _ in range(len(tensors[0]) if tensors else 0)]
    for tensor in tensors:
        for hasher, one in zip(hashers, tensor, strict=True):
            hasher.update(one.reshape(-1).view(torch.uint8).numpy().tobytes())
    return [hasher.intdigest() for hasher in hashers]
