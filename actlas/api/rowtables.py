"""A table that says what each row of a matrix is: provenance, texts and labels out of columns."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import (
    MISSING,
    Dataset,
    DatasetError,
    InputError,
    LabelError,
    LabelSet,
    Rows,
    count,
    nearest,
)
from ..core.text import text_fault

OTHER_NAMES = {"char_start": "start", "char_end": "end", "row": ""}
COLUMNS = ("sample", "position", "token", "token_id", "start", "end", "special", "text")
TRUE, FALSE = ("true", "1", "1.0"), ("false", "0", "0.0", "", "none", "nan")


def rows_beside(path: Path) -> Path | None:
    """The table that an export has put beside a file that cannot hold it."""
    table = path.with_name(f"{path.stem}.rows.jsonl")
    return table if path.suffix == ".safetensors" and table.is_file() else None


def read_columns(path: Path) -> dict[str, list[Any]]:
    """Read a table of rows by column; InputError naming the line that cannot be parsed."""
    if path.suffix not in TABLES or not path.is_file():
        said = "cannot tell how to read" if path.is_file() else "no file"
        raise InputError(f"{said} {path}; a table of rows ends in .csv, .tsv, .jsonl or .parquet")
    try:
        return TABLES[path.suffix](path)
    except (ValueError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no table that can be read: {error}") from error


def _csv_columns(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        header = next(reader, [])
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise ValueError(
                    f"line {reader.line_num} has {len(row)} fields where the header has "
                    f"{len(header)}"
                )
            rows += [row] if row else []
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def _jsonl_columns(path: Path) -> dict[str, list[Any]]:
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("reading Parquet needs pyarrow; pip install 'actlas[data]'") from error
    columns: dict[str, list[Any]] = pyarrow.parquet.read_table(path).to_pydict()
    return columns


TABLES: dict[str, Callable[[Path], dict[str, list[Any]]]] = {
    ".csv": _csv_columns,
    ".tsv": _csv_columns,
    ".jsonl": _jsonl_columns,
    ".parquet": _parquet_columns,
}


@dataclass(frozen=True)
class Described:
    """Rows of a matrix with the data set that they stand for."""

    rows: Rows
    data: Dataset


def describe_rows(
    name: str, count_: int, columns: Mapping[str, Sequence[Any]], labels: Sequence[str] | None
) -> Described:
    """Make rows and a data set from columns.

    sample, position, token, token_id, start, end (or char_start, char_end), special and text
    are what they are in the store; every other column is a label set. Without `sample` each row
    is a sample of its own. Raises InputError, DatasetError or LabelError naming the row.
    """
    known = {OTHER_NAMES.get(n, n): list(v) for n, v in columns.items()}
    for column, values in known.items():
        if len(values) != count_:
            raise InputError(
                f"the table of rows has {count(len(values), 'row')} (column {column!r}) and the "
                f"matrix {count_:,}; give one line a row"
            )
    rows = _rows(known, count_)
    rows, texts = _texts(name, rows, known.get("text"))
    data = Dataset(name, texts)
    own = [n for n in known if n and n not in COLUMNS]
    for wanted in labels or ():
        if wanted not in own:
            raise LabelError(f"no column {wanted!r} of labels; {nearest(wanted, own)}")
    chosen = own if labels is None else labels
    sets = {n: label_set_of(n, known[n], rows) for n in chosen}
    return Described(rows, replace(data, label_sets=sets))


def _rows(known: Mapping[str, list[Any]], n: int) -> Rows:
    sample = _samples(known["sample"]) if "sample" in known else np.arange(n)
    position = _integers(known, "position", n)
    tokens = [None if _blank(t) else str(t) for t in known.get("token", [None] * n)]
    if "position" in known and "token" in known:  # a token may be the empty string
        places = zip(tokens, position, strict=True)
        tokens = ["" if t is None and p != MISSING else t for t, p in places]
    if "position" not in known and "sample" in known:
        first = np.searchsorted(sample, sample)
        position = np.arange(n) - first
    special = np.array([_truth(v, i) for i, v in enumerate(known.get("special", [False] * n))])
    return Rows.build(
        sample, position, tokens, _integers(known, "token_id", n), _integers(known, "start", n),
        _integers(known, "end", n), special.astype(bool),
    )  # fmt: skip


def _blank(value: Any) -> bool:
    return value is None or value != value or value == ""


def _samples(values: Sequence[Any]) -> NDArray[np.int64]:
    """Number samples in the order they come in; the rows of one are consecutive."""
    numbers: dict[Any, int] = {}
    found = np.empty(len(values), np.int64)
    for row, value in enumerate(values):
        if _blank(value):
            raise InputError(f"row {row} has no sample; name one for each row")
        found[row] = numbers.setdefault(value, len(numbers))
        if row and found[row] < found[row - 1]:
            raise InputError(
                f"row {row} goes back to sample {value!r}; put the rows of a sample together"
            )
    return found


def _integers(known: Mapping[str, list[Any]], name: str, n: int) -> NDArray[np.int64]:
    if name not in known:
        return np.full(n, MISSING)
    found = np.empty(n, np.int64)
    for row, value in enumerate(known[name]):
        try:
            found[row] = MISSING if _blank(value) else int(value)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"row {row}: {name} {value!r} is no whole number; mend it, or leave the column out"
            ) from error
    return found


def _truth(value: Any, row: int) -> bool:
    said = str(value).lower()
    if said not in TRUE + FALSE:
        raise InputError(f"row {row}: special {value!r} is neither true nor false")
    return said in TRUE


def _texts(name: str, rows: Rows, given: Sequence[Any] | None) -> tuple[Rows, list[str]]:
    """The text of every sample: as given, or its tokens joined by spaces, or a name."""
    samples = int(rows.sample[-1]) + 1 if len(rows) else 0
    edges = np.searchsorted(rows.sample, np.arange(samples + 1))
    start, end = rows.start.copy(), rows.end.copy()
    texts = []
    for sample in range(samples):
        mine = range(edges[sample], edges[sample + 1])
        text = _given_text(sample, mine, given)
        if text is None and all(rows.token[i] is None or rows.special[i] for i in mine):
            kind = "row" if len(mine) == 1 else "sample"
            text = f"{name}: {kind} {sample}"
        elif text is None:
            text = " ".join(rows.token[i] or "" for i in mine if not rows.special[i])
        if fault := text_fault(text):
            raise DatasetError(f"the text of sample {sample} (row {mine[0]}) {fault}; mend it")
        if (rows.start[mine[0] : mine[-1] + 1] == MISSING).all():
            _spans(text, rows, mine, start, end)
        texts.append(text)
    return replace(rows, start=start, end=end), texts


def _given_text(sample: int, mine: range, given: Sequence[Any] | None) -> str | None:
    if given is None:
        return None
    if len({given[i] for i in mine}) > 1:
        raise DatasetError(f"sample {sample} (from row {mine[0]}) has several texts; it has one")
    return None if _blank(given[mine[0]]) else str(given[mine[0]])


def _spans(
    text: str, rows: Rows, mine: Iterable[int], start: NDArray[np.int64], end: NDArray[np.int64]
) -> None:
    """Find tokens in a text one after the other; one that is not there has no span."""
    cursor = 0
    for i in mine:
        token = rows.token[i]
        place = text.find(token, cursor) if token and not rows.special[i] else -1
        if token and place >= 0:
            start[i], end[i] = place, place + len(token)
            cursor = int(end[i])


def label_set_of(name: str, values: Sequence[Any], rows: Rows) -> LabelSet:
    """Make a label set that gives each row its value: per sample, or per span of characters.

    Raises LabelError where no label set can: rows of one sample differ and have no spans.
    """
    wanted = [_label(name, value) for value in values]
    of_sample: dict[int, str] = {}
    for sample, value in zip(rows.sample.tolist(), wanted, strict=True):
        if value is not None:
            of_sample.setdefault(sample, value)
    per_sample = LabelSet(name, "sample", [(s, None, None, v) for s, v in of_sample.items()])
    found = per_sample.row_values(rows)
    if found == wanted:
        return per_sample
    spans = zip(rows.sample.tolist(), rows.start.tolist(), rows.end.tolist(), wanted, strict=True)
    items = [(s, a, b, v) for s, a, b, v in spans if v is not None and a != MISSING]
    per_word = LabelSet(name, "word", items)
    if (rows.start >= 0).any():
        found = per_word.row_values(rows)
    if found == wanted:
        return per_word
    row = next(i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b)
    raise LabelError(
        f"label {name!r}: row {row} should have {wanted[row]!r}, but only whole samples and spans "
        f"of characters have labels; give `start` and `end`, or `token`, or leave {name!r} out "
        f"of --labels"
    )


def _label(name: str, value: Any) -> str | None:
    if value is None or value != value or not str(value).strip():
        return None
    if fault := text_fault(str(value)):
        raise LabelError(f"a label of {name!r} {fault}; mend it, or leave the column out")
    return str(value)
