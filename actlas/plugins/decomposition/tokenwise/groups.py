"""What the embedding is split into: all tokens together, words, or every token by itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .propagate import Frozen, Propagation

if TYPE_CHECKING:
    import torch

Groups = Literal["pooled", "words", "tokens"]
HELD = 1 << 23  # numbers that feed-forward networks hold of the components that are run at once


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


def group_parts(
    frozen: Frozen, group: "torch.Tensor", count: int
) -> "Iterator[tuple[int, torch.Tensor]]":
    """Yield what groups are in the deepest state, some at a time, in bounded memory.

    group: (batch, positions) of each position, −1 for padding. Yields the first group's number
    and (groups, batch, positions, width). Source and correction, which are no group's, are left
    out, so constants are too.
    """
    import torch

    x = frozen.state(frozen.plan.bound.start)
    widest = max((len(one.up.weight) for one in frozen.plan.inner.values()), default=0)
    size = max(1, HELD // (group.numel() * max(widest, x.shape[-1])))
    for first in range(0, count, size):
        own = torch.arange(first, min(first + size, count), device=x.device)
        start = x * (group == own[:, None, None]).unsqueeze(-1)
        *_, last = Propagation(frozen, start, source=None, constants=False).steps()
        yield first, last.components
