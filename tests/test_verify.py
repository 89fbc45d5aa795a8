"""`actlas store verify`: every damage is found and named; what is whole stays quiet."""

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
import xxhash
from click.testing import CliRunner

from actlas import Dataset
from actlas.cli.main import cli
from actlas.core import ActlasError, InputError, LabelSet
from actlas.storage import Extraction, Payload, add_dataset, shards_of, verify
from actlas.storage.backends import SQLite
from actlas.testing import handmade
from actlas.testing.tampering import broken, faults, opened

PAGE = 65536


def damaged(url: str, statement: str) -> list[str]:
    """What `verify` finds after a statement that the store would never make."""
    with opened(url) as database:
        if isinstance(database.backend, SQLite):
            with closing(sqlite3.connect(database.backend.path)) as connection:
                connection.execute(statement)  # without foreign keys
                connection.commit()
        else:
            with database.write() as session:
                session.execute(sa.text(statement))
        return faults(database)


def test_a_store_of_everything_has_no_fault(store_url: str) -> None:
    with opened(store_url) as database:
        for dtype in ("bfloat16", "int8"):
            handmade.extract(database, 7, dtype=dtype, shards=3)
            handmade.extract(database, 9, dtype=dtype)
        begun = handmade.begin(database, 12, dtype="float16", shards=2)
        assert len(shards_of(database, begun.id)) == 2
        assert faults(database) == []


def test_a_flipped_bit_is_named(store_url: str) -> None:
    with opened(store_url) as database:
        handmade.extract(database, 4, {"embed": 3})
        wanted = handmade.extract(database, 9, {"embed": 3, "final": 1}, dtype="float16")
        query = (
            "SELECT c.id, first_row, c.rows, data_id FROM chunks c, activations a "
            f"WHERE activation_id = a.id AND extraction_id = {wanted.id} AND site = 'final' "
            "ORDER BY first_row"
        )
        chunk, first, rows, payload = database.select(query)[1][1]
        with broken(database, payload, bit=9):
            (fault,) = verify(database)
            assert (fault.extraction, fault.site, fault.chunk) == (wanted.id, "final", chunk)
            assert fault.rows == (first, first + rows)
            assert "checksum" in fault.what
            assert list(verify(database, wanted.id)) == [fault]
            assert list(verify(database, wanted.id - 1)) == []


def test_payloads_too_long_too_short_and_lost(store_url: str) -> None:
    with opened(store_url) as database:
        handmade.extract(database, 4, {"embed": 3})
        ((payload, size),) = database.select(
            "SELECT data_id, length(data) FROM chunks, payloads p WHERE data_id = p.id LIMIT 1"
        )[1]
    cut = f"UPDATE payloads SET data = substr(data, 1, {size - 1}) WHERE id = {payload}"
    assert f"there are {size - 1} of its {size} bytes" in damaged(store_url, cut)[0]
    long = f"UPDATE payloads SET data = data || data || data WHERE id = {payload}"
    assert "there are more than its" in damaged(store_url, long)[0]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE chunks SET rows = rows + 1 WHERE first_row = 0", "two chunks hold them"),
        ("UPDATE chunks SET first_row = first_row + 9000 WHERE first_row > 0", "no chunk holds"),
        ("DELETE FROM chunks WHERE first_row = 0", "rows 0 to"),
        ("DELETE FROM chunks WHERE first_row = 0", "payload that nothing names"),
        ("UPDATE chunks SET codec = 'zip' WHERE first_row = 0", "'zip'"),
        ("UPDATE chunks SET checksum = '0000000000000000' WHERE first_row = 0", "checksum"),
        ("DELETE FROM rows WHERE row = 3", "provenance of"),
        ("UPDATE rows SET sample = 99 WHERE row = 3", "of samples 1 to 99"),
        ("UPDATE rows SET token = 'x' WHERE row = 3", "does not match its checksum"),
        ("UPDATE rows SET special = 1 WHERE row = 3", "does not match its checksum"),
        ("UPDATE rows SET char_end = NULL WHERE row = 3", "does not match its checksum"),
        ("UPDATE rows SET row = 999 WHERE row = 3", "provenance of"),
        ("UPDATE extractions SET rows = rows + 1", "its shards have"),
        ("UPDATE extractions SET shards = 7", "not 7"),
        ("UPDATE shards SET rows_done = rows_done - 1 WHERE shard = 0", "shard 0"),
        ("UPDATE shards SET stop_sample = stop_sample - 1 WHERE shard = 0", "one after another"),
        ("UPDATE shards SET samples_done = samples_done - 1 WHERE shard = 1", "lacks samples"),
        ("UPDATE activations SET rows_done = rows_done + 1", "its parts do not have"),
        ("UPDATE activations SET samples_done = 0", "its parts do not have"),
        ("UPDATE activations SET nonfinite = 1", "NaN or infinity in 0 rows, not 1"),
        ("UPDATE activations SET width = width + 1", "bytes"),
        ("DELETE FROM parts WHERE shard = 1", "lacks samples"),
        ("DELETE FROM top_indexes WHERE shard = 1", "indexes do not cover"),
        ("UPDATE top_indexes SET first_row = first_row + 1", "indexes do not cover"),
        ("UPDATE top_indexes SET codec = 'float8+1'", "codec 'float8+1' is unknown"),
        ("UPDATE samples SET text = 'other' WHERE sample = 2", "texts do not match"),
        ("UPDATE samples SET sample = 77 WHERE sample = 2", "misnumbered"),
        ("UPDATE datasets SET digest = 'x'", "texts do not match"),
        ("INSERT INTO payloads (id, data) VALUES (9999, '')", "store gc"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found(tmp_path: Path, statement: str, said: str) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with opened(url) as database:
        handmade.extract(database, 9, {"embed": 3}, shards=2)
    found = damaged(url, statement)
    assert any(said in one for one in found), found


def test_rows_of_an_older_actlas_have_no_checksum(store_url: str) -> None:
    with opened(store_url) as database:
        handmade.extract(database, 5)
    assert damaged(store_url, "UPDATE shards SET rows_sum = NULL") == []
    with opened(store_url) as database:
        grown = handmade.extract(database, 8)
        sums = [shard.rows_sum is None for shard in shards_of(database, grown.id)]
        assert sums == [True, False]
        assert faults(database) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM payloads WHERE id = 1", "chunks name payloads that are not there: 1"),
        ("DELETE FROM datasets", "extractions name datasets that are not there"),
        ("DELETE FROM activations", "chunks name activations that are not there"),
    ],
)
def test_dangling_references_are_found(tmp_path: Path, statement: str, said: str) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with opened(url) as database:
        handmade.extract(database, 9, {"embed": 3})
    found = damaged(url, statement)
    assert any(said in one for one in found), found


def test_a_wrong_index_is_found(store_url: str) -> None:
    """The checksum of an index fits its bytes, but they are not the rows' extremes."""
    with opened(store_url) as database:
        handmade.extract(database, 9, {"embed": 3})
        ((payload,),) = database.select("SELECT data_id FROM top_indexes")[1]
        with database.write() as session:
            found = session.get_one(Payload, payload)
            data = bytearray(found.data)
            data[4] ^= 1  # the row of the highest number of unit 0
            found.data = bytes(data)
            digest = xxhash.xxh3_64_hexdigest(bytes(data))
            session.execute(sa.text(f"UPDATE top_indexes SET checksum = '{digest}'"))
        (fault,) = verify(database)
        assert "unit 0 of 1 unit" in fault.what


def test_labels_and_given_words(store_url: str) -> None:
    """A digest with given words is made again from labels of all of them, else unsaid."""
    spans = [[(0, 3), (4, 7)], [(0, 2)]]
    items = [(0, 0, 3, "N"), (0, 4, 7, "V"), (1, 0, 2, "N")]
    texts = ["one two", "so"]
    with opened(store_url) as database:
        sets = {"pos": LabelSet("pos", "word", items)}
        add_dataset(database, Dataset("given", texts, sets, spans))
        some = {"pos": LabelSet("pos", "word", items[1:])}
        add_dataset(database, Dataset("unsaid", [*texts, "more"], some, [*spans, [(0, 4)]]))
        assert faults(database) == []
    found = damaged(store_url, "UPDATE labels SET value = 'X' WHERE sample = 1")
    assert len(found) == 2
    assert all("label set pos does not match its digest" in one for one in found)


class TestBytesOfTheFile:
    """Flip bytes anywhere in the file of a SQLite store."""

    @pytest.fixture
    def whole(self, tmp_path: Path) -> tuple[Path, bytes]:
        path = tmp_path / "store.db"
        with opened(f"sqlite:///{path}") as database:
            handmade.extract(database, 9, shards=2, dtype="float16")
            handmade.extract(database, 40, {"embed": 64}, dtype="float32")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM")  # leaves no remains of what was overwritten
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path, path.read_bytes()

    @staticmethod
    def noticed(path: Path, data: bytes) -> bool:
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        path.write_bytes(data)
        try:
            with opened(f"sqlite:///{path}", create=False) as database:
                return bool(faults(database))
        except ActlasError:
            return True

    @staticmethod
    def places(path: Path, data: bytes, tables: Callable[[str], bool]) -> list[int]:
        """Bytes in use of the pages that hold some tables' records."""
        with closing(sqlite3.connect(path)) as connection:
            roots = connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall()
        found: list[int] = []
        for name, page in roots:
            if page and tables(name):
                start = (page - 1) * PAGE
                content = int.from_bytes(data[start + 5 : start + 7]) or PAGE
                found += [*range(start, start + 8), *range(start + content, start + PAGE)]
        return found

    @pytest.mark.parametrize(
        "table", ["payloads", "chunks", "parts", "samples", "rows", "top_indexes"]
    )
    def test_in_records(self, whole: tuple[Path, bytes], table: str) -> None:
        path, data = whole
        places = self.places(path, data, lambda name: name == table)
        rng = random.Random(table)
        for place in rng.sample(places, 8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << rng.randrange(8)
            assert self.noticed(path, bytes(flipped)), (table, place)

    def test_header_gone_and_truncated(self, whole: tuple[Path, bytes]) -> None:
        path, data = whole
        assert self.noticed(path, bytes(100) + data[100:])
        assert self.noticed(path, data[: len(data) // 2])
        assert self.noticed(path, data[: PAGE * 3 + 17])
        assert self.noticed(path, b"")
        assert not self.noticed(path, data)


def test_on_the_command_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with opened(url) as database:
        extraction = handmade.extract(database, 9, {"embed": 3})
    run = CliRunner().invoke
    whole = run(cli, ["store", "verify", "--store", url])
    assert (whole.exit_code, whole.output) == (0, "no faults\n")
    damaged(url, "UPDATE chunks SET checksum = '0000000000000000' WHERE first_row = 0")
    ident = str(extraction.id)
    for options in ([], ["--extraction", ident]):
        found = run(cli, ["store", "verify", "--store", url, *options])
        assert found.exit_code == 1
        assert found.output.startswith(f"extraction {ident}, embed, chunk 1, rows 0 to 1: the")
    listed = run(cli, ["store", "verify", "--store", url, "--json"])
    assert listed.exit_code == 1
    (record,) = json.loads(listed.output)
    assert record["chunk"] == 1
    with opened(url) as database, pytest.raises(InputError):
        database.find(Extraction, 77)
    missing = run(cli, ["store", "verify", "--store", url, "--extraction", "77"])
    assert isinstance(missing.exception, InputError)
