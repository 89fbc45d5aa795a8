"""`Store.sql` reads, and the database itself refuses whatever writes."""

import tempfile
import threading
import time
from pathlib import Path

import pandas
import pytest
import sqlalchemy as sa

import actlas

from .tiny import TEXTS

EVERYWHERE = [
    "INSERT INTO datasets (id, name, digest, samples, skipped, created) "
    "VALUES (99, 'x', 'x', 1, 0, 'x')",
    "INSERT INTO datasets (id, name, digest, samples, skipped, created) "
    "VALUES (99, 'x', 'x', 1, 0, 'x') RETURNING id",
    "UPDATE models SET spec = 'x'",
    "UPDATE models SET spec = 'x' RETURNING spec",
    "DELETE FROM rows",
    "DELETE FROM rows RETURNING row",
    "DROP TABLE rows",
    "DROP VIEW row_labels",
    "ALTER TABLE rows ADD COLUMN x TEXT",
    "CREATE TABLE x (y TEXT)",
    "CREATE TABLE x AS SELECT * FROM models",
    "CREATE VIEW x AS SELECT 1",
    "CREATE INDEX x ON rows (sample)",
    "SELECT 1; DELETE FROM rows",
    "SELECT 1; SELECT 2",
    "COMMIT; DELETE FROM rows",
    "BEGIN",
    "COMMIT",
    "VACUUM",
    "",
]
SQLITE = [
    "WITH x AS (SELECT 1) DELETE FROM rows",
    "WITH x AS (SELECT 1) INSERT INTO result_tables SELECT 'x', 'x', 'x', '[]' FROM x",
    "REPLACE INTO models SELECT * FROM models",
    "ATTACH '{folder}/attached.db' AS other",
    "ATTACH 'file:{folder}/attached.db?mode=rwc' AS other",
    "DETACH main",
    "VACUUM INTO '{folder}/copy.db'",
    "PRAGMA user_version = 7",
    "PRAGMA application_id = 7",
    "REINDEX",
    "ANALYZE",
    "SELECT load_extension('x')",
    "SELECT writefile('{folder}/file', 'x')",
]
POSTGRESQL = [
    "WITH x AS (DELETE FROM rows RETURNING row) SELECT * FROM x",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET TRANSACTION READ WRITE; DELETE FROM rows",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT setval('models_id_seq', 77)",
    "SELECT nextval('models_id_seq')",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT * INTO x FROM models",
    "EXPLAIN ANALYZE DELETE FROM rows",
    "DO $$ BEGIN DELETE FROM rows; END $$",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM rows; END $$",
    "DO $$ BEGIN ROLLBACK; SET TRANSACTION READ WRITE; DELETE FROM rows; COMMIT; END $$",
    "TRUNCATE rows",
    "GRANT ALL ON rows TO PUBLIC",
    "COMMENT ON TABLE rows IS 'x'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION pgcrypto",
    "ALTER SYSTEM SET work_mem = '5MB'",
    "COPY rows TO STDOUT",
    "COPY rows FROM STDIN",
    "COPY (SELECT 1) TO '{folder}/copied'",
    "COPY (SELECT 1) TO PROGRAM 'touch {folder}/ran'",
    "SELECT lo_export(lo_from_bytea(0, 'x'), '{folder}/exported')",
    "SELECT * FROM rows FOR UPDATE",
    "LOCK TABLE rows IN ACCESS EXCLUSIVE MODE",
    "PREPARE p AS DELETE FROM rows",
    "DECLARE c CURSOR FOR SELECT 1",
    "NOTIFY x",
]


@pytest.fixture
def filled(tiny, store):
    """A store with a little of everything."""
    texts = actlas.Dataset.of(TEXTS, labels={"kind": list("ababa")})
    store.extract(tiny("gpt2"), texts, "embed")
    return store


def fingerprint(store):
    """Every row of every table, and what else the database holds."""
    catalog = (
        "SELECT name, sql FROM sqlite_master ORDER BY name"
        if store.url.startswith("sqlite")
        else "SELECT relname, relkind::text, relacl::text FROM pg_class ORDER BY relname"
    )
    extra = (
        ["PRAGMA user_version", "PRAGMA application_id", "PRAGMA journal_mode"]
        if store.url.startswith("sqlite")
        else [
            "SELECT last_value, is_called FROM models_id_seq",
            "SELECT oid FROM pg_largeobject_metadata",
            "SELECT proname FROM pg_proc ORDER BY oid",
            "SELECT description FROM pg_description WHERE objoid = 'rows'::regclass",
            "SELECT extname FROM pg_extension ORDER BY 1",
        ]
    )
    with store.database.read() as session:
        names = sorted(sa.inspect(session.connection()).get_table_names())
        queries = [catalog, *extra, *(f'SELECT * FROM "{name}"' for name in names)]
        return [sorted(repr(tuple(r)) for r in session.execute(sa.text(q))) for q in queries]


@pytest.fixture
def outside():
    """A folder that a server under another user can write to, so that only it can refuse."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.fixture
def refused(filled, outside):
    """Check that each of some statements is refused and changes nothing."""

    def check(statements):
        folder = outside
        before = fingerprint(filled)
        wrong = []
        for template in statements:
            statement = template.format(folder=folder)
            try:
                found = filled.sql(statement)
                wrong.append(f"{statement}: gave {found!r}")
            except actlas.StoreError as error:
                if "\n" in str(error):
                    wrong.append(f"{statement}: {error} has several lines")
            except Exception as error:
                wrong.append(f"{statement}: {type(error).__name__}: {error}")
            if left := [path.name for path in folder.iterdir()]:
                wrong.append(f"{statement}: wrote {left}")
                for path in folder.iterdir():
                    path.unlink()
        if fingerprint(filled) != before:
            wrong.append("the database has changed")
        assert wrong == []

    return check


def test_a_table_comes_back(filled):
    found = filled.sql("SELECT site, width, complete FROM activations")
    assert isinstance(found, pandas.DataFrame)
    assert list(found.columns) == ["site", "width", "complete"]
    assert found.iloc[0].tolist() == ["embed", 16, True]


def test_a_query_over_tokens_and_labels(filled):
    found = filled.sql(
        "SELECT r.token, l.label, count(*) AS n FROM rows r JOIN row_labels l "
        "ON l.extraction_id = r.extraction_id AND l.row = r.row GROUP BY 1, 2"
    )
    assert found["n"].sum() == filled.extraction().record.rows
    assert set(found["label"]) == {"a", "b"}


def test_no_rows_still_have_columns(filled):
    found = filled.sql("SELECT row, token FROM rows WHERE row < 0")
    assert list(found.columns) == ["row", "token"]
    assert len(found) == 0


def test_percent_and_colons_are_plain_text(filled):
    found = filled.sql(
        "SELECT '100 %' AS a, '%s :x ?' AS b, count(*) FROM rows WHERE token LIKE '%a%'"
    )
    assert found.iloc[0].tolist()[:2] == ["100 %", "%s :x ?"]


def test_a_common_table_expression_that_reads(filled):
    assert filled.sql("WITH x AS (SELECT 1 AS y) SELECT y FROM x")["y"].tolist() == [1]


def test_only_so_many_rows_are_fetched(filled):
    names, rows = filled.database.select("SELECT row FROM rows ORDER BY row", 3)
    assert (names, rows) == (["row"], [(0,), (1,), (2,)])


def test_a_wrong_statement_says_where_the_tables_are_listed(filled):
    for statement in ("SELECT * FROM nowhere", "SELEKT 1", "SELECT nothing FROM rows"):
        with pytest.raises(actlas.StoreError, match="`actlas store info` lists") as caught:
            filled.sql(statement)
        assert "\n" not in str(caught.value)


def test_whatever_writes_is_refused(refused):
    refused(EVERYWHERE)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_whatever_writes_in_sqlite_is_refused(refused):
    refused(SQLITE)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_whatever_writes_in_postgresql_is_refused(refused, filled, outside):
    with filled.database.write() as session:  # this server does run programs when it may
        session.execute(sa.text(f"COPY (SELECT 1) TO PROGRAM 'touch {outside}/control'"))
    (outside / "control").unlink()
    refused(POSTGRESQL)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM rows", "UPDATE models SET spec = 'x'", "CREATE TABLE x (y TEXT)"]
)
def test_a_statement_that_writes_is_named_so(filled, statement):
    with pytest.raises(actlas.ReadOnlyError, match=r"writes .*`actlas sql` only reads"):
        filled.sql(statement)


def test_a_journal_mode_cannot_be_changed(tiny, sqlite_store):
    sqlite_store.extract(tiny("gpt2"), actlas.Dataset.of(TEXTS), "embed")
    sqlite_store.close()  # nobody holds the file, so that the mode could be changed
    try:
        found = sqlite_store.sql("PRAGMA journal_mode = DELETE")
        assert found.iloc[0, 0] == "wal"  # SQLite answers with the mode that stays
    except actlas.StoreError:
        pass
    assert sqlite_store.sql("PRAGMA journal_mode").iloc[0, 0] == "wal"


def test_reading_goes_on_while_another_writes(filled):
    with filled.database.write() as session:
        session.execute(sa.text("UPDATE models SET spec = 'changed'"))
        start = time.perf_counter()
        spec = filled.sql("SELECT spec FROM models")["spec"][0]
        acts = filled.extraction().activations("embed").numpy()
        assert time.perf_counter() - start < 5
        assert spec != "changed"
        assert len(acts)
    assert filled.sql("SELECT spec FROM models")["spec"][0] == "changed"


def test_a_long_query_does_not_hold_up_a_writer(filled):
    done = threading.Event()

    def slow():
        filled.sql(
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 300000) "
            "SELECT count(*) FROM x JOIN models ON true"
        )
        done.set()

    thread = threading.Thread(target=slow)
    thread.start()
    with filled.database.write() as session:
        session.execute(sa.text("UPDATE models SET spec = 'changed'"))
    thread.join()
    assert done.is_set()
