"""What an audit comes to before it is run, and how two of them, or two models, differ."""

import json
from pathlib import Path

import pytest

import actlas
from actlas.auditing import audit, check, diff

from .test_cli import call

CSV = "text,kind\n" + "".join(
    f"The {noun} is {size} today.,{kind}\n"
    for noun, kind in (("cat", "animal"), ("dog", "animal"), ("hill", "place"), ("lake", "place"))
    for size in ("big", "small", "old")
)
PROBE = 'name = "probe"'
BODY = """
[[datasets]]
path = "data.csv"
[[extract]]
sites = ["layers.0", "layers.-1"]
[[analyses]]
name = "spectrum"
[[analyses]]
name = "probe"
labels = ["kind", "sort"]
permutations = 5
[[compare]]
name = "cka"
[limits]
device = "cpu"
"""


def file(folder, name, body=BODY, **models):
    text = f'[audit]\nname = "{name}"\n'
    text += "".join(f'[[models]]\nspec = "{path}"\nname = "{m}"\n' for m, path in models.items())
    path = Path(folder, f"{name}.toml")
    path.write_text(text + body)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_folder):
    """A store in which two audits were run; the second has another model of the same name."""
    folder = tmp_path_factory.mktemp("audits")
    (folder / "data.csv").write_text(CSV)
    before = file(folder, "before", a=tiny_folder("bert"), b=tiny_folder("gpt2"))
    probe_less = BODY.replace('[[analyses]]\nname = "probe"\nlabels = ["kind", "sort"]\n', "")
    after = file(folder, "after", probe_less.replace("permutations = 5\n", ""),
                 a=tiny_folder("roberta"), b=tiny_folder("gpt2"))  # fmt: skip
    url = f"sqlite:///{folder}/x.db"
    for path in (before, after):
        assert audit(path, store=url, workers=0).ok
    return folder, url


@pytest.fixture
def fresh(tmp_path, tiny_folder):
    """An audit file and a store that is not there."""
    (tmp_path / "data.csv").write_text(CSV)
    path = file(tmp_path, "tiny", a=tiny_folder("bert"), b=tiny_folder("gpt2"))
    return path, f"sqlite:///{tmp_path}/x.db"


def test_check_counts_and_makes_no_store(fresh, tmp_path):
    path, url = fresh
    found = check(path, store=url)
    counts = {one.what: (one.jobs, one.there, one.skipped, one.left) for one in found.lines}
    assert counts == {
        "extract": (2, 0, 0, 2), "spectrum": (2, 0, 0, 2), "probe": (4, 0, 2, 2),
        "compare cka": (1, 0, 0, 1),
    }  # fmt: skip
    assert (found.total.jobs, found.total.left, len(found.left)) == (9, 7, 7)
    (reason,) = found.skipped
    assert "data set data has no label set 'sort'" in reason
    assert reason.startswith(f"{path.name}:{path.read_text().splitlines().index(PROBE)}: ")
    assert "the time of spectrum: the store has no run of it" in found.unknown
    assert found.total.untimed == 7
    assert not (tmp_path / "x.db").exists()


def test_stored_bytes_are_those_of_the_rows(fresh):
    path, url = fresh
    found = check(path, store=url)
    per_row = 2 * 16 * 2 + 100  # two sites of width 16 as float16, and where the row comes from
    assert (found.lines[0].bytes, found.lines[0].unsized) == (2 * 12 * per_row, 0)
    path.write_text(path.read_text().replace("[[extract]]", '[[extract]]\npooling = "token"'))
    found = check(path, store=url)
    assert (found.lines[0].bytes, found.lines[0].unsized) == (0, 2)
    assert "rows of data by token: its tokens are not counted" in found.unknown


def test_memory_follows_weights_and_matrices(fresh):
    path, url = fresh
    tiny = check(path, store=url)
    text = path.read_text()
    path.write_text(text + '[[models]]\nspec = "actlas:demo"\n')
    demo = check(path, store=url)
    weights = 22_713_216 * 4
    assert demo.lines[0].memory - tiny.lines[0].memory > weights
    data = path.parent / "data.csv"
    data.write_text(CSV + "More of it.,place\n" * 50_000)
    large = check(path, store=url)
    matrix = 50_000 * 384 * 4
    assert large.lines[1].memory - demo.lines[1].memory > 2 * matrix


def test_what_is_done_is_there_and_the_rest_is_timed(done):
    folder, url = done
    found = check(folder / "before.toml", store=url)
    assert (found.total.there, found.total.left, found.left) == (7, 0, ())
    assert (found.total.seconds, found.total.bytes, found.unknown) == (0, 0, ())
    text = (folder / "before.toml").read_text().replace('"before"', '"third"')
    (folder / "third.toml").write_text(text.replace('"spectrum"', '"spectrum"\nsites = "layers.0"'))
    found = check(folder / "third.toml", store=url)  # the same work of another audit is there
    assert [job.name for job in found.left] == [
        f"spectrum {model} data mean sites=layers.0" for model in "ab"
    ]
    with actlas.open(url) as store:
        ran = [r.seconds for r in store.records("runs") if r.analysis == "spectrum"]
    assert 2 * min(ran) <= found.total.seconds <= 2 * max(ran)
    assert found.total.untimed == 0


def test_work_whose_results_were_removed_is_not_there(done, tmp_path):
    folder, url = done
    copy = f"sqlite:///{tmp_path}/copy.db"
    actlas.open(url).close()
    (tmp_path / "copy.db").write_bytes((folder / "x.db").read_bytes())
    with actlas.open(copy) as store:
        run = next(r for r in store.records("runs") if r.analysis == "spectrum")
    assert call("runs", "rm", run.id, "--yes", "--store", copy).status == 0
    found = check(folder / "before.toml", store=copy)
    assert [job.name for job in found.left] == ["spectrum a data mean"]


def test_an_entry_that_gives_no_job_is_named(fresh):
    path, url = fresh
    path.write_text(path.read_text() + '[[analyses]]\nname = "ica"\npoolings = "word"\n')
    found = check(path, store=url)
    line = path.read_text().count("\n") - 2
    assert found.empty == (f"tiny.toml:{line}: ica",)
    assert f"tiny.toml:{line}: ica gives no job" in call("audit", "check", path, "--store", url).out


def test_two_audits_differ_in_the_cells_of_the_model_that_changed(done):
    _, url = done
    with actlas.open(url) as store:
        found = diff(store, "before", "after")
        back = diff(store, "after", "before")
        runs = store.sql("SELECT run_id, site, metric, value FROM metric WHERE analysis='spectrum'")
    cells = {difference.cell for difference in found.found}
    assert cells == {"spectrum a data mean", "compare cka b data mean"}
    assert found.same > 0
    assert found.only_one == ("probe a data mean labels=kind permutations=5",
                              "probe b data mean labels=kind permutations=5")  # fmt: skip
    assert found.only_other == ()
    changes = [abs(difference.change) for difference in found.found]
    assert changes == sorted(changes, reverse=True)
    for d in found.found:
        assert d.change == pytest.approx((d.other - d.one) / max(abs(d.one), abs(d.other)))
        assert d.one != d.other
    assert [(d.one, d.other) for d in back.found] != []
    assert {(d.cell, d.site, d.metric, d.other, d.one) for d in back.found} == {
        (d.cell, d.site, d.metric, d.one, d.other) for d in found.found
    }
    values = set(runs["value"]) if hasattr(runs, "columns") else {row["value"] for row in runs}
    assert {d.one for d in found.found if "spectrum" in d.cell} <= values


def test_two_models_of_an_audit_differ_by_site(done, tiny_folder):
    _, url = done
    with actlas.open(url) as store:
        found = diff(store, "a", "b", audit="before")
        assert {d.cell for d in found.found} == {
            "spectrum data mean", "probe data mean labels=kind permutations=5",
        }  # fmt: skip
        assert {d.site for d in found.found} <= {"layers.0", "layers.2"}
        assert (found.only_one, found.only_other) == ((), ())
        same = diff(store, "a", "a", audit="before")
        assert (same.found, same.same > 0) == ((), True)
        with pytest.raises(actlas.InputError, match="no results of a model 'c'; there is a, b"):
            diff(store, "a", "c", audit="before")
        with pytest.raises(actlas.InputError, match="no audit 'befor'; there is before, after"):
            diff(store, "befor", "after")


def test_the_commands_print_tables_and_json(done, tmp_path):
    folder, url = done
    path = tmp_path / "mine.toml"
    assert call("audit", "new", path, "--json").json["written"] == str(path)
    again = call("audit", "new", path)
    assert (again.status, again.err.count("\n")) == (1, 1)
    said = call("audit", "check", folder / "before.toml", "--store", url)
    assert said.status == 0
    assert "nothing is left to do" in said.out
    record = call("audit", "check", folder / "before.toml", "--store", url, "--json").json
    assert (record["total"]["there"], record["to_do"]) == (7, [])
    assert record["skipped"][0]["jobs"] == [
        f"probe {model} data mean labels=sort permutations=5" for model in "ab"
    ]
    shown = call("audit", "diff", "before", "after", "--store", url)
    assert "only in before: probe a" in shown.out
    found = call("audit", "diff", "a", "b", "--audit", "before", "--store", url, "--json").json
    assert {"cell", "site", "metric", "one", "other", "change"} <= set(found["differ"][0])
    json.dumps(found)


def test_every_fault_of_a_file_is_a_line_of_the_command(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[audit]\nname = "bad"\n[[models]]\nspecs = "x"\n[limits]\nmemory = "8"\n')
    said = call("audit", "check", path, "--store", tmp_path / "x.db")
    assert said.status == 1
    assert said.err.splitlines() == sorted(
        said.err.splitlines(), key=lambda s: int(s.split(":")[2])
    )
    starts = [f"error: {path}:{n}: " for n in (3, 4, 6, 6)]
    assert all(any(line.startswith(start) for line in said.err.splitlines()) for start in starts)
    assert not (tmp_path / "x.db").exists()
