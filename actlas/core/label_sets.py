"""Label sets: the labels of a data set's samples or words, in arrays."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError, LabelError
from .labels import Labels
from .rows import Rows
from .sequences import LazySequence, Packed, as_array, padded
from .text import parts_digest, text_fault

Item = tuple[int, int | None, int | None, str]  # sample, start, end, value
INTERNED = 100_000  # distinct values that are looked up; beyond it a column is no set of classes
AT_ONCE = 4096


@final
class LabelItems(LazySequence[Item]):
    """(sample, start, end, value) of every label, held as arrays.

    codes: (places,) int32 index into `names`, -1 where a place has no label; may end early.
    sample: (places,) the sample of each place; None where place i is sample i.
    start, end: (places,) the characters of the word; None for labels per sample.
    """

    def __init__(
        self,
        codes: NDArray[Any],
        names: Sequence[str],
        sample: NDArray[Any] | None = None,
        spans: tuple[NDArray[Any], NDArray[Any]] | None = None,
    ):
        self.codes, self.names, self.sample, self.spans = codes, names, sample, spans
        known = codes >= 0
        self._places = None if known.all() else np.flatnonzero(known)  # None: every place

    def __len__(self) -> int:
        return len(self.codes if self._places is None else self._places)

    def _item(self, index: int) -> Item:
        return next(self._range(index, index + 1))

    def __iter__(self) -> Iterator[Item]:
        for low in range(0, len(self), AT_ONCE):
            yield from self._range(low, min(low + AT_ONCE, len(self)))

    def _range(self, low: int, high: int) -> Iterator[Item]:
        at: Any = slice(low, high) if self._places is None else self._places[low:high]
        places = np.arange(low, high) if self._places is None else at
        samples = (places if self.sample is None else self.sample[at]).tolist()
        none: list[None] = [None] * (high - low)
        start, end = (none, none) if self.spans is None else (s[at].tolist() for s in self.spans)
        values = map(self.names.__getitem__, self.codes[at].tolist())
        return zip(samples, start, end, values, strict=True)

    def head(self, samples: int) -> "LabelItems":
        """Return the labels of the first samples."""
        keep: Any = slice(samples) if self.sample is None else self.sample < samples
        spans = None if self.spans is None else (self.spans[0][keep], self.spans[1][keep])
        sample = None if self.sample is None else self.sample[keep]
        return LabelItems(self.codes[keep], self.names, sample, spans)


@final
class Coder:
    """Collects the labels of a column as they are read, one place after the other."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._known: dict[str, int] = {}
        self._packed: Packed | None = None  # of a column with more values than can be looked up

    def put(self, place: int, value: Any) -> None:
        """Set the label of a place after all places set so far; None and blanks are no label."""
        if type(value) is not str or value not in self._known:
            value = label_text(value)
        if len(self._codes) < place:
            padded(self._codes, place, -1)
        self._codes.append(-1 if value is None else self._code(value))

    def _code(self, value: str) -> int:
        code = self._known.get(value)
        if code is not None:
            return code
        if len(self._known) >= INTERNED:
            self._packed = Packed()
            for known in self._known:
                self._packed.append(known)
            self._known.clear()
        if self._packed is not None:
            self._packed.append(value)
            return len(self._packed) - 1
        return self._known.setdefault(value, len(self._known))

    @property
    def codes(self) -> NDArray[Any]:
        """The code of each place up to the last that has one, -1 where nothing was put."""
        return as_array(self._codes)

    def label_set(self, name: str) -> "LabelSet":
        """Return what was put as labels per sample."""
        return LabelSet(name, "sample", LabelItems(self.codes, self.names))

    @property
    def names(self) -> Sequence[str]:
        """The value of each code."""
        return list(self._known) if self._packed is None else self._packed


def label_text(value: Any) -> str | None:
    """Write a value as a label; None for what stands for no label. Raises DatasetError."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    text = str(value)
    if not text.strip():
        return None
    if fault := text_fault(text):
        raise DatasetError(f"a label {fault}: {text[:30]!r}; mend it, or leave its column out")
    return text


@final
@dataclass(frozen=True)
class LabelSet:
    """Labels of one kind: one a sample, or one a word (a character span).

    items: (sample, start, end, value); start and end are None for labels per sample.
    """

    name: str
    level: Literal["sample", "word"]
    items: Sequence[Item]

    def digest(self) -> str:
        """Digest of the labels and where they stand."""
        return parts_digest(map(repr, self.items))

    def head(self, samples: int) -> "LabelSet":
        """Return the labels of the first samples."""
        items: Sequence[Item]
        if isinstance(self.items, LabelItems):
            items = self.items.head(samples)
        else:
            items = [item for item in self.items if item[0] < samples]
        return LabelSet(self.name, self.level, items)

    def row_values(self, rows: Rows) -> list[str | None]:
        """Return the label of each row, None where there is none.

        Labels per sample go to every row of the sample except special tokens. Labels per
        word go to the rows whose character span overlaps the word's; where several words
        overlap a row, the one with the larger overlap wins, and of equals the first.
        """
        if self.level == "sample":
            of_sample = {sample: value for sample, _, _, value in self.items}
            pairs = zip(rows.sample.tolist(), rows.special.tolist(), strict=True)
            return [None if special else of_sample.get(sample) for sample, special in pairs]
        if len(rows) and not (rows.start >= 0).any():
            raise LabelError(
                f"label set {self.name!r} labels words, but each row stands for a whole sample "
                f"or has no character span; extract with --pooling token or word"
            )
        return self._word_values(rows)

    def _word_values(self, rows: Rows) -> list[str | None]:
        words: dict[int, list[tuple[int, int, str]]] = {}
        for sample, start, end, name in self.items:
            if start is not None and end is not None:
                words.setdefault(sample, []).append((start, end, name))
        found: list[str | None] = []
        for sample, start, end in zip(
            rows.sample.tolist(), rows.start.tolist(), rows.end.tolist(), strict=True
        ):
            best = 0
            value: str | None = None
            for low, high, name in words.get(sample, ()) if start >= 0 else ():
                overlap = min(end, high) - max(start, low)
                if overlap > best:
                    best, value = overlap, name
            found.append(value)
        return found


def labels_for(label_set: LabelSet, rows: Rows, groups: LabelSet | None = None) -> Labels:
    """Align a label set to rows; groups default to the samples (rows of a sentence together)."""
    if groups is None:
        group_of: Sequence[Any] = rows.sample.tolist()
    else:  # a row without a group stands alone
        named = groups.row_values(rows)
        group_of = [f"row {i}" if g is None else f"group {g}" for i, g in enumerate(named)]
    return Labels.of(label_set.row_values(rows), groups=group_of, name=label_set.name)
