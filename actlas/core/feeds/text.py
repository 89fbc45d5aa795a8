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

        In a decoder positions are those of its input: the start token and then the tokens of
        the data set's targets, or without targets those of the text itself, all but the last;
        so row t has read everything before token t + 1.
        """
        encoded = self._texts(dataset, samples, max_length, on_long)
        if site.stack == "decoder" or (site.whole and self.two_sided):
            read = encoded
            if dataset.targets is not None:
                read = self._texts(dataset, samples, max_length, on_long, target=True)
            pairs = zip(encoded, read, strict=True)
            encoded = [_shifted(one, other, self.decoder_start_id) for one, other in pairs]
        return [one.as_one() for one in encoded] if site.whole else encoded

    def _texts(
        self,
        dataset: Dataset,
        samples: Sequence[int],
        max_length: int,
        on_long: OnLong,
        *,
        target: bool = False,
    ) -> list[Encoded]:
        """Tokenize the samples' texts, or their targets."""
        source = dataset.targets if target and dataset.targets is not None else dataset.texts
        texts = [source[i] for i in samples]
        batch = _tokenize(self.tokenizer, texts, target=target)
        long = [i for i, ids in enumerate(batch["input_ids"]) if len(ids) > max_length]
        if long and on_long == "error":
            what = "the target of sample" if target else "sample"
            raise DatasetError(
                f"{dataset.name}: {what} {samples[long[0]]} has {len(batch['input_ids'][long[0]])} "
                f"tokens, the limit is {max_length}; shorten it, or use --long truncate"
            )
        if long:
            self._cut(batch, texts, long, max_length, target)
        truncated = set(long)
        return [
            _encoded(
                sample, texts[i], {key: values[i] for key, values in batch.items()},
                i in truncated, empty=target,
            )
            for i, sample in enumerate(samples)
        ]  # fmt: skip

    def _cut(
        self,
        batch: dict[str, Any],
        texts: list[str],
        long: list[int],
        max_length: int,
        target: bool,
    ) -> None:
        cut = _tokenize(self.tokenizer, [texts[i] for i in long], max_length, target=target)
        if max(map(len, cut["input_ids"])) > max_length:
            raise InputError(
                f"max_length {max_length} has no room for the tokens that the model's tokenizer "
                f"adds to every text; raise it"
            )
        for key in batch:
            for place, value in zip(long, cut[key], strict=True):
                batch[key][place] = value

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Pad the token ids of some samples, and those that a decoder is given."""
        read = [one.decoded for one in encoded if one.decoded is not None]
        return self.batch(
            *self._padded([one.inputs for one in encoded]),
            length=batch_shape(encoded)[1],
            decoder=self._padded(read) if read else None,
        )

    def _padded(self, tokens: Sequence[list[int]]) -> "tuple[torch.Tensor, torch.Tensor | None]":
        import torch

        lengths = [len(one) for one in tokens]
        longest = max(lengths)
        ids = np.full((len(tokens), longest), self.pad_id)
        for row, one in zip(ids, tokens, strict=True):
            row[: len(one)] = one
        mask = None
        if min(lengths) < longest:
            mask = torch.from_numpy((np.arange(longest) < np.c_[lengths]).astype(np.int64))
        return torch.from_numpy(ids), mask

    def batch(
        self,
        ids: "torch.Tensor",
        mask: "torch.Tensor | None" = None,
        *,
        length: int | None = None,
        decoder: "tuple[torch.Tensor, torch.Tensor | None] | None" = None,
    ) -> Batch:
        """Make a batch of token ids (batch, length).

        mask: 1 for tokens, 0 for padding at the end; None where nothing is padded, as
            attention is faster unmasked.
        length: positions read a sample, where they are not the tokens.
        decoder: ids and mask that a decoder is given; without them it reads the text itself,
            one place to the right.
        """
        arguments = {"input_ids": ids}
        masks = {"attention_mask": mask}
        if self.two_sided:
            read, read_mask = decoder or (self.shifted(ids), mask)
            arguments["decoder_input_ids"] = read
            masks["decoder_attention_mask"] = read_mask
        arguments |= {n: one for n, one in masks.items() if one is not None and not one.all()}
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
    sample: int, text: str, one: dict[str, Any], truncated: bool, *, empty: bool
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
    return Encoded(sample, text, ids, len(ids), starts, ends, special, truncated, ids)


def _shifted(given: Encoded, target: Encoded, start_id: int) -> Encoded:
    """Give the decoder the start token and then a target's tokens, but not its last.

    Nothing is predicted after the token that ends a text, so the decoder does not read it.
    A tokenizer that ends no text loses nothing by it unless the target is a text of its own.
    """
    ends = given is target or bool(target.special[-1:].any())
    count = len(target) - ends
    read = [start_id, *target.inputs[:count]]

    def shift(column: NDArray[Any], first: Any) -> NDArray[Any]:
        return np.concatenate([[first], column[:count]]).astype(column.dtype)

    return Encoded(
        given.sample,
        target.text,
        given.inputs,
        max(given.weight, len(read)),
        shift(target.starts, MISSING),
        shift(target.ends, MISSING),
        shift(target.special, True),
        given.truncated or target.truncated,
        read,
        decoded=read,
    )
