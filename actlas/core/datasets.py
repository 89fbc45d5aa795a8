"""Data sets: ordered texts with labels per sample or per word."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

import numpy as np
import xxhash

from .errors import DatasetError, LabelError
from .labels import Labels
from .rows import Rows
from .text import listing, nearest

Span = tuple[int, int]
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@final
@dataclass(frozen=True)
class LabelSet:
    """Labels of one kind: one a sample, or one a word (a character span).

    items: (sample, start, end, value); start and end are None for labels per sample.
    """

    name: str
    level: Literal["sample", "word"]
    items: Sequence[tuple[int, int | None, int | None, str]]

    def digest(self) -> str:
        """Digest of the labels and where they stand."""
        return _digest(repr(item) for item in self.items)

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


@final
@dataclass(frozen=True)
class Dataset:
    """Ordered texts with label sets; its digest is that of texts, targets and given word spans.

    words: per sample the character spans of its words where the file gives them; without
        them words are runs of letters and digits, and single punctuation marks.
    skipped: number of unreadable or empty records left out on request.
    targets: per sample the text that the decoder of an encoder–decoder reads, instead of the
        sample's own text.
    """

    name: str
    texts: Sequence[str]
    label_sets: dict[str, LabelSet] = field(default_factory=dict)
    words: Sequence[Sequence[Span]] | None = None
    skipped: int = 0
    targets: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self) -> str:
        """Digest of what activations depend on: the texts, the given words and the targets."""
        spans = () if self.words is None else (repr(list(w)) for w in self.words)
        targets = () if self.targets is None else ("\x1e", *self.targets)
        return _digest([*self.texts, "\x1e", *spans, *targets])

    def words_of(self, sample: int, *, target: bool = False) -> Sequence[Span]:
        """Character spans of the words of a sample's text, or of its target."""
        if target and self.targets is not None:
            return [match.span() for match in WORD.finditer(self.targets[sample])]
        if self.words is not None:
            return self.words[sample]
        return [match.span() for match in WORD.finditer(self.texts[sample])]

    def label_set(self, name: str) -> LabelSet:
        """Return a label set by name, or raise LabelError listing what there is."""
        if name not in self.label_sets:
            raise LabelError(
                f"data set {self.name!r} has no label set {name!r}; "
                f"{nearest(name, self.label_sets)}"
            )
        return self.label_sets[name]

    def head(self, samples: int) -> "Dataset":
        """Return the first `samples` samples with their labels."""
        sets = {
            name: LabelSet(name, s.level, [item for item in s.items if item[0] < samples])
            for name, s in self.label_sets.items()
        }
        words = None if self.words is None else self.words[:samples]
        targets = None if self.targets is None else self.targets[:samples]
        name = f"{self.name}[:{samples}]"
        return Dataset(name, self.texts[:samples], sets, words, self.skipped, targets)

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        *,
        name: str = "texts",
        labels: dict[str, Sequence[Any]] | None = None,
        target: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
    ) -> "Dataset":
        """Make a data set from texts, labels per sample, and the target word of each text.

        With `target`, each label set NAME is also given per word as NAME@target, on the
        first whole-word occurrence of that word. `targets` are the texts that a decoder reads.
        Raises DatasetError for an empty text.
        """
        for sample, text in enumerate(texts):
            if fault := text_fault(text):
                raise DatasetError(f"{name}: sample {sample} {fault}; mend it or leave it out")
        sets = {}
        for label, values in (labels or {}).items():
            if len(values) != len(texts):
                raise DatasetError(f"{name}: {len(texts)} texts but {len(values)} labels {label!r}")
            items = [(i, None, None, v) for i, v in enumerate(map(_label, values)) if v is not None]
            sets[label] = LabelSet(label, "sample", items)
        if target is not None:
            sets |= _at_target(name, texts, sets, target)
        return cls(name, list(texts), sets, targets=_targets(name, texts, targets))


def _targets(
    name: str, texts: Sequence[str], targets: Sequence[str] | None
) -> Sequence[str] | None:
    if targets is None:
        return None
    if len(targets) != len(texts):
        raise DatasetError(f"{name}: {len(texts)} texts but {len(targets)} targets")
    for sample, text in enumerate(targets):
        if fault := text_fault(text):
            raise DatasetError(
                f"{name}: the target of sample {sample} {fault}; mend it or leave the sample out"
            )
    return list(targets)


def _at_target(
    name: str, texts: Sequence[str], sets: dict[str, LabelSet], target: Sequence[str]
) -> dict[str, LabelSet]:
    if len(target) != len(texts):
        raise DatasetError(f"{name}: {len(texts)} texts but {len(target)} target words")
    spans = []
    for sample, (text, word) in enumerate(zip(texts, target, strict=True)):
        match = re.search(rf"(?<!\w){re.escape(str(word))}(?!\w)", text, re.IGNORECASE)
        if match is None:
            raise DatasetError(f"{name}: sample {sample} does not contain its word {word!r}")
        spans.append(match.span())
    return {
        f"{label}@target": LabelSet(
            f"{label}@target", "word", [(i, *spans[i], value) for i, _, _, value in s.items]
        )
        for label, s in sets.items()
    }


def text_fault(text: Any) -> str | None:
    """Say what keeps a value from being a text that can be tokenized and stored."""
    if not isinstance(text, str) or not text.strip():
        return "is empty"
    if "\x00" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a surrogate pair"
    return None


def _label(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    text = str(value)
    if not text.strip():
        return None
    if fault := text_fault(text):
        raise DatasetError(f"a label {fault}: {text[:30]!r}; mend it, or leave its column out")
    return text


def _digest(parts: Iterable[str]) -> str:
    hasher = xxhash.xxh3_128()
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
    return str(hasher.hexdigest())


@final
@dataclass(frozen=True)
class Table:
    """Records of a file by column, before the text column is chosen."""

    name: str
    columns: dict[str, list[Any]]
    where: Callable[[int], str]  # record index → "file, line n"
    skipped: int = 0


TEXT_COLUMNS = ("text", "sentence", "content", "utterance", "question")


def dataset_of(
    table: Table,
    *,
    text: str | None = None,
    labels: Sequence[str] | None = None,
    target: str | None = None,
    decoder_text: str | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Choose the text, label and target columns of a table and check every text."""
    column = text or next((c for c in TEXT_COLUMNS if c in table.columns), None)
    if column is None or column not in table.columns:
        said = f"no column {text!r}" if text else "no column named text"
        raise DatasetError(
            f"{table.name}: {said}; it has {listing(list(table.columns))}; use --text COLUMN"
        )
    if decoder_text is not None and decoder_text not in table.columns:
        raise DatasetError(
            f"{table.name}: no column {decoder_text!r}; it has {listing(list(table.columns))}; "
            f"use --decoder-text COLUMN"
        )
    for wanted in [*(labels or ()), *([target] if target else ())]:
        if wanted not in table.columns:
            raise LabelError(
                f"{table.name}: no column {wanted!r}; it has {listing(list(table.columns))}"
            )
    texts = [column, *([decoder_text] if decoder_text else ())]
    keep, skipped = _good_records(table, texts, skip_bad)
    names = labels if labels is not None else [c for c in table.columns if c not in texts]

    def picked(name: str) -> list[Any]:
        return [table.columns[name][i] for i in keep]

    dataset = Dataset.of(
        picked(column),
        name=table.name,
        labels={n: picked(n) for n in names if labels is not None or _scalar(table.columns[n])},
        target=picked(target) if target else None,
        targets=picked(decoder_text) if decoder_text else None,
    )
    return replace(dataset, skipped=skipped)


def _good_records(table: Table, columns: list[str], skip_bad: bool) -> tuple[list[int], int]:
    texts = table.columns[columns[0]]
    faults: dict[int, str] = {}
    for column in reversed(columns):
        named = ((i, text_fault(text)) for i, text in enumerate(table.columns[column]))
        faults |= {i: f"{column!r} {fault}" for i, fault in named if fault is not None}
    keep = [i for i in range(len(texts)) if i not in faults]
    if faults and not skip_bad:
        bad = min(faults)
        raise DatasetError(
            f"{table.where(bad)}: {faults[bad]}; mend it, or use --skip-bad to leave such out"
        )
    if not keep:
        raise DatasetError(f"{table.name}: no text in it; a data set needs at least one sample")
    return keep, table.skipped + len(texts) - len(keep)


def _scalar(values: Sequence[Any]) -> bool:
    return all(v is None or isinstance(v, str | int | float | bool | np.generic) for v in values)
