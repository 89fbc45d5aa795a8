"""How far an audit is, and how it is shown."""

from click.testing import CliRunner

import actlas
from actlas.auditing import status
from actlas.cli.main import cli
from actlas.storage import owner_name

from .audit_files import dead_owner, tried, write_audit
from .test_audit_run import change


def test_the_grid_has_a_mark_for_each_job(sqlite_store, tmp_path, tiny_folder):
    models = {"b": tiny_folder("bert"), "no": tmp_path / "no"}
    path = write_audit(tmp_path, models, tried(tmp_path / "log", number=[1, 2]))
    actlas.audit(path, store=sqlite_store.url, workers=0)
    found = status(sqlite_store)
    assert found.counts == {"done": 3, "failed": 1, "skipped": 2}
    assert list(found.grid["b"]["texts mean"].values()) == ["done"] * 3
    assert list(found.grid["no"]["texts mean"].values()) == ["failed", "skipped", "skipped"]
    assert list(found.grid["b"]["texts mean"]) == list(found.grid["no"]["texts mean"])
    assert (found.alive, found.left) == (False, 0)
    with sqlite_store.database.read() as session:
        now = sqlite_store.database.backend.clock(session.connection())
    held = {"status": "running", "owner": owner_name(), "heartbeat": now}
    change(sqlite_store, held, analysis="tried", model="b")
    found = status(sqlite_store, "small")
    assert found.counts["running"] == 2
    assert len(found.running) == 2
    assert found.left > 0
    change(sqlite_store, {"owner": dead_owner()}, analysis="tried", model="b")
    assert status(sqlite_store).counts["waiting"] == 2


def test_the_command_shows_it(sqlite_store, tmp_path, tiny_folder):
    models = {"b": tiny_folder("bert"), "no": tmp_path / "no"}
    path = write_audit(tmp_path, models, tried(tmp_path / "log"))
    actlas.audit(path, store=sqlite_store.url, workers=0)
    for options in ([], ["--watch"]):
        shown = CliRunner().invoke(
            cli, ["audit", "status", "small", "--store", sqlite_store.url, *options]
        )
        assert shown.exit_code == 0, shown.output
        assert "2 done ✓, 1 failed ✗, 1 skipped –" in shown.output
        assert "✓✓" in shown.output
        assert "✗–" in shown.output
        assert "failed: extract no texts mean: no folder" in shown.output
    said = CliRunner().invoke(cli, ["audit", "status", "--json", "--store", sqlite_store.url])
    assert '"failed": 1' in said.output
