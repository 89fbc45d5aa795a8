"""Spoken syllables whose truth is known: a formant synthesiser, source and filter.

Source: band-limited pulses of a gliding pitch, breath, and a burst of noise. Filter: four
resonances in a row (Klatt, 1980) whose frequencies move from the consonant's locus to the vowel.
Steady formants are the means of men's vowels of Peterson & Barney (1952).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 16_000
VOWELS: Final = {"a": (730, 1090, 2440), "i": (270, 2290, 3010), "u": (300, 870, 2240)}  # F1-F3, Hz
LOCI: Final = {"b": (800, 2200), "d": (1800, 2700), "g": (2500, 2600)}  # F2, F3 at release, Hz
SYLLABLES: Final = tuple(c + v for c, v in product(LOCI, VOWELS))
CLOSED = 200.0  # F1 while the mouth is shut, Hz
HIGHEST = 3500.0  # F4, Hz
WIDTHS = (80.0, 90.0, 120.0, 200.0)  # of the resonances, Hz
PITCHES, TRACTS = (90.0, 240.0), (0.85, 1.18)  # of voices
CONTROL = 16  # samples between two settings of the resonances: 1 ms
AT_ONCE = 128  # utterances filtered together; the sound is the same for any number
FLOOR = 1e-3  # noise of the room, of full scale

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Voice:
    """A speaker: mean pitch (Hz), what multiplies all formants, how loud breath is."""

    name: str
    f0: float
    tract: float
    breath: float


@dataclass(frozen=True)
class Utterance:
    """Syllables said by a voice, with the pitch (Hz, at the middle) and tract of this time."""

    syllables: tuple[str, ...]
    voice: Voice
    f0: float
    tract: float

    @property
    def word(self) -> str:
        """The syllables in one."""
        return "".join(self.syllables)


def voices(count: int, seed: int = 0) -> list[Voice]:
    """Draw voices: pitch and tract are spread evenly over their ranges, each on its own."""
    rng = np.random.default_rng([seed, 0])
    even = [(rng.permutation(count) + rng.uniform(0.25, 0.75, count)) / count for _ in range(2)]
    pitch = PITCHES[0] * (PITCHES[1] / PITCHES[0]) ** even[0]
    tract = TRACTS[0] * (TRACTS[1] / TRACTS[0]) ** even[1]
    breath = rng.uniform(0.003, 0.02, count)
    return [
        Voice(f"v{i}", *map(float, one))
        for i, one in enumerate(zip(pitch, tract, breath, strict=True))
    ]


def utterances(
    count: int, given: Sequence[Voice], syllables: int = 1, seed: int = 0
) -> list[Utterance]:
    """Draw what is said: words of so many syllables, all words and all voices equally often."""
    rng = np.random.default_rng([seed, 1])
    words = [tuple(word) for word in product(SYLLABLES, repeat=syllables)]
    said = [words[i] for i in _evenly(count, len(words), rng)]
    by = [given[i] for i in _evenly(count, len(given), rng)]
    pitch, tract = np.exp(rng.normal(0, 0.08, count)), np.exp(rng.normal(0, 0.01, count))
    return [
        Utterance(word, voice, voice.f0 * float(p), voice.tract * float(t))
        for word, voice, p, t in zip(said, by, pitch, tract, strict=True)
    ]


def _evenly(count: int, of: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `count` of range(of) in random order, each as often as the others."""
    rounds = [rng.permutation(of) for _ in range(-(-count // of))]
    return rng.permutation(np.concatenate(rounds)[:count])


def synthesise(
    said: Sequence[Utterance], seconds: float = 0.32, seed: int = 0
) -> NDArray[np.float32]:
    """Return sound of utterances: (utterances, seconds · RATE), within ±1, in steps of 16 bits.

    The same utterance at the same place sounds the same, whatever stands after it.
    """
    samples = round(seconds * RATE)
    parts = [np.empty((0, samples), np.float32)]
    for first in range(0, len(said), AT_ONCE):
        some = said[first : first + AT_ONCE]
        rngs = [np.random.default_rng([seed, 2, first + i]) for i in range(len(some))]
        parts.append(_spoken(some, samples, rngs))
    return np.concatenate(parts)


def _spoken(
    said: Sequence[Utterance], samples: int, rngs: Sequence[np.random.Generator]
) -> NDArray[np.float32]:
    tracks = [_tracks(one, samples, rng) for one, rng in zip(said, rngs, strict=True)]
    pairs = zip(said, tracks, rngs, strict=True)
    source = np.stack([_source(one, track, samples, rng) for one, track, rng in pairs])
    sound = _filtered(source, np.stack(tracks)[:, :4])
    room = np.stack([rng.standard_normal(samples) for rng in rngs])
    sound *= 0.7 / np.abs(sound).max(axis=1, keepdims=True)
    steps: NDArray[np.float32] = (np.round((sound + FLOOR * room) * 32767) / 32768).astype(
        np.float32
    )
    return steps


def _tracks(one: Utterance, samples: int, rng: np.random.Generator) -> Floats:
    """F1 to F4 (Hz), voicing, and noise, every CONTROL samples: (6, settings)."""
    lengths = rng.uniform(0.85, 1.15, len(one.syllables))
    spoken = samples / RATE * rng.uniform(0.8, 0.95)
    ends = np.cumsum(lengths) / lengths.sum() * spoken + rng.uniform(0.05, 0.95) * (
        samples / RATE - spoken
    )
    starts = [ends[0] - spoken * lengths[0] / lengths.sum(), *ends[:-1]]
    knots = np.array([
        knot
        for syllable, start, end in zip(one.syllables, starts, ends, strict=True)
        for knot in _knots(syllable, start, end, rng)
    ])  # fmt: skip
    at = np.arange(-(-samples // CONTROL)) * CONTROL / RATE
    tracks = np.stack([np.interp(at, knots[:, 0], column) for column in knots[:, 1:].T])
    tracks[:4] *= one.tract
    return tracks


def _knots(
    syllable: str, start: float, end: float, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    """Where the tract stands at some times (s): time, F1 to F4, voicing, noise."""
    slip = rng.normal(1, 0.03, 3)  # nobody says a vowel twice alike
    first, second, third = (float(f) for f in np.multiply(VOWELS[syllable[1]], slip))
    locus = [rng.normal(1, 0.03) * f for f in LOCI[syllable[0]]]
    release = start + rng.uniform(0.02, 0.035)
    half = [(a + b) / 2 for a, b in zip((CLOSED, *locus), (first, second, third), strict=True)]
    loud = rng.uniform(0.3, 0.6)  # of the burst
    return [
        (start, CLOSED, *locus, HIGHEST, 0.02, 0),
        (release - 0.002, CLOSED, *locus, HIGHEST, 0.05, 0),
        (release, CLOSED, *locus, HIGHEST, 0.1, loud),
        (release + 0.008, CLOSED, *locus, HIGHEST, 0.5, 0.3 * loud),
        (release + 0.025, *half, HIGHEST, 1, 0),
        (release + 0.05, first, second, third, HIGHEST, 1, 0),
        (end - 0.03, first, second, third, HIGHEST, 1, 0),
        (end, first, second, third, HIGHEST, 0, 0),
    ]


def _source(one: Utterance, track: Floats, samples: int, rng: np.random.Generator) -> Floats:
    """Pulses of the glottis, breath and bursts, before the resonances: (samples,)."""
    at = np.arange(samples)
    slope = rng.uniform(0.01, 0.06)
    pitch = one.f0 * np.linspace(1 + slope, 1 - slope, samples)
    turns = np.cumsum(pitch) / RATE + rng.uniform()
    # All harmonics below half the rate, in closed form: sin(Mπφ) / (M sin πφ), M odd.
    terms = 2 * int(RATE / 2 / pitch.max()) - 1
    below = np.sin(np.pi * turns)
    flat = np.abs(below) < 1e-9
    pulses = np.where(flat, 1, np.sin(terms * np.pi * turns) / (terms * np.where(flat, 1, below)))
    settings = np.arange(track.shape[1]) * CONTROL
    voicing, noise = (np.interp(at, settings, row) for row in track[4:])
    hiss = rng.standard_normal(samples)
    return np.asarray(pulses * voicing + hiss * (0.1 * noise + one.voice.breath * voicing))


def _filtered(source: Floats, formants: Floats) -> Floats:
    """Send sources (n, samples) through resonances (n, 4, settings) and the slope of a voice."""
    radius = np.exp(-np.pi * np.array(WIDTHS) / RATE)[:, None]
    last = -(radius**2)
    before = 2 * radius * np.cos(2 * np.pi * formants / RATE)  # (n, 4, settings)
    gain = 1 - before - last
    sound = np.empty_like(source)
    one, two = np.zeros((2, 4, len(source)))  # outputs a sample ago, and two
    slope = np.zeros(len(source))
    for at, now in enumerate(np.ascontiguousarray(source.T)):
        # The glottis falls by 12 dB an octave, the lips give back 6.
        value = slope = 0.9 * slope + now
        for k in range(4):
            value = (
                gain[:, k, at // CONTROL] * value
                + before[:, k, at // CONTROL] * one[k] + last[k] * two[k]
            )  # fmt: skip
            two[k], one[k] = one[k], value
        sound[:, at] = value
    return sound
