"""Reading data sets: JSON Lines, CSV, Parquet, plain text, CoNLL-U, Hugging Face datasets."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from .datasets import Dataset, LabelSet, Span, Table, dataset_of, text_fault
from .errors import DatasetError, LabelError
from .text import listing

CONLLU_ID = re.compile(r"\d+([-.]\d+)?")
CONLLU_LABELS = {"upos": 3, "xpos": 4, "deprel": 7}  # label set → column
SHIPPED = {"concepts": "word"}  # name → the column that names the target word


def read_dataset(
    spec: str | Path,
    *,
    text: str | None = None,
    labels: Sequence[str] | None = None,
    target: str | None = None,
    decoder_text: str | None = None,
    split: str = "train",
    limit: int | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Read a data set.

    spec: a file (.jsonl, .csv, .tsv, .parquet, .txt, .conllu), `actlas:concepts` (shipped
        with actlas), or `hf:NAME[@CONFIG]` for a Hugging Face data set or a folder saved by one.
    text: the text column (default: the first of text, sentence, content, … that is there).
    labels: columns to take as label sets (default: every other column of single values).
    target: a column that names one word of each text; every label set NAME is then also
        given per word, as NAME@target.
    decoder_text: a column of the texts that the decoder of an encoder–decoder reads.
    split: which split of a Hugging Face data set.
    limit: take only the first samples.
    skip_bad: leave out records that cannot be parsed and empty texts, counted in
        `Dataset.skipped`; a file that is not UTF-8 is refused all the same.

    Raises DatasetError naming the file and line, LabelError for a missing label column.
    """
    name = str(spec)
    columns: dict[str, Any] = {
        "text": text, "labels": labels, "target": target, "decoder_text": decoder_text,
        "skip_bad": skip_bad,
    }  # fmt: skip
    if limit is not None and limit < 1:
        raise DatasetError(f"limit {limit} leaves no sample; use 1 or more")
    if name.startswith("actlas:"):
        _refuse_decoder_text(name, decoder_text)
        dataset = _read_shipped(name)
    elif name.startswith("hf:"):
        dataset = dataset_of(_read_hub(name, split), **columns)
    else:
        path = Path(spec)
        _check_file(path)
        if path.suffix == ".conllu":
            _refuse_decoder_text(name, decoder_text)
            dataset = _read_conllu(path, labels, skip_bad)
        else:
            read = READERS[path.suffix]
            dataset = dataset_of(read(path, skip_bad), **columns)
    return dataset if limit is None or limit >= len(dataset) else dataset.head(limit)


def _refuse_decoder_text(name: str, column: str | None) -> None:
    if column is not None:
        raise DatasetError(
            f"{name} has no column {column!r} for a decoder; use a file with columns (.jsonl, "
            f".csv, .tsv, .parquet), or leave out --decoder-text"
        )


def _check_file(path: Path) -> None:
    known = [*READERS, ".conllu"]
    if not path.exists():
        raise DatasetError(
            f"no file {path}; name a file ({listing(known)}), actlas:concepts or hf:NAME"
        )
    if path.suffix not in known or path.is_dir():
        raise DatasetError(
            f"cannot tell how to read {path}; its name should end in {listing(known)}"
        )


def _read_shipped(spec: str) -> Dataset:
    name = spec.removeprefix("actlas:")
    if name not in SHIPPED:
        shipped = listing([f"actlas:{n}" for n in SHIPPED])
        raise DatasetError(f"no shipped data set {spec!r}; there is {shipped}")
    with resources.as_file(resources.files("actlas.data") / f"{name}.csv") as path:
        table = _read_csv(path, False)
    return dataset_of(Table(spec, table.columns, table.where), target=SHIPPED[name])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{path}, line {number}: not UTF-8 ({error.reason}); convert the file to UTF-8"
                ) from error
            yield number, line.rstrip("\r\n")


def _table(path: Path, records: list[dict[str, Any]], lines: list[int], skipped: int) -> Table:
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(path.stem, columns, lambda i: f"{path}, line {lines[i]}", skipped)


def _read_jsonl(path: Path, skip_bad: bool) -> Table:
    records, lines, skipped = [], [], 0
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if not skip_bad:
                raise DatasetError(
                    f"{path}, line {number}: not a JSON object ({error}); mend the line, or use "
                    f"--skip-bad to leave such out"
                ) from error
            skipped += 1
            continue
        records.append(record)
        lines.append(number)
    return _table(path, records, lines, skipped)


def _read_csv(path: Path, skip_bad: bool) -> Table:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader((line + "\n" for _, line in _lines(path)), delimiter=delimiter, strict=True)
    records, lines, skipped = [], [], 0
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise DatasetError(f"{path}, line 1: two columns are named {twice!r}; rename one")
        for record in reader:
            if not record:
                continue
            if len(record) == len(header):
                records.append(dict(zip(header, record, strict=True)))
                lines.append(reader.line_num)
            elif skip_bad:
                skipped += 1
            else:
                raise DatasetError(
                    f"{path}, line {reader.line_num}: {len(record)} fields where the header has "
                    f"{len(header)}; mend the line, or use --skip-bad to leave such out"
                )
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: {error}") from error
    return _table(path, records, lines, skipped)


def _read_parquet(path: Path, skip_bad: bool) -> Table:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DatasetError("reading Parquet needs pyarrow; pip install 'actlas[data]'") from error
    try:
        columns = pyarrow.parquet.read_table(path).to_pydict()
    except pyarrow.ArrowInvalid as error:
        raise DatasetError(f"{path}: not a Parquet file ({error})") from error
    return Table(path.stem, columns, lambda i: f"{path}, record {i + 1}")


def _read_text(path: Path, skip_bad: bool) -> Table:
    numbered = [(number, line) for number, line in _lines(path) if line.strip()]
    return _table(path, [{"text": line} for _, line in numbered], [n for n, _ in numbered], 0)


def _read_hub(spec: str, split: str) -> Table:
    try:
        import datasets
    except ImportError as error:
        raise DatasetError(
            "reading Hugging Face data sets needs the package datasets; pip install 'actlas[data]'"
        ) from error
    name, _, config = spec.removeprefix("hf:").partition("@")
    try:
        if Path(name).is_dir():
            loaded = datasets.load_from_disk(name)
            if isinstance(loaded, datasets.DatasetDict) and split not in loaded:
                raise ValueError(f"it has the splits {listing(list(loaded))}; use --split NAME")
            data = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            data = datasets.load_dataset(name, config or None, split=split)
    except Exception as error:  # the library raises a dozen unrelated types here
        raise DatasetError(f"cannot read {spec}, split {split!r}: {_first_line(error)}") from error
    columns = {column: list(data[column]) for column in data.column_names}
    for column, feature in data.features.items():
        if isinstance(feature, datasets.ClassLabel):
            columns[column] = [
                None if v in (None, -1) else feature.names[v] for v in columns[column]
            ]
    return Table(name, columns, lambda i: f"{spec}, record {i}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read_conllu(path: Path, labels: Sequence[str] | None, skip_bad: bool) -> Dataset:
    texts: list[str] = []
    words: list[list[Span]] = []
    chosen = list(CONLLU_LABELS) if labels is None else list(labels)
    if unknown := [name for name in chosen if name not in CONLLU_LABELS]:
        raise LabelError(f"{path}: no label set {unknown[0]!r}; it has {listing([*CONLLU_LABELS])}")
    items: dict[str, list[tuple[int, int | None, int | None, str]]] = {n: [] for n in chosen}
    skipped = 0
    for block in _conllu_blocks(path):
        try:
            text, found = _conllu_sentence(path, block)
        except DatasetError:
            if not skip_bad:
                raise
            skipped += 1
            continue
        for (start, end), fields in found:
            for name in chosen:
                value = fields[CONLLU_LABELS[name]]
                if value != "_":
                    items[name].append((len(texts), start, end, value))
        texts.append(text)
        words.append([span for span, _ in found])
    if not texts:
        raise DatasetError(f"{path}: no sentence in it; a data set needs at least one sample")
    sets = {name: LabelSet(name, "word", found) for name, found in items.items() if found}
    return Dataset(path.stem, texts, sets, words, skipped)


def _conllu_blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    for number, line in _lines(path):
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _conllu_sentence(
    path: Path, block: list[tuple[int, str]]
) -> tuple[str, list[tuple[Span, list[str]]]]:
    """Return the text of a sentence and its words with their character spans.

    A multiword token (`1-2 don't`) is split where its words spell it out (`do`, `n't`);
    otherwise every one of its words has the span of the whole.
    """
    text = next((li.split("=", 1)[1].strip() for _, li in block if li.startswith("# text =")), None)
    units = _conllu_units(path, block)
    if not units:
        raise DatasetError(f"{path}, line {block[0][0]}: a sentence without words; leave it out")
    text = _spell(units) if text is None else text
    if fault := text_fault(text):
        raise DatasetError(f"{path}, line {block[0][0]}: the text {fault}; mend it or leave it out")
    found: list[tuple[Span, list[str]]] = []
    cursor = 0
    for unit in units:
        start = text.find(unit.form, cursor)
        if start < 0:
            raise DatasetError(
                f"{path}, line {unit.line}: {unit.form!r} is not in the rest of the sentence's "
                f"text; mend the '# text' line, or use --skip-bad to leave the sentence out"
            )
        cursor = start + len(unit.form)
        forms = [fields[1] for fields in unit.words]
        place = start
        for form, fields in zip(forms, unit.words, strict=True):
            spelled = "".join(forms) == unit.form
            found.append(((place, place + len(form)) if spelled else (start, cursor), fields))
            place += len(form)
    return text, found


@dataclass(frozen=True)
class _Unit:
    """A stretch of text: one word, or a multiword token with the words in it."""

    line: int
    form: str
    space_after: bool
    words: list[list[str]]


def _conllu_units(path: Path, block: list[tuple[int, str]]) -> list[_Unit]:
    units: list[_Unit] = []
    covered = 0  # the last word of the multiword token at hand
    for number, line in block:
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 10 or not CONLLU_ID.fullmatch(fields[0]):
            raise DatasetError(
                f"{path}, line {number}: no CoNLL-U word (ten tab-separated fields, the first a "
                f"number); mend the line, or use --skip-bad to leave the sentence out"
            )
        ident = fields[0]
        if "." in ident:  # an empty node of the enhanced graph: not in the text
            continue
        if "-" not in ident and int(ident) <= covered:
            units[-1].words.append(fields)
            continue
        covered = int(ident.split("-")[1]) if "-" in ident else covered
        words = [] if "-" in ident else [fields]
        units.append(_Unit(number, fields[1], "SpaceAfter=No" not in fields[9], words))
    return units


def _spell(units: list[_Unit]) -> str:
    """Put the text together from the forms, as SpaceAfter says."""
    return "".join(unit.form + " " * unit.space_after for unit in units).strip()


READERS: dict[str, Callable[[Path, bool], Table]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
