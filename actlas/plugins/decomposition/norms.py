"""Norms as they are bound to a model: what they do to a state, and to the terms it is a sum of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch


class Statistics(NamedTuple):
    """What a norm takes from the full state before it.

    mean: (n, 1) mean over the width; None of an RMSNorm, which has none.
    scale: (n, 1) √(biased variance + ε), or √(mean square + ε).
    """

    mean: "torch.Tensor | None"
    scale: "torch.Tensor"


@dataclass(frozen=True, eq=False)
class Norm:
    """A LayerNorm or RMSNorm.

    gain: (width,) as it multiplies. bias: (width,), None where there is none.
    centred: whether the mean is taken off (LayerNorm).
    """

    path: str
    gain: "torch.Tensor"
    bias: "torch.Tensor | None"
    epsilon: float
    centred: bool

    def statistics(self, state: "torch.Tensor") -> Statistics:
        """Return those of full states (n, width)."""
        import torch

        if not self.centred:
            square = state.square().mean(-1, keepdim=True)
            return Statistics(None, (square + self.epsilon).sqrt())
        variance, mean = torch.var_mean(state, -1, correction=0, keepdim=True)
        return Statistics(mean, (variance + self.epsilon).sqrt())

    def factor(self, found: Statistics) -> "torch.Tensor":
        """Return what every term is multiplied by (n, width)."""
        return self.gain / found.scale

    def shift(self, found: Statistics, factor: "torch.Tensor") -> "torch.Tensor | None":
        """Return what the correction gets beside (n, width) or (width,): β − factor · mean."""
        if found.mean is None:
            return self.bias
        taken = factor * found.mean
        return taken.neg_() if self.bias is None else self.bias - taken

    def apply(self, state: "torch.Tensor") -> "torch.Tensor":
        """Return what the norm gives for states (n, width)."""
        found = self.statistics(state)
        factor = self.factor(found)
        shift = self.shift(found, factor)
        return state * factor if shift is None else state * factor + shift


def bind_norm(module: Any, path: str, offset: float, dtype: "torch.dtype") -> Norm:
    """Read a norm's parameters; offset: what is added to its stored gain.

    The exactness check of the whole model says whether it was read rightly.
    """
    import torch

    norm = module.get_submodule(path)
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    epsilon = getattr(norm, "eps", getattr(norm, "variance_epsilon", 0.0))
    gain = torch.ones(1) if weight is None else weight.detach()
    return Norm(
        path,
        gain.to(dtype) + offset,
        None if bias is None else bias.detach().to(dtype),
        float(epsilon),
        isinstance(norm, torch.nn.LayerNorm),
    )
