"""The checks of `verify` that are not about matrices: references, data sets, results."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import Dataset as Texts
from ..core import LabelSet, count, listing
from .codecs import checksum
from .database import Database
from .faults import Fault, guarded
from .tables import Array, Base, Chunk, Dataset, Label, Payload, Run, Sample, TopIndex
from .tables import LabelSet as StoredLabels
from .tables import ResultTable as Catalog

SHOWN = 5  # how many ids a fault names


def database_faults(database: Database) -> Iterator[Fault]:
    """Yield what the database itself finds wrong with its file."""
    with database.read() as session:
        yield from map(Fault, database.backend.faults(session.connection()))


def reference_faults(database: Database) -> Iterator[Fault]:
    """Yield records that name others which are not there, and payloads that nothing names."""
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            yield from guarded(f"table {table.name}", _dangling(database, table, key))
    yield from guarded("table payloads", _orphans(database))


def _dangling(database: Database, table: sa.Table, key: sa.ForeignKey) -> Iterator[Fault]:
    parent = key.column.table
    there = sa.exists().where(key.column == key.parent).correlate(table)
    statement = sa.select(key.parent).where(key.parent.is_not(None), ~there).distinct()
    with database.read() as session:
        idents = session.scalars(statement.order_by(key.parent)).all()
    if idents:
        said = listing([str(i) for i in idents], SHOWN)
        yield Fault(f"{table.name} name {parent.name} that are not there: {said}")


def unused_payloads() -> sa.Select[Any]:
    """Select ids of payloads that no chunk and no index has."""
    used = [
        ~sa.exists().where(kind.data_id == Payload.id).correlate(Payload)
        for kind in (Chunk, TopIndex)
    ]
    return sa.select(Payload.id).where(*used)


def _orphans(database: Database) -> Iterator[Fault]:
    with database.read() as session:
        idents = session.scalars(unused_payloads().order_by(Payload.id)).all()
    if idents:
        said = listing([str(i) for i in idents], SHOWN)
        yield Fault(
            f"{count(len(idents), 'payload')} that nothing names ({said}); remove with "
            f"`actlas store gc`"
        )


def dataset_faults(database: Database) -> Iterator[Fault]:
    """Yield data sets whose samples or labels are not those of their digests."""
    with database.read() as session:
        idents = session.scalars(sa.select(Dataset.id).order_by(Dataset.id)).all()
    for ident in idents:
        yield from guarded(f"data set {ident}", _dataset_faults(database, ident))


def _dataset_faults(database: Database, ident: int) -> Iterator[Fault]:
    with database.read() as session:
        dataset = session.get(Dataset, ident)
        if dataset is None:  # removed meanwhile
            return
        named = f"data set {ident} ({dataset.name})"
        faults, word_sets = [], []
        for found in session.scalars(
            sa.select(StoredLabels).where(StoredLabels.dataset_id == ident)
        ):
            labels = _labels(session, found)
            if labels.digest() != found.digest:
                faults.append(Fault(f"{named}: label set {found.name} does not match its digest"))
            if found.level == "word":
                word_sets.append(labels)
        said = _texts_fault(session, dataset, word_sets)
    if said is not None:
        faults.append(Fault(f"{named}: {said}"))
    yield from faults


def _labels(session: Session, found: StoredLabels) -> LabelSet:
    statement = (
        sa.select(Label.sample, Label.char_start, Label.char_end, Label.value)
        .where(Label.label_set_id == found.id)
        .order_by(Label.id)
    )
    items = [(s, a, b, v) for s, a, b, v in session.execute(statement)]
    return LabelSet(found.name, "sample" if found.level == "sample" else "word", items)


def _texts_fault(session: Session, dataset: Dataset, word_sets: Sequence[LabelSet]) -> str | None:
    """Compute the digest of a data set again.

    Given words are part of it and are not stored; a label set that labels each of them has
    their spans. Where there are label sets of words and none does, nothing can be said.
    """
    rows = session.execute(
        sa.select(Sample.sample, Sample.text, Sample.target)
        .where(Sample.dataset_id == dataset.id)
        .order_by(Sample.sample)
    ).all()
    if [r.sample for r in rows] != list(range(dataset.samples)):
        return f"it has {count(len(rows), 'sample')}, or misnumbered ones, not {dataset.samples}"
    if dataset.modality != "text":  # what files hold is not stored
        return None
    texts = [r.text for r in rows]
    targets = None if all(r.target is None for r in rows) else [r.target or "" for r in rows]
    words = (_words(labels, len(texts)) for labels in word_sets)
    for spans in (None, *words):
        if Texts(dataset.name, texts, words=spans, targets=targets).digest() == dataset.digest:
            return None
    if word_sets:
        return None
    return "its texts do not match its digest"


def _words(labels: LabelSet, samples: int) -> list[list[tuple[int, int]]]:
    """Return the spans that a label set labels, by sample."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(samples)]
    for sample, start, end, _ in labels.items:
        if start is not None and end is not None and sample < samples:
            found[sample].append((start, end))
    return found


def result_faults(database: Database) -> Iterator[Fault]:
    """Yield arrays that are damaged, and rows of results that belong to no run."""
    with database.read() as session:
        arrays = session.execute(sa.select(Array.run_id, Array.name)).all()
        catalog = session.scalars(sa.select(Catalog).order_by(Catalog.sql_name)).all()
    for run, name in arrays:
        place = f"array {name!r} of run {run}"
        yield from guarded(place, _array_faults(database, run, name, place))
    for entry in catalog:
        yield from guarded(f"table {entry.sql_name}", _table_faults(database, entry))


def _array_faults(database: Database, run: int, name: str, place: str) -> Iterator[Fault]:
    with database.read() as session:
        array = session.get(Array, (run, name))
        if array is None:  # removed meanwhile
            return
        size = int(np.prod(array.shape, dtype=np.int64)) * np.dtype(array.dtype).itemsize
        if checksum(array.data) != array.checksum:
            yield Fault(f"{place} does not match its checksum")
        elif len(array.data) != size:
            yield Fault(f"{place} has {len(array.data):,} bytes, not {size:,}")


def _table_faults(database: Database, entry: Catalog) -> Iterator[Fault]:
    """Check that the rows of a result table are numbered through, and of finished runs."""
    columns: list[Any] = [sa.column(n) for n in ("run_id", "item", *_names(entry))]
    table = sa.table(entry.sql_name, *columns)
    run, item = columns[:2]
    done = sa.select(Run.id).where(Run.status == "done", Run.analysis == entry.analysis)
    counts = sa.select(run, sa.func.count(), sa.func.min(item), sa.func.max(item))
    with database.read() as session:
        session.execute(sa.select(table).limit(1))  # every column is there
        known = set(session.scalars(done))
        for ident, rows, low, high in session.execute(counts.select_from(table).group_by(run)):
            if ident not in known:
                yield Fault(f"{entry.sql_name} has {count(rows, 'row')} of no finished run {ident}")
            elif (low, high) != (0, rows - 1):
                yield Fault(f"{entry.sql_name} lacks rows of run {ident}")


def _names(entry: Catalog) -> list[str]:
    return [column["name"] for column in entry.columns]
