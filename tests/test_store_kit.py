"""Our own two kinds of database pass the kit for any, and so does one that is plugged in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import PoolProxiedConnection

from actlas.core import StoreError
from actlas.storage import Backend
from actlas.storage.backends import SQLite, backend_for
from actlas.testing import StoreTests
from actlas.testing.tampering import opened


class TestOurBackends(StoreTests):
    """On SQLite and on PostgreSQL: the fixture `store_url` gives both."""


class Other(Backend):
    """A database of somebody else, `other:///FILE`: it happens to be SQLite underneath."""

    def __init__(self, url: URL):
        super().__init__(url)
        self.inner = SQLite(url.set(drivername="sqlite"))

    def engine(self) -> Engine:
        return self.inner.engine()

    def exists(self) -> bool:
        return self.inner.exists()

    def insert(self, connection: Connection, table: str, columns: Sequence[str], rows: Any) -> None:
        self.inner.insert(connection, table, columns, rows)

    def reserve(self, connection: Connection, table: str, n: int) -> Sequence[int]:
        return self.inner.reserve(connection, table, n)

    def blobs(
        self, connection: PoolProxiedConnection, parts: Sequence[tuple[int, int, int]]
    ) -> Iterator[bytes]:
        return self.inner.blobs(connection, parts)

    def begin(self, connection: PoolProxiedConnection) -> None:
        self.inner.begin(connection)

    def select(self, statement: str, limit: int | None) -> tuple[list[str], list[tuple[Any, ...]]]:
        return self.inner.select(statement, limit)

    def clock(self, connection: Connection) -> float:
        return self.inner.clock(connection)

    def lock(self, connection: Connection, name: str) -> None:
        self.inner.lock(connection, name)

    def write_options(self, *, large=False) -> dict[str, Any]:
        return self.inner.write_options()


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution is installed that brings two backends, one of them broken."""
    info = tmp_path / "site" / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    points = f"[actlas.backends]\nother = {__name__}:Other\nbroken = no_such_module:Missing\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(info.parent))
    return tmp_path


class TestPluggedIn(StoreTests):
    """A backend that an entry point names passes as well, and is used by its URL."""

    @pytest.fixture
    def store_url(self, plugged: Path) -> str:
        return f"other:///{plugged}/store.db"

    def test_is_found_by_its_url(self, store_url: str) -> None:
        with opened(store_url) as database:
            assert type(database.backend) is Other
            assert database.backend.name == store_url


def test_backends_that_are_not_there(plugged: Path) -> None:
    with pytest.raises(StoreError, match=r"'broken' \(no_such_module:Missing\) cannot be imported"):
        backend_for("broken:///file")
    with pytest.raises(StoreError, match="no store on 'mysql'; use sqlite"):
        backend_for("mysql://host/name")
