"""The schema of a store: one truth, and every other database refused with what to do."""

import gc
import shutil
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import actlas
from actlas.api import upgrade
from actlas.core import LabelSet
from actlas.storage import schema
from actlas.storage.backends import backend_for
from actlas.storage.tables import Base

from .tiny import TEXTS


def set_version(store, version):
    with store.database.write() as session:
        session.execute(
            sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = :v"), {"v": version}
        )
    store.close()


def execute(url, *statements):
    """Run statements in a database that need not be a store."""
    engine = backend_for(url).engine()
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def tables(url):
    engine = backend_for(url).engine()
    found = sorted(sa.inspect(engine).get_table_names())
    engine.dispose()
    return found


def one_line(caught):
    assert "\n" not in str(caught.value)


def test_the_migrations_give_the_declared_tables(store):
    with store.database.engine.connect() as connection:
        options = {
            "version_table": schema.VERSION_TABLE, "compare_type": True,
            "compare_server_default": True,
        }  # fmt: skip
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_head_is_the_newest_migration():
    script = ScriptDirectory(str(schema.MIGRATIONS))
    assert script.get_heads() == [schema.HEAD]
    assert schema.known_versions()[-1] == schema.HEAD
    walked = [r.revision for r in script.walk_revisions()]
    assert schema.known_versions() == walked[::-1]


def test_the_physical_layout_is_as_measured(store):
    if store.url.startswith("sqlite"):
        sql = store.sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        without = {n for n, s in zip(sql["name"], sql["sql"], strict=True) if "WITHOUT ROWID" in s}
        assert {"rows", "samples"} <= without
        assert "payloads" not in without  # id is the row id that blobopen takes
    else:
        storage = store.sql(
            "SELECT attrelid::regclass::text AS table, attstorage::text AS storage "
            "FROM pg_attribute WHERE attname = 'data' AND attrelid IN "
            "('payloads'::regclass, 'arrays'::regclass)"
        )
        assert set(storage["storage"]) == {"e"}
        assert len(storage) == 2


def test_a_new_store_is_made_and_opened_again(store_url):
    with actlas.open(store_url) as made:
        assert set(made.database.sizes().values()) == {0}
        assert set(made.database.sizes()) == set(Base.metadata.tables)
    with actlas.open(store_url, create=False) as again, again.database.engine.connect() as c:
        assert schema.current_version(c) == schema.HEAD


def test_a_newer_store_is_refused(store, store_url):
    set_version(store, "9999")
    for create in (True, False):
        with pytest.raises(
            actlas.SchemaError, match=r"schema 9999.*newer.*pip install --upgrade"
        ) as caught:
            actlas.open(store_url, create=create)
        one_line(caught)


def test_a_newer_store_is_not_upgraded(store, store_url):
    set_version(store, "9999")
    with pytest.raises(actlas.SchemaError, match=r"schema 9999.*newer") as caught:
        upgrade(store_url)
    one_line(caught)


def test_an_older_store_is_refused_with_the_command(store, store_url, monkeypatch):
    store.close()
    monkeypatch.setattr(schema, "HEAD", "0099")
    with pytest.raises(
        actlas.SchemaError, match=r"schema 0004.*needs 0099.*`actlas store upgrade --store .*`"
    ) as caught:
        actlas.open(store_url)
    one_line(caught)


def test_upgrading_a_store_of_this_schema_changes_nothing(tiny, store, store_url):
    store.extract(tiny("gpt2"), actlas.Dataset.of(TEXTS), "embed")
    sizes = store.database.sizes()
    assert upgrade(store_url)["schema"] == schema.HEAD
    gc.collect()  # a connection left open is reported here
    assert store.database.sizes() == sizes


def test_a_refused_store_is_closed(store, store_url):
    set_version(store, "9999")
    with pytest.raises(actlas.SchemaError):
        actlas.open(store_url)
    gc.collect()  # a connection left open is reported here


def test_a_database_without_a_store_is_refused(store_url):
    execute(store_url, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(
        actlas.SchemaError, match=r"holds no actlas store; .*`actlas store init`"
    ) as caught:
        actlas.open(store_url, create=False)
    one_line(caught)
    assert tables(store_url) == ["recipes"]


def test_a_database_of_another_program_is_left_alone(store_url):
    execute(store_url, "CREATE TABLE recipes (name TEXT)", "CREATE TABLE models (name TEXT)")
    with pytest.raises(actlas.StoreError) as caught:
        actlas.open(store_url)
    one_line(caught)
    assert tables(store_url) == ["models", "recipes"]


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 1000)
    for create in (True, False):
        with pytest.raises(actlas.StoreError, match="no SQLite database") as caught:
            actlas.open(str(path), create=create)
        one_line(caught)
    assert path.read_text() == "Dear diary, " * 1000


def test_a_cut_off_database_is_one_line(tmp_path, tiny):
    path = tmp_path / "store.db"
    with actlas.open(str(path)) as store:
        store.extract(tiny("gpt2"), actlas.Dataset.of(TEXTS * 10), "layers.*", dtype="float32")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)

    def read_everything():
        with actlas.open(str(path)) as store:
            store.database.sizes()
            for acts in store.extraction().layers():
                acts.numpy()
            return store.extraction().rows

    with pytest.raises(actlas.StoreError) as caught:
        read_everything()
    one_line(caught)


def test_a_missing_folder(tmp_path):
    with pytest.raises(actlas.StoreError, match=r"no folder .*/none.*mkdir -p") as caught:
        actlas.open(f"sqlite:///{tmp_path}/none/store.db")
    one_line(caught)
    with pytest.raises(actlas.StoreError, match="no folder"):
        actlas.open(str(tmp_path / "none" / "store.db"))


def test_a_missing_store_is_not_made_unasked(tmp_path):
    with pytest.raises(actlas.StoreError, match=r"no store at .*`actlas store init`"):
        actlas.open(str(tmp_path / "store.db"), create=False)
    with pytest.raises(actlas.StoreError, match=r"no store at .*`actlas store init`"):
        upgrade(str(tmp_path / "store.db"))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "store.db").touch()
    with actlas.open(str(tmp_path / "store.db")) as store:
        assert store.database.sizes()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "http://localhost/x", "foo://x", "://"])
def test_an_unknown_scheme(url):
    with pytest.raises(actlas.StoreError, match=r"use sqlite:///FILE or postgresql") as caught:
        actlas.open(url)
    one_line(caught)


def test_a_store_in_memory_is_refused():
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(actlas.StoreError, match="a SQLite store is a file"):
            actlas.open(url)


def test_a_missing_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(actlas.StoreError, match=r"pip install 'actlas\[postgres\]'"):
        actlas.open("postgresql+psycopg://localhost/x")


def test_a_server_that_does_not_answer_is_one_line_without_the_password():
    with pytest.raises(actlas.StoreError, match="check that the server runs") as caught:
        actlas.open("postgresql://someone:secret@127.0.0.1:1/x")
    one_line(caught)
    assert "secret" not in str(caught.value)


OPEN_AT = """
import sys, time, actlas
from actlas.api import Store  # imported before the start
import actlas.storage.schema, alembic.command, alembic.config
time.sleep(max(0, float(sys.argv[2]) - time.time()))
with actlas.open(sys.argv[1]) as store:
    print(len(store.database.sizes()))
"""


def test_a_new_store_opened_by_several_processes_at_once(store_url):
    start = str(time.time() + 3)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AT, store_url, start],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    answers = [process.communicate(timeout=300) for process in processes]
    assert [(out.strip(), err[-500:]) for out, err in answers] == [
        (str(len(Base.metadata.tables)), "")
    ] * 4


def test_a_copied_store_is_the_same_store(tmp_path, tiny):
    with actlas.open(str(tmp_path / "a.db")) as store:
        extraction = store.extract(tiny("gpt2"), actlas.Dataset.of(TEXTS), "embed")
        expected = extraction.activations("embed").numpy()
    shutil.copy(tmp_path / "a.db", tmp_path / "b.db")
    with actlas.open(str(tmp_path / "b.db")) as store:
        assert (store.extraction(1).activations("embed").numpy() == expected).all()


def words_dataset(items):
    """Texts with a label set per sample and one per word."""
    spans = [[(s, e) for n, s, e, _ in items if n == i] for i in range(len(TEXTS))]
    sets = {
        "kind": LabelSet("kind", "sample", [(i, None, None, f"k{i % 2}") for i in (0, 1, 2, 4)]),
        "pos": LabelSet("pos", "word", items),
    }
    return actlas.Dataset("tagged", TEXTS, sets, spans)


def labels_in_sql(store, extraction, name):
    found = store.sql(
        f"SELECT row, label FROM row_labels WHERE extraction_id = {extraction.id} "
        f"AND label_set = '{name}' ORDER BY row, label"
    )
    return list(zip(found["row"].tolist(), found["label"].tolist(), strict=True))


def labels_in_python(extraction, name):
    values = extraction.labels(name).values()
    return [(row, value) for row, value in enumerate(values) if value is not None]


@pytest.fixture
def tagged():
    items = []
    for sample, text in enumerate(TEXTS):
        cursor = 0
        for word in text.split()[::2]:  # every other word
            start = text.index(word, cursor)
            cursor = start + len(word)
            items.append((sample, start, cursor, word[:2].lower()))
    return words_dataset(items)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_row_labels_in_sql_are_those_in_python(tiny, store, tagged, kind):
    for pooling in ("token", "word", "mean", "first"):
        extraction = store.extract(tiny(kind), tagged, "embed", pooling=pooling)
        for name in ("kind", "pos") if pooling in ("token", "word") else ("kind",):
            expected = labels_in_python(extraction, name)
            assert len(expected) > 0
            assert labels_in_sql(store, extraction, name) == expected, (pooling, name)


def test_a_row_over_several_words_has_the_label_of_the_larger_overlap_in_sql_too(tiny, store):
    text = TEXTS[1]
    cut, end = text.index("n't"), text.index("n't") + 3
    items = [(1, 0, cut, "verb"), (1, cut, end, "not"), (1, 0, end, "whole"), (1, 8, 9, "sign")]
    extraction = store.extract(tiny("bert"), words_dataset(items), "embed")
    expected = labels_in_python(extraction, "pos")
    assert len(expected) > 1
    assert labels_in_sql(store, extraction, "pos") == expected
