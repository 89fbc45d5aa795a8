"""A folder of synthetic speech: recordings and a table of what is true of each."""

import csv
import wave
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actlas import InputError

from .formants import RATE, Utterance, synthesise, utterances, voices

TABLE, CLIPS = "clips.csv", "clips"
SHORTEST = 0.15  # seconds a syllable: below, consonant and vowel do not fit


@dataclass(frozen=True)
class Speech:
    """A folder that was written: its table, what was said, and the seconds of a clip."""

    table: Path
    said: list[Utterance]
    seconds: float


def write_speech(
    folder: str | Path,
    clips: int = 900,
    *,
    syllables: int = 1,
    seconds: float | None = None,
    speakers: int = 9,
    seed: int = 0,
    force: bool = False,
) -> Speech:
    """Write spoken words of made-up voices: WAV of 16 kHz, and clips.csv with their labels.

    clips: how many. syllables: of a word, each one of ba bi bu da di du ga gi gu.
    seconds: of a clip (default 0.32 for one syllable, else 0.64/3 a syllable).
    speakers: voices; all words and all voices are said equally often, or nearly.

    The table has the columns file, word, consonant and vowel (of words of more syllables
    consonant1, vowel1, …), voice, f0 (pitch, Hz) and tract (what multiplies the formants; more is a
    shorter tract), so that `read_dataset` takes each as a label set. Raises InputError.
    """
    _check(clips, syllables, speakers, seed)
    length = seconds if seconds is not None else 0.32 if syllables == 1 else 0.64 / 3 * syllables
    if not SHORTEST * syllables <= length <= 60:
        word = f"a word of {syllables} syllable{'s' * (syllables > 1)}"
        raise InputError(
            f"{word} takes {SHORTEST * syllables:.2f} s or more, and a clip has at most 60 s; "
            f"{length:.2g} s do not fit"
        )
    said = utterances(clips, voices(speakers, seed), syllables, seed)
    return keep_speech(folder, said, length, seed=seed, force=force)


def keep_speech(
    folder: str | Path, said: Sequence[Utterance], seconds: float, *, seed: int = 0,
    force: bool = False,
) -> Speech:  # fmt: skip
    """Write utterances of one's own as `write_speech` does."""
    rows = [_truth(one) for one in said]
    table = write_clips(folder, synthesise(said, seconds, seed), rows, force=force)
    return Speech(table, list(said), seconds)


def write_clips(
    folder: str | Path, sounds: Iterable[NDArray[np.float32]], truths: Sequence[Mapping[str, str]],
    *, force: bool = False,
) -> Path:  # fmt: skip
    """Write sounds within ±1 at RATE, and a table of what is true of each; returns its path.

    truths: by sound, the same columns in each; word and voice are also part of a clip's name.
    """
    table = Path(folder) / TABLE
    if table.exists() and not force:
        raise InputError(f"{table} is there already; choose another folder, or say --force")
    names = [f"{CLIPS}/{i:05d}_{one['word']}_{one['voice']}.wav" for i, one in enumerate(truths)]
    _clear(table)
    for name, sound in zip(names, sounds, strict=True):
        write_wav(table.parent / name, sound)
    part = table.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *truths[0]])
        rows.writerows([name, *one.values()] for name, one in zip(names, truths, strict=True))
    part.replace(table)  # last: where it is there, all clips are
    return table


def write_wav(path: Path, sound: NDArray[np.float32], rate: int = RATE) -> None:
    """Write sound within ±1 as WAV of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        steps = np.clip(np.round(np.asarray(sound) * 32768), -32768, 32767)
        file.writeframes(steps.astype("<i2").tobytes())


def _check(clips: int, syllables: int, speakers: int, seed: int) -> None:
    if clips < 1 or not 1 <= syllables <= 5 or speakers < 1:
        raise InputError("give at least 1 clip and 1 voice, and 1 to 5 syllables a word")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed {seed} must lie between 0 and 2³² − 1")


def _clear(table: Path) -> None:
    """Make the folder, without a table and the clips that an earlier one named."""
    try:
        (table.parent / CLIPS).mkdir(parents=True, exist_ok=True)
        if table.exists():
            with table.open(encoding="utf-8", newline="") as file:
                old = [row["file"] for row in csv.DictReader(file)]
            table.unlink()
            for name in old:
                (table.parent / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {table.parent}: {error.strerror or error}") from error


def _truth(one: Utterance) -> dict[str, str]:
    return {
        "word": one.word, **phones(one.syllables), "voice": one.voice.name,
        "f0": f"{one.f0:.2f}", "tract": f"{one.tract:.4f}",
    }  # fmt: skip


def phones(syllables: Sequence[str]) -> dict[str, str]:
    """Consonant and vowel by name, numbered where there are several of each."""
    ends = [""] if len(syllables) == 1 else [str(i + 1) for i in range(len(syllables))]
    return {
        f"{part}{end}": phone
        for end, syllable in zip(ends, syllables, strict=True)
        for part, phone in zip(("consonant", "vowel"), syllable, strict=True)
    }
