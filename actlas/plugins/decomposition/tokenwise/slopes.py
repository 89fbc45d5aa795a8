"""What a feed-forward network's activation is replaced by, frozen at what it was given.

Any slope is exact, since the intercept that is left over goes to the correction; which one is
taken decides what each token gets. Oh & Schuler 2023 (arXiv 2305.10614) take the tangent.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from actlas import InputError

if TYPE_CHECKING:
    import torch

Rule = Literal["default", "tangent", "zero_origin", "freeze_gate", "half"]
GATED, PLAIN = ("freeze_gate", "tangent", "half"), ("tangent", "zero_origin")


class Slopes(NamedTuple):
    """Hidden units as a linear function: up ⊙ W_up u + gate ⊙ W_gate u + the rest.

    up, gate: (…, hidden); gate is None where no part of it goes through the gate.
    value: (…, hidden) what the hidden units really were.
    """

    up: "torch.Tensor"
    gate: "torch.Tensor | None"
    value: "torch.Tensor"


def settled(rule: Rule, *, gated: bool) -> Rule:
    """Return the rule that is meant; InputError for one that the network has no use for."""
    fits = GATED if gated else PLAIN
    if rule == "default":
        return "freeze_gate" if gated else "tangent"
    if rule not in fits:
        kind = "gated" if gated else "not gated"
        raise InputError(
            f"decomposition: rule={rule!r} does not fit a feed-forward network that is {kind}; "
            f"use {' or '.join(fits)}"
        )
    return rule


def slopes(
    rule: Rule,
    act: "Callable[[torch.Tensor], torch.Tensor]",
    up: "torch.Tensor",
    gate: "torch.Tensor | None",
) -> Slopes:
    """Freeze an activation at its pre-activations up, and gate where there is one (…, hidden).

    tangent: φ′. zero_origin: φ(p)/p. freeze_gate: φ(gate) is a constant. half: half of the
    product to each factor (the uniform rule of AttnLRP).
    """
    if gate is None:
        value = act(up)
        ratio = _ratio(act, value, up) if rule == "zero_origin" else _slope(act, up)
        return Slopes(ratio, None, value)
    open_ = act(gate)
    value = open_ * up
    if rule == "tangent":
        return Slopes(open_, _slope(act, gate) * up, value)
    if rule == "half":
        return Slopes(open_ / 2, _ratio(act, open_, gate) * up / 2, value)
    return Slopes(open_, None, value)


def _slope(act: "Callable[[torch.Tensor], torch.Tensor]", at: "torch.Tensor") -> "torch.Tensor":
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        point = at.clone().requires_grad_()
        (found,) = torch.autograd.grad(act(point).sum(), point)
    return found.detach()


def _ratio(
    act: "Callable[[torch.Tensor], torch.Tensor]", value: "torch.Tensor", at: "torch.Tensor"
) -> "torch.Tensor":
    """φ(p)/p; the slope where p is 0, which is its limit there since φ(0) = 0."""
    import torch

    zero = at == 0
    ratio = value / torch.where(zero, torch.ones_like(at), at)
    return torch.where(zero, _slope(act, at), ratio) if bool(zero.any()) else ratio
