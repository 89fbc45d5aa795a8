"""Extraction: from texts to windows of pooled activations, in row order."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .buffers import Buffers, Pool
from .datasets import Dataset, Span
from .devices import free_memory, out_of_memory
from .errors import InputError, ModelError
from .feeds import Batch, Encoded
from .models import LoadedModel, Sink
from .passes import Passes, passes_at_once
from .rows import Rows
from .sites import Site
from .tokens import POOLINGS, Pooled, pool, rows_of

if TYPE_CHECKING:
    import torch

Read = Callable[[Batch, Sink], None]
STORAGE_DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
BATCHES_A_WINDOW = 10
WINDOW_BYTES = 120 << 20
PASS_TOKENS = 40  # what a forward pass on a CPU costs, however small; measured on 6 and 12 layers
PASSES_A_BUDGET = 8  # elsewhere: small batches leave an accelerator idle


@dataclass(frozen=True)
class ExtractOptions:
    """How rows are made; every field is part of an extraction's identity.

    pooling: what one row stands for: token, word, or one row a sample: mean, first, last.
    dtype: storage dtype: float16, float32 or bfloat16.
    max_length: tokens after which a text is cut (None: the model's limit).
    on_long: truncate longer texts, or error.
    batch_tokens: padded tokens in all forward passes that run at once.
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

    A window is the samples of about ten batches: within it samples are sorted by length,
    so that little is padded; its rows leave in the data set's order. Windows depend only on
    the texts, the options and the width of what is asked for, so a run that is taken up again
    after the last complete window gives the same numbers as one that was not interrupted.

    width: numbers a token of all sites asked for, where only some of them are missing.
    """

    def __init__(
        self,
        model: LoadedModel,
        dataset: Dataset,
        sites: Sequence[Site],
        options: ExtractOptions,
        width: int | None = None,
    ):
        self.model, self.dataset, self.sites, self.options = model, dataset, sites, options
        self.width = width or sum(site.width for site in sites)
        self.max_length = min(options.max_length or model.max_length, model.max_length)
        check_fit(model, dataset, options.pooling)

    def windows(
        self,
        first_sample: int = 0,
        stop_sample: int | None = None,
        advance: Callable[[int, int], None] = lambda samples, rows: None,
        *,
        reuse: bool = False,
    ) -> Iterator[Window]:
        """Yield windows from `first_sample` (the start of a window) to `stop_sample` or the end.

        advance: told after every batch how many samples and rows it had.
        reuse: a window is done with when the next is asked for, which takes its memory.
        """
        pool = Pool()
        with Passes(self.model) as passes:
            for group in self._groups(first_sample, stop_sample):
                yield self._window(group, passes, advance, pool if reuse else None)

    def batches(self) -> Iterator[Batch]:
        """Yield what every forward pass is given, in order."""
        for group in self._groups(0, None):
            pooled = [self._pool(one) for one in group]
            for batch in self._batches(pooled):
                yield self.model.feed.collate([pooled[i].encoded for i in batch])

    def estimate(self, *, timed: bool = True) -> Estimate:
        """Estimate rows, bytes and seconds from some samples spread over the data."""
        n = len(self.dataset)
        most = min(n, 128 if timed else 32, self.model.feed.at_once)
        picked = np.unique(np.linspace(0, n - 1, most).astype(int)).tolist()
        encoded = self._encode(picked)
        rows = round(sum(len(p) for p in map(self._pool, encoded)) / len(encoded) * n)
        tokens = sum(one.weight for one in encoded) / len(encoded) * n
        itemsize = STORAGE_DTYPES[self.options.dtype]
        size = rows * sum(site.width for site in self.sites) * itemsize
        return Estimate(n, rows, size, tokens * self._token_seconds(encoded) if timed else 0.0)

    def _token_seconds(self, encoded: list[Encoded]) -> float:
        ordered = sorted(encoded, key=lambda one: one.weight)[len(encoded) // 2 :]
        batch = [one for one in ordered if one.group == ordered[0].group][:16]  # the median length
        collate = self.model.feed.collate
        with self.model.reading(self.sites) as read:
            read(collate(batch[:1]), _drop)  # the first pass warms up
            start = time.perf_counter()
            read(collate(batch), _drop)
            return (time.perf_counter() - start) / sum(one.weight for one in batch)

    def _encode(self, samples: Sequence[int]) -> list[Encoded]:
        return self.model.feed.encode(
            self.dataset,
            samples,
            site=self.sites[0],
            max_length=self.max_length,
            on_long=self.options.on_long,
        )

    def _pool(self, one: Encoded) -> Pooled:
        words: Sequence[Span] = ()
        if self.options.pooling == "word":
            words = self.dataset.words_of(one.sample, target=one.decoded is not None)
        return pool(one, self.options.pooling, words, self.model.feed.token_name)

    @property
    def _window_tokens(self) -> int:
        """Tokens in a window: a few batches, but never more than memory allows."""
        itemsize = 4 if self.options.dtype == "int8" else STORAGE_DTYPES[self.options.dtype]
        fits = WINDOW_BYTES // max(1, self.width * itemsize)
        return max(
            self.options.batch_tokens, min(BATCHES_A_WINDOW * self.options.batch_tokens, fits)
        )

    def _groups(self, first_sample: int, stop_sample: int | None) -> Iterator[list[Encoded]]:
        end = len(self.dataset) if stop_sample is None else stop_sample
        group: list[Encoded] = []
        tokens = 0
        at_once = self.model.feed.at_once
        for start in range(first_sample, end, at_once):
            stop = min(start + at_once, end)
            for one in self._encode(range(start, stop)):
                group.append(one)
                tokens += one.weight
                if tokens >= self._window_tokens:
                    yield group
                    group, tokens = [], 0
        if group:
            yield group

    def _window(
        self,
        group: list[Encoded],
        passes: Passes,
        advance: Callable[[int, int], None],
        pool: Pool | None = None,
    ) -> Window:
        pooled = [self._pool(one) for one in group]
        rows = rows_of(pooled)
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in pooled])])
        buffers = Buffers(self.sites, len(rows), self.options.dtype, pool)
        batches = list(self._batches(pooled))
        witnesses, padded = _witnesses([[pooled[i] for i in batch] for batch in batches])
        with self.model.reading(self.sites) as read:

            def run(batch: list[int]) -> None:
                chosen = [(pooled[i], np.arange(offsets[i], offsets[i + 1])) for i in batch]
                self._read(read, buffers, chosen)

            for batch in passes.map(run, batches):
                passes.heap.trim()
                advance(len(batch), sum(len(pooled[i]) for i in batch))
        return Window(
            group[0].sample,
            group[-1].sample + 1,
            rows,
            buffers.fetch(),
            buffers.nonfinite,
            buffers.overflow,
            sum(one.truncated for one in group),
            witnesses,
            padded,
        )

    def capture(
        self, samples: Sequence[Encoded], sites: Sequence[Site] | None = None
    ) -> "dict[str, torch.Tensor]":
        """Run samples in one batch; return (batch, positions, width) of each site."""
        return self.model.capture(self.model.feed.collate(samples), sites or self.sites)

    def hidden_states(self, one: Encoded) -> "tuple[torch.Tensor, ...]":
        """Return what transformers itself gives for a sample (see `LoadedModel`)."""
        side = self.sites[0].stack if self.model.two_sided else ""
        return self.model.hidden_states(self.model.feed.collate([one]), side)

    def _read(
        self, read: Read, buffers: Buffers, chosen: list[tuple[Pooled, NDArray[np.int64]]]
    ) -> None:
        """Run one batch into its rows; in halves where the device has no memory for it."""
        given = self.model.feed.collate([p.encoded for p, _ in chosen])
        longest = given.shape[1]
        source = [b * longest + p.positions for b, (p, _) in enumerate(chosen)]
        lengths = [p.lengths for p, _ in chosen]
        aimed = (source, lengths, [target for _, target in chosen])
        try:
            read(given, buffers.aim(*map(np.concatenate, aimed)))
            return
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(chosen) == 1:
                raise ModelError(
                    f"sample {chosen[0][0].encoded.sample} ({longest} positions) does not fit "
                    f"into the memory of {self.model.device}; use --max-length, or a smaller "
                    f"--compute-dtype"
                ) from error
        free_memory()
        half = len(chosen) // 2
        self._read(read, buffers, chosen[:half])
        self._read(read, buffers, chosen[half:])

    def _batches(self, pooled: list[Pooled]) -> Iterator[list[int]]:
        """Yield indices of samples of like length whose padded batch fits the budget."""
        order = sorted(
            range(len(pooled)), key=lambda i: (pooled[i].encoded.group or 0, -_weight(pooled[i]))
        )
        budget = max(1, self.options.batch_tokens // passes_at_once(self.model))
        dear = PASS_TOKENS if self.model.device == "cpu" else budget // PASSES_A_BUDGET
        for _, members in groupby(order, key=lambda i: pooled[i].encoded.group):
            group = list(members)
            start = 0
            for size in packed_batches([_weight(pooled[i]) for i in group], budget, dear):
                yield group[start : start + size]
                start += size


def _drop(name: str, tensor: "torch.Tensor") -> None:
    """Take a site's tensor where nobody wants it."""


def packed_batches(lengths: Sequence[int], budget: int, dear: int) -> list[int]:
    """Cut falling lengths into consecutive batches, and return their sizes.

    Every batch, padded to its longest, is within the budget (a single sample may exceed it);
    padding, and `dear` tokens for every forward pass, are as few as can be, where samples of
    one length that fill less than a batch stay together.
    """
    runs: list[tuple[int, int]] = []  # (length, how many): full batches, and what is left over
    for length, equal in groupby(lengths):
        many, most = len(list(equal)), max(1, budget // max(1, length))
        runs += [(length, most)] * (many // most) + [(length, many % most)] * (many % most > 0)
    least = [0.0] + [np.inf] * len(runs)  # of the first n runs
    cut = [0] * (len(runs) + 1)
    for first, (longest, _) in enumerate(runs):
        samples = 0
        for stop in range(first + 1, len(runs) + 1):
            samples += runs[stop - 1][1]
            padded = samples * longest
            if padded > budget and stop > first + 1:
                break
            if (cost := least[first] + padded + dear) < least[stop]:
                least[stop], cut[stop] = cost, first
    sizes = []
    stop = len(runs)
    while stop:
        sizes.append(sum(many for _, many in runs[cut[stop] : stop]))
        stop = cut[stop]
    return sizes[::-1]


def _witnesses(batches: Sequence[Sequence[Pooled]]) -> tuple[list[Pooled], bool]:
    """Choose two short samples of unlike length, one that was padded if any was."""
    every = sorted((p for batch in batches for p in batch if len(p)), key=_weight)
    padded = [
        p
        for batch in batches
        for p in batch
        if len(p) and _weight(p) < max(_weight(other) for other in batch)
    ]
    chosen = [min(padded, key=_weight)] if padded else every[:1]
    for first in chosen[:1]:
        rest = [p for p in every if p is not first]
        unlike = (p for p in rest if _weight(p) != _weight(first))
        chosen += [p for p in [next(unlike, rest[0] if rest else None)] if p is not None]
    return sorted(chosen, key=_weight), bool(padded)


def _weight(pooled: Pooled) -> int:
    return pooled.encoded.weight


def check_fit(model: LoadedModel, dataset: Dataset, pooling: str) -> None:
    """Refuse data that the model does not read, and words where it has none."""
    reads = model.feed.modality
    if reads != dataset.modality:
        raise InputError(
            f"{model.spec} reads {_MANY[reads]}, and {dataset.name} holds "
            f"{_MANY[dataset.modality]}; choose a model of {_MANY[dataset.modality]}"
        )
    if dataset.targets is not None and not model.two_sided:
        raise InputError(
            f"{model.spec} has no decoder that reads a text of its own; leave out --decoder-text"
        )
    if pooling == "word" and reads != "text":
        raise InputError(f"{_MANY[reads]} have no words; use --pooling token or mean")
    if pooling == "word" and not model.feed.words:
        raise InputError(
            "pooling by word needs character offsets, which only fast tokenizers give and this "
            "model has none; use --pooling token"
        )


_MANY = {"text": "texts", "image": "images", "audio": "recordings"}
