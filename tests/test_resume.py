"""An extraction that is stopped keeps what it has, goes on there, and ends as if undisturbed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import sqlalchemy as sa

import actlas
from actlas.api import extracting
from actlas.core import ExtractOptions, Extractor, LoadedModel

from .tiny import TEXTS

SITES = ["embed", "layers.1"]
OPTIONS = {"batch_tokens": 32, "max_length": 20}  # many windows; some texts are cut


def data(n=120):
    return actlas.Dataset.of([f"{TEXTS[i % len(TEXTS)]} No. {i}" for i in range(n)])


@actlas.analysis(version=1)
def nothing(acts: actlas.Activations) -> actlas.Result:
    """Nothing."""
    return actlas.Result()


def state(store):
    """Everything of an extraction that must not depend on how it came about."""
    with store.database.read() as session:

        def rows(query):
            return [tuple(row) for row in session.execute(sa.text(query))]

        return {
            "chunks": rows(
                "SELECT a.site, c.first_row, c.rows, c.dtype, c.checksum FROM chunks c "
                "JOIN activations a ON a.id = c.activation_id ORDER BY 1, 2"
            ),
            "sites": rows(
                "SELECT site, depth, width, rows_done, samples_done, complete, nonfinite, overflow "
                "FROM activations ORDER BY site"
            ),
            "rows": rows(
                "SELECT row, sample, position, token, token_id, char_start, char_end, special "
                "FROM rows ORDER BY row"
            ),
            "extractions": rows("SELECT key, rows, truncated FROM extractions"),
            "data": rows("SELECT count(*) FROM payloads"),
            "tops": rows(
                "SELECT a.site, t.first_row, t.rows, t.k, t.checksum FROM top_indexes t "
                "JOIN activations a ON a.id = t.activation_id ORDER BY 1, 2"
            ),
            "owners": rows("SELECT owner, heartbeat FROM shards"),
        }


def progress(store):
    with store.database.read() as session:
        found = session.execute(sa.text("SELECT site, samples_done, complete FROM activations"))
        return {site: (done, bool(complete)) for site, done, complete in found}


@pytest.fixture
def undisturbed(tiny, tmp_path):
    """The state of a store after the same extraction without a stop."""

    def extract(texts=None):
        with actlas.open(f"sqlite:///{tmp_path}/undisturbed.db") as store:
            store.extract(tiny("bert"), texts or data(), SITES, **OPTIONS)
            return state(store)

    return extract


@pytest.fixture
def stops(tiny):
    """Where the windows end, as numbers of samples."""
    model = tiny("bert")
    options = actlas.core.ExtractOptions(**OPTIONS)
    windows = Extractor(model, data(), model.select(SITES), options).windows()
    found = [window.stop_sample for window in windows]
    assert len(found) > 5
    return found


def raise_at(monkeypatch, owner, name, at, error):
    """Make a function raise at its n-th call (from 0)."""
    calls = []
    original = getattr(owner, name)

    def wrapped(*args, **named):
        calls.append(name)
        if len(calls) == at + 1:
            raise error
        return original(*args, **named)

    monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize("error", [RuntimeError("power cut"), KeyboardInterrupt("power cut")])
@pytest.mark.parametrize(
    ("owner", "name"), [(Extractor, "_window"), (extracting, "write_window")], ids=["model", "db"]
)
def test_stopped_and_taken_up_again_equals_undisturbed(
    tiny, store, monkeypatch, undisturbed, stops, owner, name, error
):
    with monkeypatch.context() as patch:
        raise_at(patch, owner, name, 3, error)
        with pytest.raises(type(error), match="power cut"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert progress(store) == dict.fromkeys(SITES, (stops[2], False))
    kept = store.sql("SELECT * FROM chunks ORDER BY id")
    assert len(kept) == 3 * len(SITES)
    assert "actlas-writer" not in [thread.name for thread in threading.enumerate()]

    firsts = []
    windows = Extractor.windows
    monkeypatch.setattr(
        Extractor,
        "windows",
        lambda self, first=0, *rest, **named: (
            firsts.append(first) or windows(self, first, *rest, **named)
        ),
    )
    extraction = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert firsts == [stops[2]]
    assert store.sql("SELECT * FROM chunks ORDER BY id")[: len(kept)].equals(kept)
    assert state(store) == undisturbed()
    assert extraction.record.truncated > 0
    assert len(extraction.activations("embed").numpy()) == extraction.record.rows


def test_stopped_again_and_again(tiny, store, monkeypatch, undisturbed, stops):
    for _ in stops:
        with monkeypatch.context() as patch:
            raise_at(patch, Extractor, "_window", 1, RuntimeError("again"))
            try:
                store.extract(tiny("bert"), data(), SITES, **OPTIONS)
            except RuntimeError:
                continue
            break
    assert state(store) == undisturbed()


def test_a_window_is_committed_whole_or_not_at_all(tiny, store, monkeypatch, undisturbed, stops):
    from actlas.storage import windows

    with monkeypatch.context() as patch:  # chunks of the third window are written, its rows not
        raise_at(patch, windows, "_row_columns", 2, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert progress(store) == dict.fromkeys(SITES, (stops[1], False))
    sizes = store.database.sizes()
    assert sizes["chunks"] == 2 * len(SITES)
    assert sizes["payloads"] == sizes["chunks"] + sizes["top_indexes"]
    store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert state(store) == undisturbed()


def test_sites_at_different_places_are_taken_up_together(
    tiny, store, monkeypatch, undisturbed, stops
):
    for sites, at in ((["embed"], 4), (SITES, 2)):
        with monkeypatch.context() as patch:
            raise_at(patch, Extractor, "_window", at, RuntimeError("power cut"))
            with pytest.raises(RuntimeError, match="power cut"):
                store.extract(tiny("bert"), data(), sites, **OPTIONS)
    assert progress(store) == {"embed": (stops[3], False), "layers.1": (stops[1], False)}
    store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert state(store) == undisturbed()


def test_a_site_where_no_window_begins_is_completed_by_itself(tiny, store, monkeypatch, stops):
    """As after an upgrade of actlas that cuts windows otherwise: no rows may be missing."""
    for sites, at in ((["embed"], 4), (SITES, 2)):
        with monkeypatch.context() as patch:
            raise_at(patch, Extractor, "_window", at, RuntimeError("power cut"))
            with pytest.raises(RuntimeError, match="power cut"):
                store.extract(tiny("bert"), data(), sites, **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr("actlas.core.extraction.BATCHES_A_WINDOW", 1000)
        done = store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert progress(store) == dict.fromkeys(SITES, (len(data()), True))
    fresh = actlas.Dataset.of(list(data().texts))
    for site in SITES:
        acts = done.activations(site)
        assert len(acts) == done.record.rows == len(done.rows)
        chosen = tiny("bert").select(site)
        windows = Extractor(tiny("bert"), fresh, chosen, ExtractOptions(**OPTIONS)).windows()
        whole = np.concatenate([w.data[site].float().numpy() for w in windows])
        np.testing.assert_allclose(acts.numpy(), whole, atol=1e-5)


def test_sites_added_to_a_complete_extraction_can_be_stopped(
    tiny, store, monkeypatch, undisturbed, stops
):
    store.extract(tiny("bert"), data(), "embed", **OPTIONS)
    with monkeypatch.context() as patch:
        raise_at(patch, Extractor, "_window", 2, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert progress(store) == {"embed": (stops[-1], True), "layers.1": (stops[1], False)}
    store.run(nothing, sites="embed")  # what is complete can be used meanwhile
    store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert state(store) == undisturbed()


def test_an_incomplete_extraction_is_refused_with_the_command(tiny, store, monkeypatch):
    with monkeypatch.context() as patch:
        raise_at(patch, Extractor, "_window", 2, RuntimeError("power cut"))
        with pytest.raises(RuntimeError, match="power cut"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    with pytest.raises(actlas.InputError, match=r"not complete.*`actlas extract`"):
        store.run(nothing)
    with pytest.raises(actlas.InputError, match=r"not complete.*`actlas extract`"):
        store.extraction().activations("embed")
    assert store.database.sizes()["runs"] == 0
    store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert len(store.run(nothing)) == len(SITES)


@pytest.mark.parametrize("at", [0, 3, -1])
def test_an_error_of_the_writer_reaches_the_caller(tiny, store, monkeypatch, stops, at):
    at = at % len(stops)  # also in the last window, when nothing more is handed over
    raise_at(monkeypatch, extracting, "write_window", at, actlas.StoreError("no more ink"))
    with pytest.raises(actlas.StoreError, match="no more ink"):
        store.extract(tiny("bert"), data(), SITES, **OPTIONS)
    assert not any(complete for _, complete in progress(store).values())


def test_a_disk_too_small_is_refused_before_anything_is_computed(tiny, store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(type(store.database.backend), "free_bytes", lambda self: 1000)
        patch.setattr(
            LoadedModel, "reading", lambda *_, **__: pytest.fail("a forward pass was made")
        )
        with pytest.raises(actlas.StoreError, match=r"disk is too small: .* to write, .* free"):
            store.extract(tiny("bert"), data(), SITES, **OPTIONS)
        sizes = store.database.sizes()
        assert sizes["chunks"] == sizes["payloads"] == sizes["rows"] == 0
        patch.setattr(type(store.database.backend), "free_bytes", lambda self: None)  # unknown
        patch.undo()
    assert store.extract(tiny("bert"), data(), SITES, **OPTIONS).record.rows


def test_a_disk_that_fills_up_is_said_in_one_line(tiny, sqlite_store, undisturbed):
    engine = sqlite_store.database.engine
    path = sqlite_store.database.backend.path
    with sqlite3.connect(path) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()

    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages + 3}")

    sqlite_store.close()
    sa.event.listen(engine, "connect", limit)
    try:
        with pytest.raises(actlas.StoreError, match=r"disk is full; free space.*it goes on"):
            sqlite_store.extract(tiny("bert"), data(400), SITES, **OPTIONS)
    finally:
        sa.event.remove(engine, "connect", limit)
        sqlite_store.close()
    assert 0 < progress(sqlite_store)["embed"][0] < 400
    sqlite_store.extract(tiny("bert"), data(400), SITES, **OPTIONS)
    assert state(sqlite_store) == undisturbed(data(400))


def test_two_at_once_write_nothing_twice(tiny_folder, store_url, store, undisturbed):
    """Each has a model and a store of its own, as two processes have."""
    errors = []
    barrier = threading.Barrier(2)
    models = [actlas.load_model(str(tiny_folder("bert")), device="cpu") for _ in range(2)]
    for model in models:
        assert model.sites  # found now, not while the other thread runs

    def work():
        try:
            model = models.pop()
            with actlas.open(store_url) as own:
                barrier.wait()
                own.extract(model, data(), SITES, **OPTIONS)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert state(store) == undisturbed()


def committed(path):
    """Chunks that are committed, 0 while there is no table yet."""
    if not path.exists():
        return 0
    connection = sqlite3.connect(path, timeout=5)
    try:
        return connection.execute("SELECT count(*) FROM chunks").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_killed_and_taken_up_again_equals_undisturbed(tiny_folder, tmp_path):
    folder, path = str(tiny_folder("bert")), tmp_path / "killed.db"
    lines = tmp_path / "lines.jsonl"
    texts = data(1200).texts
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = [
        sys.executable, "-m", "actlas", "extract", folder, str(lines), "--sites", "embed,layers.1",
        "--batch-tokens", "32", "--device", "cpu", "--store", str(path),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300  # a busy machine starts it late
        while committed(path) < 20 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with actlas.open(str(path)) as store:
        before = progress(store)
        assert {complete for _, complete in before.values()} == {False}
        (done,) = {done for done, _ in before.values()}
        assert 0 < done < len(texts)
        kept = store.sql("SELECT * FROM chunks ORDER BY id")
        plans = []
        store.extract(
            folder, lines, "embed,layers.1", batch_tokens=32, device="cpu", on_plan=plans.append
        )
        assert min(a.samples_done for a in plans[0].todo) == done
        assert store.sql("SELECT * FROM chunks ORDER BY id")[: len(kept)].equals(kept)
        killed = state(store)
    with actlas.open(f"sqlite:///{tmp_path}/whole.db") as store:
        store.extract(folder, lines, "embed,layers.1", batch_tokens=32, device="cpu")
        assert killed == state(store)
