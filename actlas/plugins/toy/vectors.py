"""Feature vectors as lines of text, and a feed that gives them to a toy model.

A data set is texts. A sample of a toy model is a line that names the features that are there and
their activities, `f3=0.41 f17=-1.2`, or `0` where none is; so it can be read, searched and written
by hand, and every reader of data sets takes it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from actlas import Batch, Dataset, DatasetError, Encoded, Feed

from .samples import Values, draw

NOTHING = "0"  # a text may not be empty


def vector_text(x: NDArray[np.float32]) -> str:
    """Write features (features,) as a line; `vector_of` reads back the same numbers."""
    there = [f"f{i}={x[i]!s}" for i in np.flatnonzero(x)]
    return " ".join(there) or NOTHING


def vector_of(text: str, features: int) -> NDArray[np.float32]:
    """Read a line as features (features,), or raise DatasetError."""
    x = np.zeros(features, np.float32)
    for word in [] if text.strip() == NOTHING else text.split():
        name, _, value = word.partition("=")
        try:
            place, number = int(name.removeprefix("f")), float(value)
        except ValueError:
            raise _unreadable(word, features) from None
        if not 0 <= place < features or not np.isfinite(number) or not name.startswith("f"):
            raise _unreadable(word, features)
        x[place] = number
    return x


def _unreadable(word: str, features: int) -> DatasetError:
    return DatasetError(
        f"{word[:30]!r} is no feature of this toy model; a sample is a line like "
        f"`f0=0.5 f{features - 1}=-1.2`, or `0`; `actlas train toy` writes such a file"
    )


def sample_vectors(
    features: int, values: Values, density: float, rows: int, seed: int
) -> NDArray[np.float32]:
    """Draw feature vectors (rows, features) as the model meets them in training."""
    import torch

    draws = torch.Generator().manual_seed(seed)
    drawn: NDArray[np.float32] = draw(values, torch.tensor(density), rows, features, draws).numpy()
    return drawn


def write_vectors(path: Path, vectors: NDArray[np.float32]) -> None:
    """Write JSON Lines: `text`; as labels the `strongest` feature and how many are `active`."""
    path.write_text("".join(_records(vectors)), "utf-8")


def _records(vectors: NDArray[np.float32]) -> Iterator[str]:
    for x in vectors:
        strongest = f"f{np.abs(x).argmax()}" if x.any() else None
        record = {"text": vector_text(x), "strongest": strongest, "active": int((x != 0).sum())}
        yield json.dumps(record) + "\n"


@final
class VectorFeed(Feed):
    """Gives a toy model feature vectors; a sample is one row."""

    def __init__(self, features: int):
        super().__init__()
        self._features = features

    def encode(self, dataset: Dataset, samples: Sequence[int], **options: object) -> list[Encoded]:
        """Read lines of features; see `Feed.encode`."""
        none, special = np.full(1, -1), np.zeros(1, bool)
        found = []
        for sample in samples:
            text = dataset.texts[sample]
            x = vector_of(text, self._features)
            one = Encoded(sample, text, x, 1, none, none, special, names=[None], whole=True)
            found.append(one)
        return found

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Stack vectors (batch, features)."""
        import torch

        x = torch.from_numpy(np.stack([one.inputs for one in encoded]))
        return Batch({}, (len(encoded), 1), (x,))

    def example(self) -> Batch:
        """Return two vectors: every feature at once, and at half of it."""
        import torch

        return Batch({}, (2, 0), (torch.tensor([[1.0], [0.5]]).expand(2, self._features),))
