"""Positions to rows: what each pooling makes of a sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .datasets import Span
from .feeds import Encoded
from .rows import MISSING, Rows

Pooling = Literal["token", "word", "mean", "first", "last"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


@dataclass(frozen=True)
class Pooled:
    """The rows of one sample, and which tokens each row is the mean of.

    positions: token positions, row after row; lengths: how many belong to each row.
    The other columns are those of `Rows`.
    """

    encoded: Encoded
    positions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    position: NDArray[np.int64]
    token: list[str | None]
    token_id: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    special: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.lengths)


def rows_of(pooled: Sequence[Pooled]) -> Rows:
    """Join the rows of samples."""
    samples = np.array([p.encoded.sample for p in pooled], np.int64)
    columns = ("position", "token_id", "start", "end", "special")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in pooled]) for name in columns
    }
    return Rows(
        sample=np.repeat(samples, [len(p) for p in pooled]),
        token=[token for p in pooled for token in p.token],
        **joined,
    )


def pool(
    one: Encoded, pooling: str, words: Sequence[Span], name: Callable[[int], str | None]
) -> Pooled:
    """Say which rows a sample gives and which tokens each is the mean of.

    name: the tokenizer's own name of a token id, for tokens without a span.
    A word no token of which was read (cut off by the length limit) gives no row.
    """
    if pooling == "token":
        return _tokens(one, name)
    if pooling == "word":
        return _words(one, words)
    if pooling == "mean":
        return Pooled(one, np.arange(len(one)), np.array([len(one)]), **WHOLE)
    return Pooled(one, np.array([0 if pooling == "first" else len(one) - 1]), ONE, **WHOLE)


ONE = np.ones(1, np.int64)
NONE = np.full(1, MISSING)
WHOLE: dict[str, Any] = {  # the columns of a row that stands for a whole sample
    "position": NONE, "token": [None], "token_id": NONE, "start": NONE, "end": NONE,
    "special": np.zeros(1, bool),
}  # fmt: skip


def _tokens(one: Encoded, name: Callable[[int], str | None]) -> Pooled:
    every = np.arange(len(one))
    if one.read is None:
        surface, ids = list(one.names or [None] * len(one)), np.full(len(one), MISSING)
    else:
        spans = zip(one.starts.tolist(), one.ends.tolist(), one.read, strict=True)
        surface = [one.text[s:e] if s >= 0 else name(i) for s, e, i in spans]
        ids = np.array(one.read, np.int64)
    return Pooled(
        one, every, np.ones(len(one), np.int64), every, surface, ids, one.starts, one.ends,
        one.special,
    )  # fmt: skip


def _words(one: Encoded, words: Sequence[Span]) -> Pooled:
    spans = np.array(words, np.int64).reshape(-1, 2)
    overlaps = (one.starts[None] < spans[:, 1:]) & (
        one.ends[None] > spans[:, :1]
    )  # (words, tokens)
    overlaps &= one.starts[None] >= 0
    lengths = overlaps.sum(axis=1)
    kept = np.flatnonzero(lengths)
    spans = spans[kept]
    surface: list[str | None] = [one.text[s:e] for s, e in spans.tolist()]
    none = np.full(len(kept), MISSING)
    return Pooled(
        one, np.nonzero(overlaps)[1], lengths[kept], kept, surface, none, spans[:, 0], spans[:, 1],
        np.zeros(len(kept), bool),
    )  # fmt: skip
