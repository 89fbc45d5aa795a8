"""The analysis `decomposition_logits`: what each term, block and head gives to a logit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Layers, LoadedModel, Result, Rows, analysis, load_language_model

from . import figures
from .analysis import opened, refuse_inexact, states_of
from .bound import Bound
from .check import relative_error
from .parts import Part, parts
from .states import refuse_lacking, rounding
from .tables import Explained, Logit
from .terms import Seen, States, running
from .unembedding import Unembedding, bind_head, check_head

if TYPE_CHECKING:
    import torch

By = Literal["term", "layer", "head"]
BLOCK = 64  # rows at once: heads are held one by one


@dataclass(frozen=True)
class Asked:
    """Which logits of which rows: rows (n,) places, tokens (n,) and what is taken off."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    against: int | None


@analysis(
    version=1,
    tables={"logits": Logit, "explained": Explained},
    figures=figures.LOGITS,
)
def decomposition_logits(
    layers: Layers,
    model: LoadedModel,
    *,
    target: Annotated[
        str,
        "next: the token that follows (of a masked model the row's own); top: the likeliest; or a "
        "token of the vocabulary, by its text or number",
    ] = "next",
    against: Annotated[str | None, "a token whose logit is taken off, by text or number"] = None,
    by: Annotated[By, "how finely: terms, blocks × terms, or heads too"] = "layer",
    rows: Annotated[int, "rows that are explained, the first; 0: all"] = 64,
) -> Result:
    """Direct logit attribution: a token's logit as a sum over terms, blocks and heads.

    The last state is a sum of terms (see `decomposition`), and the unembedding is linear, so each
    gives its inner product with the token's row; biases of the head count as correction. Where
    BERT's kin have a dense layer before it, its activation is frozen at φ(p)/p and its norm at the
    row's statistics. Capped logits (Gemma 2) are explained before the cap. Contributions of a row
    sum to its logit, which is checked for the head on a short example and stands beside their sum
    in `explained`. Needs the sites of the preset `decomposition`, by heads `layers.*.heads` too,
    and a checkpoint with its head.
    """
    bound, _ = opened(model, layers, "modules")
    preset = f"{bound.prefix}decomposition"
    heads = by == "head"
    refuse_lacking(
        layers, bound.sites(heads=heads), preset + f",{bound.prefix}layers.*.heads" * heads,
        model.spec,
    )  # fmt: skip
    whole = load_language_model(model)
    head = bind_head(whole, bound)
    check_head(whole, head, model, bound)
    asked = _asked(layers, bound, head, model, target, against, rows)
    logits: dict[str, list[Any]] = {name: [] for name in Logit.__dataclass_fields__}
    explained: list[Explained] = []
    errors = [0.0]
    for start in range(0, len(asked.rows), BLOCK):
        some = Asked(
            asked.rows[start : start + BLOCK], asked.tokens[start : start + BLOCK], asked.against
        )
        taken = Layers.of(*(acts.take(some.rows) for acts in layers))
        states = states_of(taken, bound, (0, len(some.rows)))
        errors.append(_block(layers, bound, head, model, states, some, by, logits, explained))
    refuse_inexact(max(errors), rounding(layers), bound, model.spec)
    return Result({"logits": logits, "explained": explained})


def _block(
    layers: Layers, bound: Bound, head: Unembedding, model: LoadedModel, states: States,
    asked: Asked, by: By, logits: dict[str, list[Any]], explained: list[Explained],
) -> float:  # fmt: skip
    """Explain some rows; returns the relative error of the sum of their terms."""
    import torch

    seen = Seen()
    *_, last = running(bound, states, seen)
    tokens = torch.from_numpy(asked.tokens).to(last.state.device)
    direction, constant = head.directions(last.state, tokens)
    every = head.logits(last.state)
    own = every.gather(1, tokens[:, None])[:, 0]
    rank = (every > own[:, None]).sum(1)
    if asked.against is not None:
        other = torch.full_like(tokens, asked.against)
        less, fixed = head.directions(last.state, other)
        direction, constant, own = direction - less, constant - fixed, own - every[:, asked.against]
    numbers = layers[0].numbers(asked.rows)
    summed = torch.zeros_like(own)
    name = _names(model)
    for term, layer, number, given in _given(bound, states, seen, direction, constant, by):
        summed += given
        count = len(numbers)
        logits["row"] += numbers.tolist()
        logits["token_id"] += asked.tokens.tolist()
        logits["token"] += [name(token) for token in asked.tokens.tolist()]
        logits["term"] += [term] * count
        logits["layer"] += [layer] * count
        logits["head"] += [number] * count
        logits["contribution"] += given.tolist()
    texts = layers[0].rows
    for i, row in enumerate(asked.rows.tolist()):
        token = int(asked.tokens[i])
        explained.append(
            Explained(
                int(numbers[i]), texts.token[row], token, name(token), asked.against,
                float(own[i]), float(summed[i]), int(rank[i]),
            )
        )  # fmt: skip
    return relative_error(last.terms.sum(0), last.state)


def _given(
    bound: Bound, states: States, seen: Seen, direction: "torch.Tensor", constant: "torch.Tensor",
    by: By,
) -> "Iterator[tuple[str, int | None, int | None, torch.Tensor]]":  # fmt: skip
    """Yield term, layer, head and what they give (n,), as finely as asked for."""
    import torch

    top = bound.layers + 1
    found: dict[tuple[str, int | None], torch.Tensor] = {}
    for part in parts(bound, states, seen, bound.depths[-1], heads=by == "head"):
        if part.heads is not None:
            for number, given in enumerate((part.heads * direction).sum(-1)):  # (n,)
                yield part.term, part.layer, number, given
            continue
        key = part.term, None if by == "term" else part.layer
        given = _dot(part, direction)
        found[key] = found[key] + given if key in found else given
    last = "correction", None if by == "term" else top
    found[last] = found[last] + constant if last in found else constant
    for (term, layer), given in sorted(found.items(), key=lambda pair: pair[0][1] or 0):
        yield term, layer, None, given


def _dot(part: Part, direction: "torch.Tensor") -> "torch.Tensor":
    return (part.vector * direction).sum(-1)


def _names(model: LoadedModel) -> Any:
    tokenizer = model.tokenizer

    def name(token: int) -> str | None:
        return None if tokenizer is None else str(tokenizer.decode([token]))

    return name


def _asked(
    layers: Layers, bound: Bound, head: Unembedding, model: LoadedModel, target: str,
    against: str | None, most: int,
) -> Asked:  # fmt: skip
    """Say which rows and tokens are meant."""
    if most < 0:
        raise InputError("decomposition: rows must be 0 (all) or more")
    places = np.arange(len(layers[0]))[: most or None]
    if target == "next":
        places, tokens = following(layers[0].rows, head, most)
    elif target == "top":
        tokens = _top(layers, bound, head, places)
    else:
        tokens = np.full(len(places), numbered(model, head, target))
    less = None if against is None else numbered(model, head, against)
    return Asked(places, tokens, less)


def following(
    known: Rows, head: Unembedding, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that another follows, and its token; of a masked model all, and their own."""
    masked = head.transform is not None
    places = np.arange(len(known))
    if not masked:
        follows = (known.sample[1:] == known.sample[:-1]) & (np.diff(known.position) == 1)
        places = np.flatnonzero(follows & (known.token_id[1:] >= 0))
    places = places[: most or None]
    if not len(places):
        raise InputError("decomposition: no row is followed by another; use --target top")
    tokens = known.token_id[places + (not masked)]
    if (tokens < 0).any():
        raise InputError("decomposition: rows have no token; use --target top")
    return places, tokens


def _top(
    layers: Layers, bound: Bound, head: Unembedding, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    import torch

    site = layers[bound.depths[-1]]
    found = []
    for start in range(0, len(places), BLOCK):
        state = torch.from_numpy(site[places[start : start + BLOCK]]).to(bound.device, bound.dtype)
        found.append(head.logits(state).argmax(-1).cpu().numpy())
    return np.concatenate(found)


def numbered(model: LoadedModel, head: Unembedding, named: str) -> int:
    """The number of a token that is named by its text or its number."""
    count = len(head.weight)
    if named.isdigit():
        found = [int(named)]
    elif model.tokenizer is None:
        found = []
    else:
        found = model.tokenizer(named, add_special_tokens=False)["input_ids"]
    if len(found) != 1 or found[0] >= count:
        raise InputError(
            f"decomposition: {named!r} is {len(found)} tokens of {count:,}, not one; name "
            f"one by its text (a space before it counts) or its number, or use next or top"
        )
    return int(found[0])
