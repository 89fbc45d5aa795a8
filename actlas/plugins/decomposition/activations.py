"""Activations, by what configurations call them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actlas import InputError

if TYPE_CHECKING:
    import torch

# Where a configuration names its activation; T5 spells it otherwise (gated-gelu).
NAMED = ("dense_act_fn", "hidden_activation", "hidden_act", "activation_function", "activation")


def activation_of(config: Any) -> "Callable[[torch.Tensor], torch.Tensor]":
    """Return the activation of a network's feed-forward layers, as its configuration names it."""
    from transformers.activations import ACT2FN

    name = next((n for key in NAMED if isinstance(n := getattr(config, key, None), str)), None)
    if name not in ACT2FN:
        raise InputError(
            f"decomposition: the activation {name!r} of {getattr(config, 'model_type', 'it')} is "
            f"not one that transformers has; name another model"
        )
    found: Callable[[torch.Tensor], torch.Tensor] = ACT2FN[name]
    return found
