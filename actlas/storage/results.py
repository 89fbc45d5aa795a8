"""Runs and their results: real SQL tables, one per analysis and table."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import (
    AnalysisError,
    CorruptError,
    Result,
    ResultTable,
    StoreError,
    TableSpec,
    column_array,
)
from .codecs import checksum
from .database import Database
from .tables import Activation, Array, Run
from .tables import ResultTable as Catalog
from .views import SUMMARY, make_metric

LONGEST_NAME = 63  # PostgreSQL's limit
SQL_TYPES: dict[str, Any] = {
    "int": sa.BigInteger, "float": sa.Double, "str": sa.Text, "bool": sa.Boolean
}  # fmt: skip


def sql_name(analysis: str, table: str) -> str:
    """Name of the SQL table: analysis spectrum, table summary → spectrum_summary."""
    return f"{analysis}_{table}"


def done_run(database: Database, key: str) -> Run | None:
    """Return the finished run of a key, if there is one."""
    with database.read() as session:
        return session.scalar(sa.select(Run).where(Run.key == key, Run.status == "done"))


def newest_run(
    database: Database, analysis: str, extraction_id: int, site: str, labels: str | None
) -> Run | None:
    """Return the newest finished run of an analysis at a site, if there is one.

    labels: of those that take labels, only runs with these.
    """
    where = [
        Run.analysis == analysis, Run.extraction_id == extraction_id, Run.site == site,
        Run.status == "done",
    ]  # fmt: skip
    if labels is not None:
        where.append(sa.or_(Run.labels == labels, Run.labels.is_(None)))
    with database.read() as session:
        return session.scalar(sa.select(Run).where(*where).order_by(Run.id.desc()).limit(1))


def newest_runs(database: Database, analysis: str) -> list[Run]:
    """Return the newest finished run of an analysis at each site of each extraction, by number."""
    places = (Run.extraction_id, Run.site)
    newest = sa.select(sa.func.max(Run.id)).where(Run.analysis == analysis, Run.status == "done")
    with database.read() as session:
        found = sa.select(Run).where(Run.id.in_(newest.group_by(*places))).order_by(Run.id)
        return list(session.scalars(found))


def by_depth(database: Database, runs: Sequence[Run]) -> list[Run]:
    """Sort runs, those of an extraction together and by the depth of their sites."""
    first: dict[int, int] = {}
    for run in runs:
        first.setdefault(run.extraction_id, run.id)
    given = sa.select(Activation.extraction_id, Activation.site, Activation.depth)
    with database.read() as session:
        found = session.execute(given.where(Activation.extraction_id.in_(first))).all()
    depths = {(extraction, site): depth for extraction, site, depth in found}
    return sorted(
        runs,
        key=lambda run: (
            first[run.extraction_id], depths.get((run.extraction_id, run.site or ""), inf), run.id,
        ),
    )  # fmt: skip


def save_failure(database: Database, run: Run) -> Run:
    """Record a failed run."""
    with database.write() as session:
        session.add(run)
        return run


def save_run(database: Database, run: Run, specs: Mapping[str, TableSpec], result: Result) -> Run:
    """Commit a run with its tables and arrays; it replaces a finished run of the same key."""
    with database.write() as session:
        old = session.scalar(sa.select(Run).where(Run.key == run.key, Run.status == "done"))
        if old is not None:
            delete_rows(session, [old.id])
            session.delete(old)
            session.flush()
        session.add(run)
        session.flush()
        for name, spec in specs.items():
            ensure_table(database, session, run.analysis, spec)
            _write_table(database, session, run, spec, result.tables[name])
        for name, array in result.arrays.items():
            session.add(_stored_array(run.id, name, array))
        return run


def _stored_array(run_id: int, name: str, array: Any) -> Array:
    values = np.asarray(array, order="C")
    data = values.tobytes()
    return Array(
        run_id=run_id, name=name, shape=list(values.shape), dtype=str(values.dtype),
        checksum=checksum(data), data=data,
    )  # fmt: skip


def sql_table(name: str, spec: TableSpec) -> sa.Table:
    """Describe the SQL table of a declared one: run, item, and its columns."""
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("item", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(c.name, SQL_TYPES[c.kind], nullable=True) for c in spec.columns),
    )


def _described(spec: TableSpec) -> list[dict[str, Any]]:
    return [{"name": c.name, "kind": c.kind, "doc": c.doc} for c in spec.columns]


def ensure_table(database: Database, session: Session, analysis: str, spec: TableSpec) -> None:
    """Create the result table, or add the columns that a newer version declares."""
    name = sql_name(analysis, spec.name)
    known = session.get(Catalog, name)
    if known is None:  # of several that save their first result at once, one makes the table
        database.backend.lock(session.connection(), f"table {name}")
        known = session.get(Catalog, name)
    if known is None:
        _check_new(session, analysis, name, spec)
        sql_table(name, spec).create(session.connection())
        session.add(
            Catalog(sql_name=name, analysis=analysis, name=spec.name, columns=_described(spec))
        )
        session.flush()
        _show(database, session, spec)
        return
    if (known.analysis, known.name) != (analysis, spec.name):
        raise AnalysisError(
            f"analysis {analysis!r}, table {spec.name!r}: the SQL name {name!r} is taken by "
            f"{known.analysis!r}, table {known.name!r}; rename one"
        )
    _add_columns(database, session, name, spec, known)


def _check_new(session: Session, analysis: str, name: str, spec: TableSpec) -> None:
    """Raise AnalysisError for names that the database cannot take."""
    lower = [c.name.lower() for c in spec.columns]
    fault = None
    if sa.inspect(session.connection()).has_table(name):
        fault = "is the store's own"
    elif len(name) > LONGEST_NAME or name.startswith(("sqlite_", "pg_")):
        fault = f"is longer than {LONGEST_NAME} characters, or begins as the database's own do"
    elif len(set(lower)) < len(lower):
        fault = "has columns that differ only in case"
    if fault:
        raise AnalysisError(f"analysis {analysis!r}: SQL table {name!r} {fault}; rename it")


def _add_columns(
    database: Database, session: Session, name: str, spec: TableSpec, known: Catalog
) -> None:
    kinds = {c["name"]: c["kind"] for c in known.columns}
    for column in spec.columns:
        if kinds.get(column.name, column.kind) != column.kind:
            raise AnalysisError(
                f"table {name!r}: column {column.name!r} is stored as {kinds[column.name]}, now "
                f"declared {column.kind}; give the column a new name"
            )
        if column.name not in kinds:
            connection = session.connection()
            kind = SQL_TYPES[column.kind]().compile(connection.dialect)
            connection.exec_driver_sql(f'ALTER TABLE "{name}" ADD COLUMN "{column.name}" {kind}')
    new = [c for c in _described(spec) if c["name"] not in kinds]
    if new:
        known.columns = [*known.columns, *new]
        session.flush()
        _show(database, session, spec)


def _show(database: Database, session: Session, spec: TableSpec) -> None:
    """Let the view of all summaries show one that is new or wider."""
    if spec.name == SUMMARY:
        database.backend.lock(session.connection(), "view metric")
        make_metric(session.connection())


def _write_table(
    database: Database, session: Session, run: Run, spec: TableSpec, table: ResultTable
) -> None:
    names = [c.name for c in spec.columns]
    columns = [_nulls(table[n]) for n in names]
    rows = ((run.id, item, *values) for item, values in enumerate(zip(*columns, strict=True)))
    sql = sql_name(run.analysis, spec.name)
    database.backend.insert(session.connection(), sql, ["run_id", "item", *names], rows)


def _nulls(column: Any) -> list[Any]:
    return [None if value != value else value for value in column.tolist()]


def delete_rows(session: Session, runs: Sequence[int]) -> None:
    """Delete the result rows of runs from every result table."""
    for name in session.scalars(sa.select(Catalog.sql_name)).all():
        table = sa.table(name, sa.column("run_id"))
        session.execute(sa.delete(table).where(table.c.run_id.in_(runs)))


@dataclass(frozen=True)
class StoredResult:
    """Tables and arrays of a run as read back."""

    tables: dict[str, ResultTable]
    arrays: dict[str, Any]


def read_result(database: Database, run: Run) -> StoredResult:
    """Read the tables and arrays of a run; StoreError where it failed."""
    if run.status != "done":
        raise StoreError(f"run {run.id} failed: {run.error}")
    with database.read() as session:
        catalog = session.scalars(sa.select(Catalog).where(Catalog.analysis == run.analysis)).all()
        tables = {entry.name: _read_table(session, entry, run.id) for entry in catalog}
        arrays = session.scalars(sa.select(Array).where(Array.run_id == run.id)).all()
    return StoredResult(tables, {array.name: _read_array(array) for array in arrays})


def table_names(database: Database, analysis: str) -> tuple[str, ...]:
    """Names of the tables that an analysis has written."""
    with database.read() as session:
        return tuple(session.scalars(sa.select(Catalog.name).where(Catalog.analysis == analysis)))


def read_table(database: Database, run: Run, name: str) -> ResultTable:
    """Read one table of a run."""
    with database.read() as session:
        return _read_table(session, session.get_one(Catalog, sql_name(run.analysis, name)), run.id)


def _read_table(session: Session, entry: Catalog, run_id: int) -> ResultTable:
    names = [c["name"] for c in entry.columns]
    kinds = {c["name"]: c["kind"] for c in entry.columns}
    named = {n: sa.column(n, SQL_TYPES[kinds[n]]) for n in names}
    run, item = sa.column("run_id", sa.BigInteger), sa.column("item", sa.BigInteger)
    table = sa.table(entry.sql_name, run, item, *named.values())
    statement = sa.select(*named.values()).select_from(table).where(run == run_id).order_by(item)
    rows = session.execute(statement).all()
    columns = {
        n: column_array(kinds[n], list(map(operator.itemgetter(i), rows)))
        for i, n in enumerate(names)
    }
    return ResultTable(entry.name, columns)


def _read_array(array: Array) -> Any:
    if checksum(array.data) != array.checksum:
        raise CorruptError(
            f"array {array.name!r} of run {array.run_id} does not match its checksum"
        )
    return np.frombuffer(array.data, array.dtype).reshape(array.shape)
