"""Folders of images or recordings: the first folder below is the class."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..datasets import Dataset
from ..errors import DatasetError, LabelError
from ..label_sets import Coder
from ..media import kind_of
from ..text import count, listing
from .choice import Choice
from .collect import SKIP_HINT
from .gather import MediaGatherer
from .source import unreadable


def read_folder(path: Path, choice: Choice) -> Dataset:
    """Read the images or recordings below a folder, in the order of their relative paths.

    Files in folders get the label set `class`, the name of the first folder; hidden files
    are passed over, files of other kinds too, with a note.
    """
    for option in ("text", "media", "target", "decoder_text"):
        if getattr(choice, option):
            said = f"--{option.replace('_', '-')}"
            raise DatasetError(f"{path} is a folder and has no columns; leave out {said}")
    names, others = _names(path)
    gatherer, classes, skipped = MediaGatherer(path, choice), Coder(), 0
    for name in names:
        place = len(gatherer)
        if fault := gatherer.put(name, place):
            if not choice.skip_bad:
                raise DatasetError(f"{fault}; {SKIP_HINT}")
            skipped += 1
        elif "/" in name:
            classes.put(place, name.partition("/")[0])
    if not len(gatherer):
        seen = f"{count(others, 'other file')} and no" if others else "no"
        raise DatasetError(
            f"{path} has {seen} readable image or recording in it; name a folder of such files, or "
            f"hf:{path} if a Hugging Face data set was saved there"
        )
    labels = classes.label_set("class")
    found = gatherer.dataset(
        path.resolve().name,
        {"class": labels} if len(labels.items) else {},
        skipped,
        notes=(f"passed over {count(others, 'file')} of other kinds in {path}",) if others else (),
    )
    return _with_labels(found, choice)


def _with_labels(found: Dataset, choice: Choice) -> Dataset:
    if choice.labels is None:
        return found
    if unknown := [name for name in choice.labels if name not in found.label_sets]:
        raise LabelError(
            f"{found.name}: no label set {unknown[0]!r}; it has {listing([*found.label_sets])}"
        )
    return replace(found, label_sets={n: found.label_sets[n] for n in choice.labels})


def _names(root: Path) -> tuple[list[str], int]:
    """Return relative paths of images and recordings, sorted, and the number of other files."""
    every = list(_files(str(root), "", ()))
    names = sorted(name for name in every if kind_of(name))
    return names, len(every) - len(names)


def _files(folder: str, relative: str, above: tuple[str, ...]) -> Iterator[str]:
    """Yield the files below a folder that are not hidden; links are followed, but not in circles.

    above: the real paths of the folders on the way here.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise unreadable(Path(folder), error) from error
    for entry in entries:
        if entry.is_dir():
            yield from _files(entry.path, f"{relative}{entry.name}/", (*above, real))
        else:
            yield relative + entry.name
