"""Exporting an extraction: what goes along, and a file that is there only when it is whole."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import InputError, LabelError, Layers, Rows, human_bytes, listing, nearest
from ..storage import Dataset, Model
from .environment import versions
from .formats import FORMATS, Content, discard, write_rows
from .handles import StoredExtraction
from .progress import Advance, bar

DTYPES = ("float32", "float16")
AT_ONCE = 5000  # texts in one query


@dataclass(frozen=True)
class ExportRequest:
    """What to export; see `Store.export`."""

    path: Path
    format: str | None = None
    sites: str | Sequence[str] = "residual"
    labels: Sequence[str] | None = None
    dtype: str | None = None
    texts: bool = False
    force: bool = False
    progress: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written: the file (or folder), and the table of rows where it is a file apart."""

    path: Path
    rows_path: Path | None
    format: str
    sites: tuple[str, ...]
    labels: tuple[str, ...]
    rows: int
    dtype: str
    bytes: int


def export(extraction: StoredExtraction, request: ExportRequest) -> Exported:
    """Write sites of an extraction with provenance and labels."""
    path, kind = request.path, _format(request)
    beside = path.with_suffix(".rows.jsonl") if kind == "safetensors" else None
    for there in filter(None, (path, beside)):
        if there.exists() and not request.force:
            raise InputError(f"{there} is there already; name another, or use --force")
    if not path.resolve().parent.is_dir():
        folder = path.resolve().parent
        raise InputError(f"no folder {folder} for the export; mkdir -p '{folder}'")
    layers = extraction.layers(request.sites)
    dtype = _dtype(extraction, request.dtype)
    steps = sum(len(acts) for acts in layers)
    with bar(f"exporting to {path.name}", steps, "rows", shown=request.progress) as advance:
        content = _content(extraction, request, layers, dtype, advance)
        _write(path, beside, FORMATS[kind][1], content)
    return Exported(
        path, beside, kind, layers.names, tuple(content.labels), content.rows, dtype, _size(path)
    )


def _format(request: ExportRequest) -> str:
    if request.format is None:
        suffixes = {suffix: name for name, (suffix, _) in FORMATS.items() if suffix}
        if request.path.suffix in suffixes:
            return suffixes[request.path.suffix]
        raise InputError(
            f"cannot tell the format of {request.path}; end its name in {listing([*suffixes])}, or "
            f"use --format"
        )
    if request.format not in FORMATS:
        raise InputError(f"no format {request.format!r}; {nearest(request.format, FORMATS)}")
    return request.format


def _dtype(extraction: StoredExtraction, wanted: str | None) -> str:
    if wanted is not None and wanted not in DTYPES:
        raise InputError(f"no export as {wanted!r}; there is {', '.join(DTYPES)}")
    stored = extraction.record.dtype  # bfloat16 and int8 are exact in float32
    return wanted or (stored if stored in DTYPES else "float32")


def _content(
    extraction: StoredExtraction,
    request: ExportRequest,
    layers: Layers,
    dtype: str,
    advance: Advance,
) -> Content:
    rows = extraction.rows
    samples = int(rows.sample.max()) + 1 if len(rows) else 0
    return Content(
        layers,
        dtype,
        _columns(rows),
        _labels(extraction, rows, request.labels),
        _texts(extraction, samples) if request.texts else None,
        _about(extraction, layers, dtype),
        advance,
    )


def _texts(extraction: StoredExtraction, samples: int) -> list[str]:
    found: dict[int, str] = {}
    for start in range(0, samples, AT_ONCE):
        found |= extraction.texts(range(start, min(start + AT_ONCE, samples)))
    return [found[i] for i in range(samples)]


def _columns(rows: Rows) -> dict[str, Any]:
    """Provenance by column, without those that say nothing of any row."""
    columns: dict[str, Any] = {
        "sample": rows.sample, "position": rows.position, "token": list(rows.token),
        "token_id": rows.token_id, "start": rows.start, "end": rows.end, "special": rows.special,
    }  # fmt: skip
    return {n: c for n, c in columns.items() if n == "sample" or _says(c)}


def _says(column: Any) -> bool:
    if isinstance(column, list):
        return any(value is not None for value in column)
    return bool(column.any() if column.dtype == bool else (column >= 0).any())


def _labels(
    extraction: StoredExtraction, rows: Rows, wanted: Sequence[str] | None
) -> dict[str, list[str | None]]:
    """Labels of each row: those asked for, else all that rows of this pooling can have."""
    found = {}
    for name in extraction.label_sets if wanted is None else wanted:
        try:
            found[name] = extraction.label_set(name).row_values(rows)
        except LabelError:
            if wanted is not None:
                raise
    return found


def _about(extraction: StoredExtraction, layers: Layers, dtype: str) -> dict[str, Any]:
    """What the activations are, so that the file can stand alone."""
    record = extraction.record
    model = extraction.database.find(Model, record.model_id)
    dataset = extraction.database.find(Dataset, record.dataset_id)
    return {
        "actlas": versions()["actlas"],
        "model": model.spec,
        "model_digest": model.digest,
        "dataset": dataset.name,
        "dataset_digest": dataset.digest,
        "extraction_key": record.key,
        "sites": list(layers.names),
        "pooling": record.pooling,
        "stored_dtype": record.dtype,
        "dtype": dtype,
        "options": record.options,
    }


def _write(path: Path, beside: Path | None, write: Any, content: Content) -> None:
    """Write under another name and rename when whole, the table of rows first."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows_part = path.with_name(f".{path.name}.{os.getpid()}.rows.part")
    try:
        write(part, content)
        if beside is not None:
            write_rows(rows_part, content)
            rows_part.replace(beside)
        if path.is_dir() or part.is_dir():
            discard(path)
        part.replace(path)
    finally:
        discard(part)
        discard(rows_part)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return sum(file.stat().st_size for file in files)


def export_record(exported: Exported) -> dict[str, Any]:
    """An export as a record to print."""
    return {
        "written": str(exported.path),
        "rows_table": str(exported.rows_path) if exported.rows_path else None,
        "format": exported.format,
        "rows": exported.rows,
        "sites": list(exported.sites),
        "labels": list(exported.labels),
        "dtype": exported.dtype,
        "size": human_bytes(exported.bytes),
    }
