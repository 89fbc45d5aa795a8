"""CoNLL-U: sentences with labelled words."""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import xxhash

from ..datasets import Dataset, Span
from ..errors import DatasetError, LabelError
from ..label_sets import Coder, LabelItems, LabelSet
from ..sequences import SpanLists, as_array
from ..text import hash_parts, listing, text_fault
from .choice import Choice
from .collect import SKIP_HINT
from .lines import NOT_UTF8
from .source import FileTexts, Line, Source

IDENT = re.compile(r"\d+([-.]\d+)?")
LABELS = {"upos": 3, "xpos": 4, "deprel": 7}  # label set → column


def read_conllu(path: Path, choice: Choice) -> Dataset:
    """Read sentences, their words, and the words' labels."""
    chosen = list(LABELS) if choice.labels is None else list(choice.labels)
    if unknown := [name for name in chosen if name not in LABELS]:
        raise LabelError(f"{path}: no label set {unknown[0]!r}; it has {listing([*LABELS])}")
    if choice.decoder_text or choice.target or choice.media or choice.text:
        raise DatasetError(f"{path}: CoNLL-U has no columns to choose from but --labels")
    source, words = Source(path), _Words(chosen)
    offsets, hasher, skipped = array("q"), xxhash.xxh3_128(), 0
    for block in _blocks(source.lines()):
        try:
            text, found = _sentence(path, block)
        except DatasetError:
            if not choice.skip_bad:
                raise
            skipped += 1
            continue
        hash_parts(hasher, [text])
        words.put(len(offsets), found)
        offsets.append(block[0][1])
    if not offsets:
        raise DatasetError(f"{path}: no sentence in it; a data set needs at least one sample")
    offsets.append(source.stamp[0])
    texts = FileTexts(source, np.array(offsets, np.int64), _text)
    texts.hasher = hasher
    return Dataset(path.stem, texts, words.label_sets(), words.spans(len(texts)), skipped)


@final
class _Words:
    """The words of the sentences read so far, in arrays that all label sets share."""

    def __init__(self, chosen: list[str]):
        self._sample, self._start, self._end = array("i"), array("i"), array("i")
        self._coders = {name: Coder() for name in chosen}

    def put(self, sample: int, words: list[tuple[Span, list[str]]]) -> None:
        for (start, end), fields in words:
            place = len(self._sample)
            for name, coder in self._coders.items():
                value = fields[LABELS[name]]
                if value != "_":
                    coder.put(place, value)
            self._sample.append(sample)
            self._start.append(start)
            self._end.append(end)

    def label_sets(self) -> dict[str, LabelSet]:
        sample, spans = as_array(self._sample), (as_array(self._start), as_array(self._end))
        sets = {}
        for name, coder in self._coders.items():
            items = LabelItems(coder.codes, coder.names, sample, spans)
            if len(items):
                sets[name] = LabelSet(name, "word", items)
        return sets

    def spans(self, samples: int) -> SpanLists:
        return SpanLists(
            samples, as_array(self._sample), as_array(self._start), as_array(self._end)
        )


def _blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    block: list[Line] = []
    for line in lines:
        if line[2].strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _text(data: bytes) -> str:
    """Read the text of the sentence at the beginning of some bytes."""
    lines = ((0, 0, raw.decode().rstrip("\r"), True) for raw in data.split(b"\n"))
    return _sentence(Path(), next(_blocks(lines)))[0]


def _sentence(path: Path, block: list[Line]) -> tuple[str, list[tuple[Span, list[str]]]]:
    """Return the text of a sentence and its words with their character spans.

    A multiword token (`1-2 don't`) is split where its words spell it out (`do`, `n't`);
    otherwise every one of its words has the span of the whole.
    """
    if bad := next((number for number, _, _, good in block if not good), None):
        raise DatasetError(f"{path}, line {bad}: {NOT_UTF8}, or use --skip-bad to leave it out")
    start_of_text = (li for _, _, li, _ in block if li.startswith("# text ="))
    text = next((li.split("=", 1)[1].strip() for li in start_of_text), None)
    units = _units(path, block)
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
        found += unit.placed(start)
    return text, found


@final
@dataclass(frozen=True)
class _Unit:
    """A stretch of text: one word, or a multiword token with the words in it."""

    line: int
    form: str
    space_after: bool
    words: list[list[str]]

    def placed(self, start: int) -> Iterator[tuple[Span, list[str]]]:
        """Yield the words with their spans, given where the stretch begins."""
        forms = [fields[1] for fields in self.words]
        spelled = "".join(forms) == self.form
        place = start
        for form, fields in zip(forms, self.words, strict=True):
            whole = (start, start + len(self.form))
            yield ((place, place + len(form)) if spelled else whole), fields
            place += len(form)


def _units(path: Path, block: list[Line]) -> list[_Unit]:
    units: list[_Unit] = []
    covered = 0  # the last word of the multiword token at hand
    for number, _, line, _ in block:
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 10 or not IDENT.fullmatch(fields[0]):
            raise DatasetError(
                f"{path}, line {number}: no CoNLL-U word (ten tab-separated fields, the first a "
                f"number); {SKIP_HINT}"
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
