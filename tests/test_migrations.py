"""A store of every released schema upgrades, and answers as before."""

import lzma
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command

import actlas
from actlas.api import upgrade
from actlas.storage import schema, verify
from actlas.storage.backends import backend_for

RELEASED = sorted((Path(__file__).parent / "data").glob("schema_*.db.xz"))
QUERIES = (
    "SELECT e.id, m.spec, d.name, a.site, a.width, a.rows_done, a.complete, a.nonfinite "
    "FROM activations a JOIN extractions e ON e.id = a.extraction_id "
    "JOIN models m ON m.id = e.model_id JOIN datasets d ON d.id = e.dataset_id "
    "ORDER BY e.id, a.depth",
    "SELECT extraction_id, row, sample, token, char_start FROM rows ORDER BY 1, 2",
    "SELECT extraction_id, row, label_set, label FROM row_labels ORDER BY 1, 2, 3",
    "SELECT run_id, item, effective_rank FROM spectrum_summary ORDER BY 1, 2",
    "SELECT activation_id, first_row, rows, checksum FROM chunks ORDER BY 1, 2",
)


@pytest.fixture(params=RELEASED, ids=lambda path: path.name.split(".")[0])
def old(request, tmp_path):
    """A store as an older actlas left it."""
    path = tmp_path / "old.db"
    path.write_bytes(lzma.decompress(request.param.read_bytes()))
    return path


def answers(path):
    with sqlite3.connect(path) as connection:
        found = [connection.execute(query).fetchall() for query in QUERIES]
    connection.close()
    return found


def numbers(path):
    """The stored matrices of an old store, by extraction and site, from the bytes themselves."""
    query = (
        "SELECT a.extraction_id, a.site, a.width, c.dtype, d.data FROM chunks c "
        "JOIN activations a ON a.id = c.activation_id JOIN chunk_data d ON d.chunk_id = c.id "
        "ORDER BY a.id, c.first_row"
    )
    found = {}
    with sqlite3.connect(path) as connection:
        for extraction, site, width, dtype, data in connection.execute(query):
            rows = np.frombuffer(data, dtype).reshape(-1, width).astype(np.float32)
            found.setdefault((extraction, site), []).append(rows)
    connection.close()
    return {place: np.concatenate(rows) for place, rows in found.items()}


def assert_answers(store, before, matrices):
    for query, expected in zip(QUERIES, before, strict=True):
        found = store.database.select(query)[1]
        assert len(found) == len(expected) > 0
        for row, wanted in zip(found, expected, strict=True):
            assert row == pytest.approx(wanted) if isinstance(row[-1], float) else row == wanted
    for (extraction, site), rows in matrices.items():
        acts = store.extraction(extraction).activations(site)
        np.testing.assert_array_equal(acts.numpy(), rows)
        top = [hit.row for hit in store.top(site, 3, 5, extraction=extraction)]
        assert top == np.argsort(-rows[:, 3], kind="stable")[:5].tolist()
    assert list(verify(store.database)) == []


def test_it_is_refused_with_the_command_and_then_upgrades(old):
    before, matrices = answers(old), numbers(old)
    assert len(matrices) == 5
    with pytest.raises(actlas.SchemaError, match=r"actlas store upgrade --store"):
        actlas.open(str(old))
    assert upgrade(str(old))["schema"] == schema.HEAD
    with actlas.open(str(old)) as store:
        assert_answers(store, before, matrices)


def test_the_same_on_postgresql(old, request):
    """The old tables are made by the old migrations and filled with the old rows."""
    server = request.getfixturevalue("postgres_server")
    import psycopg

    name = f"migrated_{abs(hash(str(old)))}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://")
    before, matrices = answers(old), numbers(old)
    version = fill(old, backend_for(url).engine())
    assert version in schema.known_versions()[:-1]
    upgrade(url)
    with actlas.open(url) as store:
        assert_answers(store, before, matrices)


def fill(old, engine):
    """Copy an old SQLite store into an empty database, table by table."""
    source = sa.create_engine(f"sqlite:///{old}")
    with source.connect() as given, engine.begin() as taken:
        version = schema.current_version(given)
        with schema._config(taken) as config:
            command.upgrade(config, version)
        old_tables, tables = sa.MetaData(), sa.MetaData()
        old_tables.reflect(given)
        tables.reflect(taken)
        for table in old_tables.sorted_tables:
            rows = [dict(row) for row in given.execute(sa.select(table)).mappings()]
            if table.name == schema.VERSION_TABLE or not rows:
                continue
            if table.name not in tables.tables:  # the results of an analysis
                columns = [sa.Column(c.name, c.type.as_generic()) for c in table.columns]
                sa.Table(table.name, tables, *columns).create(taken)
            taken.execute(tables.tables[table.name].insert(), rows)
        for name in ("runs", "extractions", "activations", "chunks", "labels", "label_sets"):
            taken.execute(sa.text(f"SELECT setval('{name}_id_seq', (SELECT MAX(id) FROM {name}))"))
    source.dispose()
    engine.dispose()
    return version
