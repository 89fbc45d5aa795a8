"""Copying records: models, data sets with their labels, runs with their results."""

from collections.abc import Iterator, Sequence
from typing import Any, final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import Column, CorruptError, TableSpec
from .codecs import checksum
from .database import Database
from .results import ensure_table, sql_table
from .tables import Array, Base, Dataset, Label, LabelSet, Model, Run, Sample, Tag
from .tables import ResultTable as Catalog

NOUN: dict[Any, str] = {Model: "models", Dataset: "datasets"}
AT_ONCE = 10_000  # rows that are read ahead


def values(record: Base, *without: str) -> dict[str, Any]:
    """The stored values of a record by column, some left out."""
    names = [c.name for c in record.__table__.columns]
    return {name: getattr(record, name) for name in names if name not in without}


@final
class RecordCopier:
    """Copies records, each once; those with the same digest or key are the same."""

    def __init__(self, source: Database, target: Database):
        self.source, self.target = source, target
        self._known: dict[tuple[Any, int], int] = {}

    def ensure(self, kind: type[Model] | type[Dataset], ident: int) -> int:
        """Return the number in the target of a model or data set, copied where it lacks it."""
        if (kind, ident) not in self._known:
            record = self.source.find(kind, ident)
            with self.target.write(NOUN[kind]) as session:
                found = session.scalar(sa.select(kind.id).where(kind.digest == record.digest))
                if found is None:
                    added = kind(**values(record, "id"))
                    session.add(added)
                    session.flush()
                    found = added.id
                    if kind is Dataset:
                        self._copy_samples(session, ident, found)
                if kind is Dataset:
                    self._copy_labels(session, ident, found)
                else:
                    self._copy_tags(session, ident, found)
            self._known[kind, ident] = found
        return self._known[kind, ident]

    def _stream(self, statement: sa.Select[Any]) -> Iterator[Any]:
        """Yield rows from the source, a few at a time in memory."""
        with self.source.read() as session:
            yield from session.execute(statement.execution_options(yield_per=AT_ONCE))

    def _copy_samples(self, session: Session, ident: int, there: int) -> None:
        names = [c.name for c in Sample.__table__.columns if c.name != "dataset_id"]
        chosen = sa.select(*(getattr(Sample, name) for name in names))
        chosen = chosen.where(Sample.dataset_id == ident).order_by(Sample.sample)
        rows = ((there, *row) for row in self._stream(chosen))
        connection = session.connection()
        self.target.backend.insert(connection, "samples", ["dataset_id", *names], rows)

    def _copy_labels(self, session: Session, ident: int, there: int) -> None:
        """Copy the label sets that the target lacks; one of the same name there stays."""
        with self.source.read() as reading:
            sets = reading.scalars(
                sa.select(LabelSet).where(LabelSet.dataset_id == ident).order_by(LabelSet.id)
            ).all()
        known = set(session.scalars(sa.select(LabelSet.name).where(LabelSet.dataset_id == there)))
        for labels in sets:
            if labels.name not in known:
                added = LabelSet(**values(labels, "id") | {"dataset_id": there})
                session.add(added)
                session.flush()
                self._copy_items(session, labels.id, added.id)

    def _copy_tags(self, session: Session, ident: int, there: int) -> None:
        """Copy the tags that the target lacks; one of the same name there stays."""
        known = set(session.scalars(sa.select(Tag.name).where(Tag.model_id == there)))
        with self.source.read() as reading:
            tags = reading.scalars(sa.select(Tag).where(Tag.model_id == ident)).all()
        for tag in tags:
            if tag.name not in known:
                session.add(Tag(**values(tag, "model_id") | {"model_id": there}))

    def _copy_items(self, session: Session, ident: int, there: int) -> None:
        names = ["sample", "char_start", "char_end", "value"]
        chosen = sa.select(*(getattr(Label, name) for name in names))
        chosen = chosen.where(Label.label_set_id == ident).order_by(Label.id)
        rows = ((there, *row) for row in self._stream(chosen))
        connection = session.connection()
        self.target.backend.insert(connection, "labels", ["label_set_id", *names], rows)

    def copy_runs(self, ident: int, there: int) -> int:
        """Copy the runs on an extraction that the target lacks, and say how many."""
        with self.source.read() as session:
            runs = session.scalars(
                sa.select(Run).where(Run.extraction_id == ident).order_by(Run.id)
            ).all()
        return sum(self._copy_run(run, there) for run in runs)

    def _copy_run(self, run: Run, there: int) -> bool:
        same = [Run.key == run.key, Run.status == run.status]
        if run.status != "done":
            same += [Run.started == run.started, Run.extraction_id == there]
        with self.target.write(f"run {run.key}") as session:
            if session.scalar(sa.select(Run.id).where(*same)) is not None:
                return False
            added = Run(**values(run, "id") | {"extraction_id": there})
            session.add(added)
            session.flush()
            self._copy_tables(session, run, added.id)
            self._copy_arrays(session, run.id, added.id)
            return True

    def _copy_tables(self, session: Session, run: Run, there: int) -> None:
        with self.source.read() as reading:
            catalog: Sequence[Catalog] = reading.scalars(
                sa.select(Catalog).where(Catalog.analysis == run.analysis)
            ).all()
        for entry in catalog:
            columns = tuple(Column(c["name"], c["kind"], True, c["doc"]) for c in entry.columns)
            spec = TableSpec(entry.name, columns, "")
            ensure_table(self.target, session, run.analysis, spec)
            table = sql_table(entry.sql_name, spec)
            chosen = sa.select(*table.c).where(table.c.run_id == run.id).order_by(table.c.item)
            rows = ((there, *row[1:]) for row in self._stream(chosen))
            names = [column.name for column in table.c]
            self.target.backend.insert(session.connection(), entry.sql_name, names, rows)

    def _copy_arrays(self, session: Session, ident: int, there: int) -> None:
        with self.source.read() as reading:
            names = reading.scalars(sa.select(Array.name).where(Array.run_id == ident)).all()
        for name in names:
            with self.source.read() as reading:
                array = reading.get_one(Array, (ident, name))
            if checksum(array.data) != array.checksum:
                raise CorruptError(f"array {name!r} of run {ident} does not match its checksum")
            session.add(Array(**values(array) | {"run_id": there}))
            session.flush()
            session.expunge_all()  # its bytes need not stay in memory
