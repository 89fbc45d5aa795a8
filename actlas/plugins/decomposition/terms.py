"""The terms of a state: sub-layers add to them, norms multiply them by what the full state says.

Mickus & Vázquez 2023 (arXiv 2310.06977), section 2, after Mickus et al. 2022. A norm with gain g,
bias β, mean m and scale s of the full state before it takes every term v to g ⊙ v / s, and the
correction to g ⊙ (v − m) / s + β.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .bound import Bound, Branch
from .norms import Norm, Statistics

if TYPE_CHECKING:
    import torch

States: TypeAlias = "Mapping[str, torch.Tensor]"


class Depth(NamedTuple):
    """The terms at one depth of the residual stream.

    terms: (terms, n, width), which the next depth writes over. state: (n, width) the model's own.
    """

    site: str
    layer: int
    terms: "torch.Tensor"
    state: "torch.Tensor"


class Split(NamedTuple):
    """What a branch adds: main (n, width) to its own term, rest (n, width) or (width,) or None to
    the correction; factor: what main was multiplied by, (n, width) or a number.
    """

    main: "torch.Tensor"
    rest: "torch.Tensor | None"
    factor: "torch.Tensor | float"


def split(branch: Branch, given: "torch.Tensor") -> Split:
    """Split what a branch's last projection gives (n, width) as it arrives in the stream."""
    bias = branch.bias
    main = given if bias is None else given - bias
    norm = branch.out_norm
    if norm is None:
        if branch.scale == 1.0:
            return Split(main, bias, 1.0)
        return Split(
            main * branch.scale, None if bias is None else bias * branch.scale, branch.scale
        )
    found = norm.statistics(given)
    factor = norm.factor(found)
    rest = norm.shift(found, factor)
    if bias is not None:
        rest = factor * bias if rest is None else factor * bias + rest
    scale = branch.scale
    rest = rest if rest is None or scale == 1.0 else rest * scale
    factor = factor * scale if scale != 1.0 else factor
    return Split(main * factor, rest, factor)


class Running:
    """The terms of the stream as sub-layers go by; one pass over the states, bounded memory."""

    def __init__(self, bound: Bound, states: States, seen: "Seen"):
        self.bound, self._states, self._seen = bound, states, seen
        self.kinds = {kind: place for place, kind in enumerate(bound.terms)}
        x = self.state(bound.start)
        self.terms = x.new_zeros(len(self.kinds), *x.shape)
        for place, name in enumerate(bound.inputs):
            self.terms[place] = x if len(bound.inputs) == 1 else self.state(name)
        self.stream = x  # the full state, of which the terms are the sum

    def state(self, site: str) -> "torch.Tensor":
        """Return a state as it is summed with."""
        return self._states[site].to(self.bound.dtype)

    def add(self, branch: Branch) -> None:
        """Add what a branch gave."""
        given = split(branch, self.state(branch.site))
        self.terms[self.kinds[branch.kind]] += given.main
        self.stream = self.stream + given.main
        if given.rest is not None:
            self.terms[-1] += given.rest
            self.stream += given.rest

    def norm(self, norm: Norm, *, stream: bool = True) -> None:
        """Apply a norm to the terms; stream: also to the full state, where it is read again."""
        found = self._seen.statistics[norm.path] = norm.statistics(self.stream)
        factor = norm.factor(found)
        shift = norm.shift(found, factor)
        self.terms *= factor
        if shift is not None:
            self.terms[-1] += shift
        if stream:
            self.stream = self.stream * factor
            if shift is not None:
                self.stream += shift

    def depth(self, site: str, layer: int) -> Depth:
        """Return the terms; from here on the full state is the model's own again."""
        self.stream = self.state(site)
        return Depth(site, layer, self.terms, self.stream)


class Seen:
    """The statistics of every norm of the stream that was passed, by its path."""

    def __init__(self) -> None:
        self.statistics: dict[str, Statistics] = {}

    def of(self, norm: Norm) -> Statistics:
        """Return what a norm took from the full state."""
        return self.statistics[norm.path]


def running(bound: Bound, states: States, seen: Seen | None = None) -> Iterator[Depth]:
    """Yield the terms at every depth of the residual stream, from the embedding on.

    states: (n, width) by site (`Bound.sites`); each is read once, in the order of the pass.
    seen: keeps the statistics, by which `parts` takes a state apart.
    """
    run = Running(bound, states, seen or Seen())
    depths = iter(bound.depths)
    if bound.embed_norm is not None:
        run.norm(bound.embed_norm, stream=False)
    yield run.depth(next(depths), 0)
    for layer in range(1, bound.layers + 1):
        branches = list(bound.of_layer(layer))
        for branch in branches:
            run.add(branch)
            if branch.post_norm is not None:
                run.norm(branch.post_norm, stream=branch is not branches[-1])
        yield run.depth(next(depths), layer)
    if bound.final_norm is not None:
        run.norm(bound.final_norm, stream=False)
        yield run.depth(next(depths), bound.layers + 1)
