"""What differs between databases: opening, bulk writing, reading bytes, reading only."""

import shutil
import sqlite3
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.metadata import entry_points
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import PoolProxiedConnection

from ..core import ReadOnlyError, StoreError, UnavailableError

PAGE_SIZE = 65536  # a fifth less CPU to write than 16 KiB; the pointer map keeps single rows fast
WAL_PAGES = 1024  # checkpoint after 64 MiB of log: its pages stay in the cache and are used again
CREATION = (f"page_size={PAGE_SIZE}", "auto_vacuum=2")  # kept in the file; setting them locks it
BUSY_SECONDS = 30
# First words of statements that are no query; in a cursor they are a syntax error.
WRITING = {
    "alter", "call", "comment", "copy", "create", "delete", "do", "drop", "grant", "insert", "lock",
    "merge", "refresh", "reindex", "revoke", "set", "truncate", "update", "vacuum",
}  # fmt: skip
MMAP_BYTES = 1 << 40
TRANSIENT = (
    "is locked", "connection", "server closed", "starting up",
    "shutting down", "the database system", "deadlock detected", "onnection reset", "Broken pipe",
    "EOF detected", "too many clients",
)  # fmt: skip
DAMAGED = "the file is damaged; restore it from a backup"
IDLE_MS = 60_000
KEEPALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
CLOCK = "SELECT EXTRACT(EPOCH FROM clock_timestamp())"


class Backend(ABC):
    """One kind of database.

    seek_bytes: how far apart parts of a payload may lie to be cheaper read with what is between.
    """

    seek_bytes = 1 << 20

    def __init__(self, url: URL):
        self.url = url

    @classmethod
    def of(cls, url: URL) -> "Backend":
        """Make the backend of a URL; StoreError for what is wrong with it or not installed."""
        return cls(url)

    @property
    def name(self) -> str:
        """The URL without a password."""
        return self.url.render_as_string(hide_password=True)

    @abstractmethod
    def engine(self) -> Engine:
        """Make the engine; nothing is opened yet."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a database to open."""

    @abstractmethod
    def insert(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Any]
    ) -> None:
        """Write many rows (tuples) in the fastest way the database has."""

    @abstractmethod
    def reserve(self, connection: Connection, table: str, n: int) -> Sequence[int]:
        """Return n ids of a table that nobody else will use."""

    @abstractmethod
    def blobs(
        self, connection: PoolProxiedConnection, parts: Sequence[tuple[int, int, int]]
    ) -> Iterator[bytes]:
        """Yield bytes [start, stop) of payloads: parts are (payload id, start, stop).

        connection: the driver's. Fewer bytes, or none, where the store has lost them.
        """

    def begin(self, connection: PoolProxiedConnection) -> None:  # noqa: B027  # most do it alone
        """Begin a transaction that reads, where the driver does not with its first statement."""

    @abstractmethod
    def select(self, statement: str, limit: int | None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one statement that the database itself allows only to read."""

    @abstractmethod
    def clock(self, connection: Connection) -> float:
        """The database's time, in seconds since 1970: the same for all that write."""

    def guard(self, connection: Connection) -> None:  # noqa: B027  # a file needs none
        """End the transaction of a writer that is not heard of, so that others need not wait."""

    @abstractmethod
    def lock(self, connection: Connection, name: str) -> None:
        """Wait for whoever writes under the same name; held to the end of the transaction."""

    def faults(self, connection: Connection) -> Iterator[str]:
        """Yield what the database itself finds damaged."""
        yield from ()

    def free_bytes(self) -> int | None:
        """Free space where the data goes, if it can be known."""
        return None

    def read_options(self) -> dict[str, Any]:
        """Execution options of a transaction that reads."""
        return {}

    def write_options(self, *, large: bool = False) -> dict[str, Any]:
        """Execution options of a transaction that writes; large: `tidy` is called after it."""
        return {}

    def tidy(self) -> None:  # noqa: B027  # a server does it by itself
        """Do what a large write left for later; runs in a thread of its own, and may fail."""


@final
class SQLite(Backend):
    """A file, opened with write-ahead log, one writer at a time, many readers."""

    seek_bytes = 1 << 13

    @classmethod
    def of(cls, url: URL) -> "SQLite":
        """See `Backend.of`."""
        if not url.database or url.database == ":memory:":
            raise StoreError("a SQLite store is a file; use sqlite:///FILE")
        return cls(url)

    @property
    def path(self) -> Path:
        """The database file."""
        return Path(self.url.database or "")

    def exists(self) -> bool:
        """See `Backend.exists`."""
        return self.path.is_file() and self.path.stat().st_size > 0

    def engine(self) -> Engine:
        """See `Backend.engine`."""
        engine = sa.create_engine(self.url, connect_args={"timeout": BUSY_SECONDS})

        @sa.event.listens_for(engine, "connect")
        def connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy begins, so that BEGIN IMMEDIATE can be
            new = connection.execute("PRAGMA page_count").fetchone()[0] == 0
            for pragma in (
                *(CREATION if new else ()),
                "synchronous=NORMAL",
                f"journal_size_limit={256 << 20}",
                f"mmap_size={MMAP_BYTES}",
                "foreign_keys=ON",
            ):
                connection.execute(f"PRAGMA {pragma}")
            _use_write_ahead_log(connection)

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            options = connection.get_execution_options()
            if (pages := options.get("sqlite_log")) is not None:
                connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={pages}")
            connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN"))

        return engine

    def clock(self, connection: Connection) -> float:
        """See `Backend.clock`: a file has the host's."""
        return time.time()

    def lock(self, connection: Connection, name: str) -> None:
        """See `Backend.lock`: there is one writer at a time anyway."""

    def write_options(self, *, large: bool = False) -> dict[str, Any]:
        """Take the write lock at once: a reader that upgrades later could only fail."""
        return {"sqlite_begin": "BEGIN IMMEDIATE", "sqlite_log": 0 if large else WAL_PAGES}

    def tidy(self) -> None:
        """Bring the log into the file: much of its time is waiting for the disk."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def insert(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Any]
    ) -> None:
        """See `Backend.insert`."""
        names, marks = ", ".join(f'"{c}"' for c in columns), ", ".join("?" * len(columns))
        cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        cursor.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)

    def reserve(self, connection: Connection, table: str, n: int) -> Sequence[int]:
        """See `Backend.reserve`: the one writer takes what comes after the last."""
        last = connection.exec_driver_sql(f'SELECT COALESCE(MAX(id), 0) FROM "{table}"').scalar()
        return range((last or 0) + 1, (last or 0) + 1 + n)

    def begin(self, connection: PoolProxiedConnection) -> None:
        """See `Backend.begin`: without one, every handle would lock and unlock the file."""
        connection.cursor().execute("BEGIN")

    def blobs(
        self, connection: PoolProxiedConnection, parts: Sequence[tuple[int, int, int]]
    ) -> Iterator[bytes]:
        """See `Backend.blobs`."""
        driver: Any = connection.driver_connection
        for payload, group in groupby(parts, key=itemgetter(0)):
            # With nothing open where the reader may stop.
            yield from _blob_parts(driver, payload, [(a, b) for _, a, b in group])

    def select(self, statement: str, limit: int | None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """See `Backend.select`; the file is opened read-only, and nothing can be attached."""
        uri = f"{self.path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
        denied = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action in denied else sqlite3.SQLITE_OK
        )
        try:
            cursor = connection.execute(statement)
            if cursor.description is None:
                raise ReadOnlyError("`actlas sql` takes a statement that gives rows: SELECT …")
            return [d[0] for d in cursor.description], _fetch(cursor, limit)
        except sqlite3.Error as error:
            raise _sql_error(
                error, "readonly" in str(error) or "not authorized" in str(error)
            ) from error
        finally:
            connection.close()

    def faults(self, connection: Connection) -> Iterator[str]:
        """See `Backend.faults`."""
        for (said,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if said != "ok":
                yield f"SQLite: {' '.join(said.split())}"

    def free_bytes(self) -> int | None:
        """See `Backend.free_bytes`."""
        folder = self.path.resolve().parent
        return shutil.disk_usage(folder).free if folder.is_dir() else None


def _blob_parts(driver: Any, payload: int, spans: list[tuple[int, int]]) -> list[bytes]:
    try:
        with driver.blobopen("payloads", "data", payload, readonly=True) as blob:
            return [blob[start:stop] for start, stop in spans]
    except sqlite3.OperationalError as error:
        if "no such rowid" not in str(error):
            raise
        return [b""] * len(spans)


@final
class PostgreSQL(Backend):
    """A server that many write to: binary COPY in, binary cursors out."""

    @classmethod
    def of(cls, url: URL) -> "PostgreSQL":
        """See `Backend.of`."""
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise StoreError("PostgreSQL needs psycopg; pip install 'actlas[postgres]'") from error
        return cls(url.set(drivername="postgresql+psycopg"))

    def exists(self) -> bool:
        """See `Backend.exists`: a database that answers."""
        return True

    def engine(self) -> Engine:
        """See `Backend.engine`."""
        own = {} if "options" in self.url.query else {"options": KEEPALIVE}
        return sa.create_engine(self.url, pool_pre_ping=True, connect_args=own)

    def guard(self, connection: Connection) -> None:
        """See `Backend.guard`."""
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}")

    def read_options(self) -> dict[str, Any]:
        """All statements of a session see one state, as they do on SQLite."""
        return {"isolation_level": "REPEATABLE READ"}

    def clock(self, connection: Connection) -> float:
        """See `Backend.clock`."""
        return float(connection.execute(sa.text(CLOCK)).scalar_one())

    def lock(self, connection: Connection, name: str) -> None:
        """See `Backend.lock`."""
        statement = sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))")
        connection.execute(statement, {"name": f"actlas {name}"})

    def insert(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Any]
    ) -> None:
        """See `Backend.insert`."""
        driver: Any = connection.connection.driver_connection
        types = _column_types(connection, table)
        names = ", ".join(f'"{c}"' for c in columns)
        with (
            driver.cursor() as cursor,
            cursor.copy(f'COPY "{table}" ({names}) FROM STDIN (FORMAT BINARY)') as copy,
        ):
            copy.set_types([types[c] for c in columns])
            for row in rows:
                copy.write_row(row)

    def reserve(self, connection: Connection, table: str, n: int) -> Sequence[int]:
        """See `Backend.reserve`."""
        statement = sa.text("SELECT nextval(:sequence) FROM generate_series(1, :n)")
        named = {"sequence": f"{table}_id_seq", "n": n}
        return connection.execute(statement, named).scalars().all()

    def blobs(
        self, connection: PoolProxiedConnection, parts: Sequence[tuple[int, int, int]]
    ) -> Iterator[bytes]:
        """See `Backend.blobs`; substr of an external value reads only its part."""
        driver: Any = connection.driver_connection
        with driver.cursor(binary=True) as cursor:
            for payload, start, stop in parts:
                cursor.execute(
                    "SELECT substr(data, %s, %s) FROM payloads WHERE id = %s",
                    (start + 1, stop - start, payload),
                )
                found = cursor.fetchone()
                yield b"" if found is None else found[0]

    def select(self, statement: str, limit: int | None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """See `Backend.select`; a cursor in a read-only transaction takes one query, no COPY."""
        import psycopg

        url = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, options="-c default_transaction_read_only=on") as connection:
            query = statement.strip().rstrip(";")
            try:
                cursor = connection.cursor(binary=True)  # the protocol that takes one statement
                cursor.execute(f"DECLARE actlas NO SCROLL CURSOR FOR {query}".encode())
                cursor.execute(f"FETCH {'ALL' if limit is None else int(limit)} FROM actlas")
                return [d.name for d in cursor.description or ()], _fetch(cursor, None)
            except psycopg.Error as error:
                kinds = (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.FeatureNotSupported)
                first = (query.split(maxsplit=1) or [""])[0].lower()
                raise _sql_error(error, isinstance(error, kinds) or first in WRITING) from error


def _fetch(cursor: Any, limit: int | None) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in (cursor.fetchall() if limit is None else cursor.fetchmany(limit))]


def _sql_error(error: Exception, writes: bool) -> StoreError:
    said = " ".join(str(error).split())
    if writes:
        return ReadOnlyError(f"the statement writes ({said}); `actlas sql` only reads")
    return StoreError(f"SQL: {said}; `actlas store info` lists the tables")


def _column_types(connection: Connection, table: str) -> dict[str, str]:
    query = sa.text(
        "SELECT column_name, udt_name FROM information_schema.columns "
        "WHERE table_name = :table AND table_schema = current_schema()"
    )
    return {str(name): str(kind) for name, kind in connection.execute(query, {"table": table})}


BACKENDS: dict[str, type[Backend]] = {"sqlite": SQLite, "postgresql": PostgreSQL}
ENTRY_POINTS = "actlas.backends"


def backend_for(url: str) -> Backend:
    """Return the backend of a store URL by the name that it begins with.

    Others are found by entry points of the group `actlas.backends`: that name, and a subclass
    of `Backend`. Raises StoreError for an unknown name, a backend that cannot be imported, and
    a driver that is missing.
    """
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise StoreError(
            f"{url!r} is no store URL; use sqlite:///FILE or postgresql+psycopg://USER@HOST/DB"
        ) from error
    name = parsed.get_backend_name()
    return (BACKENDS.get(name) or _plugged(name)).of(parsed)


def _plugged(name: str) -> type[Backend]:
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            found: type[Backend] = point.load()
        except Exception as error:
            raise StoreError(
                f"the store backend {name!r} ({point.value}) cannot be imported: {error}"
            ) from error
        return found
    raise StoreError(
        f"no store on {name!r}; use sqlite:///FILE or postgresql+psycopg://USER@HOST/DB"
    )


def _use_write_ahead_log(connection: Any) -> None:
    """Turn on WAL; SQLite does not wait for others that do the same to a new file, so wait here."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def driver_errors() -> tuple[type[Exception], ...]:
    """What the drivers raise where they are used without SQLAlchemy."""
    psycopg: Any = sys.modules.get("psycopg")
    return (sqlite3.Error, psycopg.Error) if psycopg else (sqlite3.Error,)


def is_transient(error: Exception) -> bool:
    """Whether an error may be gone in a moment: a lock, a server that restarts."""
    said = str(error)
    invalidated = bool(getattr(error, "connection_invalidated", False))
    return invalidated or any(sign in said for sign in TRANSIENT)


@contextmanager
def translated(backend: Backend) -> Iterator[None]:
    """Turn database errors into StoreError."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise StoreError(f"{backend.name}: {error}; {DAMAGED}") from error
    except Exception as error:
        if not isinstance(error, (sa.exc.DatabaseError, *driver_errors())):
            raise
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        hint = {
            "is locked": "another process is writing; wait for it, or use PostgreSQL",
            "not a database": "the file is no SQLite database; name another",
            "malformed": DAMAGED,
            "decode to UTF-8": DAMAGED,
            "disk is full": "free space, then run the same command again: it goes on",
            "disk I/O": "check the disk, then run the same command again",
            "unable to open": "check the folder exists and can be written",
            "deadlock": "another process wrote the same; run the same command again: it goes on",
            "No space left": "free space at the server, then run the same command again",
            "onnection reset": "check that the server runs, then run the same command again",
            "Broken pipe": "check that the server runs, then run the same command again",
            "EOF detected": "check that the server runs, then run the same command again",
            "too many clients": "raise max_connections, or run fewer at once",
            "terminating": "the server goes down; run the same command again when it is back",
            "connection": "check that the server runs and the URL is right",
        }
        advice = next((h for sign, h in hint.items() if sign in said), None)
        if advice is None:  # a statement of ours that is wrong: a bug, so show it as one
            raise
        kind = UnavailableError if is_transient(error) else StoreError
        raise kind(f"{backend.name}: {said}; {advice}") from error
