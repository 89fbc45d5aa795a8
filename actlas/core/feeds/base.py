"""The seam between samples and a network's forward pass."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset, Modality
from ..errors import DatasetError
from ..rows import MISSING
from ..sites import Site

if TYPE_CHECKING:
    import torch

LENGTH_LIMIT = 1_000_000  # tokenizers say "unlimited" with numbers beyond this
OnLong = Literal["truncate", "error"]


@dataclass(frozen=True)
class Batch:
    """What one forward pass is given.

    arguments: the tensors by the names of the forward's parameters.
    shape: (batch, positions): how many samples, and how many positions each has with padding.
    positional: tensors for a forward that is called without names.
    """

    arguments: "Mapping[str, torch.Tensor]"
    shape: tuple[int, int]
    positional: "tuple[torch.Tensor, ...]" = ()


@dataclass(frozen=True)
class Encoded:
    """One sample as the network will read it, and what is known of each position.

    text: the text, or the name of the file.
    inputs: what `Feed.collate` makes a batch of.
    weight: what it counts for in a batch, in tokens.
    starts, ends: the span of each position: characters, or milliseconds of a recording; -1
        where there is none (special tokens, patches).
    special: whether a position is no part of the sample ([CLS], registers).
    read: token ids of the positions, where there are any: those of the model's input, except
        in a decoder, which reads its own.
    names: what each position is called, where it is no stretch of the text.
    group: only samples of equal group can share a batch.
    given: positions that the network gives, where they are more than are read (Whisper's window
        of 30 s); 0 where they are the same.
    whole: whether the sample is read as one position; see `as_one`.
    decoded: token ids that the decoder is given, where one is read; `text` and `read` are then
        those of its input.
    """

    sample: int
    text: str
    inputs: Any
    weight: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    special: NDArray[np.bool_]
    truncated: bool = False
    read: list[int] | None = None
    names: Sequence[str | None] | None = None
    group: Hashable = None
    given: int = 0
    whole: bool = False
    decoded: list[int] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def as_one(self) -> "Encoded":
        """Return the sample as one position, for sites that yield one vector a sample."""
        none = np.full(1, MISSING)
        special = np.zeros(1, bool)
        return replace(
            self, starts=none, ends=none, special=special, read=None, names=[None], given=0,
            whole=True,
        )  # fmt: skip


def unnamed(count: int) -> dict[str, Any]:
    """Return the columns of `count` positions of which nothing is known."""
    none = np.full(count, MISSING)
    return {
        "starts": none, "ends": none, "special": np.zeros(count, bool), "names": [None] * count
    }  # fmt: skip


def batch_shape(encoded: Sequence[Encoded]) -> tuple[int, int]:
    """Return how many samples there are, and the most positions that the network gives for one."""
    return len(encoded), max(one.given or len(one) for one in encoded)


class Feed(ABC):
    """How one model is given samples.

    modality: what its samples are: text, image or audio.
    max_length: most positions that a sample may have.
    at_once: samples encoded together; what they take is held until their batch has run.
    notes: what a user should know of how samples were read, each said once.
    """

    modality: Modality = "text"
    max_length: int = LENGTH_LIMIT
    at_once: int = 16

    def __init__(self) -> None:
        self.notes: list[str] = []

    @abstractmethod
    def encode(
        self,
        dataset: Dataset,
        samples: Sequence[int],
        *,
        site: Site,
        max_length: int,
        on_long: OnLong = "truncate",
    ) -> list[Encoded]:
        """Read samples and say what positions each has at `site` and all that share its stack.

        max_length: positions after which a sample is cut, or refused (DatasetError) where
            on_long is error.
        """

    @abstractmethod
    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Make one forward pass of samples of the same group."""

    @abstractmethod
    def example(self) -> Batch:
        """Return a small batch of two samples by which sites are found; always the same.

        A length of 0 in its shape says that only the traced network knows it.
        """

    @property
    def words(self) -> bool:
        """Whether positions have character spans, so that they can be pooled by word."""
        return False

    def token_name(self, token_id: int) -> str | None:
        """Return what a token without a span is called."""
        return None

    def note(self, said: str) -> None:
        """Add to the notes, once."""
        if said not in self.notes:
            self.notes.append(said)


def loaded(dataset: Dataset, sample: int) -> Any:
    """Decode the image or recording of a sample (see `Media.load`)."""
    if dataset.media is None:
        raise DatasetError(f"{dataset.name}: sample {sample} has no file; name a folder of files")
    return dataset.media[sample].load()


def stacked(inputs: "Sequence[Mapping[str, NDArray[Any]]]") -> "dict[str, torch.Tensor]":
    """Stack the arrays of samples by name."""
    import torch

    return {name: torch.from_numpy(np.stack([one[name] for one in inputs])) for name in inputs[0]}
