"""Gathering the images or recordings of a data set, checked one by one."""

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from ..datasets import Dataset
from ..errors import DatasetError
from ..label_sets import Coder, LabelSet
from ..media import EXTENSIONS, Kind, Media, MediaFiles, file_stamp, kind_of, require
from ..sequences import Packed, as_array
from ..text import listing, text_fault
from .choice import Choice, NameLabels


@final
class NameCoder:
    """Label sets from the names of files, where the choice has a pattern for them."""

    def __init__(self, choice: Choice):
        self._names = None if choice.name_labels is None else NameLabels(choice.name_labels)
        self._coders = {name: Coder() for name in self._names.names} if self._names else {}

    def fault(self, name: str) -> str | None:
        """Say what is wrong with a name."""
        if self._names is None or self._names.read(name) is not None:
            return None
        return f"{name} does not fit --name-labels {self._names.pattern!r}"

    def put(self, place: int, name: str) -> None:
        """Take the labels of a name that fits."""
        for label, value in ((self._names and self._names.read(name)) or {}).items():
            self._coders[label].put(place, value)

    def label_sets(self) -> dict[str, LabelSet]:
        """Return the label sets found."""
        return {name: coder.label_set(name) for name, coder in self._coders.items()}


@final
class MediaGatherer:
    """Takes file names one by one; keeps names and stamps of those that can be used."""

    def __init__(self, root: Path, choice: Choice):
        self._root, self._choice = str(root.resolve()), choice
        self._names, self._stamps = Packed(), array("q")
        self._kind: Kind | None = None
        self._coder = NameCoder(choice)

    def put(self, name: Any, place: int) -> str | None:
        """Take the next file; return what is wrong with it. Raises where kinds are mixed."""
        if fault := text_fault(name):
            return f"the path {name!r} {fault}"
        path = os.path.join(self._root, name)  # noqa: PTH118  # names come by the million
        kind = kind_of(name)
        if kind is None:
            return f"{path} is no image or recording; one ends in {_endings()}"
        if self._kind is None:
            require(kind)
        elif self._kind != kind:
            raise DatasetError(
                f"{self._root} mixes images and recordings ({self._names[0]}, {name}); read one "
                f"kind at a time"
            )
        try:
            stamp = file_stamp(os.stat(path))  # noqa: PTH116
            check(Media(path, kind, None, stamp), self._choice)
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
        except DatasetError as error:
            return str(error).partition("; ")[0]
        if fault := self._coder.fault(name):
            return fault
        self._coder.put(len(self._names), name)
        self._kind = kind
        self._names.append(name)
        self._stamps.extend(stamp)
        return None

    def __len__(self) -> int:
        return len(self._names)

    def dataset(
        self,
        name: str,
        sets: dict[str, LabelSet],
        skipped: int,
        targets: Sequence[str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> Dataset:
        """Make the data set of the files taken; there is at least one."""
        assert self._kind is not None
        stamps = as_array(self._stamps).reshape(-1, 2)
        media = MediaFiles(self._root, self._names, self._kind, stamps)
        sets = sets | self._coder.label_sets()
        return Dataset(name, self._names, sets, None, skipped, self._kind, media, targets, notes)


def check(media: Media, choice: Choice) -> None:
    """Look at the header; where bad files are to be left out, decode the whole."""
    if choice.skip_bad:
        media.load()
    else:
        media.check()


def _endings() -> str:
    return listing([e for known in EXTENSIONS.values() for e in sorted(known)], 40)
