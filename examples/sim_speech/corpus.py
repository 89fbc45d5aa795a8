"""The recordings: words to train on, other words to read, syllables of voices never heard."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from actlas import Dataset, read_dataset
from actlas.plugins.sim.corpus import keep_speech, phones, write_clips
from actlas.plugins.sim.formants import RATE, SYLLABLES, utterances, voices

from . import espeak

Source = Literal["formants", "espeak"]
WORD, SYLLABLE, DIGIT = 10_240, 5_120, 5_120  # samples of a clip
RECIPE = 1  # raise it when recordings change: what the folder holds is then old
SEED = 3


@dataclass(frozen=True)
class Sizes:
    """Clips of each part, and voices heard in training and kept out of it."""

    words: int
    read: int
    syllables: int
    voices: int
    new_voices: int


@dataclass(frozen=True)
class Corpus:
    """Recordings of one source.

    train: words that encoders are trained on. read: other words of the same voices.
    probed: syllables (or digits) that probes are fitted and tested on.
    factors: label sets that are probed; `voice` is who speaks.
    """

    name: str
    about: str
    train: Path
    read: Path
    probed: Path
    factors: tuple[str, ...]
    samples: int

    @cached_property
    def reading(self) -> Dataset:
        """The words read, without labels."""
        return read_dataset(self.read)

    @cached_property
    def probing(self) -> Dataset:
        """What is probed, with labels."""
        return read_dataset(self.probed)


def syllable_corpus(folder: Path, sizes: Sizes, source: Source | None) -> Corpus:
    """Synthesise, or take what an earlier call has left in the folder."""
    source = source or ("espeak" if espeak.installed() else "formants")
    place = folder / f"{source}-{RECIPE}"
    parts = {"train": sizes.words, "read": sizes.read, "probed": sizes.syllables}
    said = json.dumps(asdict(sizes))
    note = place / "sizes.json"
    if not note.is_file() or note.read_text("utf-8") != said:
        note.unlink(missing_ok=True)
        place.mkdir(parents=True, exist_ok=True)
        for part, count in parts.items():
            _write(place / part, part, count, sizes, source)
        note.write_text(said, "utf-8")
    by = "eSpeak NG" if source == "espeak" else "the formant synthesiser of actlas"
    tables = {part: place / part / "clips.csv" for part in parts}
    more = ("f0", "tract") if source == "formants" else ()
    return Corpus(
        "syllables",
        f"{sizes.words} words of three of the syllables ba … gu by {by} ({sizes.voices} voices, "
        f"0.64 s, 16 kHz); {sizes.read} other words of these voices are read for statistics and "
        f"decoders; {sizes.syllables} single syllables of {sizes.new_voices} other voices (0.32 s) "
        f"are probed",
        **tables, factors=("vowel", "consonant", "word", "voice", *more), samples=WORD,
    )  # fmt: skip


def _write(folder: Path, part: str, count: int, sizes: Sizes, source: Source) -> None:
    if source == "espeak":
        _write_espeak(folder, part, count, sizes)
        return
    given = voices(sizes.voices + sizes.new_voices, SEED)
    heard, new = given[: sizes.voices], given[sizes.voices :]
    if part == "probed":
        said = utterances(count, new, 1, SEED)
    else:  # drawn together: as long as there are words enough, no word is in both parts
        both = utterances(sizes.words + sizes.read, heard, 3, SEED)
        said = both[: sizes.words] if part == "train" else both[sizes.words :]
    seconds = (SYLLABLE if part == "probed" else WORD) / RATE
    keep_speech(
        folder, said, seconds, seed=SEED + ("train", "read", "probed").index(part), force=True
    )


def _write_espeak(folder: Path, part: str, count: int, sizes: Sizes) -> None:
    known = espeak.VOICES
    heard = known[: min(sizes.voices, len(known) // 2)]
    new = known[len(heard) : len(heard) + sizes.new_voices]
    orders = list(_orders(part, count, sizes, new if part == "probed" else heard))
    samples = SYLLABLE if part == "probed" else WORD
    truths = [
        {"word": "".join(one.syllables), **phones(one.syllables), "voice": one.voice,
         "pitch": str(one.pitch), "rate": str(one.rate)}
        for one in orders
    ]  # fmt: skip
    write_clips(folder, espeak.say(orders, samples, RATE), truths, force=True)


def _orders(part: str, count: int, sizes: Sizes, by: Sequence[str]) -> Iterator[espeak.Order]:
    """Draw orders; words to train on and words to read are drawn in one."""
    rng = np.random.default_rng(SEED)
    if part == "probed":
        every = list(product([(s,) for s in SYLLABLES], by, espeak.PITCHES, espeak.RATES))
        for at in rng.permutation(len(every))[:count]:
            yield espeak.Order(*every[at])
        return
    words = list(product(SYLLABLES, repeat=3))
    order = rng.permutation(np.resize(np.arange(len(words)), sizes.words + sizes.read))
    mine = order[: sizes.words] if part == "train" else order[sizes.words :]
    for i, at in enumerate(mine):
        pitch, rate = int(rng.choice(espeak.PITCHES)), int(rng.choice(espeak.RATES))
        yield espeak.Order(words[at], by[i % len(by)], pitch, rate)
