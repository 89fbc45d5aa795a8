"""Synthetic speech."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_speech(folder: str | Path, **options: Any) -> Mapping[str, Any]:
    """Write spoken syllables of made-up voices into a folder, and return what was made.

    options: clips, syllables, seconds, speakers, seed and force; see
        `actlas.plugins.sim.corpus.write_speech`.

    Returns table (a data set whose labels are the truth), clips, seconds of each, voices and words.
    """
    from ..plugins.sim.corpus import write_speech as written

    done = written(folder, **options)
    return {
        "table": str(done.table), "clips": len(done.said), "seconds": done.seconds,
        "voices": len({one.voice for one in done.said}),
        "words": len({one.word for one in done.said}),
    }  # fmt: skip
