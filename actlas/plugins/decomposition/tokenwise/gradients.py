"""A logit as a sum over input tokens, by one pass down and one back up through a frozen stack.

What is frozen is linear, so the inner product of the gradient at a token's embedding with the
embedding is all that the token gives: the vectors themselves are never made.
"""

from typing import TYPE_CHECKING, NamedTuple

from .propagate import Frozen, Propagation

if TYPE_CHECKING:
    import torch


class Given(NamedTuple):
    """What each position gives to each score: (scores, positions), and of the source's, or None."""

    target: "torch.Tensor"
    source: "torch.Tensor | None"


def given_by_token(frozen: Frozen, places: "torch.Tensor", directions: "torch.Tensor") -> Given:
    """Return what the tokens of one sample give to ⟨state of a place, direction⟩.

    places: (scores,) positions whose last state counts. directions: (scores, width).
    """
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        # Copied: what comes of inference mode cannot be differentiated.
        start = frozen.state(frozen.plan.bound.start).clone().requires_grad_()
        crossed = "cross_attention" in frozen.plan.bound.terms
        memory = frozen.memory if crossed else None
        memory = None if memory is None else memory.clone().requires_grad_()
        through = Propagation(frozen, start[None], memory=memory, source=0, constants=False)
        *_, last = through.steps()
        scores = (last.components[0, 0][places] * directions).sum(-1)
        leaves = [start] if memory is None else [start, memory]
        each = torch.eye(len(scores), dtype=scores.dtype, device=scores.device)
        found = torch.autograd.grad(scores, leaves, each, is_grads_batched=True)
    pairs = zip(found, leaves, strict=True)
    target, *source = [(slope[:, 0] * leaf[0]).sum(-1).detach() for slope, leaf in pairs]
    return Given(target, source[0] if source else None)
