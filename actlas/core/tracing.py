"""Tracing: every submodule call of one small forward pass, and what went in and out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Seen:
    """What is kept of a tensor that passed: its shape, and a digest where blocks may chain.

    digest: of the bytes; "" where nobody will ask. Not the tensor itself: those of all
        submodules together would fill the memory.
    """

    shape: tuple[int, ...]
    is_float: bool
    digest: str = ""

    def same(self, other: "Seen | None") -> bool:
        """Whether both are the same numbers, bit for bit."""
        return bool(self.digest) and self == other


@dataclass(frozen=True)
class Call:
    """One call of a submodule in the traced forward pass, in order of completion."""

    path: str
    kind: str
    index: int
    input: Seen | None
    output: Seen | None


def output_tensor(output: Any) -> "torch.Tensor | None":
    """Return the tensor of a module's output: itself, or the first of a tuple or mapping."""
    import torch

    if isinstance(output, dict):
        output = next(iter(output.values()), None)
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def input_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> "torch.Tensor | None":
    """Return the hidden states a module was given."""
    import torch

    given = [*args, kwargs.get("hidden_states"), *kwargs.values()]
    return next((value for value in given if isinstance(value, torch.Tensor)), None)


@contextmanager
def hooked(handles: "Sequence[torch.utils.hooks.RemovableHandle]") -> Iterator[None]:
    """Remove forward hooks at the end, whatever happens."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace(module: "nn.Module", forward: Callable[[], Any]) -> list[Call]:
    """Run one forward pass and record every submodule call."""
    calls: list[Call] = []
    counts: dict[str, int] = {}
    given: dict[str, list[Seen | None]] = {}  # taken on entry: a block may write into its input

    def enter(path: str, chains: bool) -> Callable[..., None]:
        def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given.setdefault(path, []).append(_seen(input_tensor(args, kwargs), chains))

        return hook

    def leave(path: str, chains: bool) -> Callable[..., None]:
        def hook(sub: Any, args: tuple[Any, ...], output: Any) -> None:
            index = counts.get(path, 0)
            counts[path] = index + 1
            result = _seen(output_tensor(output), chains)
            calls.append(Call(path, type(sub).__name__, index, given[path].pop(), result))

        return hook

    handles = []
    members = _members(module)
    for path, sub in module.named_modules():
        if path:
            chains = path in members or "norm" in type(sub).__name__.lower()
            handles.append(sub.register_forward_pre_hook(enter(path, chains), with_kwargs=True))
            handles.append(sub.register_forward_hook(leave(path, chains)))
    with hooked(handles):
        forward()
    return calls


def _members(module: "nn.Module") -> set[str]:
    """Return the paths of all modules that stand in a list."""
    from torch import nn

    return {
        f"{path}.{name}" if path else name
        for path, sub in module.named_modules()
        if isinstance(sub, nn.ModuleList | nn.Sequential)
        for name, _ in sub.named_children()
    }


def _seen(tensor: "torch.Tensor | None", digested: bool) -> Seen | None:
    import torch

    if tensor is None:
        return None
    digest = ""
    if digested:
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest = xxhash.xxh3_128_hexdigest(data.numpy().data)
    return Seen(tuple(tensor.shape), tensor.is_floating_point(), digest)
