"""Any torch module: its factory's collate function makes the arguments of the forward pass."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..datasets import Dataset, Modality
from ..errors import DatasetError, InputError, ModelError
from ..sites import Site
from .base import Batch, Encoded, Feed, OnLong, batch_shape, loaded, unnamed

if TYPE_CHECKING:
    import torch

MEDIA_TOKENS = 196  # an image or recording counts in a batch at least as a ViT's image does
TEXTS = ["The cat sat on the mat.", "The dog sat on the rug."]  # of one length by any measure


@final
class TorchFeed(Feed):
    """Gives a network what `collate` makes of samples.

    collate: takes a list of samples (str, RGB PIL image, or (waveform (n,) float32, rate in Hz))
        and returns a tensor, a tuple, or a dict of forward arguments. A dict may hold
        attention_mask (batch, length), 1 for real positions and 0 for padding at the end; without
        it all samples have the length of the traced ones.
    forward: the network's forward; it is given attention_mask only if it takes one.
    """

    def __init__(
        self,
        collate: Callable[[list[Any]], Any],
        modality: Modality = "text",
        forward: Callable[..., Any] | None = None,
    ):
        super().__init__()
        self.modality, self._collate, self._forward = modality, collate, forward
        self._masked = False

    def encode(
        self,
        dataset: Dataset,
        samples: Sequence[int],
        *,
        site: Site,
        max_length: int,
        on_long: OnLong = "truncate",
    ) -> list[Encoded]:
        """Load samples and count their positions; see `Feed.encode`."""
        if max_length < self.max_length:
            raise InputError("collate decides what is cut; leave --max-length out")
        return [self._encode(dataset, sample, site) for sample in samples]

    def _encode(self, dataset: Dataset, sample: int, site: Site) -> Encoded:
        text = dataset.texts[sample]
        value = text if self.modality == "text" else loaded(dataset, sample)
        mask = self._mask(self._made([value])) if self._masked else None
        count = prod(site.frame) if mask is None else self._length(mask[0], text)
        least = MEDIA_TOKENS if self.modality != "text" else 1 + len(text) // 4
        one = Encoded(sample, text, value, max(count, least), **unnamed(count))
        return one.as_one() if site.whole else one

    def _length(self, mask: "torch.Tensor", text: str) -> int:
        real = np.flatnonzero(mask.cpu().numpy())
        if not len(real) or real[-1] + 1 != len(real):
            raise DatasetError(
                f"the attention_mask of {text[:30]!r} is not ones and then zeros; pad at the end"
            )
        return len(real)

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Hand some samples to `collate`."""
        made = self._made([one.inputs for one in encoded])
        mask = self._mask(made)
        count, length = batch_shape(encoded)
        if mask is not None and not all(one.whole for one in encoded):
            for row, one in zip(mask, encoded, strict=True):
                self._length(row, one.text)
            length = mask.shape[1]
        return self._batch(made, (count, length))

    def example(self) -> Batch:
        """Return two texts, images or recordings."""
        made = self._made(_examples(self.modality))
        mask = self._mask(made)
        self._masked = mask is not None
        return self._batch(made, (2, 0 if mask is None else mask.shape[1]))

    def _made(self, samples: list[Any]) -> Any:
        try:
            return self._collate(samples)
        except Exception as error:  # whatever a stranger's function raises
            raise ModelError(f"collate fails: {type(error).__name__}: {error}") from error

    def _mask(self, made: Any) -> "torch.Tensor | None":
        return made.get("attention_mask") if isinstance(made, Mapping) else None

    def _batch(self, made: Any, shape: tuple[int, int]) -> Batch:
        if isinstance(made, Mapping):
            return Batch({n: t for n, t in made.items() if self._takes(n)}, shape)
        return Batch({}, shape, tuple(made) if isinstance(made, tuple | list) else (made,))

    def _takes(self, name: str) -> bool:
        if name != "attention_mask" or self._forward is None:
            return True
        parameters = inspect.signature(self._forward).parameters
        return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _examples(modality: Modality) -> list[Any]:
    rng = np.random.default_rng(0)
    if modality == "image":
        from PIL import Image

        return [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(2)]
    if modality == "audio":
        return [(rng.standard_normal(9600).astype(np.float32) / 10, 16000) for _ in range(2)]
    return TEXTS
