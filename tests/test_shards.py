"""Parts of an extraction: who works on which, how they join, and data sets that grow."""

import multiprocessing
import os
import socket

import numpy as np
import pytest
import sqlalchemy as sa

import actlas
from actlas.api import remove
from actlas.core import Extractor, LoadedModel, StoreError
from actlas.storage import claim, shards, shards_of

from .tiny import TEXTS

SITES = ["embed", "layers.1"]
OPTIONS = {"batch_tokens": 32, "max_length": 20}


def lines(n=60):
    return [f"{TEXTS[i % len(TEXTS)]} No. {i}" for i in range(n)]


def data(n=60):
    return actlas.Dataset.of(lines(n), labels={"odd": [str(i % 2) for i in range(n)]})


@pytest.fixture
def whole(tiny, tmp_path):
    """The same extraction in one go, in a store of its own."""
    with actlas.open(f"sqlite:///{tmp_path}/whole.db") as store:
        yield store.extract(tiny("bert"), data(), SITES, **OPTIONS)


def assert_equal(found, whole):
    assert found.record.rows == whole.record.rows
    assert found.record.truncated == whole.record.truncated
    for name in ("sample", "position", "token_id", "start", "end", "special"):
        np.testing.assert_array_equal(getattr(found.rows, name), getattr(whole.rows, name))
    assert list(found.rows.token) == list(whole.rows.token)
    for site in SITES:
        np.testing.assert_allclose(
            found.activations(site).numpy(), whole.activations(site).numpy(), atol=2e-3
        )
    np.testing.assert_array_equal(found.labels("odd").codes, whole.labels("odd").codes)


def numbers(store, query):
    with store.database.read() as session:
        return [tuple(row) for row in session.execute(sa.text(query))]


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2]])
def test_parts_in_any_order_join_by_themselves(tiny, store, whole, order):
    for k in order:
        found = store.extract(tiny("bert"), data(), SITES, shard=(k, 3), **OPTIONS)
        complete = [a.complete for a in found.sites]
        assert all(complete) == (k == order[-1])
        if not all(complete):
            with pytest.raises(actlas.InputError, match="not complete"):
                found.activations("embed")
    assert_equal(found, whole)
    assert [s.owner for s in shards_of(store.database, found.id)] == [None] * 3
    assert numbers(store, "SELECT MIN(first_row), MAX(first_row) FROM chunks")[0][1] < 10_000


def test_what_is_missing_of_the_parts_is_done_without_naming_one(tiny, store, whole):
    store.extract(tiny("bert"), data(), SITES, shard=(2, 3), **OPTIONS)
    firsts = numbers(store, "SELECT COUNT(*) FROM chunks")
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert numbers(store, "SELECT COUNT(*) FROM chunks") > firsts
    assert_equal(found, whole)


def test_a_site_added_later_joins_too(tiny, store, whole):
    for k in (2, 1):
        store.extract(tiny("bert"), data(), "embed", shard=(k, 2), **OPTIONS)
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert_equal(found, whole)


def test_another_number_of_parts_is_refused_once_begun(tiny, store):
    store.extract(tiny("bert"), data(), SITES, shard=(2, 3), **OPTIONS)
    with pytest.raises(actlas.InputError, match=r"cut into 3 shards, not 4; use the same"):
        store.extract(tiny("bert"), data(), SITES, shard=(1, 4), **OPTIONS)


@pytest.mark.parametrize("shard", [(1, 61), (0, 2), (3, 2)])
def test_an_impossible_part_is_refused(tiny, store, shard):
    with pytest.raises(actlas.InputError, match="shard"):
        store.extract(tiny("bert"), data(), SITES, shard=shard, **OPTIONS)
    assert numbers(store, "SELECT COUNT(*) FROM extractions") == [(0,)]


def begun(tiny, store, monkeypatch):
    """An extraction that stopped after two windows, and its number."""
    with monkeypatch.context() as patch:
        original, calls = Extractor._window, []

        def window(self, *given):
            calls.append(1)
            if len(calls) == 3:
                raise RuntimeError("power cut")
            return original(self, *given)

        patch.setattr(Extractor, "_window", window)
        with pytest.raises(RuntimeError, match="power cut"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    return 1


def gone():
    """The number of a process that has ended."""
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return process.pid


def claimed_by(store, owner, ago=0.0):
    with store.database.write() as session:
        beat = store.database.backend.clock(session.connection()) - ago
        session.execute(
            sa.text("UPDATE shards SET owner = :owner, heartbeat = :beat"),
            {"owner": owner, "beat": beat},
        )


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tiny, store, whole, monkeypatch):
    begun(tiny, store, monkeypatch)
    claimed_by(store, f"{socket.gethostname()}:{gone()}:x")
    waits = []
    found = store.extract(tiny("bert"), data(), SITES, on_wait=waits.append, **OPTIONS)
    assert waits == []
    assert_equal(found, whole)


def test_a_process_elsewhere_keeps_its_claim_while_it_is_heard_of(tiny, store, monkeypatch):
    ident = begun(tiny, store, monkeypatch)
    claimed_by(store, "elsewhere:1:x", ago=shards.STALE_SECONDS - 5)
    assert claim(store.database, ident, 0, "here:1:y") == "elsewhere:1:x"
    claimed_by(store, "elsewhere:1:x", ago=shards.STALE_SECONDS + 5)
    assert claim(store.database, ident, 0, "here:1:y") is None
    assert [s.owner for s in shards_of(store.database, ident)] == ["here:1:y"]


def test_who_is_waited_for_is_named_and_then_nothing_is_computed(tiny, store, whole, monkeypatch):
    """Another process finishes while this one waits."""
    begun(tiny, store, monkeypatch)
    owner = f"{socket.gethostname()}:{os.getpid()}:another"
    claimed_by(store, owner)
    forward = LoadedModel.reading
    waits = []

    def finish(who):
        waits.append(who)
        with store.database.write() as session:
            session.execute(sa.text("UPDATE shards SET owner = NULL"))
        store.extract(tiny("bert"), data(), SITES, **OPTIONS)
        monkeypatch.setattr(LoadedModel, "reading", lambda *_: pytest.fail("computed again"))

    found = store.extract(tiny("bert"), data(), SITES, on_wait=finish, **OPTIONS)
    monkeypatch.setattr(LoadedModel, "reading", forward)
    assert waits == [owner]
    assert_equal(found, whole)


def test_a_process_that_lost_its_claim_writes_no_more(tiny, store, monkeypatch):
    original = Extractor._window

    def window(self, *given):
        with store.database.write() as session:
            session.execute(sa.text("UPDATE shards SET owner = 'elsewhere:1:x'"))
        return original(self, *given)

    monkeypatch.setattr(Extractor, "_window", window)
    with pytest.raises(StoreError, match=r"not heard of.*elsewhere:1:x took shard 0 over"):
        store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert numbers(store, "SELECT COUNT(*) FROM chunks") == [(0,)]
    assert numbers(store, "SELECT owner FROM shards") == [("elsewhere:1:x",)]


def counted(monkeypatch):
    """Count the rows that are computed."""
    rows = []
    original = Extractor._window

    def window(self, *given):
        made = original(self, *given)
        rows.append(len(made.rows))
        return made

    monkeypatch.setattr(Extractor, "_window", window)
    return rows


def test_a_data_set_that_grew_has_only_its_new_rows_computed(tiny, store, whole, monkeypatch):
    first = store.extract(tiny("bert"), data(40), SITES, **OPTIONS)
    computed = counted(monkeypatch)
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert sum(computed) == found.record.rows - first.record.rows
    assert_equal(found, whole)
    assert_equal(store.extract(tiny("bert"), data(), SITES, **OPTIONS), whole)
    shared = numbers(store, "SELECT COUNT(*) - COUNT(DISTINCT data_id) FROM chunks")[0][0]
    assert shared == numbers(store, "SELECT COUNT(*) FROM chunks c JOIN activations a ON a.id = "
                             "c.activation_id WHERE a.extraction_id = 1")[0][0]  # fmt: skip


def test_shared_bytes_stay_as_long_as_one_needs_them(tiny, store, whole):
    first = store.extract(tiny("bert"), data(40), SITES, **OPTIONS)
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    remove(store, "extractions", first.id)
    assert_equal(found, whole)
    remove(store, "extractions", found.id)
    sizes = store.database.sizes()
    assert sizes["payloads"] == sizes["chunks"] == sizes["top_indexes"] == sizes["rows"] == 0


def test_grown_twice_and_with_a_site_that_the_first_lacks(tiny, store, whole):
    store.extract(tiny("bert"), data(20), "embed", **OPTIONS)
    store.extract(tiny("bert"), data(40), "embed", **OPTIONS)
    assert_equal(store.extract(tiny("bert"), data(), SITES, **OPTIONS), whole)


def test_other_first_texts_are_another_data_set(tiny, store, monkeypatch):
    store.extract(tiny("bert"), actlas.Dataset.of(["Other words.", *lines(40)[1:]]), **OPTIONS)
    computed = counted(monkeypatch)
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert sum(computed) == found.record.rows


def test_other_options_take_nothing_over(tiny, store, monkeypatch):
    store.extract(tiny("bert"), data(40), SITES, dtype="float32", **OPTIONS)
    computed = counted(monkeypatch)
    assert sum(computed) == 0
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert sum(computed) == found.record.rows


def test_killed_between_the_last_rows_and_their_index(tiny, store, whole, monkeypatch):
    from actlas.api import extracting

    with monkeypatch.context() as patch:
        patch.setattr(
            extracting, "finish_shard", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut"))
        )
        with pytest.raises(RuntimeError, match="power cut"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    computed = counted(monkeypatch)
    found = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert computed == []
    assert_equal(found, whole)
    assert numbers(store, "SELECT COUNT(*) FROM top_indexes") == [(2,)]


def test_a_site_asked_for_after_a_stop_is_completed_though_windows_differ(tiny, store, monkeypatch):
    """What is asked for decides how windows are cut; rows must be met all the same."""
    monkeypatch.setattr("actlas.core.extraction.WINDOW_BYTES", 6000)
    begun_sites = ["embed", "layers.0", "layers.2"]
    with monkeypatch.context() as patch:
        original, calls = Extractor._window, []

        def window(self, *given, **named):
            calls.append(1)
            if len(calls) == 3:
                raise RuntimeError("power cut")
            return original(self, *given, **named)

        patch.setattr(Extractor, "_window", window)
        with pytest.raises(RuntimeError, match="power cut"):
            store.extract(tiny("bert"), data(), begun_sites, **OPTIONS)
    found = store.extract(tiny("bert"), data(), "layers.1", **OPTIONS)
    assert {a.site: a.complete for a in found.sites}["layers.1"]
    assert len(found.activations("layers.1").numpy()) == found.record.rows == len(found.rows)


def test_what_was_refused_is_not_looked_at_by_default(tiny, store):
    done = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    with pytest.raises(actlas.DatasetError, match="tokens"):
        store.extract(tiny("bert"), data(), SITES, max_length=3, on_long="error")
    assert store.extraction().id == done.id
    assert store.top("layers.1", 2, 3)[0].row >= 0
