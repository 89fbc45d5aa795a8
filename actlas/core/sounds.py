"""Sounds: the waveforms that a result holds, as WAV files."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .media import require
from .results import Result


def write_sounds(result: Result, folder: str | Path) -> list[Path]:
    """Write the sounds of a result into a folder, one 16-bit WAV file each.

    A result holds sound in the arrays waves (clips, samples), wave_names (clips,) and wave_rate
    (1,) in Hz. A clip that goes beyond ±1 is scaled down to it, others are as they are. Returns
    the files; raises InputError where there is no sound, or a file is there already.
    """
    names, waves = result.arrays.get("wave_names"), result.arrays.get("waves")
    if names is None or waves is None or not len(waves):
        raise InputError(
            "this result holds no sound; run sim_decode on recordings, where something can be "
            "decoded"
        )
    require("audio")
    import soundfile

    rate, root = int(result.arrays["wave_rate"][0]), Path(folder)
    paths = [root / f"{i:02d}-{_plain(name)}.wav" for i, name in enumerate(names.tolist())]
    taken = [path for path in paths if path.exists()]
    if taken:
        raise InputError(f"{taken[0]} is there already; name another folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root} cannot be made: {error.strerror}; name another folder") from error
    for path, wave in zip(paths, waves, strict=True):
        loud: Any = max(1.0, float(np.abs(wave).max()))
        soundfile.write(path, wave / loud, rate, subtype="PCM_16")
    return paths


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-")
