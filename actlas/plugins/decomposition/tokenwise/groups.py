"""What the embedding is split into: all tokens together, words, or every token by itself."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .propagate import Frozen

if TYPE_CHECKING:
    import torch

Groups = Literal["pooled", "words", "tokens"]


def positions_of(one: Any, groups: Groups) -> NDArray[np.int64]:
    """Return the group of every position of an encoded sample, numbered from 0.

    words: stretches of text that no space parts; a special token is a group of its own.
    """
    count = len(one)
    if groups == "pooled":
        return np.zeros(count, np.int64)
    if groups == "tokens":
        return np.arange(count, dtype=np.int64)
    starts = np.array([i == 0 or _begins(one, i) for i in range(count)])
    return np.cumsum(starts) - 1


def _begins(one: Any, i: int) -> bool:
    """Whether a word begins at a position that is not the first."""
    before, here = int(one.ends[i - 1]), int(one.starts[i])
    if here < 0 or one.starts[i - 1] < 0:  # a special token, or what follows one
        return True
    if one.text[int(one.starts[i - 1]) : before].isspace():  # a space that is a token of its own
        return False
    return before < here or one.text[here : here + 1].isspace()


def split_start(frozen: Frozen, group: "torch.Tensor", count: int) -> "torch.Tensor":
    """Split the embedding by group (count and correction, batch, positions, width).

    group: (batch, positions) of each position, −1 for padding. With cross-attention, zeros for
    the source stand before the correction.
    """
    bound = frozen.plan.bound
    x = frozen.state(bound.start)
    more = 2 if "cross_attention" in bound.terms else 1
    found = x.new_zeros(count + more, *x.shape)
    for k in range(count):
        found[k] = x * (group == k).unsqueeze(-1)
    return found
