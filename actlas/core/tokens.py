"""Texts to tokens, and tokens to rows: what each pooling makes of a sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .datasets import Dataset, Span
from .errors import DatasetError, InputError
from .models import LoadedModel
from .rows import MISSING, Rows

Pooling = Literal["token", "word", "mean", "first", "last"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


@dataclass(frozen=True)
class Encoded:
    """The tokens of one sample.

    ids: what the model, or its encoder, is given.
    read: the tokens whose vectors are read: the same, or in a decoder its own input.
    text: the one that `read` comes from.
    starts, ends: character spans of the tokens read, trimmed of white space; -1 for special
        tokens.
    decoded: whether a decoder is read, and `read` is its input.
    """

    sample: int
    text: str
    ids: list[int]
    read: list[int]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    special: NDArray[np.bool_]
    truncated: bool
    decoded: bool = False

    def __len__(self) -> int:
        """Return the length that counts in a batch: the longer of what is given and read."""
        return max(len(self.ids), len(self.read))


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


def encode(
    model: LoadedModel,
    dataset: Dataset,
    samples: Sequence[int],
    *,
    max_length: int,
    on_long: Literal["truncate", "error"] = "truncate",
    side: str = "",
) -> list[Encoded]:
    """Tokenize samples, cut at `max_length` tokens (DatasetError where on_long is error).

    side: "decoder" gives the decoder's input as well: the start token and then the tokens of
        the data set's targets, or without targets those of the text itself, all but the last;
        so row t has read everything before token t + 1.
    """
    limits: dict[str, Any] = {"max_length": max_length, "on_long": on_long}
    texts = [dataset.texts[i] for i in samples]
    encoded = _encoded_texts(model, dataset.name, samples, texts, limits)
    if side != "decoder":
        return encoded
    start = model.decoder_start_id
    if dataset.targets is None:
        return [_shifted(one, one, start) for one in encoded]
    targets = [dataset.targets[i] for i in samples]
    read = _encoded_texts(model, dataset.name, samples, targets, limits, target=True)
    return [_shifted(one, other, start) for one, other in zip(encoded, read, strict=True)]


def _encoded_texts(
    model: LoadedModel,
    name: str,
    samples: Sequence[int],
    texts: list[str],
    limits: dict[str, Any],
    *,
    target: bool = False,
) -> list[Encoded]:
    max_length = limits["max_length"]
    batch = _tokenize(model.tokenizer, texts, target=target)
    long = [i for i, ids in enumerate(batch["input_ids"]) if len(ids) > max_length]
    if long and limits["on_long"] == "error":
        what = "the target of sample" if target else "sample"
        raise DatasetError(
            f"{name}: {what} {samples[long[0]]} has {len(batch['input_ids'][long[0]])} "
            f"tokens, the limit is {max_length}; shorten it, or use --long truncate"
        )
    if long:
        cut = _tokenize(model.tokenizer, [texts[i] for i in long], max_length, target=target)
        if max(map(len, cut["input_ids"])) > max_length:
            raise InputError(
                f"max_length {max_length} has no room for the tokens that {model.spec} adds to "
                f"every text; raise it"
            )
        for key in batch:
            for place, value in zip(long, cut[key], strict=True):
                batch[key][place] = value
    cuts = set(long)
    return [
        _encoded(sample, texts[i], {k: v[i] for k, v in batch.items()}, i in cuts, empty=target)
        for i, sample in enumerate(samples)
    ]


def _tokenize(
    tokenizer: Any, texts: list[str], max_length: int | None = None, *, target: bool = False
) -> dict[str, Any]:
    options: dict[str, Any] = {"return_attention_mask": False, "return_token_type_ids": False}
    if max_length is not None:
        options |= {"truncation": True, "max_length": max_length}
    if target:  # some tokenizers have another vocabulary for it
        options["text_target"] = texts
    batch = tokenizer(
        None if target else texts,
        return_special_tokens_mask=True,
        return_offsets_mapping=bool(tokenizer.is_fast),
        verbose=False,
        **options,
    )
    return {key: list(batch[key]) for key in batch}


def _encoded(
    sample: int, text: str, one: dict[str, Any], truncated: bool, *, empty: bool = False
) -> Encoded:
    ids = list(one["input_ids"])
    if not ids and not empty:
        raise DatasetError(f"sample {sample} ({text[:30]!r}) has no tokens; leave it out")
    special = np.array(one["special_tokens_mask"], bool)
    offsets = one.get("offset_mapping") or [(MISSING, MISSING)] * len(ids)
    spans = np.array(offsets, np.int64).reshape(-1, 2)  # (tokens, 2)
    for t, (start, end) in enumerate(offsets):
        if start < end and text[start].isspace():  # byte-level tokens hold the space before
            spans[t, 0] += len(text[start:end]) - len(text[start:end].lstrip() or " ")
    spans[special | (spans[:, 0] >= spans[:, 1])] = MISSING
    starts, ends = spans[:, 0], spans[:, 1]
    return Encoded(sample, text, ids, ids, starts, ends, special, truncated)


def _shifted(given: Encoded, target: Encoded, start_id: int) -> Encoded:
    """Give the decoder the start token and then a target's tokens, but not its last.

    Nothing is predicted after the token that ends a text, so the decoder does not read it.
    A tokenizer that ends no text loses nothing by it unless the target is a text of its own.
    """
    ends = given is target or bool(target.special[-1:].any())
    count = len(target.ids) - ends

    def shift(column: NDArray[Any], first: Any) -> NDArray[Any]:
        return np.concatenate([[first], column[:count]]).astype(column.dtype)

    return Encoded(
        given.sample,
        target.text,
        given.ids,
        [start_id, *target.ids[:count]],
        shift(target.starts, MISSING),
        shift(target.ends, MISSING),
        shift(target.special, True),
        given.truncated or target.truncated,
        decoded=True,
    )


def pool(one: Encoded, pooling: str, words: Sequence[Span], name: Callable[[int], str]) -> Pooled:
    """Say which rows a sample gives and which tokens each is the mean of.

    name: the tokenizer's own name of a token id, used for tokens without a span.
    A word no token of which was read (cut off by the length limit) gives no row.
    """
    if pooling == "token":
        return _tokens(one, name)
    if pooling == "word":
        return _words(one, words)
    if pooling == "mean":
        return Pooled(one, np.arange(len(one.read)), np.array([len(one.read)]), **WHOLE)
    return Pooled(one, np.array([0 if pooling == "first" else len(one.read) - 1]), ONE, **WHOLE)


ONE = np.ones(1, np.int64)
NONE = np.full(1, MISSING)
WHOLE: dict[str, Any] = {  # the columns of a row that stands for a whole sample
    "position": NONE, "token": [None], "token_id": NONE, "start": NONE, "end": NONE,
    "special": np.zeros(1, bool),
}  # fmt: skip


def _tokens(one: Encoded, name: Callable[[int], str]) -> Pooled:
    spans = zip(one.starts.tolist(), one.ends.tolist(), one.read, strict=True)
    surface: list[str | None] = [one.text[s:e] if s >= 0 else name(i) for s, e, i in spans]
    every = np.arange(len(one.read))
    ids = np.array(one.read, np.int64)
    return Pooled(
        one, every, np.ones(len(one.read), np.int64), every, surface, ids, one.starts, one.ends,
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
