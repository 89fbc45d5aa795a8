"""`actlas speech`: spoken syllables whose truth is known."""

from pathlib import Path
from typing import Any

import click

from .common import json_option, print_record


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", default=900, show_default=True, help="Recordings to make.")
@click.option("--syllables", default=1, show_default=True, help="Syllables of a word.")
@click.option("--seconds", type=float,
              help="Of a clip (default: 0.32 for one syllable, else 0.64/3 each).")  # fmt: skip
@click.option("--voices", "speakers", default=9, show_default=True, help="Speakers.")
@click.option("--seed", default=0, show_default=True, help="Of voices, words and sounds.")
@click.option("--force", is_flag=True, help="Replace what an earlier call has written there.")
@json_option
def speech(folder: Path, as_json: bool, **options: Any) -> None:
    """Write a FOLDER of synthetic speech: WAV of 16 kHz and clips.csv with the truth of each.

    A formant synthesiser says ba, bi, … gu in made-up voices. Labels: word, consonant, vowel,
    voice, f0 (pitch, Hz) and tract (what multiplies the formants). FOLDER/clips.csv is a data set:
    extract it, or train on it.
    """
    from ..api.speech import write_speech

    print_record(write_speech(folder, **options), as_json)
