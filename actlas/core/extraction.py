"""Extraction: from texts to windows of pooled activations, in row order."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .datasets import Dataset
from .errors import InputError
from .models import LoadedModel
from .rows import Rows
from .sites import Site
from .tokens import POOLINGS, Encoded, Pooled, encode, pool, rows_of

if TYPE_CHECKING:
    import torch

STORAGE_DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2}
BATCHES_A_WINDOW = 8
WINDOW_BYTES = 96 << 20
ENCODE_AT_ONCE = 256


@dataclass(frozen=True)
class ExtractOptions:
    """How rows are made; every field is part of an extraction's identity.

    pooling: what one row stands for: token, word, or one row a sample: mean, first, last.
    dtype: storage dtype: float16, float32 or bfloat16.
    max_length: tokens after which a text is cut (None: the model's limit).
    on_long: truncate longer texts, or error.
    batch_tokens: padded tokens in one forward pass.
    """

    pooling: str = "token"
    dtype: str = "float16"
    max_length: int | None = None
    on_long: Literal["truncate", "error"] = "truncate"
    batch_tokens: int = 2048

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise InputError(f"no pooling {self.pooling!r}; there is {', '.join(POOLINGS)}")
        if self.dtype not in STORAGE_DTYPES:
            raise InputError(
                f"no storage dtype {self.dtype!r}; there is {', '.join(STORAGE_DTYPES)}"
            )
        if self.on_long not in ("truncate", "error"):
            raise InputError(f"no on_long {self.on_long!r}; there is truncate, error")
        if self.batch_tokens < 1 or (self.max_length is not None and self.max_length < 1):
            raise InputError("batch_tokens and max_length are at least 1")


@dataclass(frozen=True)
class Window:
    """The rows of consecutive samples at every site, in row order.

    data: per site (rows, width) in the storage dtype, on the CPU.
    nonfinite: per site the number of rows with NaN or infinity as stored;
    overflow: how many of them were finite before the cast to the storage dtype.
    witnesses: up to two short samples, the shorter first, by which the rows can be proven.
    padded: whether one of them shared its batch with a longer sample.
    """

    first_sample: int
    stop_sample: int
    rows: Rows
    data: "dict[str, torch.Tensor]"
    nonfinite: dict[str, int] = field(default_factory=dict)
    overflow: dict[str, int] = field(default_factory=dict)
    truncated: int = 0
    witnesses: Sequence[Pooled] = ()
    padded: bool = False


@dataclass(frozen=True)
class Estimate:
    """What an extraction will take, from a sample of the texts and a short forward pass."""

    samples: int
    rows: int
    bytes: int
    seconds: float


class Extractor:
    """Runs one model over one data set, window by window.

    A window is the samples of about eight batches: within it samples are sorted by length,
    so that little is padded; its rows leave in the data set's order. Windows depend only on
    the texts, the model and the options, so a run that is taken up again after the last
    complete window gives the same numbers as one that was not interrupted.
    """

    def __init__(
        self, model: LoadedModel, dataset: Dataset, sites: Sequence[Site], options: ExtractOptions
    ):
        self.model, self.dataset, self.sites, self.options = model, dataset, sites, options
        self.max_length = min(options.max_length or model.max_length, model.max_length)
        self.side = sites[0].stack
        if options.pooling == "word" and not model.tokenizer.is_fast:
            raise InputError(
                "pooling by word needs character offsets, which only fast tokenizers give and this "
                "model has none; use --pooling token"
            )

    def windows(
        self,
        first_sample: int = 0,
        advance: Callable[[int, int], None] = lambda samples, rows: None,
    ) -> Iterator[Window]:
        """Yield windows from `first_sample` (the start of a window) to the end.

        advance: told after every batch how many samples and rows it had.
        """
        for group in self._groups(first_sample):
            yield self._window(group, advance)

    def batches(self) -> "Iterator[tuple[torch.Tensor, ...]]":
        """Yield the padded ids and mask (batch, length) of every forward pass, in order.

        For sites of a decoder the ids and the mask of what it reads follow.
        """
        for group in self._groups(0):
            pooled = [self._pool(one) for one in group]
            for batch in self._batches(pooled):
                yield self._tensors([pooled[i].encoded for i in batch])

    def estimate(self, *, timed: bool = True) -> Estimate:
        """Estimate rows, bytes and seconds from some samples spread over the data."""
        n = len(self.dataset)
        picked = np.unique(np.linspace(0, n - 1, min(n, 128 if timed else 32)).astype(int)).tolist()
        encoded = self._encode(picked)
        rows = round(sum(len(p) for p in map(self._pool, encoded)) / len(encoded) * n)
        tokens = sum(map(len, encoded)) / len(encoded) * n
        itemsize = STORAGE_DTYPES[self.options.dtype]
        size = rows * sum(site.width for site in self.sites) * itemsize
        return Estimate(n, rows, size, tokens * self._token_seconds(encoded) if timed else 0.0)

    def _token_seconds(self, encoded: list[Encoded]) -> float:
        batch = sorted(encoded, key=len)[len(encoded) // 2 :][:16]  # at least the median length
        with self.model.reading(self.sites, lambda name, tensor: None) as read:
            read(*self._tensors(batch[:1]))  # the first pass warms up
            start = time.perf_counter()
            read(*self._tensors(batch))
            return (time.perf_counter() - start) / sum(map(len, batch))

    def _encode(self, samples: Sequence[int]) -> list[Encoded]:
        return encode(
            self.model,
            self.dataset,
            samples,
            max_length=self.max_length,
            on_long=self.options.on_long,
            side=self.side,
        )

    def _pool(self, one: Encoded) -> Pooled:
        words: Sequence[tuple[int, int]] = ()
        if self.options.pooling == "word":
            words = self.dataset.words_of(one.sample, target=one.decoded)
        return pool(one, self.options.pooling, words, self.model.token_name)

    @property
    def _window_tokens(self) -> int:
        """Tokens in a window: a few batches, but never more than memory allows."""
        every = self.model.sites.values()
        itemsize = STORAGE_DTYPES[self.options.dtype]
        token_bytes = sum(site.width for site in every if site.residual) * itemsize or 4096
        fits = WINDOW_BYTES // token_bytes
        return max(
            self.options.batch_tokens, min(BATCHES_A_WINDOW * self.options.batch_tokens, fits)
        )

    def _groups(self, first_sample: int) -> Iterator[list[Encoded]]:
        group: list[Encoded] = []
        tokens = 0
        for start in range(first_sample, len(self.dataset), ENCODE_AT_ONCE):
            stop = min(start + ENCODE_AT_ONCE, len(self.dataset))
            for one in self._encode(range(start, stop)):
                group.append(one)
                tokens += len(one)
                if tokens >= self._window_tokens:
                    yield group
                    group, tokens = [], 0
        if group:
            yield group

    def _window(self, group: list[Encoded], advance: Callable[[int, int], None]) -> Window:
        pooled = [self._pool(one) for one in group]
        rows = rows_of(pooled)
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in pooled])])
        buffers = _Buffers(self.sites, len(rows), self.options.dtype)
        batches = list(self._batches(pooled))
        witnesses, padded = _witnesses([[pooled[i] for i in batch] for batch in batches])
        with self.model.reading(self.sites, buffers.put) as read:
            for batch in batches:
                chosen = [pooled[i] for i in batch]
                longest = max(len(p.encoded.read) for p in chosen)
                source = [b * longest + p.positions for b, p in enumerate(chosen)]
                target = [np.arange(offsets[i], offsets[i + 1]) for i in batch]
                lengths = [p.lengths for p in chosen]
                buffers.aim(*map(np.concatenate, (source, lengths, target)))
                read(*self._tensors([p.encoded for p in chosen]))
                advance(len(batch), sum(map(len, chosen)))
        return Window(
            group[0].sample,
            group[-1].sample + 1,
            rows,
            buffers.data,
            buffers.nonfinite,
            buffers.overflow,
            sum(one.truncated for one in group),
            witnesses,
            padded,
        )

    def capture(
        self, samples: Sequence[Encoded], sites: Sequence[Site] | None = None
    ) -> "dict[str, torch.Tensor]":
        """Run samples in one batch; return (batch, length, width) for each site (default: all)."""
        ids, mask, *decoder = self._tensors(samples)
        return self.model.capture(ids, mask, sites or self.sites, *decoder)

    def hidden_states(self, one: Encoded) -> "tuple[torch.Tensor, ...]":
        """Return what transformers itself gives for a sample (see `LoadedModel`)."""
        return self.model.hidden_states(*self._tensors([one]), side=self.side)

    def _batches(self, pooled: list[Pooled]) -> Iterator[list[int]]:
        """Yield indices of samples of like length whose padded batch fits the budget.

        Where the length changes, a batch that is worth its while already is closed, so that
        most batches have no padding at all.
        """
        lengths = [len(p.encoded) for p in pooled]
        budget, worthwhile = self.options.batch_tokens, self.options.batch_tokens // 4
        batch: list[int] = []
        for i in sorted(range(len(pooled)), key=lambda i: -lengths[i]):
            longest = lengths[batch[0]] if batch else 0
            full = (len(batch) + 1) * longest > budget
            if batch and (full or (lengths[i] < longest and len(batch) * longest >= worthwhile)):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _tensors(self, batch: Sequence[Encoded]) -> "tuple[torch.Tensor, ...]":
        given = self._padded([one.ids for one in batch])
        return (*given, *self._padded([one.read for one in batch])) if batch[0].decoded else given

    def _padded(self, tokens: Sequence[list[int]]) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        longest = max(map(len, tokens))
        ids = np.full((len(tokens), longest), self.model.pad_id)
        mask = np.zeros((len(tokens), longest), np.int64)
        for b, one in enumerate(tokens):
            ids[b, : len(one)] = one
            mask[b, : len(one)] = 1
        return torch.from_numpy(ids), torch.from_numpy(mask)


def _witnesses(batches: Sequence[Sequence[Pooled]]) -> tuple[list[Pooled], bool]:
    """Choose two short samples of unlike length, one that was padded if any was."""
    every = sorted((p for batch in batches for p in batch if len(p)), key=_length)
    padded = [
        p
        for batch in batches
        for p in batch
        if len(p) and len(p.encoded) < max(len(other.encoded) for other in batch)
    ]
    chosen = [min(padded, key=_length)] if padded else every[:1]
    for first in chosen[:1]:
        rest = [p for p in every if p is not first]
        unlike = (p for p in rest if len(p.encoded) != len(first.encoded))
        chosen += [p for p in [next(unlike, rest[0] if rest else None)] if p is not None]
    return sorted(chosen, key=_length), bool(padded)


def _length(pooled: Pooled) -> int:
    return len(pooled.encoded)


class _Buffers:
    """One window's matrices in the storage dtype, filled batch by batch in row order."""

    def __init__(self, sites: Sequence[Site], rows: int, dtype: str):
        import torch

        kind = getattr(torch, dtype)
        self.data = {site.name: torch.empty((rows, site.width), dtype=kind) for site in sites}
        self.nonfinite = {site.name: 0 for site in sites}
        self.overflow = {site.name: 0 for site in sites}

    def aim(
        self, source: NDArray[np.int64], lengths: NDArray[np.int64], target: NDArray[np.int64]
    ) -> None:
        """Say where the next batch's rows are: `lengths` tokens each of `source`, into `target`."""
        import torch

        self._source, self._target = torch.from_numpy(source), torch.from_numpy(target)
        self._lengths = None if (lengths == 1).all() else torch.from_numpy(lengths)

    def put(self, name: str, tensor: "torch.Tensor") -> None:
        """Pool a site's tensor (batch, length, width) and store its rows."""
        data, source = self.data[name], self._source.to(tensor.device)
        given = tensor.reshape(-1, tensor.shape[-1])
        if self._lengths is None:
            rows = given.to(data.dtype)
            stored = _wide(rows).index_select(0, source)
        else:
            rows = _means(given.index_select(0, source), self._lengths.to(tensor.device))
            stored = _wide(rows.to(data.dtype))
        _wide(data).index_copy_(0, self._target, stored.cpu())
        if not _all_finite(stored.view(data.dtype)):
            self._count(name, given[source] if self._lengths is None else rows)

    def _count(self, name: str, rows: "torch.Tensor") -> None:
        import torch

        bad = ~torch.isfinite(rows.to(self.data[name].dtype)).all(dim=1)
        before = torch.isfinite(rows).all(dim=1)
        self.nonfinite[name] += int(bad.sum())
        self.overflow[name] += int((bad & before).sum())


def _means(rows: "torch.Tensor", lengths: "torch.Tensor") -> "torch.Tensor":
    """Average consecutive rows, `lengths` at a time, in float32."""
    import torch

    return torch.segment_reduce(rows.float(), "mean", lengths=lengths)


def _wide(matrix: "torch.Tensor") -> "torch.Tensor":
    """View rows as 8-byte words where they divide so: moving them is several times faster."""
    import torch

    row_bytes = matrix.shape[1] * matrix.element_size()
    return matrix.view(torch.int64) if row_bytes % 8 == 0 else matrix


def _all_finite(matrix: "torch.Tensor") -> bool:
    """Whether every number is finite: NaN and infinity come through the extremes."""
    import torch

    if not matrix.numel():
        return True
    low, high = torch.aminmax(matrix)
    return bool(torch.isfinite(low) & torch.isfinite(high))
