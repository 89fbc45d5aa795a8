"""Files of matrices that other tools wrote, read in blocks: npy, npz, safetensors, HDF5."""

import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ..core import InputError, listing

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".npy", ".npz", ".safetensors", ".h5", ".hdf5")
# What an npz of `actlas export` holds beside its sites; ABOUT says what the activations are.
ROWS, LABELS, TEXTS, ABOUT = "rows/", "labels/", "texts", "actlas"
OCCURRENCE = re.compile(r" \(Occurrence \d+\)$")
KIND = re.compile(r"^[A-Z]+")  # of safetensors: F32, BF16, F8_E4M3
TENSOR_KINDS = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint", "BOOL": "bool"}
LARGEST = 1 << 24  # whole numbers up to here are exact in float32


class Matrix(ABC):
    """A matrix (rows, width) in a file; blocks are read one after the other."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @abstractmethod
    def read(self, start: int, stop: int) -> "Tensor":
        """Rows start…stop (stop - start, width), floating point, in the file's precision."""


@dataclass(frozen=True)
class MatrixFile:
    """What a file holds: arrays by name, and what it says of the rows, by column."""

    name: str
    arrays: dict[str, Matrix]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@contextmanager
def open_matrices(path: Path) -> Iterator[MatrixFile]:
    """Open a file of matrices; InputError where it cannot be read as what its name says."""
    if not path.is_file():
        raise InputError(f"no file {path}; name one that ends in {listing(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"cannot tell how to read {path}; its name should end in {listing(SUFFIXES)}"
        )
    with ExitStack() as stack:
        try:
            opened = OPENERS[path.suffix](path, stack)
        except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: {_first_line(error)}; is it whole, and what it says?") from (
                error
            )
        yield opened


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def tensor_of(array: NDArray[Any], name: str) -> "Tensor":
    """Make a floating point tensor of an array of real numbers, whole ones exact in float32."""
    import torch

    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if native.dtype.kind in "iub":
        if native.size and (int(native.max()) > LARGEST or int(native.min()) < -LARGEST):
            raise InputError(f"{name}: whole numbers beyond ±2²⁴ are not exact in float32")
        native = native.astype(np.float32)
    return torch.from_numpy(native if native.flags.writeable else native.copy())


@final
class ArrayMatrix(Matrix):
    """Anything that is sliced like an array: a memory map, an HDF5 data set."""

    def __init__(self, name: str, array: Any):
        self.name, self.array = name, array
        self.shape, self.dtype = tuple(array.shape), array.dtype.name

    def read(self, start: int, stop: int) -> "Tensor":
        """See `Matrix.read`."""
        return tensor_of(np.asarray(self.array[start:stop]), self.name)


@final
class ZippedMatrix(Matrix):
    """An array in an npz, compressed or not, read from its beginning on."""

    def __init__(self, name: str, archive: zipfile.ZipFile, member: str):
        self.name, self._archive, self._member = name, archive, member
        self._open()

    def _open(self) -> None:
        self._file = self._archive.open(self._member)
        header = np.lib.format
        version = header.read_magic(self._file)
        read = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
        self.shape, self._by_column, self._kind = read(self._file)
        self.dtype, self._row = self._kind.name, 0

    def read(self, start: int, stop: int) -> "Tensor":
        """See `Matrix.read`; going back begins again."""
        if self._by_column:  # its rows are not together
            return tensor_of(self.whole()[start:stop], self.name)
        if start < self._row:
            self.close()
            self._open()
        row_bytes = self._kind.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        if start > self._row:
            self._file.seek((start - self._row) * row_bytes, 1)
        data = self._file.read((stop - start) * row_bytes)
        if len(data) != (stop - start) * row_bytes:
            raise InputError(f"{self.name} ends before its last row; the file is damaged")
        self._row = stop
        array = np.frombuffer(data, self._kind).reshape(stop - start, *self.shape[1:])
        return tensor_of(array, self.name)

    def close(self) -> None:
        """Close what is open."""
        self._file.close()

    def whole(self) -> NDArray[Any]:
        """The array, in memory."""
        with self._archive.open(self._member) as file:
            return np.lib.format.read_array(file)


@final
class TensorMatrix(Matrix):
    """A tensor in a safetensors file."""

    def __init__(self, name: str, file: Any):
        self.name, self._slice = name, file.get_slice(name)
        self.shape = tuple(self._slice.get_shape())
        code = self._slice.get_dtype()
        self.dtype = KIND.sub(lambda found: TENSOR_KINDS.get(found[0], found[0]), code)

    def read(self, start: int, stop: int) -> "Tensor":
        """See `Matrix.read`."""
        part: Tensor = self._slice[start:stop]
        return part if part.is_floating_point() else tensor_of(part.numpy(), self.name)


@final
class SentencesMatrix(Matrix):
    """One layer of a NeuroX file: an HDF5 data set (layers, tokens, width) a sentence."""

    def __init__(self, name: str, file: Any, sentences: Sequence[str], layer: int):
        self.name, self._layer = name, layer
        self._data = [file[sentence] for sentence in sentences]
        self._ends = np.cumsum([data.shape[-2] for data in self._data])
        self.shape = (int(self._ends[-1]), int(self._data[0].shape[-1]))
        self.dtype = self._data[0].dtype.name

    def read(self, start: int, stop: int) -> "Tensor":
        """See `Matrix.read`."""
        parts = []
        sentence = int(np.searchsorted(self._ends, start, "right"))
        while start < stop:
            first = int(self._ends[sentence]) - self._data[sentence].shape[-2]
            end = min(stop, int(self._ends[sentence]))
            data, wanted = self._data[sentence], slice(start - first, end - first)
            parts.append(data[self._layer, wanted] if data.ndim == 3 else data[wanted])
            start, sentence = end, sentence + 1
        return tensor_of(np.concatenate(parts), self.name)


def _open_npy(path: Path, stack: ExitStack) -> MatrixFile:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("it does not begin as an npy file does")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return MatrixFile(path.stem, {path.stem: ArrayMatrix(path.stem, array)})


def _open_npz(path: Path, stack: ExitStack) -> MatrixFile:
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
    arrays = {
        name: stack.enter_context(closing(ZippedMatrix(name, archive, member)))
        for name, member in members.items()
    }
    beside = {n: a for n, a in arrays.items() if n.startswith((ROWS, LABELS)) or n == TEXTS}
    columns = {n.partition("/")[2]: a.whole().tolist() for n, a in beside.items() if n != TEXTS}
    if TEXTS in beside and "sample" in columns:
        texts = arrays[TEXTS].whole().tolist()
        columns["text"] = [texts[sample] for sample in columns["sample"]]
    others: dict[str, Matrix] = {
        n: a for n, a in arrays.items() if n not in beside and n != f"{ABOUT}.json"
    }
    return MatrixFile(path.stem, others, columns)


def _open_safetensors(path: Path, stack: ExitStack) -> MatrixFile:
    import safetensors

    try:
        file = stack.enter_context(safetensors.safe_open(str(path), "pt"))
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error
    return MatrixFile(path.stem, {name: TensorMatrix(name, file) for name in file.keys()})  # noqa: SIM118


def _open_hdf5(path: Path, stack: ExitStack) -> MatrixFile:
    try:
        import h5py
    except ImportError as error:
        raise InputError("reading HDF5 needs h5py; pip install 'actlas[transfer]'") from error
    file = stack.enter_context(h5py.File(path, "r"))
    sentences = sorted((n for n in file if n.isdecimal()), key=int)
    if sentences and all(isinstance(file[n], h5py.Dataset) for n in sentences):
        return _open_neurox(path.stem, file, sentences)
    found: dict[str, Matrix] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
            found[name] = ArrayMatrix(name, item)

    file.visititems(visit)
    return MatrixFile(path.stem, found)


def _open_neurox(name: str, file: Any, sentences: Sequence[str]) -> MatrixFile:
    shapes = {n: file[n].shape for n in sentences}
    first = shapes[sentences[0]]
    for n, shape in shapes.items():
        if len(shape) != len(first) or len(shape) not in (2, 3) or shape[-1] != first[-1]:
            raise InputError(f"{name}: sentence {n} has shape {shape}, sentence 0 {first}")
        if shape[0] != first[0] and len(shape) == 3:
            raise InputError(f"{name}: sentence {n} has {shape[0]} layers, the first {first[0]}")
    layers = first[0] if len(first) == 3 else 1
    names = [f"hidden.{layer}" for layer in range(layers)]
    arrays: dict[str, Matrix] = {
        n: SentencesMatrix(n, file, sentences, layer) for layer, n in enumerate(names)
    }
    columns, notes = _neurox_rows(file, {n: shapes[n][-2] for n in sentences})
    return MatrixFile(name, arrays, columns, notes)


def _neurox_rows(
    file: Any, lengths: Mapping[str, int]
) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Samples, tokens and texts from NeuroX's JSON of sentences joined by spaces."""
    import json

    known = json.loads(file["sentence_to_index"][0]) if "sentence_to_index" in file else {}
    text_of = {index: OCCURRENCE.sub("", sentence) for sentence, index in known.items()}
    samples: list[int] = []
    tokens: list[str | None] = []
    texts: list[str | None] = []
    odd = 0
    for sample, (index, length) in enumerate(lengths.items()):
        text = text_of.get(index)
        words: list[Any] = text.split(" ") if text is not None else []
        odd += text is not None and len(words) != length
        tokens += words if len(words) == length else [None] * length
        samples += [sample] * length
        texts += [text] * length
    columns: dict[str, list[Any]] = {"sample": samples}
    if text_of:
        columns |= {"token": tokens, "text": texts}
    notes = (f"{odd} sentences have another number of words than rows: no tokens for those",)
    return columns, notes if odd else ()


OPENERS = {
    ".npy": _open_npy,
    ".npz": _open_npz,
    ".safetensors": _open_safetensors,
    ".h5": _open_hdf5,
    ".hdf5": _open_hdf5,
}
