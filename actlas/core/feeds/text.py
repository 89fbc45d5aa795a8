"""Texts: tokenized, with the character span of every token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from ..errors import DatasetError, InputError
from ..rows import MISSING
from ..sites import Site
from .base import LENGTH_LIMIT, Batch, Encoded, Feed, OnLong, batch_shape

if TYPE_CHECKING:
    import torch

EXAMPLE_SHAPE = (2, 5)  # two texts of five tokens: no two dimensions alike by chance


@final
class TextFeed(Feed):
    """Gives a network the token ids of texts.

    tokenizer: a tokenizer of transformers; only fast ones give character spans.
    config: the network's configuration: vocabulary, padding, start of the decoder.
    max_length: most tokens a text may have, special tokens included.
    """

    at_once = 256

    def __init__(self, tokenizer: Any, config: Any, max_length: int = LENGTH_LIMIT):
        super().__init__()
        self.tokenizer, self.config, self.max_length = tokenizer, config, max_length
        self._names: dict[int, str] = {}

    @property
    def words(self) -> bool:
        """Whether the tokenizer gives character spans."""
        return bool(self.tokenizer.is_fast)

    @property
    def two_sided(self) -> bool:
        """Whether the network is an encoder–decoder."""
        return bool(getattr(self.config, "is_encoder_decoder", False))

    @property
    def pad_id(self) -> int:
        """Token id that fills up a batch; masked, and known to the model where it has one."""
        for owner in (self.config, self.tokenizer):
            value = getattr(owner, "pad_token_id", None)
            if isinstance(value, int) and value >= 0:
                return value
        return 0

    @property
    def decoder_start_id(self) -> int:
        """Token id that starts the decoder of an encoder–decoder."""
        value = getattr(self.config, "decoder_start_token_id", None)
        return value if isinstance(value, int) else self.pad_id

    def token_name(self, token_id: int) -> str:
        """Return the tokenizer's own name of a token id, as in [CLS]."""
        if token_id not in self._names:
            self._names[token_id] = str(self.tokenizer.convert_ids_to_tokens(token_id))
        return self._names[token_id]

    def encode(
        self,
        dataset: Dataset,
        samples: Sequence[int],
        *,
        site: Site,
        max_length: int,
        on_long: OnLong = "truncate",
    ) -> list[Encoded]:
        """Tokenize samples; see `Feed.encode`.

        In a decoder positions are those of its input: the same tokens one place to the right,
        after the start token, so that row t has read everything before token t + 1.
        """
        texts = [dataset.texts[i] for i in samples]
        batch = _tokenize(self.tokenizer, texts)
        long = [i for i, ids in enumerate(batch["input_ids"]) if len(ids) > max_length]
        if long and on_long == "error":
            raise DatasetError(
                f"{dataset.name}: sample {samples[long[0]]} has {len(batch['input_ids'][long[0]])} "
                f"tokens, the limit is {max_length}; shorten it, or use --long truncate"
            )
        if long:
            self._cut(batch, texts, long, max_length)
        truncated = set(long)
        encoded = []
        for i, sample in enumerate(samples):
            columns = {key: values[i] for key, values in batch.items()}
            one = _encoded(sample, texts[i], columns, i in truncated)
            if site.whole:
                one = one.as_one()
            elif site.stack == "decoder":
                one = _shifted(one, self.decoder_start_id)
            encoded.append(one)
        return encoded

    def _cut(
        self, batch: dict[str, Any], texts: list[str], long: list[int], max_length: int
    ) -> None:
        cut = _tokenize(self.tokenizer, [texts[i] for i in long], max_length)
        if max(map(len, cut["input_ids"])) > max_length:
            raise InputError(
                f"max_length {max_length} has no room for the tokens that the model's tokenizer "
                f"adds to every text; raise it"
            )
        for key in batch:
            for place, value in zip(long, cut[key], strict=True):
                batch[key][place] = value

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Pad the token ids of some samples."""
        import torch

        lengths = [len(one.inputs) for one in encoded]
        longest = max(lengths)
        ids = np.full((len(encoded), longest), self.pad_id)
        for row, one in zip(ids, encoded, strict=True):
            row[: len(one.inputs)] = one.inputs
        mask = None
        if min(lengths) < longest:
            mask = torch.from_numpy((np.arange(longest) < np.c_[lengths]).astype(np.int64))
        return self.batch(torch.from_numpy(ids), mask, batch_shape(encoded)[1])

    def batch(
        self, ids: "torch.Tensor", mask: "torch.Tensor | None" = None, length: int | None = None
    ) -> Batch:
        """Make a batch of token ids (batch, length).

        mask: 1 for tokens, 0 for padding at the end; None where nothing is padded, as
            attention is faster unmasked.
        length: positions read a sample, where they are not the tokens.
        """
        arguments = {"input_ids": ids}
        if self.two_sided:
            arguments["decoder_input_ids"] = self.shifted(ids)
        if mask is not None and not mask.all():
            arguments["attention_mask"] = mask
            if self.two_sided:
                arguments["decoder_attention_mask"] = mask
        return Batch(arguments, (len(ids), length or ids.shape[1]))

    def shifted(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Return decoder input (batch, length): the text itself, one place to the right."""
        shifted = ids.roll(1, dims=1)
        shifted[:, 0] = self.decoder_start_id
        return shifted

    def example(self) -> Batch:
        """Return two texts of five tokens, without padding: RoBERTa counts it out."""
        import torch

        ids = torch.arange(EXAMPLE_SHAPE[0] * EXAMPLE_SHAPE[1]).reshape(EXAMPLE_SHAPE)
        return self.batch((ids + self.pad_id + 1) % int(self.config.vocab_size))


def _tokenize(tokenizer: Any, texts: list[str], max_length: int | None = None) -> dict[str, Any]:
    options: dict[str, Any] = {"return_attention_mask": False, "return_token_type_ids": False}
    if max_length is not None:
        options |= {"truncation": True, "max_length": max_length}
    batch = tokenizer(
        texts,
        return_special_tokens_mask=True,
        return_offsets_mapping=bool(tokenizer.is_fast),
        verbose=False,
        **options,
    )
    return {key: list(batch[key]) for key in batch}


def _encoded(sample: int, text: str, one: dict[str, Any], truncated: bool) -> Encoded:
    ids = list(one["input_ids"])
    if not ids:
        raise DatasetError(f"sample {sample} ({text[:30]!r}) has no tokens; leave it out")
    special = np.array(one["special_tokens_mask"], bool)
    offsets = one.get("offset_mapping") or [(MISSING, MISSING)] * len(ids)
    spans = np.array(offsets, np.int64)  # (tokens, 2)
    for t, (start, end) in enumerate(offsets):
        if start < end and text[start].isspace():  # byte-level tokens hold the space before
            spans[t, 0] += len(text[start:end]) - len(text[start:end].lstrip() or " ")
    spans[special | (spans[:, 0] >= spans[:, 1])] = MISSING
    starts, ends = spans[:, 0], spans[:, 1]
    return Encoded(sample, text, ids, len(ids), starts, ends, special, truncated, ids)


def _shifted(one: Encoded, start_id: int) -> Encoded:
    def shift(column: NDArray[Any], first: Any) -> NDArray[Any]:
        return np.concatenate([[first], column[:-1]]).astype(column.dtype)

    return Encoded(
        one.sample,
        one.text,
        one.inputs,
        one.weight,
        shift(one.starts, MISSING),
        shift(one.ends, MISSING),
        shift(one.special, True),
        one.truncated,
        [start_id, *one.inputs[:-1]],
    )
