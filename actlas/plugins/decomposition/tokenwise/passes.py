"""Forward passes whose attention, norms and activations are frozen afterwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actlas import InputError, LackingError, Layers, LoadedModel, Samples

from ..bound import Bound
from .layers import feed_forward
from .propagate import Frozen, Pass, Plan
from .slopes import Rule, settled

if TYPE_CHECKING:
    import torch

BATCH = 8  # samples that are run at once, fewer where they are long
HELD = 1 << 25  # attention weights that are held of a pass


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples, their frozen pass, and where in it rows are.

    encoded: the samples. kept: (batch, positions) whether a position is a row, padding is not.
    """

    encoded: Sequence[Any]
    frozen: Frozen
    kept: "torch.Tensor"


def plan_of(model: LoadedModel, bound: Bound, rule: Rule, *, centring_to_bias: bool) -> Plan:
    """Bind what components go through; InputError for a rule that does not fit."""
    forwards = [branch for branch in bound.branches if branch.kind == "feed_forward"]
    gated = any(branch.spec.gate for branch in forwards)
    inner = {branch.name: feed_forward(model, bound, branch) for branch in forwards}
    return Plan(bound, inner, settled(rule, gated=gated), centring_to_bias)


def run(model: LoadedModel, plan: Plan, batch: Any) -> Frozen:
    """Run one batch, and freeze the stack at what was seen."""
    sites = [model.sites[name] for name in plan.bound.sites()]
    sites += [site for inner in plan.inner.values() for site in inner.sites]
    found = model.rerun(batch, {}, sites, attention=True)
    weights = {name: tensor.clone() for name, tensor in found.weights.items()}
    memory = getattr(found.output, "encoder_last_hidden_state", None)
    # Copies: what is made in inference mode cannot be differentiated through.
    return Frozen(plan, Pass(found.states, weights, None if memory is None else memory.clone()))


def batches(
    model: LoadedModel, plan: Plan, samples: Samples, numbers: Sequence[int], size: int = BATCH
) -> Iterator[Batch]:
    """Yield samples in their order, some at a time."""
    import torch

    site = model.sites[plan.bound.depths[0]]
    every = (
        samples.encoded(model, site, numbers[start : start + size])
        for start in range(0, len(numbers), size)
    )
    for encoded in (part for some in every for part in _parted(plan, some)):
        batch = model.feed.collate(encoded)
        frozen = run(model, plan, batch)
        kept = torch.zeros(batch.shape, dtype=torch.bool)
        for i, one in enumerate(encoded):
            if not len(one):
                raise InputError(f"decomposition: sample {one.sample} has no positions")
            kept[i, : len(one)] = True
        yield Batch(encoded, frozen, kept)


def _parted(plan: Plan, encoded: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Part samples into batches whose attention weights fit what may be held, or single ones."""
    heads = sum(len(branch.heads.output) for branch in plan.bound.branches if branch.heads)
    start = 0
    for stop in range(1, len(encoded) + 1):
        longest = max(len(one) for one in encoded[start : stop + 1])
        if stop == len(encoded) or (stop + 1 - start) * longest**2 * heads > HELD:
            yield encoded[start:stop]
            start = stop


def refuse_pooled(model: LoadedModel, samples: Samples) -> None:
    """Raise LackingError where a row is not one position, with the command that stores those."""
    if samples.pooling != "token":
        raise LackingError(
            f"decomposition: a row is pooled ({samples.pooling}), and terms are of single "
            f"positions; to store those",
            model.spec, "--pooling token",
        )  # fmt: skip


def refuse_partial(model: LoadedModel, layers: Layers, batch: Batch) -> None:
    """Raise LackingError where rows are not all positions of their sample, in order."""
    rows = layers[0].rows
    for one in batch.encoded:
        if not np.array_equal(rows.position[rows.sample == one.sample], np.arange(len(one))):
            raise LackingError(
                f"decomposition: the rows of sample {one.sample} are not its {len(one)} positions "
                f"(--nonfinite keep leaves none out); to store all of them",
                model.spec, "--pooling token",
            )  # fmt: skip
