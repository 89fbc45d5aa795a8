"""Data sets: ordered texts, images or recordings with labels per sample or per word."""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Literal, final

import xxhash

from .errors import DatasetError, LabelError
from .label_sets import Coder, LabelItems, LabelSet
from .media import Media
from .sequences import LazySequence, as_array
from .text import hash_parts, nearest, text_fault

Span = tuple[int, int]
Modality = Literal["text", "image", "audio"]
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@final
@dataclass(frozen=True)
class Dataset:
    """Ordered samples with label sets; its digest is that of what activations depend on.

    texts: the text of each sample; of an image or recording the path it is shown by. May be
        read from the file as it is asked for.
    words: per sample the character spans of its words where the file gives them; without
        them words are runs of letters and digits, and single punctuation marks.
    skipped: number of unreadable or empty records left out on request.
    media: the image or recording of each sample, where `modality` is not text.
    targets: the text the decoder of an encoder–decoder reads, where one is given.
    notes: what a user should know of how it was read.
    """

    name: str
    texts: Sequence[str]
    label_sets: dict[str, LabelSet] = field(default_factory=dict)
    words: Sequence[Sequence[Span]] | None = None
    skipped: int = 0
    modality: Modality = "text"
    media: Sequence[Media] | None = None
    targets: Sequence[str] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self) -> str:
        """Digest of what activations depend on: texts (or media by content), words, targets."""
        content = self.texts if self.media is None else self.media
        hasher = getattr(content, "hasher", None)
        if hasher is None:
            hasher = xxhash.xxh3_128()
            hash_parts(hasher, self._content())
            if isinstance(content, LazySequence):
                content.hasher = hasher
        hasher = hasher.copy()
        for mark, parts in self._sections():
            hash_parts(hasher, chain([mark], parts))
        return str(hasher.hexdigest())

    def prefix_digest(self, samples: Iterable[int]) -> dict[int, str]:
        """Return {n: head(n).digest()} for several n up to len(self), in one pass."""
        wanted = sorted({n for n in samples if 0 <= n <= len(self)})
        hashers = [xxhash.xxh3_128() for _ in wanted]
        _hash_prefixes(hashers, wanted, self._content())
        for mark, parts in self._sections():
            for hasher in hashers:
                hash_parts(hasher, [mark])
            _hash_prefixes(hashers, wanted, parts)
        return {n: str(h.hexdigest()) for n, h in zip(wanted, hashers, strict=True)}

    def _content(self) -> Iterable[str]:
        return self.texts if self.media is None else (one.digest() for one in self.media)

    def _sections(self) -> Iterator[tuple[str, Iterable[str]]]:
        """What is hashed after the content: a mark, and one part a sample where it has any."""
        yield "\x1e", () if self.words is None else (repr(list(w)) for w in self.words)
        if self.media is not None:
            yield self.modality, ()
        if self.targets is not None:
            yield "\x1d", self.targets

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
        return replace(
            self,
            name=f"{self.name}[:{samples}]",
            texts=self.texts[:samples],
            label_sets={name: found.head(samples) for name, found in self.label_sets.items()},
            words=None if self.words is None else self.words[:samples],
            media=None if self.media is None else self.media[:samples],
            targets=None if self.targets is None else self.targets[:samples],
        )

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
            coder = Coder()
            for sample, value in enumerate(values):
                coder.put(sample, value)
            sets[label] = coder.label_set(label)
        if target is not None:
            if len(target) != len(texts):
                raise DatasetError(f"{name}: {len(texts)} texts but {len(target)} target words")
            finder = TargetFinder(name)
            for text, word in zip(texts, target, strict=True):
                finder.put(text, word)
            sets |= finder.label_sets(sets)
        kept = texts if isinstance(texts, LazySequence) else list(texts)
        return cls(name, kept, sets, targets=_targets(name, texts, targets))


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


@final
class TargetFinder:
    """Finds the target word of each text, and moves labels of samples onto it."""

    def __init__(self, name: str):
        self.name, self._start, self._end = name, array("i"), array("i")

    def __len__(self) -> int:
        return len(self._start)

    def put(self, text: str, word: Any) -> None:
        """Find the word of the next text; DatasetError where it does not stand."""
        match = re.search(rf"(?<!\w){re.escape(str(word))}(?!\w)", text, re.IGNORECASE)
        if match is None:
            sample = len(self._start)
            raise DatasetError(f"{self.name}: sample {sample} does not contain its word {word!r}")
        self._start.append(match.start())
        self._end.append(match.end())

    def label_sets(self, sets: dict[str, LabelSet]) -> dict[str, LabelSet]:
        """Return the labels per sample given, as NAME@target on the words found."""
        spans = as_array(self._start), as_array(self._end)
        found = {}
        for name in (f"{label}@target" for label in sets):
            items = sets[name.removesuffix("@target")].items
            assert isinstance(items, LabelItems)  # Coder makes no others
            found[name] = LabelSet(name, "word", LabelItems(items.codes, items.names, None, spans))
        return found


def _hash_prefixes(hashers: list[Any], lengths: list[int], parts: Iterable[str]) -> None:
    """Feed each hasher the first `length` parts; lengths ascend."""
    done = 0
    for index, part in enumerate(islice(parts, lengths[-1] if lengths else 0)):
        while lengths[done] <= index:
            done += 1
        for hasher in hashers[done:]:
            hash_parts(hasher, [part])
