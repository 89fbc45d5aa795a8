"""JSON Lines, CSV, TSV and plain text."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from ..datasets import Dataset
from ..errors import DatasetError
from .choice import Choice
from .collect import Collector
from .source import FileTexts, Line, Source

NOT_UTF8 = "not UTF-8; convert the file to UTF-8"


def collector_of(path: Path, choice: Choice, columns: list[str] | None = None) -> Collector:
    """Make the collector of a file whose records are named by their line."""
    return Collector(
        path.stem, choice, lambda n: f"{path}, line {n}", columns=columns or (), root=path.parent
    )


def file_dataset(
    collector: Collector, source: Source, parser: Callable[[str], Callable[[bytes], Any]]
) -> Dataset:
    """Make the data set of records that stand in a file at the collector's places."""
    collector.places.append(source.stamp[0])
    offsets = np.array(collector.places, np.int64)
    collector.places.pop()
    return collector.dataset(lambda column: FileTexts(source, offsets, parser(column)))


def read_jsonl(path: Path, choice: Choice) -> Dataset:
    """Read JSON objects, one a line."""
    source, collector = Source(path), collector_of(path, choice)
    for number, offset, line, good in source.lines():
        if not good:
            collector.bad(number, NOT_UTF8)
        elif line and not line.isspace():
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
            except (ValueError, RecursionError) as error:
                collector.bad(number, f"not a JSON object ({error})")
            else:
                collector.put(record, number, offset)
    return file_dataset(collector, source, JsonField)


@final
@dataclass(frozen=True)
class JsonField:
    """Takes one field of the JSON object in the first line of some bytes."""

    column: str

    def __call__(self, data: bytes) -> Any:
        """Return the field."""
        return json.loads(data.split(b"\n", 1)[0])[self.column]


def read_text(path: Path, choice: Choice) -> Dataset:
    """Read plain text: every line that is not blank is a sample."""
    source, collector = Source(path), collector_of(path, choice, ["text"])
    for number, offset, line, good in source.lines():
        if not good:
            collector.bad(number, NOT_UTF8)
        elif line and not line.isspace():
            collector.put({"text": line}, number, offset)
    return file_dataset(collector, source, lambda column: first_line)


def first_line(data: bytes) -> str:
    """Return the first line of some bytes, without its end."""
    return data.split(b"\n", 1)[0].decode().rstrip("\r\n")


def read_csv(path: Path, choice: Choice) -> Dataset:
    """Read CSV, or TSV by the file's ending; quoted fields may hold line breaks."""
    source, feed = Source(path), _Feed()
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(feed.lines(source.lines()), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        header = next(reader, [])
        _check_header(path, header, feed)
        collector = collector_of(path, choice, header)
        feed.begin()
        while (record := next(reader, None)) is not None:
            if feed.bad_line:
                collector.bad(feed.bad_line, NOT_UTF8)
            elif len(record) == len(header):
                collector.put(dict(zip(header, record, strict=True)), feed.number, feed.start)
            elif record:
                said = f"{len(record)} fields where the header has {len(header)}"
                collector.bad(feed.number, said)
            feed.begin()
    except csv.Error as error:
        raise DatasetError(f"{path}, line {feed.number}: {error}") from error
    return file_dataset(collector, source, lambda c: CsvField(header.index(c), delimiter))


def _check_header(path: Path, header: list[str], feed: "_Feed") -> None:
    if feed.bad_line:
        raise DatasetError(f"{path}, line {feed.bad_line}: {NOT_UTF8}")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DatasetError(f"{path}, line 1: two columns are named {twice!r}; rename one")


@final
class _Feed:
    """Hands lines to the csv module, and knows where the record at hand began."""

    def __init__(self) -> None:
        self.number = 0
        self.begin()

    def begin(self) -> None:
        """Say that the next line begins a record."""
        self.start, self.bad_line = -1, 0

    def lines(self, lines: Iterator[Line]) -> Iterator[str]:
        for self.number, offset, line, good in lines:
            self.start = offset if self.start < 0 else self.start
            if not good:
                self.bad_line = self.bad_line or self.number
            yield line + "\n"


@final
@dataclass(frozen=True)
class CsvField:
    """Takes one field of the first CSV record in some bytes."""

    index: int
    delimiter: str

    def __call__(self, data: bytes) -> str:
        """Return the field's text."""
        lines = (raw.decode().rstrip("\r\n") + "\n" for raw in data.split(b"\n"))
        reader: Any = csv.reader(lines, delimiter=self.delimiter, strict=True)
        try:
            return str(next(reader)[self.index])
        except csv.Error as error:
            raise ValueError(str(error)) from error
