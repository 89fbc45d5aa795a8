"""From the last state to logits: as a linear map that a row's own state has frozen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actlas import InputError, LoadedModel

from .activations import activation_of
from .bound import Bound
from .check import TOLERANCE, relative_error
from .norms import Norm, bind_norm

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Transform:
    """What BERT's kin have before the unembedding: dense, activation, norm.

    Frozen at the row's own state: the activation as φ(p)/p, its slope from the origin, so that a
    sum of terms stays one.
    """

    weight: "torch.Tensor"
    bias: "torch.Tensor"
    activation: "Callable[[torch.Tensor], torch.Tensor]"
    norm: Norm


@dataclass(frozen=True, eq=False)
class Unembedding:
    """How logits are made of the last state.

    weight: (tokens, width), with all that the state or the logits are multiplied by.
    bias: (tokens,) or None. cap: bound of a tanh that the model puts on them; not applied here.
    """

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"
    transform: Transform | None
    cap: float | None

    def directions(
        self, state: "torch.Tensor", tokens: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return (n, width) by which a term of each row gives to its token's logit, and (n,) what
        is given whatever the state.

        state: (n, width) the full one. tokens: (n,).
        """
        rows = self.weight[tokens]
        constant = rows.new_zeros(len(rows)) if self.bias is None else self.bias[tokens]
        if self.transform is None:
            return rows, constant
        slope, factor, shift = self._frozen(state)
        through = rows * factor * slope
        constant = constant + through @ self.transform.bias
        if shift is not None:
            constant = constant + (rows * shift).sum(-1)
        return through @ self.transform.weight, constant

    def logits(self, state: "torch.Tensor") -> "torch.Tensor":
        """Return all logits (n, tokens), before any cap."""
        if self.transform is not None:
            slope, factor, shift = self._frozen(state)
            inner = state @ self.transform.weight.T + self.transform.bias
            state = inner * slope * factor
            state = state if shift is None else state + shift
        found = state @ self.weight.T
        return found if self.bias is None else found + self.bias

    def _frozen(
        self, state: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]":
        """Return slope of the activation, factor of the norm and its shift (n, width)."""
        assert self.transform is not None
        inner = state @ self.transform.weight.T + self.transform.bias
        inner = inner.where(inner.abs() > 1e-6, inner.new_tensor(1e-6))  # its slope at 0
        active = self.transform.activation(inner)
        norm = self.transform.norm
        found = norm.statistics(active)
        factor = norm.factor(found)
        return active / inner, factor, norm.shift(found, factor)


def bind_head(model: LoadedModel, bound: Bound) -> Unembedding:
    """Read the head of a network that predicts tokens.

    Raises InputError where it has none, or the encoder of an encoder–decoder is decomposed.
    """
    module, config, dtype = model.module, model.config, bound.dtype
    layer = getattr(module, "get_output_embeddings", lambda: None)()
    if layer is None or bound.side == "encoder":
        raise InputError(
            f"decomposition_logits: {model.spec} predicts no token from "
            f"the {bound.side or 'last'} states; name a language model, or a decoder's states"
        )
    head = bound.head
    scale = 1.0 / float(getattr(config, head.divisor)) if head.divisor else 1.0
    if head.width_scaled and getattr(config, head.width_scaled, False):
        scale *= float(config.d_model) ** -0.5
    weight = layer.weight.detach().to(dtype) * scale
    projection = _projection(getattr(module, "base_model", module), head.projection)
    if projection is not None:
        weight = weight @ projection.weight.detach().to(dtype)
    biases = (getattr(layer, "bias", None), getattr(module, "final_logits_bias", None))
    known = [bias.detach().to(dtype).reshape(-1) for bias in biases if bias is not None]
    cap = getattr(config, head.cap, None) if head.cap else None
    bias = sum(known[1:], known[0]) * scale if known else None
    return Unembedding(weight, bias, _transform(module, config, bound), cap)


def _projection(base: Any, path: str) -> Any:
    found = base
    for name in path.split(".") if path else ():
        found = getattr(found, name, None)
    return found if path else None


def _transform(module: Any, config: Any, bound: Bound) -> Transform | None:
    dense, norm = bound.head.transform
    if not dense or dense not in dict(module.named_modules()):
        return None
    found = module.get_submodule(dense)
    weight, bias = (p.detach().to(bound.dtype) for p in (found.weight, found.bias))
    return Transform(weight, bias, activation_of(config), bind_norm(module, norm, 0.0, bound.dtype))


def check_head(model: LoadedModel, head: Unembedding, base: LoadedModel, bound: Bound) -> float:
    """Compare all logits of a short example with the model's own; return the relative error.

    base: the same network as its sites are read. Raises InputError where they differ.
    """
    import torch

    batch, site = base.feed.example(), bound.depths[-1]
    state = base.capture(batch, [base.sites[site]])[site].to(bound.dtype)
    with torch.inference_mode():
        given = {name: tensor.to(model.device) for name, tensor in batch.arguments.items()}
        own = model.module(**given).logits.to(bound.dtype)
    found = head.logits(state)
    if head.cap is not None:
        found = head.cap * torch.tanh(found / head.cap)
    error = relative_error(found, own)
    if not error <= TOLERANCE[model.dtype]:
        raise InputError(
            f"decomposition_logits: the head of {model.spec} ({type(model.module).__name__}) gives "
            f"other logits than its layout says (relative error {error:.1e}); its logits cannot be "
            f"taken apart"
        )
    return error
