"""Samples: what rows were made of, to be given to the network again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from .datasets import Dataset
from .feeds import Encoded
from .models import LoadedModel
from .sites import Site


@final
@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of an extraction and how they were read; `acts.rows.sample` numbers them.

    pooling: what one row stands for: token, word, or one row a sample: mean, first, last.
    max_length: positions after which a sample was cut; None: the model's limit.
    """

    dataset: Dataset
    pooling: str = "mean"
    max_length: int | None = None

    @classmethod
    def of(
        cls,
        data: Dataset | Sequence[str],
        *,
        pooling: str = "mean",
        max_length: int | None = None,
    ) -> "Samples":
        """Wrap a data set, or texts."""
        dataset = data if isinstance(data, Dataset) else Dataset.of(data)
        return cls(dataset, pooling, max_length)

    def __len__(self) -> int:
        return len(self.dataset)

    def encoded(self, model: LoadedModel, site: Site, samples: Sequence[int]) -> list[Encoded]:
        """Return some samples as `model` reads them and as rows at `site` were made of them.

        `model.feed.collate` makes a batch of them. Raises DatasetError where a file is missing.
        """
        limit = min(self.max_length or model.max_length, model.max_length)
        return model.feed.encode(self.dataset, samples, site=site, max_length=limit)
