"""Writing activations in the formats of other tools, in blocks of rows."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Activations, InputError, Layers, canonical_json
from .matrices import ABOUT, LABELS, ROWS, TEXTS
from .progress import Advance
from .rowtables import COLUMNS

BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Content:
    """What is exported.

    columns: provenance of each row by column, then its text where asked for.
    labels: per label set the label of each row, None where there is none.
    texts: the text of each sample, where asked for.
    about: model, data set, pooling and so on.
    """

    layers: Layers
    dtype: str
    columns: Mapping[str, NDArray[Any] | list[Any]]
    labels: Mapping[str, list[str | None]]
    texts: list[str] | None
    about: Mapping[str, Any]
    advance: Advance

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.layers[0])

    def flat(self) -> dict[str, Any]:
        """All columns of one table; a label set of the name of another column is renamed."""
        taken = {*COLUMNS, *self.layers.names}
        named = {f"label {n}" if n in taken else n: v for n, v in self.labels.items()}
        found = {**self.columns, **named}
        if self.texts is not None:
            found["text"] = [self.texts[i] for i in self.columns["sample"]]
        return found

    def blocks(self, acts: Activations) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (first row, rows (n, width)) of a site in the dtype asked for."""
        start = 0
        with np.errstate(over="ignore"):
            for block in acts.chunks(BLOCK_ROWS, self.dtype):
                yield start, block
                start += len(block)
                self.advance(len(block), len(block))


Writer = Callable[[Path, Content], None]


def needs(package: str) -> Any:
    """Import a package, or say which extra brings it."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise InputError(f"this format needs {name}; pip install 'actlas[transfer]'") from error


def write_npz(path: Path, content: Content) -> None:
    """An array a site; rows/COLUMN and labels/NAME beside them, texts one a sample."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for acts in content.layers:
            with _member(archive, acts.site, acts.shape, np.dtype(content.dtype)) as file:
                for _, block in content.blocks(acts):
                    file.write(block.data.cast("B"))
        beside = {ROWS + n: v for n, v in content.columns.items()}
        beside |= {LABELS + n: v for n, v in content.labels.items()}
        beside |= {} if content.texts is None else {TEXTS: content.texts}
        beside[f"{ABOUT}.json"] = [canonical_json(content.about)]
        for name, column in beside.items():
            array = _text_array(column) if isinstance(column, list) else column
            with _member(archive, name, array.shape, array.dtype) as file:
                file.write(np.ascontiguousarray(array).view(np.uint8).data.cast("B"))


def _text_array(values: list[Any]) -> NDArray[Any]:
    """Texts as numpy has them without pickling; what is missing is empty."""
    return np.array(["" if v is None else v for v in values] or [""], np.str_)[: len(values)]


def _member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    entry = zipfile.ZipInfo(f"{name}.npy")  # of no date: the same content gives the same file
    entry.external_attr = 0o644 << 16
    file = archive.open(entry, "w", force_zip64=True)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)
    return file


def write_safetensors(path: Path, content: Content) -> None:
    """A tensor a site, and the rows as JSON Lines in PATH.rows.jsonl."""
    size = np.dtype(content.dtype).itemsize
    kind = {"float32": "F32", "float16": "F16"}[content.dtype]
    header: dict[str, Any] = {"__metadata__": {ABOUT: canonical_json(content.about)}}
    place = 0
    for acts in content.layers:
        stop = place + acts.shape[0] * acts.width * size
        header[acts.site] = {"dtype": kind, "shape": acts.shape, "data_offsets": [place, stop]}
        place = stop
    said = json.dumps(header).encode()
    said += b" " * (-len(said) % 8)  # tensors begin at a multiple of 8
    with path.open("wb") as file:
        file.write(len(said).to_bytes(8, "little") + said)
        for acts in content.layers:
            for _, block in content.blocks(acts):
                file.write(block.data.cast("B"))


def write_rows(path: Path, content: Content) -> None:
    """The rows as JSON Lines, what is missing left out."""
    columns = content.flat()
    lists = [_listed(c) for c in columns.values()]
    with path.open("w", encoding="utf-8") as file:
        for values in zip(*lists, strict=True):
            record = {n: v for n, v in zip(columns, values, strict=True) if v is not None}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _listed(column: NDArray[Any] | list[Any]) -> list[Any]:
    """A column as plain values: −1 of whole numbers is missing."""
    if isinstance(column, list):
        return column
    values = column.tolist()
    return [None if v == -1 else v for v in values] if column.dtype.kind == "i" else values


def _batches(content: Content) -> Iterator[Any]:
    """Record batches of all rows: provenance, labels, a list of fixed size a site."""
    pa = needs("pyarrow")
    schema = _schema(content)
    columns = {n: _listed(c) for n, c in content.flat().items()}
    streams = [content.blocks(acts) for acts in content.layers]
    for blocks in zip(*streams, strict=True):
        start, stop = blocks[0][0], blocks[0][0] + len(blocks[0][1])
        arrays = [
            pa.array(values[start:stop], schema.field(name).type)
            for name, values in columns.items()
        ]
        for _, block in blocks:
            arrays.append(pa.FixedSizeListArray.from_arrays(block.reshape(-1), block.shape[1]))
        yield pa.record_batch(arrays, schema=schema)


def _schema(content: Content) -> Any:
    pa = needs("pyarrow")
    kinds = {"i": pa.int64(), "b": pa.bool_()}
    fields = [
        pa.field(n, pa.string() if isinstance(c, list) else kinds[c.dtype.kind])
        for n, c in content.flat().items()
    ]
    number = pa.float16() if content.dtype == "float16" else pa.float32()
    fields += [pa.field(acts.site, pa.list_(number, acts.width)) for acts in content.layers]
    return pa.schema(fields, metadata={ABOUT: canonical_json(content.about)})


def write_parquet(path: Path, content: Content) -> None:
    """A column a site, of lists; a row group every few thousand rows."""
    parquet = needs("pyarrow.parquet")
    with parquet.ParquetWriter(path, _schema(content)) as writer:
        for batch in _batches(content):
            writer.write_batch(batch)


def write_hf(path: Path, content: Content) -> None:
    """A data set for `datasets.load_from_disk`: a feature a site, of lists."""
    datasets, pa = needs("datasets"), needs("pyarrow")
    path.mkdir()
    features = datasets.Features.from_arrow_schema(_schema(content).remove_metadata())
    whole = path / "whole.arrow"
    schema = features.arrow_schema
    with pa.OSFile(str(whole), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in _batches(content):
            writer.write_batch(batch.cast(schema))
    info = datasets.DatasetInfo(description=canonical_json(content.about), features=features)
    table = datasets.Dataset.from_file(str(whole), info=info)
    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        table.save_to_disk(path / "saved")
    finally:
        if shown:
            datasets.enable_progress_bars()
    del table
    whole.unlink()
    for file in (path / "saved").iterdir():
        file.rename(path / file.name)
    (path / "saved").rmdir()


def write_zarr(path: Path, content: Content) -> None:
    """A group: an array a site in chunks of rows; rows/COLUMN and labels/NAME beside them."""
    zarr = needs("zarr")
    # Version 2 of the format: it has texts, which version 3 does not specify yet.
    group = zarr.create_group(path, zarr_format=2, attributes={ABOUT: dict(content.about)})
    for acts in content.layers:
        chunks = (min(BLOCK_ROWS, max(1, acts.shape[0])), acts.width)
        array = group.create_array(acts.site, shape=acts.shape, chunks=chunks, dtype=content.dtype)
        for start, block in content.blocks(acts):
            array[start : start + len(block)] = block
    beside = {ROWS + n: v for n, v in content.columns.items()}
    beside |= {LABELS + n: v for n, v in content.labels.items()}
    beside |= {} if content.texts is None else {TEXTS: content.texts}
    for name, column in beside.items():
        group.create_array(name, data=_text_array(column) if isinstance(column, list) else column)


def write_anndata(path: Path, content: Content) -> None:
    """An h5ad file: X is the first site; others are layers, or obsm where they are wider.

    Written block by block as AnnData's on-disk format (0.1.0) says, so that X need not fit
    in memory.
    """
    h5py = needs("h5py")
    first = content.layers[0]
    with h5py.File(path, "w") as file:
        _encode(file, "anndata", "0.1.0")
        for name in ("layers", "obsm", "obsp", "varm", "varp", "uns"):
            _encode(file.create_group(name), "dict", "0.1.0")
        for acts in content.layers:
            place = "layers" if acts.width == first.width else "obsm"
            name = "X" if acts is first else f"{place}/{acts.site}"
            array = file.create_dataset(name, acts.shape, content.dtype)
            _encode(array, "array", "0.2.0")
            for start, block in content.blocks(acts):
                array[start : start + len(block)] = block
        labels = {n: _listed(c) for n, c in content.flat().items()}
        _dataframe(file.create_group("obs"), labels, content.rows)
        _dataframe(file.create_group("var"), {}, first.width)
        about = {**content.about, "X": first.site}
        _scalar(file["uns"], ABOUT, canonical_json(about))


def _encode(item: Any, kind: str, version: str) -> None:
    item.attrs["encoding-type"], item.attrs["encoding-version"] = kind, version


def _scalar(group: Any, name: str, value: str) -> None:
    group[name] = value
    _encode(group[name], "string", "0.2.0")


def _dataframe(group: Any, columns: Mapping[str, list[Any]], rows: int) -> None:
    """A data frame as AnnData stores it; texts are categories, missing whole numbers −1."""
    _encode(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs.create("column-order", list(columns), dtype=needs("h5py").string_dtype())
    _strings(group, "_index", [str(i) for i in range(rows)])
    for name, values in columns.items():
        if any(isinstance(v, str) for v in values):
            _categories(group.create_group(name), values)
        else:
            kind = bool if any(isinstance(v, bool) for v in values) else np.int64
            group[name] = np.array([-1 if v is None else v for v in values], kind)
            _encode(group[name], "array", "0.2.0")


def _strings(group: Any, name: str, values: list[str]) -> None:
    group.create_dataset(name, data=values, dtype=needs("h5py").string_dtype())
    _encode(group[name], "string-array", "0.2.0")


def _categories(group: Any, values: list[Any]) -> None:
    _encode(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    names = sorted({v for v in values if v is not None})
    code = {name: i for i, name in enumerate(names)}
    group["codes"] = np.array([-1 if v is None else code[v] for v in values], np.int32)
    _encode(group["codes"], "array", "0.2.0")
    _strings(group, "categories", names)


FORMATS: dict[str, tuple[str, Writer]] = {
    "npz": (".npz", write_npz),
    "safetensors": (".safetensors", write_safetensors),
    "parquet": (".parquet", write_parquet),
    "zarr": (".zarr", write_zarr),
    "anndata": (".h5ad", write_anndata),
    "hf": ("", write_hf),
}


def discard(path: Path) -> None:
    """Remove a file or folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
