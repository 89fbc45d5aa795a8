"""Parallel sentences: for training from both languages, for testing from Kelen alone."""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from .lexicon import english, made_up
from .meaning import Mind
from .sources import Kelen, Orua, kelen_syllable, orua_syllable
from .target import in_english

GRAMMAR = 1  # raise it when the grammar gives other sentences: what the folder holds is then old
MOST_WORDS = 12
SEEDS = {"kelen": 11, "orua": 12, "train": 21, "test": 22}


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation."""

    source: str
    english: str


@dataclass(frozen=True)
class Corpus:
    """Pairs to train on by source language, and pairs from Kelen to test on."""

    kelen: list[Pair]
    orua: list[Pair]
    test: list[Pair]

    def digest(self) -> str:
        """Digest of all sentences."""
        text = json.dumps([[[p.source, p.english] for p in part]
                           for part in (self.kelen, self.orua, self.test)])  # fmt: skip
        return sha256(text.encode()).hexdigest()[:12]

    def mixed(self) -> list[Pair]:
        """As many pairs as there are from Kelen, half of them from Orua."""
        half = len(self.kelen) // 2
        return [*self.kelen[:half], *self.orua[half:]]


def read_corpus(folder: Path, pairs: int, tests: int) -> Corpus:
    """Make a corpus, or read what an earlier call has kept in the folder."""
    path = folder / f"corpus-{GRAMMAR}-{pairs}-{tests}.json"
    if not path.is_file():
        made = asdict(make_corpus(pairs, tests))
        part = path.with_suffix(".part")
        part.write_text(json.dumps(made), "utf-8")
        part.replace(path)
    kept = json.loads(path.read_text("utf-8"))
    return Corpus(**{part: [Pair(**pair) for pair in found] for part, found in kept.items()})


def make_corpus(pairs: int, tests: int) -> Corpus:
    """Make a corpus; no test sentence, of either side, is trained on."""
    test = {pair.english: pair for pair, _ in _first(tests, _drawn("test"))}
    sources = {pair.source for pair in test.values()}
    kelen: list[Pair] = []
    orua: list[Pair] = []
    for first, second in _drawn("train"):
        if len(kelen) == pairs:
            break
        if first.english not in test and first.source not in sources:
            kelen.append(first)
            orua.append(second)
    return Corpus(kelen, orua, list(test.values()))


def _first(count: int, drawn: Iterator[tuple[Pair, Pair]]) -> Iterator[tuple[Pair, Pair]]:
    """The first sentences that differ."""
    seen: set[str] = set()
    for pair, other in drawn:
        if pair.english not in seen:
            seen.add(pair.english)
            yield pair, other
        if len(seen) == count:
            return


def _drawn(part: str) -> Iterator[tuple[Pair, Pair]]:
    """Draw meanings without end, each said from Kelen and from Orua."""
    lexicon, rng = english(), random.Random(SEEDS[part])
    meanings = lexicon.meanings()
    mind = Mind(lexicon, rng)
    kelen = Kelen(made_up(meanings, kelen_syllable, SEEDS["kelen"]), rng)
    orua = Orua(made_up(meanings, orua_syllable, SEEDS["orua"]), rng)
    while True:
        meaning = mind.sentence()
        said = in_english(meaning)
        if said.count(" ") < MOST_WORDS:
            yield Pair(kelen.say(meaning), said), Pair(orua.say(meaning), said)
