"""Activations in the store: what goes in comes out, bit for bit, and leaves nothing behind."""

import dataclasses
import gc
import json
import shutil
import sqlite3
from unittest import mock

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import actlas
from actlas.api import remove
from actlas.core import ExtractOptions, Extractor, LoadedModel, array_bytes
from actlas.storage import backends, codecs
from actlas.storage.chunks import ChunkSource, write_chunks
from actlas.storage.codecs import pack, rows_a_chunk
from actlas.storage.tables import Activation, Dataset, Extraction, Model, Payload

from .tiny import TEXTS, joined_rows

SITES = ["embed", "layers.1", "layers.2.mlp"]
POOLINGS = ["token", "word", "mean", "first", "last"]
NUMPY = {"float32": np.float32, "float16": np.float16}
ROW_COLUMNS = ["sample", "position", "token_id", "start", "end", "special"]


def data(n=10, **labels):
    return actlas.Dataset.of(
        [f"{TEXTS[i % len(TEXTS)]} No. {i}" for i in range(n)], name="lines", labels=labels
    )


def computed(model, texts, sites, **options):
    """Rows and tensors by site, straight from the extractor."""
    chosen = model.select(sites)
    windows = list(Extractor(model, texts, chosen, ExtractOptions(**options)).windows())
    rows = joined_rows([w.rows for w in windows])
    return rows, {s.name: torch.cat([w.data[s.name] for w in windows]) for s in chosen}


def stored_bytes(store, extraction_id, site):
    query = sa.text(
        "SELECT c.first_row, c.rows, d.data FROM chunks c JOIN payloads d ON d.id = c.data_id "
        "JOIN activations a ON a.id = c.activation_id "
        "WHERE a.extraction_id = :extraction AND a.site = :site ORDER BY c.first_row"
    )
    with store.database.read() as session:
        found = session.execute(query, {"extraction": extraction_id, "site": site}).all()
    ends = np.cumsum([rows for _, rows, _ in found])
    assert [first for first, _, _ in found] == [0, *ends[:-1]]
    return b"".join(bytes(part) for _, _, part in found)


def assert_same_rows(rows, expected):
    assert list(rows.token) == list(expected.token)
    for name in ROW_COLUMNS:
        np.testing.assert_array_equal(getattr(rows, name), getattr(expected, name), err_msg=name)


@pytest.fixture
def no_forward(monkeypatch):
    """A function that forbids forward passes from then on."""

    def forbid():
        def fail(self, *given, **named):
            raise AssertionError("a forward pass was made")

        monkeypatch.setattr(LoadedModel, "reading", fail)

    return forbid


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 512 rows for a width of 16 numbers of four bytes."""
    monkeypatch.setattr(codecs, "CHUNK_BYTES", 512 * 16 * 4)


@pytest.fixture
def long(tiny, store, small_chunks):
    """An extraction of more than two chunks with its data as computed."""
    texts = data(60)
    extraction = store.extract(tiny("gpt2"), texts, SITES, dtype="float32")
    rows, tensors = computed(tiny("gpt2"), texts, SITES, dtype="float32")
    assert len(rows) > 2 * rows_a_chunk(16, "float32") == 2 * 512
    return extraction, rows, tensors


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_stored_is_what_the_extractor_gives_bit_for_bit(tiny, store, dtype):
    model, texts = tiny("bert"), data()
    for pooling in POOLINGS:
        extraction = store.extract(model, texts, SITES, pooling=pooling, dtype=dtype)
        rows, tensors = computed(model, texts, SITES, pooling=pooling, dtype=dtype)
        assert [a.site for a in extraction.sites] == SITES
        assert_same_rows(extraction.rows, rows)
        for site, tensor in tensors.items():
            assert stored_bytes(store, extraction.id, site) == array_bytes(tensor).tobytes()
            acts = extraction.activations(site)
            np.testing.assert_array_equal(acts.numpy(), tensor.float().numpy())
            if dtype in NUMPY:
                assert acts.numpy(NUMPY[dtype]).tobytes() == tensor.numpy().tobytes()
            assert_same_rows(acts.rows, rows)
        assert extraction.record.rows == len(rows)
        assert extraction.warnings == []


def test_random_rows_come_in_the_order_asked_for_with_repeats(long):
    extraction, _, tensors = long
    generator = np.random.default_rng(0)
    for site, tensor in tensors.items():
        acts, expected = extraction.activations(site), tensor.numpy()
        n = len(acts)
        index = generator.integers(-n, n, 300)
        index[:4] = [511, 512, 511, n - 1]
        np.testing.assert_array_equal(acts[index], expected[index])
        np.testing.assert_array_equal(acts[n - 1], expected[-1])
        np.testing.assert_array_equal(acts[500:530:7], expected[500:530:7])
        mask = generator.random(n) < 0.1
        np.testing.assert_array_equal(acts[mask], expected[mask])
        assert acts[[]].shape == (0, acts.width)
        view = acts.take(index)
        np.testing.assert_array_equal(view.numpy(), expected[index])
        np.testing.assert_array_equal(view[[3, 0, 3]], expected[index][[3, 0, 3]])
        assert view.rows[0] == extraction.rows[int(index[0]) % n]._replace(row=0)


def test_iterating_across_chunk_borders_gives_every_row_once(long):
    extraction, _, tensors = long
    acts, expected = extraction.activations("layers.1"), tensors["layers.1"].numpy()
    for size in (100, 511, 512, 513, 10_000):
        parts = list(acts.chunks(size))
        assert [len(p) for p in parts[:-1]] == [size] * (len(parts) - 1)
        np.testing.assert_array_equal(np.concatenate(parts), expected)
    one_by_one = list(acts.take(slice(505, 520)).chunks(1))
    np.testing.assert_array_equal(np.concatenate(one_by_one), expected[505:520])
    np.testing.assert_array_equal(np.concatenate(list(acts.chunked(7))), expected)


def test_partial_reads(long):
    extraction, _, tensors = long
    source = extraction.activations("embed").source
    for start, stop in ((0, 1), (0, 512), (511, 513), (512, 1024), (3, 1100), (7, 7)):
        out = np.full((stop - start, source.shape[1]), np.nan, np.float32)
        source.read(start, stop, out)
        np.testing.assert_array_equal(out, tensors["embed"].numpy()[start:stop])


def test_provenance_is_queried_in_sql(long, store):
    extraction, rows, _ = long
    found = store.sql(f"SELECT * FROM rows WHERE extraction_id = {extraction.id} ORDER BY row")
    assert list(found["token"]) == list(rows.token)
    assert list(found["sample"]) == rows.sample.tolist()


def test_whole_samples_have_no_place_in_the_text(tiny, store):
    extraction = store.extract(tiny("bert"), data(3), "embed", pooling="mean")
    found = store.sql("SELECT position, token, token_id, char_start, char_end FROM rows")
    assert found.isna().all(axis=None)
    assert extraction.rows[2] == (2, 2, None, None, None, None, None, False)


def test_nothing_is_computed_twice(tiny, store, no_forward):
    first = store.extract(tiny("gpt2"), data(), SITES)
    sizes = store.database.sizes()
    no_forward()
    plans = []
    again = store.extract(tiny("gpt2"), data(), SITES, on_plan=plans.append)
    fewer = store.extract(tiny("gpt2"), data(), "layers.1")
    assert first.id == again.id == fewer.id
    assert store.database.sizes() == sizes
    assert plans[0].todo == []
    with pytest.raises(AssertionError, match="a forward pass"):  # the guard guards
        store.extract(tiny("gpt2"), data(), SITES, pooling="mean")


def test_two_more_sites_compute_only_those(tiny, store, monkeypatch):
    model, texts = tiny("gpt2"), data()
    first = store.extract(model, texts, ["layers.1"])
    before = store.sql("SELECT * FROM chunks ORDER BY id")
    read = []
    reading = LoadedModel.reading

    def spied(self, sites, *rest, **named):
        read.append(sorted(site.name for site in sites))
        return reading(self, sites, *rest, **named)

    monkeypatch.setattr(LoadedModel, "reading", spied)
    more = store.extract(model, texts, ["embed", "layers.1", "layers.2.mlp"])
    assert more.id == first.id
    assert read  # in the extraction and in its proof
    assert {tuple(names) for names in read} == {("embed", "layers.2.mlp")}
    assert [a.site for a in more.sites] == ["embed", "layers.1", "layers.2.mlp"]
    after = store.sql("SELECT * FROM chunks ORDER BY id")
    assert after[: len(before)].equals(before)
    assert len(after) == 3 * len(before)
    rows, tensors = computed(model, texts, SITES)
    assert_same_rows(more.rows, rows)
    for site, tensor in tensors.items():
        assert stored_bytes(store, more.id, site) == array_bytes(tensor).tobytes()


@pytest.mark.parametrize(
    "changed", [{"pooling": "mean"}, {"dtype": "float32"}, {"max_length": 5}, {"batch_tokens": 64}]
)
def test_other_options_are_another_extraction(tiny, sqlite_store, changed):
    first = sqlite_store.extract(tiny("gpt2"), data(4), "embed")
    other = sqlite_store.extract(tiny("gpt2"), data(4), "embed", **changed)
    assert first.id != other.id


def test_the_same_content_under_another_path_is_the_same_data_set(
    tiny, store, tmp_path, no_forward
):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(lines)
    first = store.extract(tiny("gpt2"), tmp_path / "one.jsonl", "embed")
    no_forward()
    second = store.extract(tiny("gpt2"), tmp_path / "two.jsonl", "embed")
    assert first.id == second.id
    assert [(d.name, d.samples) for d in store.records("datasets")] == [("one", len(TEXTS))]


def test_changed_and_new_labels_are_taken_over_without_extracting(tiny, store, no_forward):
    model = tiny("gpt2")
    old = data(4, kind=["a", "b", "a", None], kept=["x", "x", "y", "y"])
    first = store.extract(model, old, "embed", pooling="mean")
    assert first.labels("kind").values() == ["a", "b", "a", None]
    kept = store.sql("SELECT * FROM label_sets WHERE name = 'kept'")
    no_forward()
    new = data(4, kind=["b", "b", "a", "c"], kept=["x", "x", "y", "y"], size=[1, 2, 2, 10])
    again = store.extract(model, new, "embed", pooling="mean")
    assert again.id == first.id
    assert again.label_sets == {"kind": "sample", "kept": "sample", "size": "sample"}
    assert again.labels("kind").values() == ["b", "b", "a", "c"]
    assert again.labels("size").values() == ["1", "2", "2", "10"]
    assert store.sql("SELECT * FROM label_sets WHERE name = 'kept'").equals(kept)
    assert store.database.sizes()["labels"] == 12  # the old ones are gone


def test_labels_given_later_are_added(tiny, store, no_forward):
    store.extract(tiny("gpt2"), data(4), "embed")
    no_forward()
    again = store.extract(tiny("gpt2"), data(4, kind=list("abab")), "embed")
    assert again.labels("kind", groups="kind").names == ("a", "b")
    assert again.texts([1, 3]) == {i: data(4).texts[i] for i in (1, 3)}


@actlas.analysis(version=1, arrays={"mean": "(width,)"})
def means(acts: actlas.Activations) -> actlas.Result:
    """The mean."""
    return actlas.Result(arrays={"mean": acts.numpy().mean(0)})


def test_removing_takes_everything_along_and_nothing_else(tiny, store):
    texts = data(4, kind=list("abab"))
    first = store.extract(tiny("gpt2"), texts, SITES)
    second = store.extract(tiny("gpt2"), data(3), "embed", pooling="mean")
    store.run(means, first, "embed")
    beside = store.database.sizes()
    (extra,) = store.run(means, first, "layers.1")
    (kept,) = store.run(means, second, "embed")
    assert store.database.sizes()["arrays"] == 3

    remove(store, "runs", kept.id)
    remove(store, "runs", extra.id)
    assert store.database.sizes() == beside

    remove(store, "extractions", first.id)
    sizes = store.database.sizes()
    assert {name: sizes[name] for name in ("runs", "arrays")} == {"runs": 0, "arrays": 0}
    assert (sizes["extractions"], sizes["activations"], sizes["rows"]) == (1, 1, 3)
    assert sizes["chunks"] == sizes["top_indexes"] == 1
    assert sizes["payloads"] == 2
    second.activations("embed").numpy()

    remove(store, "datasets", first.record.dataset_id)
    sizes = store.database.sizes()
    assert (sizes["datasets"], sizes["samples"]) == (1, 3)
    assert sizes["label_sets"] == sizes["labels"] == 0

    remove(store, "extractions", second.id)
    remove(store, "datasets", second.record.dataset_id)
    remove(store, "models", second.record.model_id)
    assert set(store.database.sizes().values()) == {0}


def test_what_is_removed_after_it_was_opened_gives_no_other_numbers(tiny, store):
    """A later extraction may have its number, and its bytes their places."""
    extraction = store.extract(tiny("gpt2"), data(4), "embed")
    acts = extraction.activations("embed")
    acts[[0, 1]]
    remove(store, "extractions", extraction.id)
    for again in (False, True):
        if again:
            store.extract(tiny("gpt2"), data(4), "layers.1")
        for read in (acts.numpy, lambda: acts[[0, 1]]):
            with pytest.raises(actlas.InputError, match="removed from the store"):
                read()


@pytest.mark.parametrize("noun", ["models", "datasets"])
def test_what_is_in_use_is_not_removed(tiny, store, noun):
    extraction = store.extract(tiny("gpt2"), data(2), "embed")
    before = store.database.sizes()
    with pytest.raises(actlas.InputError, match=rf"extractions {extraction.id} use it.*rm"):
        remove(store, noun, 1)
    assert store.database.sizes() == before
    extraction.activations("embed").numpy()


def test_freed_pages_go_back_to_the_file_system(tiny, sqlite_store):
    connection = sqlite3.connect(sqlite_store.database.backend.path)

    def pages(kind="page_count"):
        return connection.execute(f"PRAGMA {kind}").fetchone()[0]

    empty = pages()
    extraction = sqlite_store.extract(tiny("gpt2"), data(200), "layers.*", dtype="float32")
    full = pages()
    remove(sqlite_store, "extractions", extraction.id)
    assert pages() - empty < (full - empty) / 3
    assert pages("freelist_count") == 0
    connection.close()


def change_chunk(store, first_row, change):
    """Change the bytes of the chunk that starts at a row; return its number."""
    with store.database.write() as session:
        query = "SELECT id, data_id FROM chunks WHERE first_row = :row ORDER BY id"
        number, data = session.execute(sa.text(query), {"row": first_row}).first()
        chunk = session.get_one(Payload, data)
        chunk.data = change(bytes(chunk.data))
    return number


def test_a_flipped_byte_is_detected(tiny, store, small_chunks):
    extraction = store.extract(tiny("gpt2"), data(60), "embed", dtype="float32")
    acts = extraction.activations("embed")
    number = change_chunk(store, 512, lambda d: d[:100] + bytes([d[100] ^ 1]) + d[101:])
    acts.source.read(0, 512, np.empty((512, acts.width), np.float32))  # another chunk
    for read in (acts.numpy, lambda: list(acts), acts.finite_rows):
        with pytest.raises(actlas.CorruptError, match=rf"chunk {number} \(from row 512"):
            read()


def test_a_failed_read_leaves_nothing_open(tiny, sqlite_store, small_chunks):
    extraction = sqlite_store.extract(tiny("gpt2"), data(60), "embed", dtype="float32")
    acts = extraction.activations("embed")
    change_chunk(sqlite_store, 512, lambda d: bytes(len(d)))
    with pytest.raises(actlas.CorruptError) as caught:
        acts.numpy()
    sqlite_store.close()
    del caught  # frees the frames of the read; pytest reports what then goes wrong
    gc.collect()


def test_a_cut_chunk_is_detected(tiny, store, small_chunks):
    extraction = store.extract(tiny("gpt2"), data(60), "embed", dtype="float32")
    acts = extraction.activations("embed")
    number = change_chunk(store, 512, lambda d: d[:-32])
    with pytest.raises(actlas.CorruptError, match=f"payload {number} "):
        acts.numpy()
    with pytest.raises(actlas.CorruptError, match=f"payload {number} "):
        acts[[1020, 1023]]


@pytest.mark.parametrize("table", ["chunks", "payloads"])
def test_a_lost_chunk_is_detected(tiny, store, table, small_chunks):
    extraction = store.extract(tiny("gpt2"), data(60), "embed", dtype="float32")
    acts = extraction.activations("embed")
    with store.database.write() as session:
        lose = {"chunks": "DELETE FROM chunks", "payloads": "UPDATE payloads SET data = ''"}[table]
        where = "(SELECT data_id FROM chunks WHERE first_row = 512)"
        column = {"chunks": "data_id", "payloads": "id"}[table]
        session.execute(sa.text(f"{lose} WHERE {column} = {where}"))
    with pytest.raises(actlas.CorruptError):
        acts.numpy()
    with pytest.raises(actlas.CorruptError):
        acts[[600, 601]]


def test_sqlite_is_laid_out_as_measured(sqlite_store):
    wanted = {
        "page_size": backends.PAGE_SIZE, "journal_mode": "wal", "auto_vacuum": 2, "foreign_keys": 1,
        "synchronous": 1,
    }  # fmt: skip
    with sqlite_store.database.engine.connect() as connection:
        for pragma, value in wanted.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value, pragma
    sqlite_store.close()
    stranger = sqlite3.connect(sqlite_store.database.backend.path)
    for pragma in ("page_size", "journal_mode", "auto_vacuum"):  # these are the file's own
        assert stranger.execute(f"PRAGMA {pragma}").fetchone()[0] == wanted[pragma]
    stranger.close()


def test_foreign_keys_are_enforced(store):
    with pytest.raises(sa.exc.IntegrityError), store.database.write() as session:
        session.execute(sa.text("INSERT INTO parts VALUES (77, 0, 0, 0, 0.0)"))


def spoilt(folder, token, value):
    """A gpt2 whose embedding of one token has a bad number."""
    model = actlas.load_model(str(folder), device="cpu")
    with torch.no_grad():
        model.module.wte.weight[token, 3] = value
    return dataclasses.replace(model, digest="spoilt")


@pytest.mark.parametrize(("value", "overflow"), [(float("nan"), 0), (1e5, 1), (float("-inf"), 0)])
def test_rows_without_numbers_are_counted_warned_of_and_refused(
    tiny_folder, tiny, store, value, overflow
):
    texts = data(4, kind=list("abab"))
    rows, _ = computed(tiny("gpt2"), texts, "embed")
    token = int(np.bincount(rows.token_id).argmax())
    bad = rows.token_id == token
    extraction = store.extract(spoilt(tiny_folder("gpt2"), token, value), texts, "embed")
    (site,) = extraction.sites
    assert (site.nonfinite, site.overflow) == (bad.sum(), overflow * bad.sum())
    (warning,) = extraction.warnings
    assert warning.startswith(f"embed: {bad.sum()} rows hold NaN or infinity")
    assert ("--dtype float32" in warning) == bool(overflow)
    np.testing.assert_array_equal(extraction.activations("embed").finite_rows(), ~bad)

    with pytest.raises(actlas.NonFiniteError, match=rf"embed: {bad.sum()} of {len(rows)} rows"):
        store.run(seen, extraction, "embed", labels="kind")
    (dropped,) = store.run(seen, extraction, "embed", labels="kind", nonfinite="drop")
    np.testing.assert_array_equal(
        dropped.result.arrays["acts"], extraction.activations("embed").numpy()[~bad]
    )
    codes = extraction.labels("kind").codes[~bad]
    np.testing.assert_array_equal(dropped.result.arrays["codes"], codes)
    (kept,) = store.run(seen, extraction, "embed", labels="kind", nonfinite="keep")
    assert len(kept.result.arrays["codes"]) == len(rows)
    assert not np.isfinite(kept.result.arrays["acts"]).all()


@actlas.analysis(version=1, arrays={"acts": "(rows, width)", "codes": "(rows,)"})
def seen(acts: actlas.Activations, labels: actlas.Labels) -> actlas.Result:
    """Give back what came in."""
    return actlas.Result(arrays={"acts": acts.numpy(), "codes": labels.codes})


def test_a_session_that_reads_sees_one_state(tiny, store):
    with store.database.read() as session:
        count = sa.select(sa.func.count()).select_from(Dataset)
        assert session.scalar(count) == 0
        store.extract(tiny("gpt2"), data(1), "embed")
        assert session.scalar(count) == 0
    with store.database.read() as session:
        assert session.scalar(count) == 1


def an_activation(database, width):
    with database.write() as session:
        number = session.scalar(sa.select(sa.func.count()).select_from(Extraction))
        if not number:
            session.add(
                Model(
                    id=1, spec="m", digest="m", architecture="M", parameters=1, max_length=1,
                    config={},
                )
            )  # fmt: skip
            session.add(Dataset(id=1, name="d", digest="d", samples=1))
            session.flush()
        extraction = Extraction(
            key=str(number), model_id=1, dataset_id=1, pooling="token", dtype="", options={},
            versions={}, device="cpu",
        )  # fmt: skip
        session.add(extraction)
        session.flush()
        activation = Activation(extraction_id=extraction.id, site="s", depth=0, width=width)
        session.add(activation)
        session.flush()
        return activation.id


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=st.data())
def test_any_matrix_in_any_layout_round_trips(store, drawn):
    dtype = drawn.draw(st.sampled_from(["bfloat16", "float16", "float32"]), "dtype")
    width = drawn.draw(st.integers(1, 9), "width")
    sizes = drawn.draw(st.lists(st.integers(0, 20), min_size=1, max_size=5), "windows")
    most_bytes = drawn.draw(st.integers(1, 300), "bytes a chunk")
    rows = sum(sizes)
    raw = drawn.draw(st.binary(min_size=rows * width * 4, max_size=rows * width * 4), "bits")
    words = np.frombuffer(raw, np.uint8)[: rows * width * codecs.ITEM_BYTES[dtype]]
    matrix = torch.tensor(words).view(getattr(torch, dtype)).reshape(rows, width)
    number = an_activation(store.database, width)
    with mock.patch.object(codecs, "CHUNK_BYTES", most_bytes):
        first = 0
        for size in sizes:
            with store.database.write() as session:
                parts = []
                for one in pack(matrix[first : first + size], dtype):
                    parts.append((number, first, one))
                    first += one.rows
                write_chunks(store.database.backend, session.connection(), parts)
    source = ChunkSource(store.database, number, (rows, width), 0)
    expected = matrix.float().numpy()
    out = np.full((rows, width), 7, np.float32)
    source.read(0, rows, out)
    np.testing.assert_array_equal(out, expected)
    if rows:
        start = drawn.draw(st.integers(0, rows - 1), "start")
        stop = drawn.draw(st.integers(start, rows), "stop")
        out = np.full((stop - start, width), 7, np.float32)
        source.read(start, stop, out)
        np.testing.assert_array_equal(out, expected[start:stop])
        index = np.array(drawn.draw(st.lists(st.integers(0, rows - 1), max_size=30), "index"), int)
        out = np.full((len(index), width), 7, np.float32)
        source.gather(index, out)
        np.testing.assert_array_equal(out, expected[index])


def test_a_model_that_has_moved_is_read_from_its_new_place(sqlite_store, tiny_folder, tmp_path):
    data = actlas.Dataset("texts", TEXTS)
    for name in ("old", "new"):
        shutil.copytree(tiny_folder("bert"), tmp_path / name)
        sqlite_store.extract(str(tmp_path / name), data, "embed")
        if name == "old":
            shutil.rmtree(tmp_path / name)
    weight = "embeddings.word_embeddings.weight"
    assert sqlite_store.run("capacity", sites="embed", parameter=weight)[0].record.status == "done"
    assert [m.spec for m in sqlite_store.records("models")] == [str(tmp_path / "new")]
