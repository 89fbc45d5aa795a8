"""The linear maps that components go through, bound to a model's parameters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actlas import InputError, LoadedModel, Site

from ..activations import activation_of
from ..bound import Bound, Branch, base_of
from .slopes import Rule, Slopes, slopes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Linear:
    """A projection: weight (outputs, inputs), bias (outputs,) or None."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"

    def less_bias(self, given: "torch.Tensor") -> "torch.Tensor":
        """Return W x of what the projection gave."""
        return given if self.bias is None else given - self.bias

    def without_bias(self, x: "torch.Tensor") -> "torch.Tensor":
        """Return W x."""
        import torch

        return torch.nn.functional.linear(x, self.weight)


@dataclass(frozen=True, eq=False)
class FeedForward:
    """A feed-forward network: down(φ(up u)), or down(φ(gate u) ⊙ up u).

    sites: of the projections that give φ's arguments: up, and gate; or one for both, gate first.
    """

    up: Linear
    gate: Linear | None
    down: Linear
    act: "Callable[[torch.Tensor], torch.Tensor]"
    sites: tuple[Site, ...]

    def frozen(self, rule: Rule, given: "Sequence[torch.Tensor]") -> "FrozenFeedForward":
        """Freeze it at what its first projections gave, in the order of `sites`."""
        up, gate = given[0], given[1] if len(given) > 1 else None
        if self.gate is not None and gate is None:
            gate, up = given[0].chunk(2, -1)
        found = slopes(rule, self.act, up, gate)
        rest = found.value - found.up * self.up.less_bias(up)
        if found.gate is not None and self.gate is not None and gate is not None:
            rest -= found.gate * self.gate.less_bias(gate)
        return FrozenFeedForward(self, found, rest)


@dataclass(frozen=True, eq=False)
class FrozenFeedForward:
    """A feed-forward network as a linear map.

    rest: (…, hidden) what the hidden units are beside it: inner biases and the intercept.
    """

    inner: FeedForward
    slopes: Slopes
    rest: "torch.Tensor"

    def __call__(self, x: "torch.Tensor", *, constants: bool) -> "torch.Tensor":
        """Return what components (components, …, width) become.

        constants: whether the last of them, the correction, gets rest and bias.
        """
        hidden = self.inner.up.without_bias(x).mul_(self.slopes.up)
        if self.slopes.gate is not None and self.inner.gate is not None:
            hidden += self.inner.gate.without_bias(x) * self.slopes.gate
        if constants:
            hidden[-1] += self.rest
        given = self.inner.down.without_bias(hidden)
        if constants and self.inner.down.bias is not None:
            given[-1] += self.inner.down.bias
        return given


def feed_forward(model: LoadedModel, bound: Bound, branch: Branch) -> FeedForward:
    """Bind the feed-forward network of a branch."""
    import torch

    spec, module = branch.spec, base_of(model)
    paths = [f"{branch.block}.{path}" for path in (spec.up, spec.gate) if path]
    if not paths:
        raise InputError(
            f"decomposition: nothing is known of what {branch.name} is made of inside; "
            f"method 1 (`actlas run decomposition`) needs no such knowledge"
        )
    down = _linear(module, f"{branch.block}.{spec.output}", bound.dtype)
    act = activation_of(module.config)
    inside = next(f"{p}." if p else "" for p, m in model.module.named_modules() if m is module)
    first = [_linear(module, path, bound.dtype) for path in paths]
    sites = tuple(
        Site(inside + path, inside + path, len(one.weight), stack=bound.side)
        for path, one in zip(paths, first, strict=True)
    )
    if not spec.up:  # one projection for both; its first half is the gate
        (both,) = first
        half = len(both.weight) // 2
        biases = (None, None) if both.bias is None else torch.split(both.bias, half)
        gate, up = map(Linear, torch.split(both.weight, half), biases)
        return FeedForward(up, gate, down, act, sites)
    return FeedForward(first[0], first[1] if len(first) > 1 else None, down, act, sites)


def _linear(module: Any, path: str, dtype: "torch.dtype") -> Linear:
    found = module.get_submodule(path)
    weight = found.weight.detach()
    if type(found).__name__ == "Conv1D":  # of transformers: it keeps (inputs, outputs)
        weight = weight.T.contiguous()
    bias = getattr(found, "bias", None)
    return Linear(weight.to(dtype), None if bias is None else bias.detach().to(dtype))


def attended(branch: Branch, weights: "torch.Tensor", read: "torch.Tensor") -> "torch.Tensor":
    """Return what attention makes of components (components, batch, keys, width read).

    weights: (batch, heads, queries, keys). Biases are left out.
    """
    assert branch.heads is not None
    value, output = branch.heads.value, branch.heads.output
    heads, size, width = value.shape
    found = read @ value.reshape(heads * size, width).T
    found = found.reshape(*found.shape[:-1], heads, size).transpose(
        -2, -3
    )  # components, batch, heads, keys
    mixed = (weights @ found).transpose(-2, -3).flatten(-2)
    given: torch.Tensor = mixed @ output.reshape(heads * size, -1)
    return given


def constants_of(branch: Branch, weights: "torch.Tensor") -> "Iterator[torch.Tensor]":
    """Yield what attention adds whatever it reads: (width,), and (batch, queries, width).

    A value bias counts as often as the weights of a row sum to; softmax in single precision, and
    attention sinks, leave them short of one.
    """
    import torch

    if branch.bias is not None:
        yield branch.bias
    heads = branch.heads
    if heads is not None and heads.value_bias is not None:
        each = (heads.value_bias[:, None] @ heads.output)[:, 0]  # (heads, width)
        yield torch.einsum("bhq,hd->bqd", weights.sum(-1) - 1, each)
