"""Audits that are run: every job once, what fails, what is tried again, what is left."""

import os
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

import actlas
from actlas.auditing import running
from actlas.storage import AuditJob, audit_named, owner_name, tags_of

from .audit_files import dead_owner, lines, rows, statuses, tried, write_audit
from .tiny import save_tiny


@pytest.fixture
def run(store, tmp_path):
    """Run an audit on the store, in this process."""

    def run(path, **options):
        return actlas.audit(path, store=url_of(store), workers=0, **options)

    return run


def url_of(store):
    return store.database.url


def change(store, values, **where):
    with store.database.write() as session:
        found = [getattr(AuditJob, name) == value for name, value in where.items()]
        session.execute(sa.update(AuditJob).where(*found).values(**values))


def test_every_job_is_done_once_and_a_second_run_does_nothing(
    store, run, tmp_path, tiny_folder, monkeypatch
):
    log = tmp_path / "log"
    models = {"b": tiny_folder("bert"), "g": tiny_folder("gpt2")}
    path = write_audit(tmp_path, models, tried(log, number=[1, 2]) + '[[compare]]\nname = "cka"\n')
    first = run(path)
    assert (dict(first.counts), first.computed, first.ok) == ({"done": 7}, 7, True)
    assert sorted(lines(log)) == ["embed 1"] * 2 + ["embed 2"] * 2
    assert len(store.sql("SELECT id FROM runs WHERE status = 'done'")) == 5
    for job in rows(store.database).values():
        assert job.owner is None
        assert job.attempts == 1
        assert job.seconds > 0
        assert job.memory > 1 << 20
    before = audit_named(store.database)
    assert before.started <= before.finished
    monkeypatch.setattr(running, "now", lambda: "later")
    again = run(path)
    assert (dict(again.counts), again.computed) == ({"done": 7}, 0)
    after = audit_named(store.database)
    assert (after.started, after.finished) == (before.started, before.finished)
    assert len(lines(log)) == 4
    model = store.extraction(1).record.model_id
    assert tags_of(store.database, model) == {"family": "b"}


def test_what_is_taken_from_the_store_is_done_again(sqlite_store, tmp_path, tiny_folder):
    log, url = tmp_path / "log", url_of(sqlite_store)
    path = write_audit(tmp_path, {"b": tiny_folder("bert")}, tried(log))
    actlas.audit(path, store=url, workers=0)
    run, extraction = (sqlite_store.records(noun)[0] for noun in ("runs", "extractions"))
    sqlite_store.database.remove(type(run), run.id)
    assert actlas.audit(path, store=url, workers=0).computed == 1
    assert len(lines(log)) == 2
    sqlite_store.database.remove(type(extraction), extraction.id)
    assert actlas.audit(path, store=url, workers=0).computed == 2
    assert len(lines(log)) == 3


def test_a_second_run_imports_no_torch(sqlite_store, tmp_path, tiny_folder):
    path = write_audit(tmp_path, {"b": tiny_folder("bert")}, '[[analyses]]\nname = "spectrum"\n')
    actlas.audit(path, store=url_of(sqlite_store), workers=0)
    script = (
        f"import actlas, sys; done = actlas.audit({str(path)!r}, store={url_of(sqlite_store)!r}); "
        "assert done.counts == {'done': 2} and done.computed == 0, done; "
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_files_that_change_make_their_jobs_anew(sqlite_store, tmp_path):
    log, url = tmp_path / "log", url_of(sqlite_store)
    folder = save_tiny("bert", tmp_path / "model")
    path = write_audit(tmp_path, {"b": folder}, tried(log))
    actlas.audit(path, store=url, workers=0)
    os.utime(folder / "model.safetensors", (1, 1))
    assert actlas.audit(path, store=url, workers=0).computed == 2
    assert len(lines(log)) == 1  # the model is the same, and so is its run


def test_a_model_that_does_not_load_stops_nothing_else(store, run, tmp_path, tiny_folder):
    log = tmp_path / "log"
    models = {"no": tmp_path / "no", "b": tiny_folder("bert"), "g": tiny_folder("gpt2")}
    path = write_audit(tmp_path, models, tried(log) + '[[compare]]\nname = "cka"\n')
    done = run(path)
    assert done.counts == {"done": 5, "failed": 1, "skipped": 2}
    assert [job for job, _ in done.failures] == ["extract no texts mean"]
    found = rows(store.database)
    skipped = [job for job in found.values() if job.status == "skipped"]
    assert len(skipped) == 2  # its analysis, and b, of which there is none before to compare with
    for job in skipped:
        assert f"no folder {tmp_path}/no" in job.error
    again = run(path)
    assert (again.computed, again.failures) == (0, done.failures)
    assert found["extract no texts mean"].attempts == 1
    run(path, retry_failed=True)
    assert rows(store.database)["extract no texts mean"].cause == "error"
    assert len(lines(log)) == 2
    save_tiny("roberta", tmp_path / "no")  # it has come: what was skipped and compared is done
    done = run(path)
    assert done.counts == {"done": 8}
    assert done.computed == 4  # extraction, analysis, two comparisons


def test_a_comparison_of_too_few_is_skipped(sqlite_store, tmp_path, tiny_folder):
    models = {"no": tmp_path / "no", "b": tiny_folder("bert")}
    path = write_audit(tmp_path, models, '[[compare]]\nname = "cka"\n')
    done = actlas.audit(path, store=url_of(sqlite_store), workers=0)
    assert done.counts == {"done": 1, "failed": 1, "skipped": 1}


def test_what_may_pass_is_tried_again_and_what_would_fail_again_is_not(
    store, run, tmp_path, tiny_folder
):
    log = tmp_path / "log"
    entries = "".join(
        tried(log, number=number, fault=fault, times=times)
        for number, (fault, times) in enumerate(
            [("connection", 2), ("connection", 9), ("value", 9), ("memory", 9)]
        )
    )
    done = run(write_audit(tmp_path, {"b": tiny_folder("bert")}, entries))
    begun = [sum(line.endswith(str(n)) for line in lines(log)) for n in range(4)]
    assert begun == [3, 3, 1, 1]
    assert statuses(store.database) == ["done", "done", "failed", "failed", "failed"]
    passing, value, memory = (error for _, error in done.failures)
    assert passing == "ConnectionError: the line is cut (3 attempts)"
    assert value == "ValueError: never this way"
    assert "the process had grown to" in memory
    causes = [job.cause for job in rows(store.database).values()]
    assert causes == [None, None, "passing", "error", "memory"]
    assert run(tmp_path / "small.toml").computed == 0
    begun = [sum(line.endswith(str(n)) for line in lines(log)) for n in range(4)]
    assert begun == [3, 6, 1, 1]
    run(tmp_path / "small.toml", retry_failed=True)
    begun = [sum(line.endswith(str(n)) for line in lines(log)) for n in range(4)]
    assert begun == [3, 9, 2, 2]


def test_batches_are_halved_where_memory_does_not_suffice(sqlite_store, tmp_path, tiny_folder):
    bert = tiny_folder("bert")
    models = {"none": f"greedy:12:{bert}", "some": f"greedy:300:{bert}"}
    path = write_audit(tmp_path, models, "")
    done = actlas.audit(path, store=url_of(sqlite_store), workers=0)
    assert done.counts == {"done": 1, "failed": 1}
    found = rows(sqlite_store.database)
    options = sqlite_store.extraction(found["extract some texts mean"].extraction_id).record.options
    assert 64 <= options["batch_tokens"] <= 512
    assert f"those of {options['batch_tokens']} did" in found["extract some texts mean"].warnings[0]
    lost = found["extract none texts mean"]
    assert (lost.cause, lost.status) == ("memory", "failed")
    assert "no room for more than 12 tokens (the process had grown to" in lost.error
    assert "in batches of 64 tokens" in lost.error


def test_the_same_work_of_another_audit_is_taken_over(store, run, tmp_path, tiny_folder):
    log = tmp_path / "log"
    models = {"b": tiny_folder("bert")}
    run(write_audit(tmp_path, models, tried(log), name="one"))
    done = run(write_audit(tmp_path, {"other": models["b"]}, tried(log), name="two"))
    assert (dict(done.counts), done.computed, len(lines(log))) == ({"done": 2}, 0, 1)
    one, two = (list(rows(store.database, name).values()) for name in ("one", "two"))
    assert [job.runs for job in two] == [job.runs for job in one]


def test_work_that_another_audit_is_at_is_waited_for(store, run, tmp_path, tiny_folder):
    log = tmp_path / "log"
    models = {"b": tiny_folder("bert")}
    run(write_audit(tmp_path, models, tried(log), name="one"))
    with store.database.read() as session:
        now = store.database.backend.clock(session.connection())
    held = {"status": "running", "owner": owner_name(), "heartbeat": now}
    change(store, held, analysis="tried")
    begun = threading.Timer(
        1.0, lambda: change(store, {"status": "done", "owner": None}, analysis="tried")
    )
    begun.start()
    done = run(write_audit(tmp_path, models, tried(log), name="two"))
    assert not begun.is_alive()
    assert done.seconds > 1.0
    assert (dict(done.counts), done.computed, len(lines(log))) == ({"done": 2}, 0, 1)


@pytest.mark.parametrize("gone", ["dead", "silent"])
def test_work_whose_process_is_no_more_is_taken_over(sqlite_store, tmp_path, tiny_folder, gone):
    log, url = tmp_path / "log", url_of(sqlite_store)
    path = write_audit(tmp_path, {"b": tiny_folder("bert")}, tried(log))
    actlas.audit(path, store=url, workers=0)
    with sqlite_store.database.read() as session:
        now = sqlite_store.database.backend.clock(session.connection())
    owner = dead_owner() if gone == "dead" else "elsewhere:1:2"
    beat = now if gone == "dead" else now - 61
    held = {"status": "running", "owner": owner, "heartbeat": beat, "runs": []}
    change(sqlite_store, held, analysis="tried")
    done = actlas.audit(path, store=url, workers=0)
    assert (dict(done.counts), done.computed, len(lines(log))) == ({"done": 2}, 1, 1)


def test_an_audit_is_a_file_or_what_it_says(sqlite_store, tmp_path, tiny_folder):
    from actlas.auditing import parse

    path = write_audit(tmp_path, {"b": tiny_folder("bert")}, "")
    done = actlas.audit(parse(path), store=url_of(sqlite_store), workers=0)
    assert done.counts == {"done": 1}
    path.write_text(path.read_text() + 'workers = 1\n[[analyses]]\nname = "spectrum"\n')
    with pytest.raises(actlas.InputError, match="-1 workers do nothing; use 1 or more"):
        actlas.audit(path, store=url_of(sqlite_store), workers=-1)
