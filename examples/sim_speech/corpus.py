"""The recordings: words to train on, other words to read, syllables of voices never heard."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Dataset, read_dataset
from actlas.plugins.sim.corpus import keep_speech, phones, write_clips
from actlas.plugins.sim.formants import RATE, SYLLABLES, utterances, voices

from . import espeak

Source = Literal["formants", "espeak"]
WORD, SYLLABLE, ONSET = 10_240, 5_120, 1_920  # samples of a clip
AUDIBLE = 0.02  # of full scale: where a syllable begins
ESPEAK_HEARD, ESPEAK_NEW = espeak.VOICES[::2], espeak.VOICES[1::2]
RECIPE = 1  # raise it when recordings change: what the folder holds is then old
SEED = 3
PARTS = ("train", "read", "taught", "probed")


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

    train: words that encoders are trained on. read: further words of the same voices.
    taught: single syllables (or digits) of these voices, whose `word` the supervised twin learns.
    probed: single ones of other voices, which probes are fitted to and tested on. onsets: the
        beginnings of these, None where there are none.
    factors: label sets that are probed; `voice` is who speaks, `word` what is said.
    """

    name: str
    about: str
    train: Path
    read: Path
    taught: Path
    probed: Path
    factors: tuple[str, ...]
    onsets: Path | None = None

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
    parts = dict(zip(PARTS, (sizes.words, sizes.read, sizes.words, sizes.syllables), strict=True))
    said = json.dumps(asdict(sizes))
    note = place / "sizes.json"
    if not note.is_file() or note.read_text("utf-8") != said:
        note.unlink(missing_ok=True)
        place.mkdir(parents=True, exist_ok=True)
        for part, count in parts.items():
            _write(place / part, part, count, sizes, source)
        _write_onsets(place / "onsets", read_dataset(place / "probed" / "clips.csv"))
        note.write_text(said, "utf-8")
    heard = min(sizes.voices, len(ESPEAK_HEARD)) if source == "espeak" else sizes.voices
    by = "eSpeak NG" if source == "espeak" else "the formant synthesiser of actlas"
    tables = {part: place / part / "clips.csv" for part in parts}
    probed = read_dataset(tables["probed"])
    counts = {n: len({item[-1] for item in s.items}) for n, s in probed.label_sets.items()}
    more = ("f0", "tract") if source == "formants" else ()
    return Corpus(
        "syllables",
        f"{sizes.words} words of three of the syllables ba … gu by {by} ({heard} voices, 0.64 s, "
        f"16 kHz); {sizes.read} further words of these voices are read for statistics and "
        f"decoders; single syllables of them (0.32 s) are what the supervised network learns; "
        f"{len(probed)} single syllables of {counts['voice']} other voices are probed",
        **tables, factors=("vowel", "consonant", "word", "voice", *more),
        onsets=place / "onsets" / "clips.csv",
    )  # fmt: skip


def _write(folder: Path, part: str, count: int, sizes: Sizes, source: Source) -> None:
    if source == "espeak":
        _write_espeak(folder, part, count, sizes)
        return
    given = voices(sizes.voices + sizes.new_voices, SEED)
    heard, new = given[: sizes.voices], given[sizes.voices :]
    if part in ("taught", "probed"):
        said = utterances(count, new if part == "probed" else heard, 1, SEED)
    else:  # drawn together: as long as there are words enough, no word is in both parts
        both = utterances(sizes.words + sizes.read, heard, 3, SEED)
        said = both[: sizes.words] if part == "train" else both[sizes.words :]
    seconds = (WORD if part in ("train", "read") else SYLLABLE) / RATE
    keep_speech(folder, said, seconds, seed=SEED + PARTS.index(part), force=True)


def _write_onsets(folder: Path, probed: Dataset) -> None:
    """Cut syllables from where they are heard first: most of a consonant is there."""
    assert probed.media is not None
    pieces = []
    for one in probed.media:
        found: Any = one.load()
        first = int((np.abs(found[0]) > AUDIBLE).argmax())
        pieces.append(found[0][min(first, len(found[0]) - ONSET) :][:ONSET])
    sets = {n: [item[-1] for item in s.items] for n, s in probed.label_sets.items()}
    truths = [dict(zip(sets, values, strict=True)) for values in zip(*sets.values(), strict=True)]
    write_clips(folder, pieces, truths, force=True)


def _write_espeak(folder: Path, part: str, count: int, sizes: Sizes) -> None:
    heard, new = ESPEAK_HEARD[: sizes.voices], ESPEAK_NEW[: sizes.new_voices]
    orders = list(_orders(part, count, sizes, new if part == "probed" else heard))
    samples = WORD if part in ("train", "read") else SYLLABLE
    truths = [
        {"word": "".join(one.syllables), **phones(one.syllables), "voice": one.voice,
         "pitch": str(one.pitch), "rate": str(one.rate)}
        for one in orders
    ]  # fmt: skip
    write_clips(folder, espeak.say(orders, samples, RATE), truths, force=True)


def _orders(part: str, count: int, sizes: Sizes, by: Sequence[str]) -> Iterator[espeak.Order]:
    """Draw orders; words to train on and words to read are drawn in one."""
    rng = np.random.default_rng(SEED)
    if part in ("taught", "probed"):
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


def digit_corpus(folder: Path, recordings: Path, sizes: Sizes) -> Corpus:
    """Join recordings of the Free Spoken Digit Dataset ({digit}_{speaker}_{take}.wav) to clips.

    Most are shorter than a clip, so that those of one speaker are put end to end and cut. Half of
    the speakers are trained on; takes that are probed are not, whoever speaks.
    """
    place = folder / f"digits-{RECIPE}"
    tables = {part: place / part / "clips.csv" for part in PARTS}
    said = json.dumps([asdict(sizes), str(recordings)])
    note = place / "sizes.json"
    if not note.is_file() or note.read_text("utf-8") != said:
        note.unlink(missing_ok=True)
        _write_digits(place, recordings, sizes)
        note.write_text(said, "utf-8")
    return Corpus(
        "digits",
        f"{len(read_dataset(tables['train']))} clips of 0.64 s, joined from spoken digits (Free "
        f"Spoken Digit Dataset, 8 kHz, resampled to 16) of half of its speakers, "
        f"{len(read_dataset(tables['read']))} further clips of these to read, and "
        f"{len(read_dataset(tables['probed']))} other takes by all speakers to probe",
        **tables, factors=("word", "voice"),
    )  # fmt: skip


def _write_digits(place: Path, recordings: Path, sizes: Sizes) -> None:
    every = read_dataset(recordings, name_labels="{word}_{voice}_{take}")
    names = {n: [item[-1] for item in s.items] for n, s in every.label_sets.items()}
    speakers = sorted(set(names["voice"]))
    order = np.random.default_rng(SEED).permutation(len(every))
    takes = max(1, sizes.syllables // len(set(zip(names["word"], names["voice"], strict=True))))
    probed = [i for i in order if int(names["take"][i]) < takes]
    rest = [i for i in order if int(names["take"][i]) >= takes]
    heard = {
        speaker: [i for i in rest if names["voice"][i] == speaker] for speaker in speakers[::2]
    }
    joined = [piece for mine in heard.values() for piece in _joined(every, mine)]
    chosen = np.random.default_rng(SEED).permutation(len(joined))[: sizes.words + sizes.read]
    nobody = {"word": "", "voice": ""}
    for part, at in (("train", chosen[sizes.read :]), ("read", chosen[: sizes.read])):
        write_clips(place / part, [joined[i] for i in at], [nobody] * len(at), force=True)
    taught = [i for i in rest if names["voice"][i] in heard][: sizes.words]
    cut = (np.resize(_sound(every, i), SYLLABLE) for i in taught)  # the short begin again
    whole = (_sound(every, i) for i in probed)
    for name, takes_, sounds in (("taught", taught, cut), ("probed", probed, whole)):
        truths = [{n: names[n][i] for n in ("word", "voice")} for i in takes_]
        write_clips(place / name, sounds, truths, force=True)


def _joined(every: Dataset, mine: Sequence[int]) -> list[NDArray[np.float32]]:
    """Put recordings end to end and cut them into clips."""
    whole = np.concatenate([_sound(every, i) for i in mine])
    return list(whole[: len(whole) // WORD * WORD].reshape(-1, WORD))


def _sound(every: Dataset, sample: int) -> NDArray[np.float32]:
    """Return a recording at RATE, as loud as all others."""
    from scipy.signal import resample_poly

    assert every.media is not None
    found: Any = every.media[sample].load()
    wave, rate = found
    wave = resample_poly(wave, RATE, rate) if rate != RATE else wave
    loud: NDArray[np.float32] = np.asarray(wave / max(np.abs(wave).max(), 1e-6) * 0.7, np.float32)
    return loud
