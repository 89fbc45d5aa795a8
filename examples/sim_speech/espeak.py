"""Syllables by eSpeak NG, where `espeakng-loader` is installed (GPL: no dependency of actlas)."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOICES = ("m1", "f1", "m2", "f2", "m3", "f3", "m4", "f4", "m5", "f5", "m6", "m7")
PITCHES, RATES = (35, 45, 55, 65), (160, 175, 190)  # its own scale of 0 to 100; words a minute
VOWELS = {"a": "A:", "i": "i:", "u": "u:"}  # in its phoneme names
# Of speak_lib.h.
SYNCHRONOUS, RATE, PITCH, PHONEMES, UTF8 = 2, 1, 3, 0x100, 1


@dataclass(frozen=True)
class Order:
    """What to say: syllables such as ba, by which voice, how high and how fast."""

    syllables: tuple[str, ...]
    voice: str
    pitch: int
    rate: int


def installed() -> bool:
    """Tell whether eSpeak NG is there."""
    from importlib.util import find_spec

    return find_spec("espeakng_loader") is not None


def say(orders: Sequence[Order], samples: int, rate: int) -> NDArray[np.float32]:
    """Say each, resampled to `rate`, cut or filled up with silence: (orders, samples)."""
    from scipy.signal import resample_poly

    library, heard, native = _library()
    sounds = np.zeros((len(orders), samples), np.float32)
    for sound, order in zip(sounds, orders, strict=True):
        heard.clear()
        library.espeak_SetVoiceByName(f"en+{order.voice}".encode())
        library.espeak_SetParameter(PITCH, order.pitch, 0)
        library.espeak_SetParameter(RATE, order.rate, 0)
        text = "".join(s[0] + VOWELS[s[1]] for s in order.syllables)
        given = f"[[{text}]]".encode()
        library.espeak_Synth(given, len(given) + 1, 0, 0, 0, PHONEMES | UTF8, None, None)
        wave = np.concatenate(heard) / 32768
        common = np.gcd(rate, native)
        made = resample_poly(wave, rate // common, native // common)[:samples]
        sound[: len(made)] = made
    # The room: digital silence has no logarithm.
    room = np.random.default_rng(0).standard_normal(sounds.shape) * 1e-3
    steps: NDArray[np.float32] = np.clip(sounds * 0.7 + room, -1, 1).astype(np.float32)
    return steps


@cache
def _library() -> tuple[Any, list[NDArray[np.int16]], int]:
    """Load the library once a process: it, the pieces it has spoken, its sampling rate."""
    import espeakng_loader

    library: Any = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    data = str(espeakng_loader.get_data_path()).encode()
    native = int(library.espeak_Initialize(SYNCHRONOUS, 0, data, 0))
    heard: list[NDArray[np.int16]] = []
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    def keep(wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            heard.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    library.kept = kind(keep)  # the library holds only its address
    library.espeak_SetSynthCallback(library.kept)
    return library, heard, native
