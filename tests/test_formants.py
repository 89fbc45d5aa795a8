"""The formant synthesiser: what it says of its clips is what is heard in them."""

import csv
from pathlib import Path

import numpy as np
import pytest

import actlas
from actlas import InputError
from actlas.plugins.sim.corpus import write_speech
from actlas.plugins.sim.formants import (
    LOCI,
    RATE,
    SYLLABLES,
    VOWELS,
    Utterance,
    Voice,
    synthesise,
    utterances,
    voices,
)

from .test_cli import fails, good


def said(word: str, f0: float, tract: float = 1.0) -> Utterance:
    return Utterance((word,), Voice("v", f0, tract, 0.003), f0, tract)


def envelope(word: str, tract: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean spectrum (dB) of the middles of clips of many pitches, so that harmonics fade."""
    sound = synthesise([said(word, f0, tract) for f0 in np.linspace(70, 140, 90)])
    flat = sound[:, 2400:3424] - 0.9 * sound[:, 2399:3423]  # without the slope of the source
    spectra = np.abs(np.fft.rfft(flat * np.hanning(1024)))
    smooth = np.convolve((spectra**2).mean(axis=0), np.ones(5) / 5, "same")
    return np.fft.rfftfreq(1024, 1 / RATE), 10 * np.log10(smooth)


@pytest.mark.parametrize("tract", [0.9, 1.15])
@pytest.mark.parametrize("vowel", VOWELS)
def test_spectra_have_peaks_at_the_formants(vowel: str, tract: float) -> None:
    frequency, level = envelope(f"d{vowel}", tract)
    for formant in (f * tract for f in VOWELS[vowel]):
        near = np.abs(frequency - formant) < (0.25 if formant < 1000 else 0.15) * formant
        peak = frequency[near][level[near].argmax()]
        assert abs(peak / formant - 1) < 0.09
        assert level[near].max() - level[near][[0, -1]].max() > 0.5


@pytest.mark.parametrize("f0", [95.0, 150.0, 230.0])
def test_pitch_is_as_stated(f0: float) -> None:
    for sound in synthesise([said("da", f0)] * 4):
        middle = sound[1800:3800].astype(float)
        wave = np.correlate(middle, middle, "full")[1999:]
        low = int(RATE / 300)
        lag = low + wave[low : int(RATE / 70)].argmax()
        assert RATE / lag == pytest.approx(f0, rel=0.06)


def test_the_burst_tells_consonants_apart() -> None:
    """The centre of the noise at release goes with the locus of the second formant."""
    found = []
    for consonant in LOCI:
        sound = synthesise([said(f"{consonant}a", 120.0)] * 40)
        loud = np.abs(sound) > 0.02
        onset = loud.argmax(axis=1)
        pieces = np.stack([x[i : i + 256] for x, i in zip(sound, onset, strict=True)])
        power = (np.abs(np.fft.rfft(pieces * np.hanning(256))) ** 2).mean(axis=0)
        frequency = np.fft.rfftfreq(256, 1 / RATE)
        band = (frequency > 600) & (frequency < 3000)
        found.append(float((frequency * power)[band].sum() / power[band].sum()))
    assert found == sorted(found)
    assert found[-1] - found[0] > 300


def test_the_same_seed_says_the_same_and_clips_do_not_depend_on_those_after() -> None:
    given = utterances(140, voices(3))
    assert given == utterances(140, voices(3))
    once = synthesise(given, 0.15)
    assert np.array_equal(once, synthesise(given, 0.15))
    assert np.array_equal(once[:5], synthesise(given[:5], 0.15))
    assert not np.array_equal(once[:5], synthesise(given[:5], 0.15, seed=1))
    assert not np.array_equal(once[0], once[1])
    assert np.abs(once).max() <= 1
    assert np.isfinite(once).all()


def test_words_and_voices_are_said_equally_often_and_truths_are_spread() -> None:
    given = utterances(180, voices(4))
    assert {one.word for one in given} == set(SYLLABLES)
    assert {sum(one.word == word for one in given) for word in SYLLABLES} == {20}
    assert {sum(one.voice.name == f"v{i}" for one in given) for i in range(4)} == {45}
    many = voices(200)
    pitch, tract = np.log([one.f0 for one in many]), [one.tract for one in many]
    assert abs(np.corrcoef(pitch, tract)[0, 1]) < 0.2
    assert np.exp(pitch.min()) >= 90
    assert np.exp(pitch.max()) <= 240
    assert len({one.word for one in utterances(700, many, 3)}) == 700


def test_a_folder_is_a_data_set_with_the_truth_as_labels(tmp_path: Path) -> None:
    shown = good("speech", str(tmp_path / "s"), "--clips", "12", "--voices", "2", "--json")
    assert '"clips": 12' in shown.out
    read = actlas.read_dataset(tmp_path / "s" / "clips.csv")
    assert read.modality == "audio"
    assert set(read.label_sets) == {"word", "consonant", "vowel", "voice", "f0", "tract"}
    with (tmp_path / "s" / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["word"] == row["consonant"] + row["vowel"] for row in rows)
    assert all(80 < float(row["f0"]) < 300 for row in rows)
    assert read.media is not None
    samples, rate = read.media[0].load()
    assert rate == RATE
    kept = synthesise(utterances(12, voices(2)), 0.32)[0]
    assert np.array_equal(samples, kept)


def test_words_of_more_syllables_name_each(tmp_path: Path) -> None:
    made = write_speech(tmp_path, 6, syllables=3)
    assert made.seconds == pytest.approx(0.64)
    with made.table.open(newline="") as file:
        row = next(csv.DictReader(file))
    parts = [row[f"{p}{i}"] for i in (1, 2, 3) for p in ("consonant", "vowel")]
    assert "".join(parts) == row["word"]


def test_a_folder_is_replaced_only_on_demand(tmp_path: Path) -> None:
    write_speech(tmp_path, 6)
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="is there already"):
        write_speech(tmp_path, 3)
    write_speech(tmp_path, 3, force=True)
    assert len(list((tmp_path / "clips").iterdir())) == 3
    assert (tmp_path / "mine.txt").exists()


def test_what_cannot_be_said_is_refused(tmp_path: Path) -> None:
    assert "0.15 s or more" in fails("speech", str(tmp_path), "--seconds", "0.1")
    assert "at least 1 clip" in fails("speech", str(tmp_path), "--clips", "0")
    with pytest.raises(InputError, match="seed -1"):
        write_speech(tmp_path, 3, seed=-1)
