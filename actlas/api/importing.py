"""Importing matrices that other tools made, as an extraction like any other."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from ..core import (
    STORAGE_DTYPES,
    Dataset,
    InputError,
    LabelError,
    Rows,
    Site,
    SiteError,
    StoreError,
    Window,
    human_bytes,
    listing,
    nearest,
)
from ..core import digest as digest_of
from ..storage import (
    Database,
    Extraction,
    Place,
    add_dataset,
    add_imported_model,
    begin_extraction,
    claim,
    finish_shard,
    held,
    known_dataset,
    missing_parts,
    owner_name,
    pack_window,
    patiently,
    read_labels,
    write_window,
)
from ..storage import label_sets as stored_label_sets
from .environment import versions
from .matrices import Matrix, MatrixFile, open_matrices
from .progress import Advance, bar
from .rowtables import Described, describe_rows, read_columns
from .tops import Tops

if TYPE_CHECKING:
    from torch import Tensor

WINDOW_BYTES = 32 << 20
SPARE_BYTES = 64 << 20
WAIT_SECONDS = 0.5
REAL = re.compile(r"b?float(8.*|16|32|64)|u?int\d+|bool")
FLOATS = ("float16", "bfloat16", "float32")


@dataclass(frozen=True)
class ImportRequest:
    """What to import; see `Store.import_matrix`."""

    path: Path
    sites: Sequence[str] = ()
    rows: Path | None = None
    labels: Sequence[str] | None = None
    dtype: str | None = None
    model_name: str | None = None
    dataset_name: str | None = None
    progress: bool = False


@dataclass(frozen=True)
class Imported:
    """An import: the extraction's record, and what the user must know."""

    record: Extraction
    notes: tuple[str, ...]


def import_matrix(database: Database, request: ImportRequest) -> Imported:
    """Import a file, or find what was imported from the same content."""
    with open_matrices(request.path) as file:
        arrays = chosen_arrays(file, request.sites)
        dtype, notes = _dtype(arrays, request.dtype)
        name = request.dataset_name or file.name
        rows = next(iter(arrays.values())).shape[0]
        described = describe_rows(name, rows, _columns(file, request.rows), request.labels)
        record, todo = _begin(database, request, arrays, described, dtype)
        if todo:
            _fill(database, record, arrays, described, request.progress)
        left = [n for n, a in file.arrays.items() if len(a.shape) < 2]
        if left:
            notes += (f"left out what is no matrix: {listing(left)}; labels come with --rows",)
        if not todo:
            notes += (f"the same content is there as extraction {record.id}; nothing to import",)
        return Imported(database.find(Extraction, record.id), (*file.notes, *notes))


def chosen_arrays(file: MatrixFile, sites: Sequence[str]) -> dict[str, Matrix]:
    """The arrays to import by site: `SITE`, `SITE=ARRAY`, by default all under their names."""
    if not file.arrays:
        raise InputError(f"{file.name} holds no array of numbers")
    matrices = {n: a for n, a in file.arrays.items() if len(a.shape) > 1} or file.arrays
    if not sites:
        chosen = matrices
    elif len(sites) == len(matrices) == 1 and sites[0].partition("=")[2] not in file.arrays:
        chosen = {_single(file, sites[0]): next(iter(matrices.values()))}
    else:
        chosen = dict(_named(file, site) for site in sites)
        if len(chosen) < len(sites):
            raise InputError(f"two arrays for one site in {listing(sites)}; name each once")
    for site, array in chosen.items():
        _check_array(site, array)
    rows = {array.shape[0] for array in chosen.values()}
    if len(rows) > 1:
        said = listing([f"{n} {a.shape}" for n, a in chosen.items()], 6)
        raise InputError(f"the sites of one extraction have the same rows; these differ: {said}")
    return chosen


def _single(file: MatrixFile, site: str) -> str:
    name, _, array = site.partition("=")
    if array:
        raise InputError(f"{file.name} has no array {array!r}; {nearest(array, file.arrays)}")
    return name


def _named(file: MatrixFile, site: str) -> tuple[str, Matrix]:
    name, _, array = site.partition("=")
    array = array or name
    if array not in file.arrays:
        raise InputError(f"{file.name} has no array {array!r}; {nearest(array, file.arrays)}")
    return name, file.arrays[array]


def _check_array(site: str, array: Matrix) -> None:
    if not site or set(site) & set(",*= \t\n"):
        raise SiteError(f"{site!r} is no name of a site; leave out blanks, commas, * and =")
    if len(array.shape) != 2:
        raise InputError(
            f"{array.name} has shape {array.shape}, and a site is a matrix (rows, width); save it "
            f"as array.reshape(-1, width), or choose others with --site NAME=ARRAY"
        )
    if 0 in array.shape:
        raise InputError(f"{array.name} has shape {array.shape}: there is nothing in it")
    if not REAL.fullmatch(array.dtype):
        raise InputError(f"{array.name} holds {array.dtype}, and activations are real numbers")


def _dtype(arrays: Mapping[str, Matrix], wanted: str | None) -> tuple[str, tuple[str, ...]]:
    """The storage dtype: as asked for, else the file's where it is one of the store's."""
    if wanted is not None and wanted not in STORAGE_DTYPES:
        raise InputError(f"no storage dtype {wanted!r}; there is {', '.join(STORAGE_DTYPES)}")
    given = {array.dtype for array in arrays.values()}
    same = next(iter(given)) if len(given) == 1 else ""
    dtype = wanted or (same if same in FLOATS else "float32")
    rounded = "float64" in given and dtype == "float32"
    return dtype, ("float64 numbers are stored as float32",) if rounded else ()


def _columns(file: MatrixFile, table: Path | None) -> dict[str, list[Any]]:
    if table is None:
        return file.columns
    return read_columns(table)


def _begin(
    database: Database,
    request: ImportRequest,
    arrays: Mapping[str, Matrix],
    described: Described,
    dtype: str,
) -> tuple[Extraction, bool]:
    """Record model, data set and extraction; and whether anything is missing."""
    content = _content(arrays, request.progress)
    sites = [Site(name, array.name, array.shape[1]) for name, array in arrays.items()]
    spec = f"import:{request.model_name or request.path.name}"
    model = add_imported_model(
        database,
        spec,
        digest_of("import", request.model_name, content),
        sites,
        {"file": request.path.name, "content": content},
    )
    data = add_dataset(database, _agreeing(database, described))
    wanted = Extraction(
        key=digest_of("import", model.digest, data.digest, dtype, _rows_digest(described.rows)),
        model_id=model.id,
        dataset_id=data.id,
        pooling="imported",
        dtype=dtype,
        options={"file": request.path.name, "dtype": dtype},
        versions=versions("torch"),
        device="cpu",
        seconds=0.0,
    )
    record, _ = begin_extraction(
        database, wanted, sites, list(arrays), samples=len(described.data), shards=1
    )
    return record, bool(missing_parts(database, record.id, 0, list(arrays)))


def _agreeing(database: Database, described: Described) -> Dataset:
    """The data set without the label sets that the store has already.

    Raises LabelError where a stored label set of the same texts gives these rows other labels:
    it belongs to other extractions too.
    """
    data = described.data
    known = known_dataset(database, data.digest())
    stored = stored_label_sets(database, known.id) if known else {}
    for name in set(stored) & set(data.label_sets):
        assert known is not None
        theirs = read_labels(database, known.id, name)
        words = theirs.level == "word" and not (described.rows.start >= 0).any()
        mine = data.label_sets[name].row_values(described.rows)
        if words or theirs.row_values(described.rows) != mine:
            raise LabelError(
                f"the store has these texts as {known.name!r} with other labels {name!r}; give "
                f"the column another name, or leave it out with --labels"
            )
    return replace(data, label_sets={n: s for n, s in data.label_sets.items() if n not in stored})


def _content(arrays: Mapping[str, Matrix], progress: bool) -> str:
    """Digest of the numbers, site by site."""
    hasher = xxhash.xxh3_128()
    rows = next(iter(arrays.values())).shape[0]
    with bar("reading", rows * len(arrays), "rows", shown=progress) as advance:
        for name, array in arrays.items():
            hasher.update(repr((name, array.dtype, array.shape)).encode())
            step = max(1, WINDOW_BYTES // (array.shape[1] * 4))
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                hasher.update(_bytes(array.read(start, stop)))
                advance(stop - start, stop - start)
    return hasher.hexdigest()


def _bytes(matrix: "Tensor") -> Any:
    import torch

    return matrix.contiguous().view(torch.uint8).numpy().data.cast("B")


def _rows_digest(rows: Rows) -> str:
    hasher = xxhash.xxh3_128()
    for field in fields(rows):
        column = getattr(rows, field.name)
        is_array = isinstance(column, np.ndarray)
        hasher.update(column.tobytes() if is_array else "\x1f".join(map(repr, column)).encode())
    return hasher.hexdigest()


def _fill(
    database: Database,
    record: Extraction,
    arrays: Mapping[str, Matrix],
    described: Described,
    progress: bool,
) -> None:
    """Write what is missing, window by window, its claim held; then the indexes."""
    owner = owner_name()
    while claim(database, record.id, 0, owner) is not None:
        time.sleep(WAIT_SECONDS)
    place = Place(record, 0, owner)
    with held(database, record.id, 0, owner):
        todo = missing_parts(database, record.id, 0, list(arrays))
        if not todo:
            return
        first = min(part.samples_done for _, part in todo)
        samples = len(described.data)
        _check_space(database, arrays, record.dtype, 1 - first / samples)
        tops = Tops(database, todo)
        with bar("importing", samples, "rows", done=first, shown=progress) as advance:
            clock = time.perf_counter()
            for window in _windows(arrays, described.rows, record.dtype, first, samples, advance):
                packed = pack_window(window, record.dtype)
                now = time.perf_counter()
                _write(database, place, window, packed, now - clock)
                clock = now
                tops.update(window, packed)
        finish_shard(database, place, tops.packed(samples))


def _write(
    database: Database, place: Place, window: Window, packed: dict[str, Any], seconds: float
) -> None:
    patiently(lambda: write_window(database, place, window, packed, seconds))


def _check_space(
    database: Database, arrays: Mapping[str, Matrix], dtype: str, share: float
) -> None:
    size = sum(array.shape[0] * array.shape[1] for array in arrays.values())
    needed = size * STORAGE_DTYPES[dtype] * 1.02 * share
    free = database.backend.free_bytes()
    if free is not None and free < needed + SPARE_BYTES:
        raise StoreError(
            f"the disk is too small: {human_bytes(needed)} to write, {human_bytes(free)} free at "
            f"{database.backend.name}; free space, or choose fewer arrays with --site"
        )


def _windows(
    arrays: Mapping[str, Matrix],
    rows: Rows,
    dtype: str,
    first_sample: int,
    samples: int,
    advance: Advance,
) -> Iterator[Window]:
    """Cut the rows into windows of whole samples."""
    edges = np.searchsorted(rows.sample, np.arange(samples + 1))
    step = max(1, WINDOW_BYTES // (4 * sum(a.shape[1] for a in arrays.values())))
    while first_sample < samples:
        start = int(edges[first_sample])
        stop_sample = int(np.searchsorted(edges, start + step, "right")) - 1
        stop_sample = min(samples, max(stop_sample, first_sample + 1))
        stop = int(edges[stop_sample])
        yield _window(arrays, _slice(rows, start, stop), dtype, start, (first_sample, stop_sample))
        advance(stop_sample - first_sample, stop - start)
        first_sample = stop_sample


def _slice(rows: Rows, start: int, stop: int) -> Rows:
    return rows.take(np.arange(start, stop))


def _window(
    arrays: Mapping[str, Matrix], rows: Rows, dtype: str, start: int, samples: tuple[int, int]
) -> Window:
    import torch

    kind = torch.float32 if dtype == "int8" else getattr(torch, dtype)
    data: dict[str, Any] = {}
    nonfinite, overflow = {}, {}
    for name, array in arrays.items():
        given = array.read(start, start + len(rows))
        data[name] = given.to(kind).contiguous()
        bad = ~torch.isfinite(data[name]).all(dim=1)
        nonfinite[name] = int(bad.sum())
        overflow[name] = int((bad & torch.isfinite(given).all(dim=1)).sum())
    return Window(*samples, rows, data, nonfinite, overflow)
