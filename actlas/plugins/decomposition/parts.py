"""One state taken apart by block, sub-layer and head: suffix products of gains and scales.

With P_λ the product of gain/scale over norm λ and all after it, what sub-layer λ gave stands in
the state as P_λ ⊙ main (arXiv 2310.06977, unrolled); from the top down, once over the sub-layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .bound import Bound, Branch
from .norms import Norm
from .terms import Seen, States, split

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Part:
    """What one block gave to one term.

    layer: counted from 1; 0 is the embedding, one beyond the last the final norm.
    vector: (n, width) as it stands in the state that is taken apart.
    heads: (heads, n, width) that a vector of attention is the sum of, where they are wanted.
    """

    layer: int
    term: str
    vector: "torch.Tensor"
    heads: "torch.Tensor | None" = None


def parts(
    bound: Bound, states: States, seen: Seen, site: str, *, heads: bool = False
) -> Iterator[Part]:
    """Take the state at a site apart, from the last block to the embedding.

    seen: the statistics that `running` met on its way there. heads: also by head, which reads the
    sites `….heads`.
    """
    walk = _Down(bound, states, seen, heads)
    depth = bound.depths.index(site)
    if depth > bound.layers and bound.final_norm is not None:
        yield from walk.norm(bound.final_norm, depth)
    for layer in range(min(depth, bound.layers), 0, -1):
        yield from walk.block(layer)
    if bound.embed_norm is not None:
        yield from walk.norm(bound.embed_norm, 0)
    for name in bound.inputs:
        site = bound.start if len(bound.inputs) == 1 else name
        yield Part(0, name, walk.through(walk.state(site)))


class _Down:
    """From the top of the stream down; holds the product of what all norms above multiply by."""

    def __init__(self, bound: Bound, states: States, seen: Seen, heads: bool):
        self.bound, self._states, self._seen, self._heads = bound, states, seen, heads
        self._product: torch.Tensor | None = None

    def state(self, site: str) -> "torch.Tensor":
        return self._states[site].to(self.bound.dtype)

    def through(self, vector: "torch.Tensor") -> "torch.Tensor":
        """Return a vector as all norms above leave it."""
        return vector if self._product is None else self._product * vector

    def passed(self, norm: Norm) -> "torch.Tensor | None":
        """Step below a norm, and return what it gave to the correction."""
        found = self._seen.of(norm)
        factor = norm.factor(found)
        shift = norm.shift(found, factor)
        given = None if shift is None else self.through(shift).expand_as(factor)
        self._product = self.through(factor)
        return given

    def norm(self, norm: Norm, layer: int) -> Iterator[Part]:
        given = self.passed(norm)
        if given is not None:
            yield Part(layer, "correction", given)

    def block(self, layer: int) -> Iterator[Part]:
        rest: list[torch.Tensor] = []
        for branch in reversed(list(self.bound.of_layer(layer))):
            if branch.post_norm is not None:
                shift = self.passed(branch.post_norm)
                rest += [] if shift is None else [shift]
            given = split(branch, self.state(branch.site))
            main = self.through(given.main)
            yield Part(layer, branch.kind, main, self.by_head(branch, given.factor))
            if given.rest is not None:
                rest.append(self.through(given.rest).expand_as(main))
        if rest:
            yield Part(layer, "correction", sum(rest[1:], rest[0]))

    def by_head(self, branch: Branch, factor: "torch.Tensor | float") -> "torch.Tensor | None":
        if not self._heads or branch.heads is None:
            return None
        found = branch.heads.parts(self.state(branch.heads_site))
        if not isinstance(factor, float):
            return found.mul_(self.through(factor))
        if factor != 1.0:
            found.mul_(factor)
        return found if self._product is None else found.mul_(self._product)
