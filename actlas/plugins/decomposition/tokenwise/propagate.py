"""Components of the stream as they go through frozen sub-layers, one batch at a time.

Oh & Schuler 2023 (arXiv 2305.10614); pooled to source, target and correction by Mickus & Vázquez
2023 (arXiv 2310.06977). Frozen as the real forward pass had them: attention weights, the scale of
norms, slopes of activations. What is left is linear, so components add up to the state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..bound import Bound, Branch
from ..norms import Norm, Statistics
from .layers import FeedForward, FrozenFeedForward, attended, constants_of
from .slopes import Rule

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Pass:
    """What one forward pass of a batch gave.

    states: (batch, positions, width) by site. weights: (batch, heads, queries, keys) by branch.
    memory: (batch, keys, width) what cross-attention reads.
    """

    states: "dict[str, torch.Tensor]"
    weights: "dict[str, torch.Tensor]"
    memory: "torch.Tensor | None" = None


class Step(NamedTuple):
    """The components at one depth: (components, batch, positions, width), and the real state."""

    site: str
    components: "torch.Tensor"
    state: "torch.Tensor"


@dataclass(frozen=True, eq=False)
class Plan:
    """What components go through: a bound stack, its feed-forward networks, the options."""

    bound: Bound
    inner: dict[str, FeedForward]
    rule: Rule
    centring_to_bias: bool = False


class Frozen:
    """A stack frozen at one pass: the statistics of its norms, the slopes of its activations."""

    def __init__(self, plan: Plan, seen: Pass):
        self.plan, self.seen = plan, seen
        self.norms: dict[str, Statistics] = {}
        self.inner: dict[str, FrozenFeedForward] = {}
        self._freeze()

    def state(self, site: str) -> "torch.Tensor":
        """Return a real state as it is summed with (batch, positions, width)."""
        return self.seen.states[site].to(self.plan.bound.dtype)

    @property
    def memory(self) -> "torch.Tensor | None":
        """What cross-attention reads (batch, keys, width), as it is summed with."""
        found = self.seen.memory
        return None if found is None else found.to(self.plan.bound.dtype)

    def _freeze(self) -> None:
        bound = self.plan.bound
        stream = self.state(bound.start)
        if bound.embed_norm is not None:
            self._norm(bound.embed_norm, stream)
        stream = self.state(bound.depths[0])
        for layer in range(1, bound.layers + 1):
            entered = stream
            for branch in bound.of_layer(layer):
                self._branch(branch, entered if bound.stack.parallel else stream)
                stream = stream + self._given(branch)
                if branch.post_norm is not None:
                    stream = self._norm(branch.post_norm, stream)
            stream = self.state(bound.depths[layer])
        if bound.final_norm is not None:
            self._norm(bound.final_norm, stream)

    def _branch(self, branch: Branch, stream: "torch.Tensor") -> None:
        if branch.pre_norm is not None:
            self.norms[branch.pre_norm.path] = branch.pre_norm.statistics(stream)
        if branch.kind == "feed_forward":
            inner = self.plan.inner[branch.name]
            given = [self.state(site.name) for site in inner.sites]
            self.inner[branch.name] = inner.frozen(self.plan.rule, given)

    def _given(self, branch: Branch) -> "torch.Tensor":
        given = self.state(branch.site)
        if branch.out_norm is not None:
            given = self._norm(branch.out_norm, given)
        return given * branch.scale

    def _norm(self, norm: Norm, state: "torch.Tensor") -> "torch.Tensor":
        self.norms[norm.path] = norm.statistics(state)
        return norm.apply(state)


class Propagation:
    """Components through a frozen stack. The last component is the correction.

    start: (components, batch, positions, width) what the embedding is split into, with zeros for
    the source (where there is cross-attention, the last but one) and the correction.
    memory: what cross-attention reads, where it is not what the pass had. source: the component
        that gets what it gives; None: it is not among these. constants: whether biases
        and intercepts are added; without them all is linear.
    """

    def __init__(
        self, frozen: Frozen, start: "torch.Tensor", *,
        memory: "torch.Tensor | None" = None, source: int | None = -2, constants: bool = True,
    ):  # fmt: skip
        self.frozen, self.x, self.constants = frozen, start, constants
        self.memory = frozen.memory if memory is None else memory
        self.source = source

    def steps(self) -> Iterator[Step]:
        """Yield the components at every depth."""
        bound = self.frozen.plan.bound
        depths = iter(bound.depths)
        if bound.embed_norm is not None:
            self.x = self.normed(bound.embed_norm, self.x)
        yield self.step(next(depths))
        for layer in range(1, bound.layers + 1):
            entered = self.x
            for branch in bound.of_layer(layer):
                given = self.branch(branch, entered if bound.stack.parallel else self.x)
                self.x = self.x + given
                if branch.post_norm is not None:
                    self.x = self.normed(branch.post_norm, self.x)
            yield self.step(next(depths))
        if bound.final_norm is not None:
            self.x = self.normed(bound.final_norm, self.x)
            yield self.step(next(depths))

    def step(self, site: str) -> Step:
        """Return the components beside the real state."""
        return Step(site, self.x, self.frozen.state(site))

    def branch(self, branch: Branch, x: "torch.Tensor") -> "torch.Tensor":
        """Return what a branch makes of the components."""
        if branch.kind == "cross_attention":
            given = self.from_source(branch, x)
        else:
            read = x if branch.pre_norm is None else self.normed(branch.pre_norm, x)
            if branch.kind == "attention":
                given = attended(branch, self.weights(branch), read)
            else:
                given = self.frozen.inner[branch.name](read, constants=self.constants)
        if branch.heads is not None:
            for constant in constants_of(branch, self.weights(branch)):
                self.add(given, constant)
        if branch.out_norm is not None:
            given = self.normed(branch.out_norm, given)
        return given if branch.scale == 1.0 else given * branch.scale

    def from_source(self, branch: Branch, x: "torch.Tensor") -> "torch.Tensor":
        """Cross-attention reads the encoder alone: all it gives is the source's."""
        import torch

        given = torch.zeros_like(x)
        if self.source is None:
            return given
        assert self.memory is not None
        given[self.source] = attended(branch, self.weights(branch), self.memory[None])[0]
        return given

    def weights(self, branch: Branch) -> "torch.Tensor":
        """Return what attention was in the pass."""
        return self.frozen.seen.weights[branch.name].to(self.frozen.plan.bound.dtype)

    def add(self, given: "torch.Tensor", constant: "torch.Tensor") -> None:
        """Add a constant to the correction, where constants count."""
        if self.constants:
            given[-1] += constant

    def normed(self, norm: Norm, x: "torch.Tensor") -> "torch.Tensor":
        """Divide every component by the full state's scale; take off its own mean, or (by
        `centring_to_bias`) the full state's from the correction.
        """
        found = self.frozen.norms[norm.path]
        factor = norm.factor(found)
        own = norm.centred and not self.frozen.plan.centring_to_bias
        x = (x - x.mean(-1, keepdim=True)) * factor if own else x * factor
        if norm.centred and not own and found.mean is not None:
            self.add(x, -factor * found.mean)
        if norm.bias is not None:
            self.add(x, norm.bias)
        return x
