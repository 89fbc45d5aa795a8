"""A file that is read once from front to back and later here and there."""

import os
import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..media import file_stamp
from ..sequences import Blocks

Line = tuple[int, int, str, bool]  # number, offset in bytes, text, whether it is UTF-8
BOM = b"\xef\xbb\xbf"


@final
class Source:
    """A file, and the size and modification time it had when it was first opened."""

    def __init__(self, path: Path):
        self.path = path
        self._file: Any = None
        self._lock = Lock()
        try:
            self.stamp = file_stamp(path.stat())
        except OSError as error:
            raise unreadable(path, error) from error

    def lines(self) -> Iterator[Line]:
        """Yield the lines without their ends; DatasetError if the file changes meanwhile."""
        offset = number = 0
        try:
            with self.path.open("rb") as file:
                for raw in file:
                    number += 1
                    start, offset = offset, offset + len(raw)
                    if number == 1 and raw.startswith(BOM):
                        start, raw = len(BOM), raw[len(BOM) :]
                    try:
                        line, good = raw.decode(), True
                    except UnicodeDecodeError:
                        line, good = raw.decode(errors="replace"), False
                    yield number, start, line.rstrip("\r\n"), good
                self.check(os.fstat(file.fileno()))
        except OSError as error:
            raise unreadable(self.path, error) from error

    def check(self, found: os.stat_result) -> None:
        """Raise DatasetError if the file is not the one that was first opened."""
        if file_stamp(found) != self.stamp:
            raise self.changed()

    def changed(self) -> DatasetError:
        """Say that the file changed."""
        return DatasetError(f"{self.path} changed while reading; start again")

    def read(self, start: int, stop: int) -> bytes:
        """Read some bytes; the file stays open. Safe between threads."""
        with self._lock:
            try:
                if self._file is None:
                    self._file = self.path.open("rb")
                    weakref.finalize(self, self._file.close)
                self.check(os.fstat(self._file.fileno()))
                self._file.seek(start)
                return bytes(self._file.read(stop - start))
            except OSError as error:
                raise unreadable(self.path, error) from error

    def __reduce__(self) -> Any:
        return _reopened, (self.path, self.stamp)


def _reopened(path: Path, stamp: tuple[int, int]) -> Source:
    source = Source(path)
    if source.stamp != stamp:
        raise source.changed()
    return source


def unreadable(path: Path, error: OSError) -> DatasetError:
    """Say why the system does not give a file."""
    return DatasetError(f"{path} cannot be read: {error.strerror}")


@final
class FileTexts(Blocks[str]):
    """Texts of a file, parsed from their bytes when asked for.

    offsets: (samples + 1,) where each record begins; the last record's slice ends at the last.
    parse: makes the text from the bytes of a slice, which begins with its record.
    """

    def __init__(self, source: Source, offsets: NDArray[np.int64], parse: Callable[[bytes], Any]):
        super().__init__()
        self._source, self._offsets, self._parse = source, offsets, parse

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def _load(self, start: int, stop: int) -> list[str]:
        places = self._offsets[start : stop + 1].tolist()
        data = self._source.read(places[0], places[-1])
        try:
            found = [self._parse(data[a - places[0] : b - places[0]]) for a, b in pairwise(places)]
        except (ValueError, LookupError, StopIteration, TypeError, DatasetError) as error:
            raise self._source.changed() from error
        if not all(isinstance(text, str) and text for text in found):
            raise self._source.changed()
        return found
