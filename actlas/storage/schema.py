"""Creating, checking and upgrading the schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..core import SchemaError, listing
from .views import drop_views, make_views

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "actlas_alembic_version"
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0004"  # the newest file in migrations/versions; tested to be so


def current_version(connection: Connection) -> str | None:
    """Return the schema version of the database, None where it holds no store."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    row = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).first()
    return str(row[0]) if row else None


def check(connection: Connection, name: str) -> None:
    """Raise SchemaError unless the store has the schema of this actlas."""
    version = current_version(connection)
    if version == HEAD:
        return
    if version is None:
        raise SchemaError(f"{name} holds no actlas store; make one with `actlas store init`")
    if version in known_versions():
        raise SchemaError(
            f"{name} has schema {version}, this actlas needs {HEAD}; upgrade it with "
            f"`actlas store upgrade --store {name}`"
        )
    raise SchemaError(
        f"{name} has schema {version}, which this actlas (schema {HEAD}) does not know: a newer "
        f"actlas wrote it; pip install --upgrade actlas"
    )


def known_versions() -> list[str]:
    """Schema versions that this actlas can upgrade from, oldest first."""
    return sorted(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("0*.py"))


def upgrade(connection: Connection, name: str) -> None:
    """Create the schema or bring it to this actlas's version.

    Raises SchemaError for a newer store, and for a database that another program uses.
    """
    from alembic import command

    version = current_version(connection)
    if version is not None and version not in known_versions():
        check(connection, name)
    others = [] if version else sa.inspect(connection).get_table_names()
    if others:
        raise SchemaError(
            f"{name} holds tables of another program ({listing(sorted(others), 3)}); name an empty "
            f"database or a new file"
        )
    drop_views(connection)
    with _config(connection) as config:
        command.upgrade(config, "head")
    make_views(connection)


@contextmanager
def _config(connection: Connection) -> "Iterator[Config]":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    yield config
