"""Images and recordings: files that are opened when they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from .errors import DatasetError


@final
@dataclass(frozen=True)
class Media:
    """An image or a recording in a file."""

    path: str
    kind: Literal["image", "audio"]

    def load(self) -> Any:
        """Return an RGB PIL image, or a mono waveform (n,) in float32 with its rate in Hz."""
        return _load_image(self.path) if self.kind == "image" else _load_audio(self.path)


def _load_image(path: str) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DatasetError("images need Pillow; pip install 'actlas[vision]'") from error
    try:
        with Image.open(Path(path)) as image:
            return image.convert("RGB")
    except OSError as error:
        raise DatasetError(f"{path} is no image that can be read") from error


def _load_audio(path: str) -> tuple[Any, int]:
    try:
        import soundfile
    except ImportError as error:
        raise DatasetError("recordings need soundfile; pip install 'actlas[audio]'") from error
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DatasetError(f"{path} is no recording that can be read") from error
    return np.ascontiguousarray(wave.mean(axis=1)), int(rate)
