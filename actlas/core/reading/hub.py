"""Hugging Face data sets: from the hub, its cache, or a folder saved by one."""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from ..errors import DatasetError
from ..label_sets import LabelSet
from ..media import Kind, Media, require
from ..sequences import Blocks, LazySequence, Packed, as_array
from ..text import listing
from .choice import TEXT_COLUMNS, Choice
from .collect import Collector
from .gather import NameCoder, check
from .parquet import RECORDS_AT_ONCE, asked_for

FILES_AT_ONCE = 16  # their bytes are in memory at once


def read_hub(spec: str, split: str, choice: Choice) -> Dataset:
    """Read `hf:NAME[@CONFIG]`; images and recordings are taken undecoded."""
    data = _loaded(spec, split).with_format(None)
    kinds = _media_kinds(data)
    column = choice.media or _media_column(data, choice, kinds)
    gatherer = None
    if column in kinds:
        data = _undecoded(data, column)
        gatherer = HubGatherer(data, column, kinds[column], choice)
    collector = Collector(
        spec.removeprefix("hf:").partition("@")[0],
        choice,
        lambda i: f"{spec}, record {i}",
        columns=data.column_names,
        media=None if gatherer is None else (column, gatherer),
    )
    wanted = [n for n, f in data.features.items() if _single(f) or n in asked_for(choice)]
    wanted += [column] if gatherer is not None and column not in wanted else []
    at_once = RECORDS_AT_ONCE if gatherer is None else FILES_AT_ONCE
    for number, record in enumerate(_records(data.select_columns(wanted), at_once)):
        collector.put(record, number, number)
    rows = as_array(collector.places)
    return collector.dataset(lambda name: HubTexts(data, name, rows))


def _loaded(spec: str, split: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DatasetError(
            "reading Hugging Face data sets needs the package datasets; pip install 'actlas[data]'"
        ) from error
    name, _, config = spec.removeprefix("hf:").partition("@")
    try:
        if not Path(name).is_dir():
            return datasets.load_dataset(name, config or None, split=split)
        loaded = datasets.load_from_disk(name)
        if not isinstance(loaded, datasets.DatasetDict):
            return loaded
        if split not in loaded:
            raise ValueError(f"it has the splits {listing(list(loaded))}; use --split NAME")
        return loaded[split]
    except Exception as error:  # the library raises a dozen unrelated types here
        raise DatasetError(f"cannot read {spec}, split {split!r}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _media_kinds(data: Any) -> dict[str, Kind]:
    import datasets

    kinds: dict[type, Kind] = {datasets.Image: "image", datasets.Audio: "audio"}
    return {n: kinds[type(f)] for n, f in data.features.items() if type(f) in kinds}


def _media_column(data: Any, choice: Choice, kinds: dict[str, Kind]) -> str:
    """Choose the first column of files where no column of texts is asked for or there."""
    texts = choice.text or any(name in data.column_names for name in TEXT_COLUMNS)
    return "" if texts else next(iter(kinds), "")


def _undecoded(data: Any, column: str) -> Any:
    """Have the bytes handed out as they are: decoding is ours, and the same for all readers."""
    import datasets

    kind = type(data.features[column])
    assert kind in (datasets.Image, datasets.Audio)
    return data.cast_column(column, kind(decode=False))


def _single(feature: Any) -> bool:
    """Tell columns of single values from lists, structures, bytes and files."""
    import datasets

    one = isinstance(feature, datasets.Value) and "binary" not in feature.dtype
    return one or isinstance(feature, datasets.ClassLabel)


def _records(data: Any, at_once: int) -> Iterator[dict[str, Any]]:
    import datasets

    classes = {n: f.names for n, f in data.features.items() if isinstance(f, datasets.ClassLabel)}
    for start in range(0, len(data), at_once):
        columns = data[start : start + at_once]
        for name, known in classes.items():
            columns[name] = [None if v in (None, -1) else known[v] for v in columns[name]]
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


@final
class HubTexts(Blocks[str]):
    """A column of texts; rows: (samples,) the record of each sample, ascending."""

    def __init__(self, data: Any, column: str, rows: NDArray[np.int64]):
        super().__init__()
        self._data, self._column, self._rows = data.select_columns([column]), column, rows

    def __len__(self) -> int:
        return len(self._rows)

    def _load(self, start: int, stop: int) -> list[str]:
        found: list[str] = self._data[self._rows[start:stop].tolist()][self._column]
        return found


@final
class HubMedia(LazySequence[Media]):
    """A column of images or recordings; rows as in HubTexts."""

    def __init__(
        self, data: Any, column: str, kind: Kind, rows: NDArray[np.int64], names: Sequence[str]
    ):
        self._data, self._column, self._kind = data.select_columns([column]), column, kind
        self._rows, self._names = rows, names

    def __len__(self) -> int:
        return len(self._rows)

    def _item(self, index: int) -> Media:
        value = self._data[int(self._rows[index])][self._column]
        return _media(value, self._names[index], self._kind)


def _media(value: dict[str, Any], name: str, kind: Kind) -> Media:
    data = value.get("bytes")
    return Media(name if data is not None else str(Path(name).resolve()), kind, data)


@final
class HubGatherer:
    """Takes the undecoded files of a column one by one."""

    def __init__(self, data: Any, column: str, kind: Kind, choice: Choice):
        self._data, self._column, self._kind, self._choice = data, column, kind, choice
        require(kind)
        self._names, self._rows, self._coder = Packed(), array("q"), NameCoder(choice)

    def put(self, value: Any, place: int) -> str | None:
        """Take the file of the next record; return what is wrong with it."""
        if not value or (value.get("bytes") is None and not value.get("path")):
            return f"{self._column!r} is empty"
        name = value.get("path") or f"record {place}"
        try:
            check(_media(value, name, self._kind), self._choice)
        except DatasetError as error:
            return str(error).partition("; ")[0]
        if fault := self._coder.fault(name):
            return fault
        self._coder.put(len(self._names), name)
        self._names.append(name)
        self._rows.append(place)
        return None

    def dataset(
        self,
        name: str,
        sets: dict[str, LabelSet],
        skipped: int,
        targets: Sequence[str] | None = None,
    ) -> Dataset:
        """Make the data set of the files taken; there is at least one."""
        rows = as_array(self._rows)
        media = HubMedia(self._data, self._column, self._kind, rows, self._names)
        sets = sets | self._coder.label_sets()
        return Dataset(name, self._names, sets, None, skipped, self._kind, media, targets)
