"""What every reader of records does: choose columns, check texts, code labels."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import xxhash

from ..datasets import Dataset, TargetFinder
from ..errors import DatasetError, LabelError
from ..label_sets import Coder, LabelSet
from ..media import kind_of
from ..sequences import LazySequence
from ..text import listing, text_fault
from .choice import MEDIA_COLUMNS, TEXT_COLUMNS, Choice
from .gather import MediaGatherer

SKIP_HINT = "mend it, or use --skip-bad to leave such out"
SCALARS = (str, int, float, bool, np.generic, type(None))
_UNSEEN: Any = object()


class Gatherer(Protocol):
    """Takes the images or recordings of a column one by one."""

    def put(self, name: Any, place: int, /) -> str | None:
        """Take the next one; return what is wrong with it."""

    def dataset(
        self,
        name: str,
        sets: dict[str, LabelSet],
        skipped: int,
        targets: Sequence[str] | None = None,
    ) -> Dataset:
        """Make the data set of those taken."""


@final
class Collector:
    """Takes the records of a file one by one; keeps where they are, their labels, their digest.

    where: names the place of a record in messages, from its line or number.
    columns: the columns known before the first record, in order.
    root: the folder that paths of images and recordings are relative to.
    media: the column of files, and what takes them, where the reader knows.
    """

    def __init__(
        self,
        name: str,
        choice: Choice,
        where: Callable[[int], str],
        *,
        columns: Sequence[str] = (),
        root: Path = Path(),
        media: "tuple[str, Gatherer] | None" = None,
    ):
        self.name, self.choice, self.where = name, choice, where
        self.column: str | None  # of the texts or files
        self.media: Gatherer | None
        self.column, self.media = media or (None, None)
        self.places = array("q")  # of the samples kept, as the reader gave them
        self.skipped = 0
        self._root = root
        self._columns = dict.fromkeys(columns)
        self._complete = bool(columns)  # no record has other columns
        self._coders: dict[str, Coder | None] = {}  # None: a column that is no label set
        self._finder = TargetFinder(name) if choice.target else None
        self._hasher = xxhash.xxh3_128()
        self._early: int | None = None  # the first record before the text column was seen
        if self._complete:
            self._check_named()

    def bad(self, line: int, fault: str) -> None:
        """Count a record that cannot be used, or raise DatasetError."""
        if not self.choice.skip_bad:
            raise DatasetError(f"{self.where(line)}: {fault}; {SKIP_HINT}")
        self.skipped += 1

    def put(self, record: Mapping[str, Any], line: int, place: int) -> None:
        """Take the next record, which stands at a place."""
        if self.column is None and not self._choose(record, line):
            return
        text: Any = record.get(self.column or "")
        fault = self._fault(record, text, place)
        if fault is not None:
            self._columns.update(dict.fromkeys(record))
            return self.bad(line, fault)
        try:
            self._put_labels(record)
        except DatasetError as error:
            raise DatasetError(f"{self.where(line)}: {error}") from error
        if self._finder is not None and self.choice.target in self._columns:
            self._finder.put(text, record.get(self.choice.target))
        if self.media is None:
            data = text.encode()
            self._hasher.update(len(data).to_bytes(8, "little") + data)
        self.places.append(place)

    def _put_labels(self, record: Mapping[str, Any]) -> None:
        place = len(self.places)
        coders = self._coders
        for name, value in record.items():
            coder = coders.get(name, _UNSEEN)
            if coder is _UNSEEN:
                coder = self._new_column(name)
            if coder is None:
                continue
            if isinstance(value, SCALARS) or self.choice.labels is not None:
                coder.put(place, value)
            else:  # lists and the like are no labels, unless asked for
                coders[name] = None

    def _new_column(self, name: str) -> Coder | None:
        self._columns[name] = None
        wanted = self.choice.labels
        labels = name in wanted if wanted is not None else name not in self._texts
        self._coders[name] = Coder() if labels else None
        return self._coders[name]

    @property
    def _texts(self) -> tuple[str | None, ...]:
        return self.column, self.choice.decoder_text

    def _choose(self, record: Mapping[str, Any], line: int) -> bool:
        """Choose the column of texts or paths, or put the record by until one is seen."""
        self._columns.update(dict.fromkeys(record))
        asked = self.choice.text or self.choice.media
        self.column = text_column(self.choice, record)
        if self.column is None:
            if self._complete:
                self._check_columns()
            self._early = line if self._early is None else self._early
            self.skipped += 1
            return False
        if self._early is not None and not self.choice.skip_bad:
            self.column, early = None, self._early
            raise DatasetError(f"{self.where(early)}: {asked or 'text'!r} is empty; {SKIP_HINT}")
        if (self.choice.text is None and self.column not in TEXT_COLUMNS) or self.choice.media:
            self.media = MediaGatherer(self._root, self.choice)
        return True

    def _fault(self, record: Mapping[str, Any], text: Any, place: int) -> str | None:
        """Say what keeps a record from being a sample; a file that is well is taken."""
        decoder = self.choice.decoder_text
        if decoder is not None and decoder not in record:
            return f"no {decoder!r}, which --decoder-text names; it has {listing(list(record))}"
        if decoder is not None and (fault := text_fault(record[decoder])):
            return f"{decoder!r} {fault}, which --decoder-text names"
        if self.media is not None:
            return self.media.put(text, place)
        fault = text_fault(text)
        return fault and f"{self.column!r} {fault}"

    def dataset(self, texts: Callable[[str], LazySequence[str]]) -> Dataset:
        """Make the data set; texts: gives the lazy texts of a column."""
        self._check_columns()
        count = len(self.places)
        if not count:
            raise DatasetError(f"{self.name}: no text in it; a data set needs at least one sample")
        labels = self.choice.labels
        names = labels if labels is not None else [n for n, c in self._coders.items() if c]
        sets = {n: (self._coders.get(n) or Coder()).label_set(n) for n in names}
        if self._finder is not None:
            sets |= self._finder.label_sets(sets)
        assert self.column is not None  # or there would be no sample
        second = self.choice.decoder_text
        targets = None if second is None else texts(second)
        if self.media is not None:
            return self.media.dataset(self.name, sets, self.skipped, targets)
        found = texts(self.column)
        found.hasher = self._hasher
        return Dataset(self.name, found, sets, skipped=self.skipped, targets=targets)

    def _check_columns(self) -> None:
        """Raise where a column that was asked for is in no record."""
        known = listing(list(self._columns))
        if self.column is None and text_column(self.choice, self._columns) is None:
            asked = self.choice.text or self.choice.media
            said = f"no column {asked!r}" if asked else "no column named text"
            use = "--media COLUMN" if self.choice.media else "--text COLUMN, or --media COLUMN"
            raise DatasetError(f"{self.name}: {said}; it has {known}; use {use}")
        self._check_named()
        if self._finder is not None and len(self._finder) < len(self.places):
            raise DatasetError(f"{self.name}: the first samples have no {self.choice.target!r}")

    def _check_named(self) -> None:
        known = listing(list(self._columns))
        for name in [*(self.choice.labels or ()), self.choice.target]:
            if name is not None and name not in self._columns:
                raise LabelError(f"{self.name}: no column {name!r}; it has {known}")
        if (name := self.choice.decoder_text) is not None and name not in self._columns:
            raise DatasetError(
                f"{self.name}: no column {name!r}; it has {known}; use --decoder-text COLUMN"
            )


def text_column(choice: Choice, record: Mapping[str, Any]) -> str | None:
    """Choose the column asked for, or the first that by name and value holds texts or paths."""
    if asked := choice.text or choice.media:
        return asked if asked in record else None
    texts = (c for c in TEXT_COLUMNS if c in record and c != choice.decoder_text)
    paths = (c for c in MEDIA_COLUMNS if isinstance(v := record.get(c), str) and kind_of(v))
    return next(texts, None) or next(paths, None)
