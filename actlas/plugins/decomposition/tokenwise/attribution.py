"""The analysis `decomposition_token_logits`: what each token that was read gives to a logit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import (
    Layers,
    LoadedModel,
    Result,
    Samples,
    analysis,
    load_language_model,
    tell,
)

from ..bound import bind
from ..check import check
from ..states import side_of
from ..unembedding import Unembedding, bind_head, check_head
from . import figures
from .gradients import given_by_token
from .groups import group_parts, split_start
from .passes import Batch, batches, plan_of, refuse_partial, refuse_pooled
from .propagate import Plan, Propagation
from .slopes import Rule
from .tables import TokenExplained, TokenLogit
from .targets import TOP, asked_rows

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Asked:
    """Which rows of one sample are explained, and the token of each: positions, ids (n,)."""

    places: NDArray[np.int64]
    tokens: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Explaining:
    """What a logit is explained with: the frozen stack's plan, the head, how names are made."""

    model: LoadedModel
    plan: Plan
    head: Unembedding
    layers: Layers
    importance: bool


@analysis(
    version=1,
    tables={"logits": TokenLogit, "explained": TokenExplained},
    figures=figures.LOGITS,
)
def decomposition_token_logits(
    layers: Layers,
    model: LoadedModel,
    samples: Samples,
    *,
    target: Annotated[
        str,
        "next: the token that follows (of a masked model the row's own); top: the likeliest; or a "
        "token of the vocabulary, by its text or number",
    ] = "next",
    rule: Annotated[
        Rule, "what stands for an activation; default: freeze_gate where gated, else tangent"
    ] = "default",
    importance: Annotated[
        bool, "also the bits that the token loses without each token's vector; slow"
    ] = False,
    rows: Annotated[int, "rows that are explained, the first; 0: all"] = 64,
) -> Result:
    """A token's logit as a sum over the tokens that were read, the source and a correction.

    The stack is frozen as in `decomposition_tokens`, so a logit is linear in the token embeddings:
    its gradient there times the embedding is what each token gives, by one pass back and without
    making vectors. In a decoder with cross-attention the gradient at the encoder's last state says
    what each source position gives. Importance is that of Oh & Schuler 2023 (arXiv 2305.10614):
    log2 p(token) with the state as it is, less that with one token's vector taken away.
    """
    refuse_pooled(model, samples)
    bound = bind(model, side_of(layers))
    check(model, bound)
    whole = load_language_model(model)
    head = bind_head(whole, bound)
    check_head(whole, head, model, bound)
    plan = plan_of(model, bound, rule, centring_to_bias=False)
    explaining = Explaining(model, plan, head, layers, importance)
    asked = asked_rows(layers, head, model, target, rows)
    logits: dict[str, list[Any]] = {name: [] for name in TokenLogit.__dataclass_fields__}
    explained: list[TokenExplained] = []
    for batch in batches(model, plan, samples, sorted(asked), 1):
        refuse_partial(model, layers, batch)
        sample = batch.encoded[0].sample
        tell(f"sample {sample + 1:,} of {max(asked) + 1:,}")
        _sample(explaining, batch, Asked(*asked[sample]), logits, explained)
    return Result({"logits": logits, "explained": explained})


def _sample(
    by: Explaining, batch: Batch, asked: Asked, logits: dict[str, list[Any]],
    explained: list[TokenExplained],
) -> None:  # fmt: skip
    import torch

    bound, frozen = by.plan.bound, batch.frozen
    kept = batch.kept[0]
    places = torch.from_numpy(asked.places).to(bound.device)
    tokens = torch.from_numpy(asked.tokens).to(bound.device)
    state = frozen.state(bound.depths[-1])[0][places]
    every = by.head.logits(state)
    tokens = torch.where(tokens == TOP, every.argmax(-1), tokens)
    direction, constant = by.head.directions(state, tokens)
    given = given_by_token(frozen, places, direction)
    pooled = _pooled(frozen, places, direction)
    lost = _importance(by, frozen, places, tokens, len(batch.encoded[0])) if by.importance else None
    own = every.gather(1, tokens[:, None])[:, 0]
    likely = _log_probabilities(by.head, every).gather(1, tokens[:, None])[:, 0].exp()
    numbers, texts = _rows_of(by.layers, batch.encoded[0].sample)
    source = [None] * 0 if given.source is None else given.source.T.tolist()
    for i, (place, token) in enumerate(zip(asked.places.tolist(), tokens.tolist(), strict=True)):
        name = _name(by.model, token)
        parts: list[tuple[str, int | None, str | None, float, float | None]] = []
        for k in np.flatnonzero(kept.numpy()).tolist():
            value = float(given.target[i, k])
            if value != 0:  # not a later token, in a decoder
                bits = None if lost is None else float(lost[i, k])
                parts.append(("target", numbers[k], texts[k], value, bits))
        for k, values in enumerate(source):
            parts.append(("source", None, _source_text(batch, by.model, k), values[i], None))
        parts.append(("correction", None, None, float(pooled[-1, i] + constant[i]), None))
        for term, row, text, value, bits in parts:
            _append(logits, numbers[place], token, name, term, row, text, value, bits)
        summed = sum(part[3] for part in parts)
        explained.append(
            TokenExplained(
                numbers[place], texts[place], token, name, by.plan.rule, float(own[i]), summed,
                float(likely[i]),
            )
        )  # fmt: skip


def _append(columns: dict[str, list[Any]], *values: Any) -> None:
    for column, value in zip(columns.values(), values, strict=True):
        column.append(value)


def _pooled(frozen: Any, places: "torch.Tensor", direction: "torch.Tensor") -> "torch.Tensor":
    """What the pooled components give (components, n), found by vectors, not by gradients."""
    import torch

    shape = frozen.state(frozen.plan.bound.start).shape[:2]
    start = split_start(frozen, torch.zeros(shape, dtype=torch.long), 1)
    *_, last = Propagation(frozen, start).steps()
    return (last.components[:, 0, places] * direction).sum(-1)


def _importance(
    by: Explaining, frozen: Any, places: "torch.Tensor", tokens: "torch.Tensor", count: int
) -> "torch.Tensor":
    """Return (n, positions): log2 p of each row's token, less that without each token's vector."""
    import torch

    group = torch.arange(count, device=places.device)[None]
    states = frozen.state(frozen.plan.bound.depths[-1])[0, places]
    chances = _log_probabilities(by.head, by.head.logits(states)).gather(1, tokens[:, None])
    found = torch.zeros(len(places), count, dtype=states.dtype, device=states.device)
    for first, parts in group_parts(frozen, group, count):
        some = slice(first, first + len(parts))
        for i, (place, token) in enumerate(zip(places.tolist(), tokens.tolist(), strict=True)):
            every = by.head.logits(states[i] - parts[:, 0, place])
            found[i, some] = chances[i] - _log_probabilities(by.head, every)[:, token]
    bits: torch.Tensor = found / np.log(2)
    return bits


def _log_probabilities(head: Unembedding, logits: "torch.Tensor") -> "torch.Tensor":
    import torch

    capped = logits if head.cap is None else head.cap * torch.tanh(logits / head.cap)
    return capped.log_softmax(-1)


def _rows_of(layers: Layers, sample: int) -> tuple[list[int], list[str | None]]:
    rows = layers[0].rows
    places = np.flatnonzero(rows.sample == sample)
    return layers[0].numbers(places).tolist(), [rows.token[place] for place in places.tolist()]


def _source_text(batch: Batch, model: LoadedModel, place: int) -> str | None:
    """The token that the encoder read at a position."""
    return _name(model, int(batch.encoded[0].inputs[place]))


def _name(model: LoadedModel, token: int) -> str | None:
    return None if model.tokenizer is None else str(model.tokenizer.decode([token]))
