"""Images and recordings: what a sample is when it is no text."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import xxhash
from numpy.typing import NDArray

from .errors import DatasetError
from .sequences import LazySequence

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = Literal["image", "audio"]
EXTENSIONS: dict[Kind, frozenset[str]] = {
    "image": frozenset(
        [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"]
    ),
    "audio": frozenset(
        [".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"]
    ),
}
PIECE = 1 << 20  # bytes read at once for a digest


def kind_of(name: str) -> Kind | None:
    """Tell an image or a recording by the end of its name; None for anything else."""
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122  # a third of the time of Path
    return next((kind for kind, known in EXTENSIONS.items() if ending in known), None)


@final
@dataclass(frozen=True)
class Media:
    """An image or a recording: a file, or bytes held by a data set.

    path: absolute path of the file; where `data` holds the bytes, a name for messages.
    stamp: (size, modification time in ns) the file had when the data set was read.
    """

    path: str
    kind: Kind
    data: bytes | None = field(default=None, repr=False)
    stamp: tuple[int, int] | None = None

    def load(self) -> "Image | tuple[NDArray[np.float32], int]":
        """Decode: an RGB image, upright, or a mono waveform (samples,) and its rate in Hz.

        The first frame of an animation; channels averaged. Raises DatasetError naming the
        file when it is missing, changed, corrupt, or has no pixel or sound in it.
        """
        found: Image | tuple[NDArray[np.float32], int]
        found = _image(self) if self.kind == "image" else _audio(self)
        return found

    def check(self) -> None:
        """Look at the header only; raises DatasetError as `load` does."""
        if self.kind == "image":
            _image(self, header=True)
        else:
            _audio(self, header=True)

    def digest(self) -> str:
        """xxh3-128 digest (32 hex digits) of the bytes."""
        hasher = xxhash.xxh3_128(self.data or b"")
        if self.data is None:
            with self._open() as file:
                while piece := file.read(PIECE):
                    hasher.update(piece)
        return str(hasher.hexdigest())

    def _open(self) -> Any:
        if self.data is not None:
            return io.BytesIO(self.data)
        try:
            file = Path(self.path).open("rb")  # noqa: SIM115  # closed by who asked for it
        except OSError as error:
            raise DatasetError(f"{self.path} cannot be read: {error.strerror}") from error
        if self.stamp is not None and file_stamp(os.fstat(file.fileno())) != self.stamp:
            file.close()
            raise DatasetError(f"{self.path} changed while it was in use; start again")
        return file

    def _bad(self, reason: object) -> DatasetError:
        said = (str(reason).strip().splitlines() or ["it cannot be decoded"])[0]
        said = said.replace(repr(self.path), "it")
        return DatasetError(
            f"{self.path}: no readable {self.kind} ({said}); mend it, or use --skip-bad to leave "
            f"such out"
        )


def file_stamp(found: os.stat_result) -> tuple[int, int]:
    """Return what tells that a file was changed: its size and modification time in ns."""
    return found.st_size, found.st_mtime_ns


def require(kind: Kind) -> None:
    """Raise DatasetError naming what to install where the decoder of a kind is missing."""
    try:
        import_module("PIL.Image" if kind == "image" else "soundfile")
    except (ImportError, OSError) as error:  # OSError: without the library that soundfile wraps
        package, extra = ("Pillow", "vision") if kind == "image" else ("soundfile", "audio")
        raise DatasetError(
            f"reading {kind} files needs {package}; pip install 'actlas[{extra}]'"
        ) from error


def _image(media: Media, header: bool = False) -> Any:
    require("image")
    from PIL import Image, ImageOps, UnidentifiedImageError

    with media._open() as file:
        try:
            with Image.open(file) as image:
                return None if header else _rgb(ImageOps.exif_transpose(image))
        except UnidentifiedImageError as error:
            raise media._bad("empty file" if _empty(file) else "of no known format") from error
        except Exception as error:  # decoders raise a dozen unrelated types
            raise media._bad(error) from error


def _rgb(image: Any) -> Any:
    """Convert to RGB; 16-bit grey is scaled, where Pillow would clip it at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype("u1"))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _audio(media: Media, header: bool = False) -> Any:
    require("audio")
    import soundfile

    with media._open() as file:
        if _empty(file):
            raise media._bad("empty file")
        try:
            with soundfile.SoundFile(file) as sound:
                if not sound.frames:
                    raise ValueError("no sound in it")
                wave = None if header else sound.read(dtype="float32", always_2d=True)
                rate = int(sound.samplerate)
        except Exception as error:
            raise media._bad(getattr(error, "error_string", error)) from error
    if wave is None:
        return None
    if not len(wave) or not np.isfinite(wave).all():
        raise media._bad("NaN or infinity in it" if len(wave) else "no sound in it")
    return wave.mean(1, dtype=np.float32), rate  # (samples,)


def _empty(file: Any) -> bool:
    empty: bool = file.seek(0, os.SEEK_END) == 0
    file.seek(0)
    return empty


@final
class MediaFiles(LazySequence[Media]):
    """The files of a folder by relative name, with the stamps they had when read.

    stamps: (samples, 2) int64 size and modification time.
    """

    def __init__(self, root: str, names: Sequence[str], kind: Kind, stamps: NDArray[np.int64]):
        self.root, self.names, self.kind, self.stamps = root, names, kind, stamps

    def __len__(self) -> int:
        return len(self.names)

    def _item(self, index: int) -> Media:
        size, changed = self.stamps[index].tolist()
        return Media(os.path.join(self.root, self.names[index]), self.kind, None, (size, changed))  # noqa: PTH118
