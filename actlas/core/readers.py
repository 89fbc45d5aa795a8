"""Reading data sets of every kind: which reader for which name, and with which options."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

from .datasets import Dataset
from .errors import DatasetError
from .reading.choice import Choice
from .reading.conllu import read_conllu
from .reading.folder import read_folder
from .reading.hub import read_hub
from .reading.lines import read_csv, read_jsonl, read_text
from .reading.parquet import read_parquet
from .text import listing

SHIPPED = {"concepts": "word"}  # name → the column that names the target word
READERS: dict[str, Callable[[Path, Choice], Dataset]] = {
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".txt": read_text,
    ".conllu": read_conllu,
}


def read_dataset(
    spec: str | Path,
    *,
    text: str | None = None,
    media: str | None = None,
    labels: Sequence[str] | None = None,
    target: str | None = None,
    decoder_text: str | None = None,
    name_labels: str | None = None,
    split: str = "train",
    limit: int | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Read a data set in one pass; texts and files are read again when they are asked for.

    spec: a file (.jsonl, .csv, .tsv, .parquet, .txt, .conllu), a folder of images or of
        recordings (class = subfolder), `actlas:concepts` (shipped with actlas), or
        `hf:NAME[@CONFIG]` for a Hugging Face data set or a folder saved by one.
    text: the text column (default: the first of text, sentence, content, … that is there).
    media: the column of images or recordings: paths relative to the file's folder, or a
        Hugging Face Image or Audio column (default: where there is no text column, the first
        of image, audio, file, path, … whose values end like such files).
    labels: columns to take as label sets (default: every other column of single values).
    target: a column that names one word of each text; every label set NAME is then also
        given per word, as NAME@target.
    decoder_text: the column of the texts that the decoder of an encoder–decoder reads.
    name_labels: label sets from the names of images or recordings: a pattern such as
        "{digit}_{speaker}_{take}", held against the name without its ending.
    split: which split of a Hugging Face data set.
    limit: take only the first samples.
    skip_bad: leave out records that cannot be parsed, lines that are not UTF-8, empty texts,
        and files that cannot be decoded, counted in `Dataset.skipped`.

    Raises DatasetError naming the file and line, LabelError for a missing label column.
    """
    name = str(spec)
    if limit is not None and limit < 1:
        raise DatasetError(f"limit {limit} leaves no sample; use 1 or more")
    choice = Choice(text, media, labels, target, decoder_text, name_labels, skip_bad)
    if name.startswith("actlas:"):
        dataset = _read_shipped(name, decoder_text)
    elif name.startswith("hf:"):
        dataset = read_hub(name, split, choice)
    else:
        dataset = _reader(Path(spec))(Path(spec), choice)
    if name_labels is not None and dataset.media is None:
        raise DatasetError(f"{name} holds texts; --name-labels is for images and recordings")
    return dataset if limit is None or limit >= len(dataset) else dataset.head(limit)


def _reader(path: Path) -> Callable[[Path, Choice], Dataset]:
    known = listing([*READERS])
    if not path.exists():
        raise DatasetError(
            f"no file {path}; name a file ({known}), a folder of images or recordings, "
            f"actlas:concepts or hf:NAME"
        )
    if path.is_dir() and path.suffix not in READERS:
        return read_folder
    if path.suffix not in READERS or path.is_dir():
        raise DatasetError(f"cannot tell how to read {path}; its name should end in {known}")
    return READERS[path.suffix]


def _read_shipped(spec: str, decoder_text: str | None) -> Dataset:
    name = spec.removeprefix("actlas:")
    if name not in SHIPPED:
        shipped = listing([f"actlas:{n}" for n in SHIPPED])
        raise DatasetError(f"no shipped data set {spec!r}; there is {shipped}")
    with resources.as_file(resources.files("actlas.data") / f"{name}.csv") as path:
        found = read_csv(path, Choice(target=SHIPPED[name], decoder_text=decoder_text))
        # A package may be read from an archive, and then this file is gone after the block.
        targets = None if found.targets is None else list(found.targets)
        return replace(found, name=spec, texts=list(found.texts), targets=targets)
