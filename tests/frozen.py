"""A network of transformers made linear by itself: the oracle of the decomposition by tokens.

Its own modules do the wiring. Norms, activations and attention are replaced by what they were in
one pass, biases by nothing; given the embedding of one token, it returns what that token gives.
"""

import copy
from typing import Any

import torch
import transformers

ACTIVATIONS = ("act_fn", "act", "activation_fn", "intermediate_act_fn", "activation")
NAME = "actlas_test_frozen"


class Attention:
    """Attention that remembers its weights, and from then on repeats them."""

    def __init__(self) -> None:
        self.weights: dict[Any, torch.Tensor] = {}
        self.frozen = False

    def __call__(
        self,
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        mask: Any,
        scaling: Any = None,
        **_: Any,
    ) -> Any:
        value = self.by_query(module, value)
        if not self.frozen:
            key = self.by_query(module, key)
            scale = query.shape[-1] ** -0.5 if scaling is None else scaling
            scores = query @ key.transpose(-1, -2) * scale
            if cap := getattr(module, "attn_logit_softcapping", None):
                scores = cap * torch.tanh(scores / cap)
            if mask is not None:
                scores = scores + mask
            self.weights[module] = scores.softmax(-1)
        return (self.weights[module] @ value).transpose(1, 2), self.weights[module]

    @staticmethod
    def by_query(module: Any, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.repeat_interleave(getattr(module, "num_key_value_groups", 1), 1)


class Activation(torch.nn.Module):
    """An activation that remembers its slope (or, of a gate, its value)."""

    def __init__(self, own: Any, gated: bool):
        super().__init__()
        self.own, self.gated, self.kept = own, gated, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is None:
            value, self.kept = torch.func.jvp(self.own, (x,), (torch.ones_like(x),))
            if self.gated:
                self.kept = value
            return value
        return self.kept.expand_as(x) if self.gated else self.kept * x


class Norm(torch.nn.Module):
    """A norm that remembers by what it multiplied what it was given."""

    def __init__(self, own: Any):
        super().__init__()
        self.own, self.kept = own, None
        self.centred = isinstance(own, torch.nn.LayerNorm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = x - x.mean(-1, keepdim=True) if self.centred else x
        if self.kept is None:
            given = self.own(x)
            bias = getattr(self.own, "bias", None)
            self.kept = ((given if bias is None else given - bias) / inner).nan_to_num()  # padding
            return given
        return inner * self.kept


def frozen(module: Any, arguments: dict[str, Any], *, gated: bool) -> Any:
    """Return a copy of a network that is linear in `inputs_embeds` (decoder_inputs_embeds)."""
    module = copy.deepcopy(module)
    attention = Attention()
    transformers.AttentionInterface.register(NAME, attention)
    transformers.masking_utils.AttentionMaskInterface.register(
        NAME, transformers.masking_utils.eager_mask
    )
    module.set_attn_implementation(NAME)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if name in ACTIVATIONS:
                setattr(parent, name, Activation(child, gated))
            elif "norm" in type(child).__name__.lower():
                setattr(parent, name, Norm(child))
        if isinstance(getattr(parent, "activation_fn", None), type(torch.nn.functional.gelu)):
            parent.activation_fn = Activation(parent.activation_fn, gated)
    with torch.no_grad():
        module(**arguments)
        attention.frozen = True
        for name, parameter in module.named_parameters():
            if name.endswith("bias") or "position_emb" in name or "token_type" in name:
                parameter.zero_()
            if name.endswith(("wpe.weight", "embed_positions.weight")):
                parameter.zero_()
    return module
