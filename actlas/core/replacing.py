"""Forward passes in which what a site gives is replaced: the rest of a network from there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import SiteError
from .sites import Site
from .text import listing
from .tracing import input_tensor, output_tensor

if TYPE_CHECKING:
    import torch
    from torch import nn

Value: TypeAlias = "torch.Tensor | Callable[[torch.Tensor], torch.Tensor]"


@dataclass(frozen=True)
class Rerun:
    """What a forward pass gave.

    output: as the network returned it. states: (n, positions, width) of each site read.
    weights: (n, heads, queries, keys) of each attention, where they are asked for.
    """

    output: Any
    states: "dict[str, torch.Tensor]"
    weights: "dict[str, torch.Tensor]"


class Replacing:
    """One forward pass with replaced tensors; counts the calls of each site's module."""

    def __init__(self, values: Mapping[Site, Value], read: Sequence[Site], shape: tuple[int, int]):
        self._values, self._read, self._shape = values, read, shape
        self._states: dict[str, torch.Tensor] = {}
        self._missed = [*values, *read]

    def hooks(self, module: "nn.Module") -> "list[torch.utils.hooks.RemovableHandle]":
        """Install the hooks; those that read come last, so they see what was put in."""
        put = [_hook(module, s, partial(self._put, s, v)) for s, v in self._values.items()]
        return put + [_hook(module, s, partial(self._keep, s)) for s in self._read]

    def finished(self, output: Any, weights: "dict[str, torch.Tensor]") -> Rerun:
        """Return what was found; SiteError where a site was not met."""
        if self._missed:
            said = listing([site.name for site in self._missed])
            raise SiteError(f"the forward pass did not reach {said}")
        return Rerun(output, self._states, weights)

    def _put(self, site: Site, value: Value, own: "torch.Tensor") -> "torch.Tensor":
        rows = site.read(own, self._shape)
        new = value(rows) if callable(value) else value
        many = len(new) if self._shape[0] == 1 else self._shape[0]
        if site.reduce or tuple(new.shape) != (many, *rows.shape[1:]):
            gives = "one vector made of a sample" if site.reduce else f"{tuple(rows.shape)}"
            raise SiteError(
                f"{site.name} gives {gives}, which {tuple(new.shape)} cannot replace; give one row "
                f"a sample and as many positions, at a site read by position"
            )
        self._missed.remove(site)
        self._shape = (many, self._shape[1])
        return _shaped(site, new.to(own), own)

    def _keep(self, site: Site, own: "torch.Tensor") -> None:
        self._missed.remove(site)
        self._states[site.name] = site.read(own, self._shape).clone()


def _shaped(site: Site, rows: "torch.Tensor", own: "torch.Tensor") -> "torch.Tensor":
    """Lay rows (n, positions, width) out as the module's own tensor is: undo `Site.read`."""
    import torch

    if site.layout == "channels_first":
        laid = rows.transpose(1, 2).reshape(len(rows), site.width, *own.shape[2:])
    elif site.layout == "tokens" and own.ndim == 2:  # OPT's are flat inside a block
        laid = rows.reshape(-1, *own.shape[1:])
    else:
        laid = rows.reshape(len(rows), *own.shape[1:])
    # In the same order in memory, on which the kernels of convolutions depend.
    return torch.empty_like(own).copy_(laid) if laid.shape == own.shape else laid.contiguous()


def _hook(
    module: "nn.Module", site: Site, change: "Callable[[torch.Tensor], torch.Tensor | None]"
) -> "torch.utils.hooks.RemovableHandle":
    """Let `change` see the site's tensor at its call, and replace it where it returns one."""
    sub = module.get_submodule(site.path)
    calls = 0

    def changed(own: "torch.Tensor | None") -> "torch.Tensor | None":
        nonlocal calls
        calls += 1
        return change(own) if own is not None and calls - 1 == site.call else None

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        own = input_tensor(args, kwargs)
        new = changed(own)
        if new is None:
            return None
        return (
            tuple(new if value is own else value for value in args),
            {name: new if value is own else value for name, value in kwargs.items()},
        )

    def after(_: Any, args: tuple[Any, ...], output: Any) -> Any:
        new = changed(output_tensor(output))
        return None if new is None else _with_first(output, new)

    if site.port == "input":
        return sub.register_forward_pre_hook(before, with_kwargs=True)
    return sub.register_forward_hook(after)


def _with_first(output: Any, new: "torch.Tensor") -> Any:
    """Return a module's output with its tensor (see `output_tensor`) replaced."""
    if isinstance(output, dict):
        first = next(iter(output))
        return type(output)(**{**output, first: _with_first(output[first], new)})
    if isinstance(output, tuple | list):
        members = (_with_first(output[0], new), *output[1:])
        return type(output)(*members) if hasattr(output, "_fields") else type(output)(members)
    return new
