"""Images: resized and normalized by the checkpoint's processor; rows are patches."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset
from ..errors import DatasetError, InputError, ModelError
from ..sites import Frame, Site
from .base import Batch, Encoded, Feed, OnLong, batch_shape, loaded, stacked, unnamed

PIXELS_A_TOKEN = 256  # an image counts in a batch as if cut into patches of 16 × 16


@final
class ImageFeed(Feed):
    """Gives a network the pixels of images.

    processor: an image processor of transformers.
    config: the network's configuration: patch size, registers.
    """

    modality = "image"

    def __init__(self, processor: Any, config: Any):
        super().__init__()
        self.processor, self.config = processor, config
        self._example: dict[str, NDArray[Any]] = {}

    def encode(
        self,
        dataset: Dataset,
        samples: Sequence[int],
        *,
        site: Site,
        max_length: int,
        on_long: OnLong = "truncate",
    ) -> list[Encoded]:
        """Load and preprocess images; see `Feed.encode`."""
        if max_length < self.max_length:
            raise InputError("an image cannot be cut at a length; leave --max-length out")
        columns = self._positions(site)
        count = len(columns["starts"])
        encoded = []
        for sample in samples:
            inputs = self._process(loaded(dataset, sample))
            shape = self._pixels.shape
            if inputs[self._main].shape != shape:
                raise DatasetError(
                    f"{dataset.texts[sample]} becomes {inputs[self._main].shape}, others "
                    f"{shape}; resize the images to one size first"
                )
            weight = max(1, count, prod(shape[-2:]) // PIXELS_A_TOKEN)
            encoded.append(Encoded(sample, dataset.texts[sample], inputs, weight, **columns))
        return encoded

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Stack the pixels of some images."""
        return Batch(stacked([one.inputs for one in encoded]), batch_shape(encoded))

    def example(self) -> Batch:
        """Return two images of noise."""
        noise = [self._noise(seed) for seed in (0, 1)]
        return Batch(stacked(noise), (2, 0))

    @property
    def _main(self) -> str:
        return str(self.processor.model_input_names[0])

    @property
    def _pixels(self) -> NDArray[Any]:
        if not self._example:
            self._example = self._noise(0)
        return self._example[self._main]

    def _noise(self, seed: int) -> dict[str, NDArray[Any]]:
        from PIL import Image

        size = getattr(self.config, "image_size", None)
        height, width = (size, size) if isinstance(size, int) else (224, 224)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        return self._process(Image.fromarray(pixels))

    def _process(self, image: Any) -> dict[str, NDArray[Any]]:
        made: Mapping[str, Any] = self.processor(images=[image], return_tensors="np")
        return {name: np.asarray(made[name][0]) for name in made}

    def _positions(self, site: Site) -> dict[str, Any]:
        """Say what the positions of an image at a site are."""
        if site.whole:
            return unnamed(1)
        names, special = self._names(site.frame)
        return unnamed(prod(site.frame)) | {"special": special, "names": names}

    def _names(self, frame: Frame) -> tuple[list[str | None], NDArray[np.bool_]]:
        if len(frame) == 2:
            return _grid(*frame), np.zeros(prod(frame), bool)
        rows, columns = self._patches(frame[0])
        extra = frame[0] - rows * columns
        ahead: list[str | None] = ["[CLS]", *(f"[REG{i}]" for i in range(extra - 1))]
        if "deit" in str(getattr(self.config, "model_type", "")) and extra == 2:
            ahead = ["[CLS]", "[DIST]"]
        named: list[str | None]
        named = [*ahead[:extra], *_grid(rows, columns)] if rows else [None] * frame[0]
        return named, np.arange(frame[0]) < (extra if rows else 0)

    def _patches(self, length: int) -> tuple[int, int]:
        """Return rows and columns of the patches in `length` positions, (0, 0) if not known.

        What is over stands before them: the class token and registers.
        """
        height, width = self._pixels.shape[-2:]
        size = getattr(self.config, "patch_size", None)
        registers = int(getattr(self.config, "num_register_tokens", 0) or 0)
        extra = (1 + registers, 2, 1, 0)
        if isinstance(size, int):
            grid = (height // size, width // size)
            if length - prod(grid) in extra:
                return grid
        root = round((length * height / width) ** 0.5)  # stages that merge patches
        grid = (root, length // root) if root else (0, 0)
        return grid if prod(grid) == length and root * width == grid[1] * height else (0, 0)


def _grid(rows: int, columns: int) -> list[str | None]:
    return [f"r{row}c{column}" for row in range(rows) for column in range(columns)]


def image_processor(folder: Any, trust_remote_code: bool) -> Any:
    """Load a checkpoint's image processor.

    On numpy and Pillow, wherever there is such a version: numbers do not depend on whether
    torchvision is installed, and nothing more is needed.
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ModelError("a model of images needs Pillow; pip install 'actlas[vision]'") from error
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            folder, backend="pil", trust_remote_code=trust_remote_code
        )
    except (ImportError, ValueError) as error:
        if "torchvision" in str(error):
            raise ModelError(
                f"the image processor of {folder} exists for torchvision only; pip install "
                f"torchvision"
            ) from error
        raise
