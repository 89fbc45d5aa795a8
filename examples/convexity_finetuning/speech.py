"""Words spoken by a formant synthesiser: real sound, invented voices.

Source and filter in one (additive synthesis): the harmonics of a gliding pitch, weighed by the
resonances of a vocal tract that moves from phone to phone, and noise for fricatives and bursts.
Steady formants are the means of men's vowels of Peterson & Barney (1952).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE, SECONDS = 8000, 0.7
SAMPLES = int(RATE * SECONDS)
HARMONICS = 40
CONTROL = 40  # samples between two settings of the resonances
WIDTHS = np.array([80.0, 100.0, 130.0])  # of the resonances, Hz

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Phone:
    """A sound: formants (Hz), how loud voice and noise are, where the noise lies, how long."""

    formants: tuple[float, float, float]
    voice: float = 1.0
    noise: float = 0.0
    centre: float = 2500.0  # Hz
    share: float = 1.0  # of time, before that of the word is shared out


PHONES = {
    "i": Phone((270, 2290, 3010)), "e": Phone((530, 1840, 2480)), "a": Phone((730, 1090, 2440)),
    "o": Phone((570, 840, 2410)), "u": Phone((300, 870, 2240)),
    "m": Phone((250, 1100, 2200), 0.4, share=0.5), "n": Phone((250, 1600, 2600), 0.4, share=0.5),
    "l": Phone((360, 1300, 2700), 0.6, share=0.5), "r": Phone((420, 1300, 1600), 0.6, share=0.5),
    "s": Phone((400, 1700, 2600), 0.0, 0.5, 3600, 0.7),
    "f": Phone((400, 1200, 2400), 0.0, 0.25, 2200, 0.7),
    "p": Phone((300, 800, 2200), 0.0, 0.3, 900, 0.25),
    "t": Phone((300, 1700, 2600), 0.0, 0.4, 3400, 0.25),
    "k": Phone((300, 1900, 2300), 0.0, 0.4, 1900, 0.25),
}  # fmt: skip
# Many share all but one sound, so that some are mistaken for each other.
WORDS = (
    "sima", "simo", "sema", "fima", "nilo", "niro", "pato", "kato", "pako", "tupe", "tuke", "kupe",
    "mal", "mar", "nal", "sul", "ful", "suli",
)  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """A voice: pitch (Hz), length of the vocal tract (formants are divided by it), hoarseness."""

    pitch: float
    tract: float
    hoarse: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Speaker":
        """Draw one: low voices come with long tracts."""
        pitch = float(rng.uniform(90, 240))
        tract = 1.08 - 0.25 * (pitch - 90) / 150 + rng.normal(0, 0.03)
        return cls(pitch, float(tract), float(rng.uniform(0.005, 0.03)))


def speak(
    words: Sequence[str], speakers: Sequence[Speaker], rng: np.random.Generator, snr: float
) -> NDArray[np.float32]:
    """Say each word by the speaker beside it: (words, samples), in steps of 16 bits.

    snr: of the white noise around it, dB.
    """
    pairs = zip(words, speakers, strict=True)
    waves = np.stack([_word(word, speaker, rng) for word, speaker in pairs])
    loudness = np.sqrt((waves**2).mean(axis=1, keepdims=True))
    waves += rng.standard_normal(waves.shape) * loudness * 10 ** (-snr / 20)
    waves *= 0.7 / np.abs(waves).max(axis=1, keepdims=True)
    steps: NDArray[np.float32] = (np.round(waves * 32767) / 32768).astype(np.float32)
    return steps


def _word(word: str, speaker: Speaker, rng: np.random.Generator) -> Floats:
    phones = [PHONES[letter] for letter in word]
    spoken = int(SAMPLES * rng.uniform(0.6, 0.9))
    start = int(rng.uniform(0, SAMPLES - spoken))
    shares = np.array([phone.share for phone in phones]) * rng.uniform(0.8, 1.25, len(phones))
    ends = np.cumsum(shares) / shares.sum() * spoken
    middles = ends - np.diff(ends, prepend=0) / 2
    time = np.arange(spoken)

    def track(values: Sequence[float]) -> Floats:
        return np.interp(time, middles, values)

    slip = rng.normal(1, 0.04, 3)  # nobody says a word twice alike
    formants = np.stack([track([p.formants[i] for p in phones]) for i in range(3)])
    formants *= slip[:, None] / speaker.tract
    voice, noise = track([p.voice for p in phones]), track([p.noise for p in phones])
    breath = _noises(phones, ends, spoken, rng) * (noise + speaker.hoarse)
    sound = np.zeros(SAMPLES)
    fade = np.minimum(1, np.minimum(time, spoken - time) / (0.02 * RATE))
    sound[start : start + spoken] = (_voiced(formants, speaker, rng) * voice + breath) * fade
    return sound


def _voiced(formants: Floats, speaker: Speaker, rng: np.random.Generator) -> Floats:
    """Harmonics of a falling pitch under the resonances (3, samples)."""
    samples = formants.shape[1]
    pitch = speaker.pitch * rng.normal(1, 0.05) * np.linspace(1.05, 0.9, samples)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    time = np.arange(samples)
    slow = time[::CONTROL]  # resonances move slowly
    sound, twice = np.zeros(samples), 2 * np.cos(phase)
    wave, before = np.sin(phase), np.zeros(samples)
    for number in range(1, HARMONICS + 1):
        frequency = number * pitch[::CONTROL]
        if frequency.min() > RATE / 2:
            break
        far = (frequency - formants[:, ::CONTROL]) / (WIDTHS[:, None] / 2)
        weight = (1 / np.hypot(far, 1)).sum(axis=0) * (frequency < RATE / 2) / np.sqrt(number)
        sound += np.interp(time, slow, weight) * wave
        wave, before = twice * wave - before, wave  # sin (n + 1)φ
    found: Floats = sound / (np.abs(sound).max() + 1e-9)
    return found


def _noises(
    phones: Sequence[Phone], ends: Floats, samples: int, rng: np.random.Generator
) -> Floats:
    """Noise of each phone around its centre, one after the other."""
    frequency = np.fft.rfftfreq(samples, 1 / RATE)
    white = np.fft.rfft(rng.standard_normal(samples))
    sound, time = np.zeros(samples), np.arange(samples)
    for i, phone in enumerate(phones):
        here = (time >= (ends[i - 1] if i else 0)) & (time < ends[i])
        band = np.exp(-0.5 * ((frequency - phone.centre) / 600) ** 2)
        sound[here] = np.fft.irfft(white * band, samples)[here]
    return sound
