"""The embedding as the sum that it is: word, position and type of token.

All are multiplied by what norms multiply the input by (arXiv 2310.06977), so a split of it costs
nothing. What stands here is a claim; every row is held against its stored embedding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from actlas import InputError, Layers, LoadedModel

from .bound import Bound, base_of
from .check import TOLERANCE, relative_error

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Tables:
    """Where embeddings stand in a network without its head, by term.

    padded: whether positions are counted from one beyond the padding token's number (RoBERTa).
    """

    word: str
    position: str
    type: str = ""
    padded: bool = False


_BERT = Tables(
    "embeddings.word_embeddings",
    "embeddings.position_embeddings",
    "embeddings.token_type_embeddings",
)
TABLES = {
    "bert": _BERT,
    "camembert": replace(_BERT, padded=True),
    "ernie": _BERT,
    "roberta": replace(_BERT, padded=True),
    "xlm-roberta": replace(_BERT, padded=True),
    "distilbert": replace(_BERT, type=""),
    "gpt2": Tables("wte", "wpe"),
}


class Embedded(Mapping[str, "torch.Tensor"]):
    """States, and beside them what the embedding is the sum of, by term."""

    def __init__(self, states: "Mapping[str, torch.Tensor]", parts: "dict[str, torch.Tensor]"):
        self._states, self._parts = states, parts

    def __getitem__(self, site: str) -> "torch.Tensor":
        return self._parts[site] if site in self._parts else self._states[site]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._states, *self._parts))

    def __len__(self) -> int:
        return len(self._states) + len(self._parts)


def with_inputs(bound: Bound) -> Bound:
    """Let a bound stack have a term for each part of its embedding.

    Raises InputError where an embedding is not known to be such a sum.
    """
    tables = None if bound.side else TABLES.get(bound.architecture)
    if tables is None:
        raise InputError(
            f"decomposition: nothing is known of the positions in the embedding of "
            f"{bound.architecture}; --split-input is for {', '.join(sorted(TABLES))}"
        )
    return replace(bound, inputs=("word", "position", *["type"] * bool(tables.type)))


def embedded(
    states: "Mapping[str, torch.Tensor]", layers: Layers, bound: Bound, model: LoadedModel,
    span: tuple[int, int], stored: str,
) -> Embedded:  # fmt: skip
    """Add the parts of the embedding of some rows, from their tokens and positions.

    Raises InputError where they do not sum to what was stored.
    """
    import torch

    tables, base = TABLES[bound.architecture], base_of(model)
    rows = layers[0].rows
    first = base.config.pad_token_id + 1 if tables.padded else 0
    tokens, places = (values[slice(*span)] for values in (rows.token_id, rows.position))
    numbers = {"word": tokens, "position": places + first, "type": np.zeros_like(tokens)}
    found: dict[str, torch.Tensor] = {}
    for name in bound.inputs:
        weight = base.get_submodule(getattr(tables, name)).weight.detach()
        at = torch.from_numpy(np.clip(numbers[name], 0, len(weight) - 1)).to(weight.device)
        found[name] = weight[at].to(bound.dtype)
    summed = torch.stack([*found.values()]).sum(0)
    error = relative_error(summed, states[bound.start].to(bound.dtype))
    if not error <= TOLERANCE[stored]:
        raise InputError(
            f"decomposition: word, position and type do not sum to the stored embedding (relative "
            f"error {error:.1e}, at most {TOLERANCE[stored]:.0e} for {stored}); leave out "
            f"--split-input"
        )
    return Embedded(states, found)
