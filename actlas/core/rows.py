"""Rows: the provenance of the vectors in an activations matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MISSING = -1  # in the integer columns: not applicable


class Row(NamedTuple):
    """One vector's provenance."""

    row: int
    sample: int
    position: int | None
    token: str | None
    token_id: int | None
    start: int | None
    end: int | None
    special: bool


@dataclass(frozen=True, eq=False)
class Rows:
    """Provenance of n rows, by column; -1 in an integer column means not applicable.

    sample: index of the sample in the data set.
    position: index of the token (or word) in the sample; -1 where a row is a whole sample.
    token: the text of the token or word; None where a row is a whole sample.
    token_id: the tokenizer's id.
    start, end: character span in the sample's text; -1 for special tokens and whole samples.
    special: whether the token was added by the tokenizer ([CLS], </s>, …).
    """

    sample: NDArray[np.int64]
    position: NDArray[np.int64]
    token: Sequence[str | None]
    token_id: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    special: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, row: int) -> Row:
        """Return one row's provenance, None where a column does not apply."""

        def known(column: NDArray[np.int64]) -> int | None:
            value = int(column[row])
            return None if value == MISSING else value

        return Row(
            row,
            int(self.sample[row]),
            known(self.position),
            self.token[row],
            known(self.token_id),
            known(self.start),
            known(self.end),
            bool(self.special[row]),
        )

    def take(self, index: NDArray[np.int64]) -> "Rows":
        """Return the rows at `index`, in that order."""
        token = [self.token[i] for i in index]
        rest = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "token"}
        return Rows(token=token, **rest)

    @classmethod
    def of_samples(cls, count: int) -> "Rows":
        """Rows that each stand for one whole sample."""
        return cls.build(np.arange(count))

    @classmethod
    def build(
        cls,
        sample: NDArray[Any],
        position: NDArray[Any] | None = None,
        token: Sequence[str | None] | None = None,
        token_id: NDArray[Any] | None = None,
        start: NDArray[Any] | None = None,
        end: NDArray[Any] | None = None,
        special: NDArray[Any] | None = None,
    ) -> "Rows":
        """Make rows from the columns that apply."""
        n = len(sample)

        def integers(column: NDArray[Any] | None) -> NDArray[np.int64]:
            return np.full(n, MISSING) if column is None else np.asarray(column, np.int64)

        return cls(
            sample=np.asarray(sample, np.int64),
            position=integers(position),
            token=[None] * n if token is None else token,
            token_id=integers(token_id),
            start=integers(start),
            end=integers(end),
            special=np.zeros(n, bool) if special is None else np.asarray(special, bool),
        )

    def same_places(self, other: "Rows") -> bool:
        """Whether both name the same samples, positions and spans, row by row."""
        return len(self) == len(other) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("sample", "position", "start", "end")
        )
