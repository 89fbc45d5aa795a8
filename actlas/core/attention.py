"""Attention weights: read with the eager implementation, which is put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Which field of the output holds the weights, and what its members are called at layer i.
FIELDS = {
    "attentions": "layers.{}.attn",
    "encoder_attentions": "encoder.layers.{}.attn",
    "decoder_attentions": "decoder.layers.{}.attn",
    "cross_attentions": "decoder.layers.{}.cross",
}


@contextmanager
def eager(module: "nn.Module") -> Iterator[None]:
    """Let a network of transformers compute attention by matrices; put back what was before.

    Fused kernels give no weights. What is set is kept in configurations, which networks share.
    """
    held = {id(c): c for sub in module.modules() if (c := getattr(sub, "config", None)) is not None}
    before = [(config, getattr(config, "_attn_implementation", None)) for config in held.values()]
    try:
        if any(name not in (None, "eager") for _, name in before):
            module.set_attn_implementation("eager")  # type: ignore[operator]
        yield
    finally:
        for config, name in before:
            if getattr(config, "_attn_implementation", None) != name:
                config._attn_implementation_internal = name


def named_weights(spec: str, output: Any) -> "dict[str, torch.Tensor]":
    """Return the weights (batch, heads, queries, keys) in a network's output by their site."""
    found = {
        name.format(layer): weights
        for field, name in FIELDS.items()
        for layer, weights in enumerate(getattr(output, field, None) or ())
        if weights is not None
    }
    if not found:
        raise ModelError(f"{spec} gives no attention weights; name a Transformer of Hugging Face")
    return found
