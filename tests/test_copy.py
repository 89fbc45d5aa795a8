"""Copying and cleaning stores: nothing twice, nothing lost, whatever kills it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from actlas import Dataset
from actlas.cli.main import cli
from actlas.core import CorruptError, InputError, LabelSet, Result, ResultTable, TableSpec
from actlas.storage import (
    Database,
    Extraction,
    add_dataset,
    claim,
    clean,
    copy,
    owner_name,
    read_labels,
    read_result,
    save_failure,
    save_run,
    shards_of,
)
from actlas.storage import copysites as sites_module
from actlas.testing import handmade
from actlas.testing.stores import Number, a_run
from actlas.testing.tampering import (
    Interrupted,
    at_once,
    broken,
    check_matrices,
    failing,
    faults,
    hush,
    opened,
    put_payloads,
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Database]:
    """A SQLite store with a data set that has grown, two dtypes, labels, and runs."""
    with opened(f"sqlite:///{tmp_path}/here.db") as database:
        handmade.extract(database, 5, dtype="float16")
        handmade.extract(database, 9, dtype="float16")
        extraction = handmade.extract(database, 9, shards=2)
        table = {
            "unit": np.arange(2), "value": np.array([0.5, np.nan]),
            "name": np.array(["ü", ""], object), "kept": np.array([True, False]),
        }  # fmt: skip
        result = Result({"numbers": ResultTable("numbers", table)}, {"map": np.eye(3)})
        save_run(database, a_run(extraction), {"numbers": TableSpec.of("numbers", Number)}, result)
        failed = a_run(extraction)
        failed.status, failed.error = "failed", "ValueError: no"
        save_failure(database, failed)
        items = [(i, None, None, str(i % 2)) for i in range(9)]
        data = handmade.dataset(9)
        labels = {"odd": LabelSet("odd", "sample", items)}
        add_dataset(database, Dataset(data.name, data.texts, labels))
        yield database


@pytest.fixture
def there(store_url: str) -> Iterator[Database]:
    with opened(store_url) as database:
        yield database


def test_a_whole_store_and_back(here: Database, there: Database, tmp_path: Path) -> None:
    """SQLite to both kinds, from there to SQLite: everything is as it was."""
    done = copy(here, there)
    assert there.sizes() == here.sizes()
    assert (done.extractions, done.sites, done.runs, done.left) == (3, 9, 2, [])
    assert done.chunks == here.sizes()["chunks"]
    assert done.shared > 0  # the grown data set shares its bytes there too
    assert faults(there) == []
    with opened(f"sqlite:///{tmp_path}/back.db") as back:
        copy(there, back)
        assert back.sizes() == here.sizes()
        assert faults(back) == []
        pairs = zip(here.records("extractions"), back.records("extractions"), strict=True)
        for mine, yours in pairs:
            assert (mine.key, mine.created) == (yours.key, yours.created)
            assert mine.options == yours.options
            check_matrices(back, yours, handmade.SITES, 5 if mine.id == 1 else 9)
        for name in ("chunks", "top_indexes"):
            query = f"SELECT checksum FROM {name} ORDER BY checksum"
            assert back.select(query)[1] == here.select(query)[1]
        run = next(r for r in back.records("runs") if r.status == "done")
        result = read_result(back, run)
        np.testing.assert_array_equal(result.arrays["map"], np.eye(3))
        assert result.tables["numbers"]["kept"].tolist() == [True, False]
        assert result.tables["numbers"]["name"].tolist() == ["ü", ""]
        dataset = back.records("datasets")[-1]
        assert [v for *_, v in read_labels(back, dataset.id, "odd").items] == list("010101010")


def test_twice_is_nothing(here: Database, there: Database) -> None:
    copy(here, there)
    before = there.sizes()
    again = copy(here, there)
    assert (again.extractions, again.sites, again.chunks, again.runs) == (0, 0, 0, 0)
    assert there.sizes() == before


@pytest.mark.parametrize("table", ["samples", "payloads", "rows", "top_indexes"])
def test_killed_it_goes_on(
    here: Database, there: Database, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in a commit of any table: what is there is sound, the same call goes on."""
    monkeypatch.setattr(sites_module, "BATCH_BYTES", 40)
    with failing(there, table, after=2), pytest.raises(Interrupted):
        copy(here, there)
    assert faults(there) == []
    written = there.sizes()["chunks"]
    done = copy(here, there)
    assert done.chunks == here.sizes()["chunks"] - written
    assert there.sizes() == here.sizes()
    assert faults(there) == []


def test_stopped_after_every_batch(
    here: Database, there: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each batch that wrote something and taken up again, nothing comes twice."""
    monkeypatch.setattr(sites_module, "BATCH_BYTES", 400)
    known = 0

    def stop(steps: int, rows: int) -> None:
        nonlocal known
        written = there.sizes()["chunks"]
        if written > known:
            known = written
            raise Interrupted

    stops = 0
    while there.sizes()["runs"] < 2:
        try:
            copy(here, there, advance=stop)
        except Interrupted:
            stops += 1
    assert stops > 6
    assert there.sizes() == here.sizes()
    assert faults(there) == []


def test_one_extraction(here: Database, there: Database) -> None:
    """Only it, its model, data set and runs; the one it shares with may follow."""
    done = copy(here, there, [2])
    assert (done.extractions, there.sizes()["extractions"], done.runs) == (1, 1, 0)
    assert there.sizes()["datasets"] == 1
    check_matrices(there, there.find(Extraction, 1), handmade.SITES, 9)
    copy(here, there, [1])
    shared = "SELECT COUNT(DISTINCT data_id) FROM chunks"
    assert there.select(shared)[1] == here.select(shared + " WHERE dtype = 'float16'")[1]
    assert faults(there) == []


def test_sites_join_those_that_are_there(tmp_path: Path, there: Database) -> None:
    """Another machine made other sites of the same extraction, cut into other shards."""
    handmade.extract(there, 9, {"embed": 3}, shards=3)
    with opened(f"sqlite:///{tmp_path}/other.db") as other:
        handmade.extract(other, 9, {"embed": 3, "final": 1})
        handmade.begin(other, 9, {"layers.0": 5})
        done = copy(other, there)
        assert done.sites == 1
        assert done.left == ["layers.0 of extraction 1 is not complete"]
    check_matrices(there, there.find(Extraction, 1), {"embed": 3, "final": 1}, 9)
    assert there.sizes()["extractions"] == 1
    assert faults(there) == []


def test_what_is_left_of_a_killed_copy_is_nobodys(here: Database, there: Database) -> None:
    """The same is extracted there meanwhile; what the copy left goes when it is run again."""
    with failing(there, "top_indexes", after=2), pytest.raises(Interrupted):
        copy(here, there, [1])
    handmade.extract(there, 5, dtype="float16")
    check_matrices(there, there.find(Extraction, 2), handmade.SITES, 5)
    assert copy(here, there, [1]).extractions == 0
    assert [e.id for e in there.records("extractions")] == [2]
    assert faults(there) == []


def test_two_copies_at_once(here: Database, store_url: str) -> None:
    """Two processes that copy the same do it once."""

    def work() -> None:
        with opened(store_url) as there:
            copy(here, there)

    with opened(store_url) as there:
        at_once([work, work])
        assert there.sizes() == here.sizes()
        assert faults(there) == []


def test_what_cannot_be_copied(here: Database, there: Database) -> None:
    with pytest.raises(InputError, match="is the store itself"):
        copy(here, here)
    with pytest.raises(InputError, match="no extraction 77"):
        copy(here, there, [77])
    handmade.begin(there, 9, dtype="float16")
    with pytest.raises(InputError, match="same and not complete"):
        copy(here, there, [2])
    begun = handmade.begin(here, 6)
    assert copy(here, there, [begun.id]).left == [f"extraction {begun.id} is not complete"]


def test_a_damaged_chunk_is_not_copied(here: Database, there: Database) -> None:
    ((payload,),) = here.select("SELECT data_id FROM chunks ORDER BY id LIMIT 1")[1]
    with broken(here, payload), pytest.raises(CorruptError, match="extraction 1, embed"):
        copy(here, there)
    assert copy(here, there).extractions == 3
    assert faults(there) == []


class TestClean:
    """`actlas store gc`."""

    def test_orphans_and_stale_claims(self, store_url: str) -> None:
        with opened(store_url) as database:
            begun = handmade.begin(database, 6, shards=2)
            claim(database, begun.id, 0, "elsewhere:1:dead")
            claim(database, begun.id, 1, owner_name())
            hush(database, begun, 0)
            put_payloads(database, [bytes(1000), bytes(10)])
            counted = {r.what: (r.count, r.bytes) for r in clean(database, dry_run=True)}
            assert counted == {
                "claims of processes that are gone": (1, 0),
                "payloads that nothing names": (2, 1010),
            }
            assert database.sizes()["payloads"] == 2  # it only said so
            assert {r.what: (r.count, r.bytes) for r in clean(database)} == counted
            assert database.sizes()["payloads"] == 0
            owners = [s.owner is None for s in shards_of(database, begun.id)]
            assert owners == [True, False]
            assert {r.count for r in clean(database)} == {0}

    def test_incomplete_but_not_while_somebody_works(self, store_url: str) -> None:
        with opened(store_url) as database:
            whole = handmade.extract(database, 6)
            handmade.begin(database, 6, {"extra": 4})
            begun, owner = handmade.begin(database, 8, {"embed": 3}), owner_name()
            claim(database, begun.id, 1, owner)  # shard 0 is that of the smaller data set
            before = database.sizes()
            assert [r.count for r in clean(database, incomplete=True)] == [0, 0, 1, 0]
            hush(database, begun, 1)
            assert [r.count for r in clean(database, incomplete=True)] == [1, 1, 0, 0]
            assert database.sizes()["payloads"] == before["payloads"]  # all are the smaller one's
            check_matrices(database, whole, handmade.SITES, 6)
            assert faults(database) == []

    def test_failed_runs_and_what_is_unused(self, here: Database) -> None:
        def counts(**options: int | bool | None) -> dict[str, int]:
            found = clean(here, **options)  # type: ignore[arg-type]
            return {r.what: r.count for r in found if r.count}

        assert counts(failed_days=1, unused=True) == {}
        assert counts(failed_days=0) == {"failed runs": 1}
        for extraction in here.records("extractions"):
            here.remove(Extraction, extraction.id)
        assert counts(unused=True) == {}  # they are new
        with here.write() as session:
            for table in ("models", "datasets"):
                session.execute(sa.text(f"UPDATE {table} SET created = '2020-01-01T00:00:00Z'"))
        gone = {"data sets that no extraction uses": 2, "models that no extraction uses": 1}
        assert counts(unused=True) == gone
        assert set(here.sizes().values()) == {0, 1}  # but for the catalog of result tables

    def test_the_file_shrinks(self, tmp_path: Path) -> None:
        with opened(f"sqlite:///{tmp_path}/store.db") as database:
            put_payloads(database, [bytes(4_000_000)])
            database.close()
            before = (tmp_path / "store.db").stat().st_size
            clean(database)
            database.close()
            assert (tmp_path / "store.db").stat().st_size < before - 3_900_000


def test_on_the_command_line(here: Database, tmp_path: Path) -> None:
    def run(*words: str) -> dict[str, object]:
        found = CliRunner().invoke(cli, ["store", *words, "--json"], catch_exceptions=False)
        assert found.exit_code == 0
        return dict(json.loads(found.output))

    mine, yours = f"{tmp_path}/here.db", f"sqlite:///{tmp_path}/there.db"
    found = run("copy", mine, yours, "--extraction", "1", "--extraction", "3")
    assert (found["extractions"], found["target"]) == (2, yours)
    put_payloads(here, [bytes(500)])
    assert run("gc", "--store", mine, "--dry-run")["bytes"] == 500
    assert run("gc", "--store", mine, "--failed", "0", "--unused", "--incomplete")["bytes"] == 500
    assert run("gc", "--store", mine)["bytes"] == 0
