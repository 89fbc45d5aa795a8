"""The analysis `decomposition_tokens`: every state as a sum over the tokens that were read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from actlas import InputError, Layers, LoadedModel, Result, Samples, analysis, tell

from ..bound import bind
from ..check import TOLERANCE, check
from ..indicators import Floats, Gathered, indicators
from ..states import side_of
from . import figures
from .gathering import indicator_rows, source_columns
from .groups import Groups, positions_of, split_start
from .passes import Batch, batches, plan_of
from .propagate import Plan, Propagation
from .slopes import Rule
from .tables import Indicator, Source, Summary

if TYPE_CHECKING:
    import torch

HELD = 1 << 27  # numbers of a component tensor: a batch has as many samples as fit


@dataclass(frozen=True)
class Found:
    """What was gathered over the samples.

    sources: by sample its number, the groups of its positions, and the indicators at the deepest
    state (4, components, positions).
    """

    terms: Gathered[str]
    errors: list[Floats]
    sources: list[tuple[int, Floats, Floats]]


def terms_of(plan: Plan) -> tuple[str, ...]:
    """The names of the pooled terms, in the order of the components."""
    return ("target", *(["source"] if "cross_attention" in plan.bound.terms else []), "correction")


def gather(
    model: LoadedModel, plan: Plan, samples: Samples, numbers: list[int], groups: Groups
) -> Found:
    """Run the samples and gather the indicators of their components."""
    found = Found(Gathered(), [], [])
    for batch in batches(model, plan, samples, numbers, _batch_size(plan, groups)):
        tell(f"sample {batch.encoded[-1].sample + 1:,} of {numbers[-1] + 1:,}")
        _batch(plan, batch, groups, found)
    return found


def _batch_size(plan: Plan, groups: Groups) -> int:
    return 8 if groups == "pooled" else 1


def _batch(plan: Plan, batch: Batch, groups: Groups, found: Found) -> None:
    import torch

    group = torch.full(batch.kept.shape, -1)
    for i, one in enumerate(batch.encoded):
        group[i, : len(one)] = torch.from_numpy(positions_of(one, groups))
    kept, names = batch.kept, terms_of(plan)
    count = int(group.max()) + 1
    start = split_start(batch.frozen, group.to(plan.bound.device), count)
    for step in Propagation(batch.frozen, start).steps():
        state = step.state[kept]
        pieces = step.components[:, kept]
        found.errors.append(_errors(pieces, state))
        pooled = torch.cat([pieces[:count].sum(0, keepdim=True), pieces[count:]])
        assert len(pooled) == len(names)
        found.terms.add(step.site, indicators(pooled, state))
    if groups != "pooled":
        (one,) = batch.encoded
        found.sources.append((one.sample, group[0].numpy(), indicators(pieces, state)))


def _errors(pieces: "torch.Tensor", state: "torch.Tensor") -> Floats:
    import torch

    gap = torch.linalg.vector_norm(pieces.sum(0) - state, dim=-1)
    size = torch.linalg.vector_norm(state, dim=-1)
    found: Floats = (gap / size.clamp_min(1e-30)).double().cpu().numpy()
    return found


@analysis(
    version=1,
    tables={"indicators": Indicator, "summary": Summary, "sources": Source},
    figures=figures.TOKENS,
)
def decomposition_tokens(
    layers: Layers,
    model: LoadedModel,
    samples: Samples,
    *,
    by: Annotated[
        Groups, "pooled: all tokens together; words or tokens: each by itself, slow"
    ] = "pooled",
    rule: Annotated[
        Rule, "what stands for an activation; default: freeze_gate where gated, else tangent"
    ] = "default",
    centring_to_bias: Annotated[
        bool, "take the mean of a norm off the correction, not off each term"
    ] = False,
    first: Annotated[
        int | None, "samples to run, the first of them; none: all, 16 by tokens"
    ] = None,
) -> Result:
    """Every state as a sum over the tokens that were read, the source and a correction.

    Oh & Schuler 2023 (arXiv 2305.10614), pooled as by Mickus & Vázquez 2023 (arXiv 2310.06977):
    the model is run, attention weights, norm scales and activation slopes are frozen as they
    were, and what is left is linear in the token embeddings. Unlike in `decomposition`, what
    feed-forward networks give is shared out among tokens, and attention moves it. The terms sum
    to the state whatever the slopes; what each gets depends on the rule, so it is recorded. The
    correction can be larger than the state: terms cancel, so read norm ratios beside relative
    dot products. By words or tokens the table `sources` says what each gave to every row's
    deepest state.
    """
    bound = bind(model, side_of(layers))
    error = check(model, bound)
    plan = plan_of(model, bound, rule, centring_to_bias=centring_to_bias)
    numbers = list(_numbers(samples, first, by))
    found = gather(model, plan, samples, numbers, by)
    errors = np.concatenate(found.errors)
    tolerance = TOLERANCE[model.dtype]
    if not float(errors.max()) <= tolerance:
        raise InputError(
            f"decomposition: the terms do not sum to the states (relative error "
            f"{errors.max():.1e}, at most {tolerance:.0e} for {model.dtype}); "
            f"load the model in float32"
        )
    summary = Summary(
        bound.architecture, bound.side, by, plan.rule,
        "correction" if centring_to_bias else "each term",
        str(bound.dtype).removeprefix("torch."), float(errors.max()), float(errors.mean()),
        tolerance, error, len(errors) // len(bound.depths), len(numbers),
        bound.layers, layers[0].width,
    )  # fmt: skip
    names = terms_of(plan)
    return Result(
        {
            "indicators": indicator_rows(found.terms, bound.depths, names),
            "summary": summary,
            "sources": source_columns(found.sources, layers, names),
        }
    )


def _numbers(samples: Samples, first: int | None, groups: Groups) -> Iterator[int]:
    if first is not None and first < 1:
        raise InputError(f"decomposition: first={first} must be 1 or more")
    if first is None:
        first = len(samples) if groups == "pooled" else 16
    yield from range(min(first, len(samples)))
