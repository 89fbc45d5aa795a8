"""What a user may say about how to read a data set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import final

from ..errors import DatasetError

TEXT_COLUMNS = ("text", "sentence", "content", "utterance", "question")
MEDIA_COLUMNS = ("image", "audio", "file", "path", "file_name", "filename")


@final
@dataclass(frozen=True)
class Choice:
    """Options of `read_dataset`, which explains them."""

    text: str | None = None
    media: str | None = None
    labels: Sequence[str] | None = None
    target: str | None = None
    decoder_text: str | None = None
    name_labels: str | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.text is not None and self.media is not None:
            raise DatasetError("a sample is a text or a file; use --text COLUMN or --media COLUMN")
        if self.target is not None and self.media is not None:
            raise DatasetError("--target names a word of a text; leave it out, or --media")


@final
class NameLabels:
    """Labels read off file names by a pattern such as {digit}_{speaker}_{take}."""

    def __init__(self, pattern: str):
        self.pattern = pattern
        pieces = re.split(r"\{(\w+)\}", pattern)
        self.names = pieces[1::2]
        if not self.names or len(set(self.names)) < len(self.names):
            raise DatasetError(
                f"pattern {pattern!r} names no label, or one twice; write --name-labels like "
                f"'{{digit}}_{{speaker}}_{{take}}'"
            )
        groups = [re.escape(p) if i % 2 == 0 else "([^/]+?)" for i, p in enumerate(pieces)]
        self._match = re.compile("".join(groups)).fullmatch

    def read(self, name: str) -> dict[str, str] | None:
        """Return the labels of a file, None where its name (without ending) does not fit.

        A pattern with a slash is held against the whole relative path.
        """
        path = PurePosixPath(name.replace("\\", "/")).with_suffix("")
        match = self._match(str(path) if "/" in self.pattern else path.name)
        return dict(zip(self.names, match.groups(), strict=True)) if match else None
