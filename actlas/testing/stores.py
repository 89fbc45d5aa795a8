"""What every backend of the store must keep to."""

import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ..core import ReadOnlyError, Result, ResultTable, TableSpec
from ..storage import (
    Extraction,
    Payload,
    Run,
    claim,
    now,
    owner_name,
    read_result,
    save_run,
    shards_of,
)
from ..storage.entries import entry_bytes, unpack_entries
from . import handmade
from .tampering import (
    Interrupted,
    at_once,
    broken,
    check_matrices,
    failing,
    faults,
    hush,
    interrupt,
    opened,
    put_payloads,
    refused,
)

DEAD = "elsewhere:1:dead"  # an owner on another host, which only its silence gives away


class StoreTests:
    """Tests that any backend passes: make a subclass and give it a fixture.

    The fixture `store_url` is the URL of an empty store, a new one for every test:

        class TestMyDatabase(StoreTests):
            @pytest.fixture
            def store_url(self) -> str: ...
    """

    def test_is_made_once_and_opened_again(self, store_url: str) -> None:
        """A new store has the schema; opened again it is the same."""
        with opened(store_url) as database:
            handmade.extract(database, 3)
        with opened(store_url, create=False) as database:
            assert database.sizes()["extractions"] == 1
            database.upgrade()
            assert database.sizes()["extractions"] == 1

    def test_inserts_many_rows_of_every_kind(self, store_url: str) -> None:
        """Bulk writing keeps text, nulls, booleans, numbers beyond 32 bits, bytes; also none."""
        with opened(store_url) as database:
            extraction = handmade.extract(database, 1)
            names = ["extraction_id", "row", "sample", "token", "token_id", "special"]
            big = 1 << 41
            rows = [(extraction.id, big + i, i, "naïve 🍰 '\"\\", None, i % 2 > 0) for i in (0, 1)]
            with database.write() as session:
                database.backend.insert(session.connection(), "rows", names, rows)
                database.backend.insert(session.connection(), "rows", names, [])
            query = f"SELECT {', '.join(names)} FROM rows ORDER BY row"
            assert [tuple(r) for r in database.select(query)[1]] == rows

    def test_reserves_ids_that_nobody_else_gets(self, store_url: str) -> None:
        """Several that write at once never get the same id."""
        with opened(store_url) as database:
            found: list[int] = []

            def write() -> None:
                for _ in range(5):
                    found.extend(put_payloads(database, [b"x"] * 3))

            at_once([write] * 4)
            assert len(found) == len(set(found)) == 60
            assert database.sizes()["payloads"] == 60

    def test_reads_bytes_whole_in_part_and_lost(self, store_url: str) -> None:
        """Parts of payloads come in the order asked; what is not there is short or empty."""
        with opened(store_url) as database:
            data = np.random.default_rng(0).bytes(300_000)
            first, second = put_payloads(database, [data, b""])
            parts = [
                (first, 0, len(data)), (first, 100_000, 100_007), (first, 299_990, 300_100),
                (first, 400_000, 400_001), (second, 0, 5), (second + 1000, 0, 5), (first, 3, 4),
            ]  # fmt: skip
            with database.read() as session:
                driver = session.connection().connection
                found = list(map(bytes, database.backend.blobs(driver, parts)))
            assert found == [data, data[100_000:100_007], data[-10:], b"", b"", b"", data[3:4]]

    def test_rolls_back_whole(self, store_url: str) -> None:
        """An error in a transaction leaves nothing of it."""
        with opened(store_url) as database:
            handmade.extract(database, 3)
            before = database.sizes()
            with refused(Interrupted), database.write() as session:
                ids = database.backend.reserve(session.connection(), "payloads", 2)
                rows = [(i, b"lost") for i in ids]
                database.backend.insert(session.connection(), "payloads", ("id", "data"), rows)
                interrupt()
            assert database.sizes() == before

    def test_a_reader_sees_one_state(self, store_url: str) -> None:
        """What is committed while somebody reads shows only in the next transaction."""
        with opened(store_url) as database:
            (ident,) = put_payloads(database, [b"old"])
            with database.read() as session:
                assert session.get(Payload, ident) is not None
                at_once([lambda: put_payloads(database, [b"new"])])
                later = session.get(Payload, ident + 1)
                blobs = database.backend.blobs(session.connection().connection, [(ident + 1, 0, 9)])
                assert later is None
                assert list(blobs) == [b""]
            assert database.sizes()["payloads"] == 2

    def test_select_only_reads(self, store_url: str) -> None:
        """The database itself refuses a statement that writes."""
        with opened(store_url) as database:
            handmade.extract(database, 3)
            before = database.sizes()
            for statement in (
                "DELETE FROM samples",
                "INSERT INTO payloads (id, data) VALUES (77, '')",
                "UPDATE samples SET text = ''",
                "DROP TABLE rows",
                "CREATE TABLE mine (a INTEGER)",
            ):
                with refused(ReadOnlyError):
                    database.select(statement)
            assert database.sizes() == before
            names, rows = database.select("SELECT sample FROM samples ORDER BY sample", limit=2)
            assert (names, rows) == (["sample"], [(0,), (1,)])

    def test_a_lock_excludes(self, store_url: str) -> None:
        """Two that write under the same name take turns."""
        with opened(store_url) as database:
            inside, most = 0, 0

            def write() -> None:
                nonlocal inside, most
                for _ in range(3):
                    with database.write("the same"):
                        inside += 1
                        most = max(most, inside)
                        time.sleep(0.005)
                        inside -= 1

            at_once([write] * 3)
            assert most == 1

    def test_the_clock_goes_forward(self, store_url: str) -> None:
        """The database's time is in seconds, and not that of the transaction's beginning."""
        with opened(store_url) as database, database.read() as session:
            first = database.backend.clock(session.connection())
            time.sleep(0.05)
            assert 0.04 < database.backend.clock(session.connection()) - first < 5
            assert first > 1.7e9

    def test_matrices_come_back(self, store_url: str) -> None:
        """Every storage dtype reads back what was written, whole and row by row."""
        with opened(store_url) as database:
            for dtype in ("float32", "float16", "bfloat16", "int8"):
                extraction = handmade.extract(database, 9, dtype=dtype)
                check_matrices(database, extraction, handmade.SITES, 9)
            assert faults(database) == []

    def test_work_of_the_dead_is_taken_over(self, store_url: str) -> None:
        """After a process has died the next goes on, to the same bytes as if none had."""
        with opened(store_url) as database:
            extraction = handmade.begin(database, 9)
            (shard,) = shards_of(database, extraction.id)
            assert claim(database, extraction.id, 0, DEAD) is None
            handmade.write_shard(database, extraction, shard, DEAD, windows=2)
            heir = owner_name()
            assert claim(database, extraction.id, 0, heir) == DEAD  # it may be at work still
            hush(database, extraction)
            assert claim(database, extraction.id, 0, heir) is None
            assert handmade.write_shard(database, extraction, shard, heir)
            whole = handmade.extract(database, 9, {"embed": 3}, dtype="float16")
            check_matrices(database, database.find(Extraction, extraction.id), handmade.SITES, 9)
            check_matrices(database, whole, {"embed": 3}, 9)
            assert faults(database) == []

    def test_a_window_is_written_whole_or_not(self, store_url: str) -> None:
        """Whichever insert of a window fails, nothing of it is left, and it can be written."""
        with opened(store_url) as database:
            extraction, owner = handmade.begin(database, 4), owner_name()
            (shard,) = shards_of(database, extraction.id)
            claim(database, extraction.id, 0, owner)
            before = database.sizes()
            for table in ("payloads", "chunks", "rows"):
                with failing(database, table), refused(Interrupted):
                    handmade.write_shard(database, extraction, shard, owner, windows=1)
                assert database.sizes() | {"parts": 0} == before | {"parts": 0}
            assert handmade.write_shard(database, extraction, shard, owner)
            check_matrices(database, extraction, handmade.SITES, 4)

    def test_a_site_asked_for_later_catches_up(self, store_url: str) -> None:
        """Windows that one site has and another lacks are written for the other only."""
        with opened(store_url) as database:
            extraction, owner = handmade.begin(database, 9, {"embed": 3}), owner_name()
            (shard,) = shards_of(database, extraction.id)
            claim(database, extraction.id, 0, owner)
            handmade.write_shard(database, extraction, shard, owner, {"embed": 3}, windows=2)
            handmade.begin(database, 9, {"embed": 3, "final": 1})
            assert handmade.write_shard(database, extraction, shard, owner, handmade.SITES)
            check_matrices(database, extraction, {"embed": 3, "final": 1}, 9)
            assert faults(database) == []

    def test_shards_join(self, store_url: str) -> None:
        """Shards written at once by several make one matrix in the order of the samples."""
        with opened(store_url) as database:
            extraction = handmade.begin(database, 11, shards=3)

            def work(number: int) -> None:
                owner, shard = owner_name(), shards_of(database, extraction.id)[number]
                assert claim(database, extraction.id, number, owner) is None
                assert handmade.write_shard(database, extraction, shard, owner)

            at_once([lambda n=n: work(n) for n in (2, 0, 1)])  # type: ignore[misc]
            check_matrices(database, database.find(Extraction, extraction.id), handmade.SITES, 11)
            assert faults(database) == []

    def test_a_grown_data_set_shares_its_bytes(self, store_url: str) -> None:
        """Only new rows are written; removing the smaller one leaves the larger whole."""
        with opened(store_url) as database:
            small = handmade.extract(database, 6)
            before = database.sizes()["payloads"]
            large = handmade.extract(database, 8)
            assert database.sizes()["payloads"] < 2 * before
            check_matrices(database, large, handmade.SITES, 8)
            database.remove(Extraction, small.id)
            check_matrices(database, large, handmade.SITES, 8)
            assert faults(database) == []

    def test_indexes_hold_the_extremes(self, store_url: str) -> None:
        """The index of a site has its highest and lowest rows in order."""
        with opened(store_url) as database:
            handmade.extract(database, 60, {"embed": 3})
            names = "width, k, codec, data_id"
            query = f"SELECT {names} FROM top_indexes, activations WHERE activation_id = id"
            ((width, k, codec, ident),) = database.select(query)[1]
            with database.read() as session:
                parts = [(ident, 0, width * 2 * k * entry_bytes(codec))]
                (data,) = database.backend.blobs(session.connection().connection, parts)
            matrix = handmade.numbers("embed", 3, range(60))
            index = unpack_entries(data, codec).reshape(width, 2, k)
            order = np.argsort(-matrix, axis=0, kind="stable")[:k].T
            np.testing.assert_array_equal(index["row"][:, 0], order)
            order = np.argsort(matrix, axis=0, kind="stable")[:k].T
            np.testing.assert_array_equal(index["row"][:, 1], order)
            np.testing.assert_array_equal(index["value"][:, 1], np.sort(matrix, axis=0)[:k].T)

    def test_results_come_back(self, store_url: str) -> None:
        """Tables and arrays of a run read back; computed again they replace the old."""
        with opened(store_url) as database:
            extraction = handmade.extract(database, 3)
            for scale in (1.0, 2.0):
                table = ResultTable("numbers", {
                    "unit": np.arange(3), "value": np.array([scale, np.nan, -1e300]),
                    "name": np.array(["a", "ü", ""], object), "kept": np.array([True, False, True]),
                })  # fmt: skip
                arrays = {"matrix": np.arange(6.0).reshape(2, 3) * scale}
                spec = TableSpec.of("numbers", Number)
                result = Result({"numbers": table}, arrays)
                run = save_run(database, a_run(extraction), {"numbers": spec}, result)
            again = read_result(database, run)
            np.testing.assert_array_equal(again.arrays["matrix"], arrays["matrix"])
            for name, column in table.columns.items():
                np.testing.assert_array_equal(again.tables["numbers"].columns[name], column)
            assert database.sizes()["handmade_numbers"] == 3
            assert faults(database) == []
            database.remove(Run, run.id)
            assert database.sizes()["handmade_numbers"] == 0

    def test_a_flipped_bit_is_found(self, store_url: str) -> None:
        """Whichever payload has one wrong bit, `verify` names it."""
        with opened(store_url) as database:
            handmade.extract(database, 5)
            payloads = [ident for (ident,) in database.select("SELECT id FROM payloads")[1]]
            for ident in payloads[:: max(1, len(payloads) // 6)]:
                with broken(database, ident):
                    assert len(faults(database)) == 1
            assert faults(database) == []


@dataclass(frozen=True)
class Number:
    """A row of the table that the tests store."""

    unit: Annotated[int, "number"]
    value: Annotated[float | None, "value"]
    name: Annotated[str, "name"]
    kept: Annotated[bool, "whether it is kept"]


def a_run(extraction: Extraction) -> Run:
    """A finished run, always of the same key."""
    return Run(
        key="0" * 32, analysis="handmade", version=1, parameters={}, inputs={},
        extraction_id=extraction.id, site="embed", labels=None, status="done", warnings=[],
        seed=0, versions={}, host="", device="cpu", started=now(), seconds=0.0,
    )  # fmt: skip
