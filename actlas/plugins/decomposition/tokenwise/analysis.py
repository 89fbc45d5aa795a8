"""The analysis `decomposition_tokens`: every state as a sum over the tokens that were read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import InputError, Layers, LoadedModel, Result, Samples, analysis, tell

from ..bound import PRECISION, Precision, bind
from ..check import TOLERANCE, check
from ..indicators import Floats, Gathered, indicators, row_errors
from ..rows import indicator_rows
from ..states import side_of
from ..tables import Indicator
from . import figures
from .gathering import source_columns
from .groups import Groups, group_parts, positions_of, split_start
from .passes import BATCH, Batch, batches, plan_of, refuse_partial, refuse_pooled
from .propagate import Plan, Propagation
from .slopes import Rule
from .tables import Source, Summary


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
    layers: Layers, model: LoadedModel, plan: Plan, samples: Samples, numbers: list[int],
    groups: Groups,
) -> Found:  # fmt: skip
    """Run the samples and gather the indicators of their components."""
    found = Found(Gathered(), [], [])
    for batch in batches(model, plan, samples, numbers, 1 if groups != "pooled" else BATCH):
        refuse_partial(model, layers, batch)
        tell(f"sample {batch.encoded[-1].sample + 1:,} of {numbers[-1] + 1:,}")
        _batch(plan, batch, groups, found)
    return found


def _batch(plan: Plan, batch: Batch, groups: Groups, found: Found) -> None:
    """Gather the pooled terms of a batch at every depth, and its groups at the deepest."""
    import torch

    kept = batch.kept
    start = split_start(batch.frozen, kept.long().to(plan.bound.device) - 1, 1)
    for step in Propagation(batch.frozen, start).steps():
        state, terms = step.state[kept], step.components[:, kept]
        found.errors.append(row_errors(terms, state))
        found.terms.add(step.site, indicators(terms, state))
    if groups == "pooled":
        return
    (one,) = batch.encoded
    group = torch.from_numpy(positions_of(one, groups))
    count, rest = int(group.max()) + 1, terms[1:]
    summed, values = torch.zeros_like(state), []
    for _, parts in group_parts(batch.frozen, group[None].to(plan.bound.device), count):
        values.append(indicators(parts[:, 0], state))
        summed += parts[:, 0].sum(0)
    found.errors.append(row_errors(torch.cat([summed[None], rest]), state))
    values.append(indicators(rest, state))
    found.sources.append((one.sample, group.numpy(), np.concatenate(values, axis=1)))


@analysis(
    version=1,
    tables={"summary": Summary, "indicators": Indicator, "sources": Source},
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
    precision: Annotated[Precision, PRECISION] = "auto",
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
    refuse_pooled(model, samples)
    bound = bind(model, side_of(layers), precision)
    error = check(model, bound)
    plan = plan_of(model, bound, rule, centring_to_bias=centring_to_bias)
    numbers = list(_numbers(samples, first, by))
    found = gather(layers, model, plan, samples, numbers, by)
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
        tolerance, error, int(found.terms.moments[bound.depths[0]].count.max()), len(numbers),
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
