"""The open store: sessions, and looking records up by what users call them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar, final

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from ..core import InputError, StoreError, UnavailableError, listing
from . import schema
from .backends import Backend, SQLite, backend_for, driver_errors, is_transient, translated
from .tables import Activation, Base, Chunk, Dataset, Extraction, Model, Payload, Run, TopIndex

Record = TypeVar("Record", bound=Base)
T = TypeVar("T")
NOUNS: dict[str, type[Base]] = {
    "models": Model,
    "datasets": Dataset,
    "extractions": Extraction,
    "runs": Run,
}
PAUSES = (0.1, 0.3, 1.0, 3.0, 9.0)  # seconds between attempts to begin a transaction


@final
class Database:
    """A store of the right schema. Records it returns are detached: plain values to read."""

    def __init__(self, backend: Backend):
        self.backend = backend
        self.engine = backend.engine()
        self._local = threading.local()
        self._tidying: threading.Thread | None = None
        self._tidiers = threading.RLock()

    @property
    def url(self) -> str:
        """By which other processes open it, wherever they are begun: with its password."""
        url = self.engine.url
        if isinstance(self.backend, SQLite):
            url = url.set(database=str(self.backend.path.resolve()))
        return url.render_as_string(hide_password=False)

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Database":
        """Open a store, making it where it is missing and `create` is set.

        Raises StoreError where it cannot be opened, SchemaError where it is older or newer.
        """
        backend = backend_for(url)
        if not backend.exists() and not create:
            raise StoreError(f"no store at {backend.name}; make one with `actlas store init`")
        if isinstance(backend, SQLite) and not backend.path.resolve().parent.is_dir():
            folder = backend.path.resolve().parent
            raise StoreError(f"no folder {folder} for the store; mkdir -p '{folder}'")
        database = cls(backend)
        try:
            with translated(backend), database.engine.connect() as connection:
                empty = create and schema.current_version(connection) is None
            if empty:
                database.upgrade()
            with translated(backend), database.engine.connect() as connection:
                schema.check(connection, backend.name)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def is_at(cls, url: str) -> bool:
        """Whether there is something to open."""
        return backend_for(url).exists()

    @classmethod
    def upgrade_at(cls, url: str) -> str:
        """Bring the store at `url` to this actlas's schema and return its version."""
        backend = backend_for(url)
        if not backend.exists():
            raise StoreError(f"no store at {backend.name}; make one with `actlas store init`")
        database = cls(backend)
        try:
            database.upgrade()
        finally:
            database.close()
        return schema.HEAD

    def upgrade(self) -> None:
        """Create the schema, or run the migrations that are missing."""
        begin = self.engine.execution_options(**self.backend.write_options()).begin
        with translated(self.backend), begin() as connection:
            self.backend.lock(connection, "schema")
            schema.upgrade(connection, self.backend.name)

    def close(self) -> None:
        """Close all connections."""
        self._wait()
        self.engine.dispose()

    def _tidy(self) -> None:
        with self._tidiers:  # several threads may write by one Database
            self._wait()
            self._tidying = threading.Thread(target=self.backend.tidy, name="actlas-tidy")
            self._tidying.start()

    def _wait(self) -> None:
        with self._tidiers:
            if self._tidying:
                self._tidying.join()
                self._tidying = None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state."""
        with translated(self.backend), self._begun(self.backend.read_options()) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that reads one state; within another of the same thread, that one."""
        current: sa.Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            yield current
            return
        with self.read() as session:
            self._local.connection = session.connection()
            try:
                yield self._local.connection
            finally:
                self._local.connection = None

    @contextmanager
    def payloads(self) -> Iterator[PoolProxiedConnection]:
        """The driver's connection, for bytes; within `reading`, that of it.

        What SQLAlchemy does around a transaction costs more than reading some rows.
        """
        current: sa.Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            yield current.connection
            return
        with translated(self.backend), closing(_begin(self.engine.raw_connection)) as connection:
            self.backend.begin(connection)
            yield connection

    @contextmanager
    def write(self, lock: str | None = None, *, large: bool = False) -> Iterator[Session]:
        """A session that is committed at the end, or rolled back whole on any error.

        lock: what is written, where two that write it at once must take turns.
        large: tens of MB, after which the caller has other things to do for a while.
        """
        options = self.backend.write_options(large=large)
        with translated(self.backend), self._begun(options) as session:
            self.backend.guard(session.connection())
            if lock is not None:
                self.backend.lock(session.connection(), lock)
            yield session
            session.commit()
        if large:
            self._tidy()

    @contextmanager
    def _begun(self, options: dict[str, Any]) -> Iterator[Session]:
        """A session whose transaction has begun; a busy or absent server is given time."""
        engine = self.engine.execution_options(**options)
        with Session(engine, expire_on_commit=False) as session:
            _begin(session.connection, session.close)
            yield session

    def records(self, noun: str) -> Sequence[Any]:
        """All records of models, datasets, extractions or runs, oldest first."""
        kind: Any = NOUNS[noun]
        with self.read() as session:
            return session.scalars(sa.select(kind).order_by(kind.id)).all()

    def find(self, kind: type[Record], ident: int | str) -> Record:
        """Return a record by id, or the newest of a name or spec; InputError lists all."""
        noun = next(n for n, k in NOUNS.items() if k is kind)
        name = {"models": "spec", "datasets": "name"}.get(noun)
        table: Any = kind
        with self.read() as session:
            found: Record | None = None
            if str(ident).isdecimal() and len(str(ident)) < 19:
                found = session.get(kind, int(ident))
            elif name is not None:
                matches = sa.select(kind).where(getattr(table, name) == ident)
                found = session.scalars(matches.order_by(table.id.desc())).first()
            if found is not None:
                return found
            known = session.scalars(
                sa.select(getattr(table, name or "id")).order_by(table.id)
            ).all()
        raise InputError(
            f"no {noun.removesuffix('s')} {ident!r}; there is {listing([str(k) for k in known])}"
            f" (`actlas {noun} list`)"
        )

    def remove(self, kind: type[Record], ident: int) -> None:
        """Delete a record and what hangs on it; the freed pages go back to the file system.

        Raises InputError while extractions use a model or data set.
        """
        if kind in (Model, Dataset):
            column = Extraction.model_id if kind is Model else Extraction.dataset_id
            with self.read() as session:
                users = session.scalars(sa.select(Extraction.id).where(column == ident)).all()
            if users:
                raise InputError(
                    f"extractions {listing([str(u) for u in users])} use it; remove them first "
                    f"with `actlas extractions rm`"
                )
        with self.write() as session:
            self._drop_results(session, kind, ident)
            payloads = payloads_of(session, ident) if kind is Extraction else set()
            session.delete(session.get_one(kind, ident))
            session.flush()
            drop_orphans(session, payloads)
        self.shrink()

    def _drop_results(self, session: Session, kind: type[Base], ident: int) -> None:
        from .results import delete_rows

        if kind is Run:
            delete_rows(session, [ident])
        elif kind is Extraction:
            runs = session.scalars(sa.select(Run.id).where(Run.extraction_id == ident)).all()
            delete_rows(session, runs)

    def shrink(self) -> None:
        """Give freed pages back to the file system."""
        if isinstance(self.backend, SQLite):
            with translated(self.backend), self.engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                connection.rollback()
                driver.executescript("PRAGMA incremental_vacuum")  # execute would free one page

    def select(
        self, statement: str, limit: int | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a statement that reads; ReadOnlyError from the database where it writes."""
        return self.backend.select(statement, limit)

    def sizes(self) -> dict[str, int]:
        """Number of rows of every table, result tables included."""
        with self.read() as session:
            names = sorted(sa.inspect(session.connection()).get_table_names())
            return {
                name: session.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) or 0
                for name in names
                if name != schema.VERSION_TABLE
            }


def _begin(attempt: Callable[[], T], give_up: Callable[[], None] = lambda: None) -> T:
    """Connect; a busy or absent server is given time."""
    expected: tuple[type[Exception], ...] = (sa.exc.OperationalError, *driver_errors())
    for pause in PAUSES:
        try:
            return attempt()
        except expected as error:
            give_up()
            if not is_transient(error):
                raise
            time.sleep(pause)
    return attempt()


def patiently(attempt: Callable[[], None]) -> None:
    """Do what can be done twice without harm, again and again while the store is away."""
    for pause in PAUSES:
        try:
            return attempt()
        except UnavailableError:
            time.sleep(pause)
    return attempt()


def payloads_of(session: Session, extraction_id: int) -> set[int]:
    """Ids of the bytes of an extraction's chunks and indexes."""
    mine = sa.select(Activation.id).where(Activation.extraction_id == extraction_id)
    return {
        ident
        for kind in (Chunk, TopIndex)
        for ident in session.scalars(sa.select(kind.data_id).where(kind.activation_id.in_(mine)))
    }


def drop_orphans(session: Session, among: Iterable[int]) -> int:
    """Delete those of some payloads that no chunk and no index has, and say how many."""
    dropped = 0
    for idents in batched(sorted(among), 500):
        unused = [
            ~sa.exists().where(kind.data_id == Payload.id).correlate(Payload)
            for kind in (Chunk, TopIndex)
        ]
        done = session.execute(
            sa.delete(Payload)
            .where(Payload.id.in_(idents), *unused)
            .execution_options(synchronize_session=False)
        )
        dropped += int(done.rowcount)  # type: ignore[attr-defined]
    return dropped


def batched(values: Sequence[T], n: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of n."""
    return (values[i : i + n] for i in range(0, len(values), n))
