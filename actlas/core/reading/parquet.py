"""Parquet files, read by row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from ..errors import DatasetError
from ..sequences import Blocks, as_array
from .choice import Choice
from .collect import Collector
from .source import Source

RECORDS_AT_ONCE = 1024


def read_parquet(path: Path, choice: Choice) -> Dataset:
    """Read a table; memory holds one row group of its text column at a time."""
    source = Source(path)
    file = _open(source)
    names = file.schema_arrow.names
    collector = Collector(
        path.stem, choice, lambda n: f"{path}, record {n + 1}", columns=names, root=path.parent
    )
    wanted = [n for n, t in zip(names, file.schema_arrow.types, strict=True) if _single(t)]
    wanted += [n for n in asked_for(choice) if n in names and n not in wanted]
    with file:
        for number, record in enumerate(_records(source, file, wanted)):
            collector.put(record, number, number)
    rows = as_array(collector.places)
    return collector.dataset(lambda column: ParquetTexts(source, column, rows))


def asked_for(choice: Choice) -> list[str]:
    """Return the columns that a choice names."""
    some = [choice.text, choice.media, choice.target, choice.decoder_text, *(choice.labels or ())]
    return [name for name in some if name is not None]


def _single(kind: Any) -> bool:
    """Tell columns of single values from lists, structures and bytes, which are no labels."""
    from pyarrow import types

    return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _open(source: Source) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DatasetError("reading Parquet needs pyarrow; pip install 'actlas[data]'") from error
    try:
        source.check(source.path.stat())
        return pyarrow.parquet.ParquetFile(source.path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{source.path}: not a Parquet file ({error})") from error


def _records(source: Source, file: Any, columns: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow

    try:
        for batch in file.iter_batches(RECORDS_AT_ONCE, columns=columns):
            lists = [column.to_pylist() for column in batch.columns]
            for values in zip(*lists, strict=True):
                yield dict(zip(batch.schema.names, values, strict=True))
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{source.path}: damaged Parquet file ({error})") from error


@final
class ParquetTexts(Blocks[str]):
    """A column of texts; rows: (samples,) the row of each sample in the file, ascending."""

    def __init__(self, source: Source, column: str, rows: NDArray[np.int64]):
        super().__init__()
        self._source, self._column, self._rows = source, column, rows
        with _open(source) as file:
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._firsts = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self._group: tuple[int, Any] = (-1, None)  # the row group at hand

    def __len__(self) -> int:
        return len(self._rows)

    def _load(self, start: int, stop: int) -> list[str]:
        import pyarrow

        rows = self._rows[start:stop]
        group_of = np.searchsorted(self._firsts, rows, side="right") - 1
        found: list[str] = []
        for group in np.unique(group_of).tolist():
            places = rows[group_of == group] - self._firsts[group]
            found += self._texts(group).take(pyarrow.array(places)).to_pylist()
        return found

    def _texts(self, group: int) -> Any:
        if self._group[0] != group:
            self._group = (-1, None)  # let go of the one before the next is read
            with _open(self._source) as file:
                table = file.read_row_group(group, columns=[self._column])
            self._group = (group, table.column(self._column))
        return self._group[1]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_group": (-1, None)}
