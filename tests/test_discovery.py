"""Finding analyses: a third party's distribution, plugin files, and those that are broken."""

import sys
from pathlib import Path

import numpy as np
import pytest

import actlas
from actlas.api import plugin_list
from actlas.core import PluginError
from actlas.registry import Registry, registry
from actlas.testing import checks

FAKE = Path(__file__).parent / "fake_distribution"
WELL = ["fake_means", "fake_norms"]
BROKEN = ["fake_absent", "fake_broken", "fake_misnamed", "fake_nowhere", "fake_number"]
OURS = ["probe", "spectrum"]


def loaded_fakes():
    return sorted(name for name in sys.modules if name.startswith("actlas_fake"))


@pytest.fixture(autouse=True)
def _as_new(monkeypatch):
    """Nothing of a plugin is imported or remembered, before and after."""

    def forget():
        registry.cache_clear()
        for name in [n for n in sys.modules if n.startswith(("actlas_fake", "actlas_plugin_"))]:
            del sys.modules[name]

    monkeypatch.delenv("ACTLAS_PLUGINS", raising=False)
    forget()
    yield
    forget()


@pytest.fixture
def installed(monkeypatch):
    """Install the fake distribution."""
    monkeypatch.syspath_prepend(str(FAKE))


def install(monkeypatch, folder, distribution, entries):
    """Make a distribution with entry points and install it."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "RECORD").write_text("")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[actlas]", *lines, ""]))
    monkeypatch.syspath_prepend(str(folder))


def write_plugin(path, name="from_file", body="return Result()"):
    path.write_text(
        "from actlas import Activations, Result, analysis\n\n\n"
        "@analysis(version=1)\n"
        f"def {name}(acts: Activations) -> Result:\n"
        f'    """From a file."""\n    {body}\n'
    )
    return path


def test_the_file_list_of_the_fake_distribution_is_true():
    record = (FAKE / "actlas_fake-1.0.dist-info" / "RECORD").read_text().split()
    listed = sorted(line.split(",")[0] for line in record)
    there = [p for p in FAKE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert listed == sorted(str(p.relative_to(FAKE)) for p in there)


def test_our_own_are_found_and_a_stranger_is_not_there_before_it_is_installed():
    names = Registry().names
    assert set(OURS) <= set(names)
    assert not set(WELL) & set(names)


@pytest.mark.usefixtures("installed")
def test_names_are_known_before_anything_is_imported():
    found = Registry()
    assert {*OURS, *WELL, *BROKEN} <= set(found.names)
    assert found.names == sorted(found.names)
    assert loaded_fakes() == []


@pytest.mark.usefixtures("installed")
def test_asking_for_one_imports_only_that_one():
    found = Registry()
    found.get("spectrum")
    assert loaded_fakes() == []
    one = found.get("fake_norms")
    assert (one.name, one.version) == ("fake_norms", 2)
    assert loaded_fakes() == ["actlas_fake_norms"]
    assert found.get("fake_norms") is one
    found.get("fake_means")
    assert loaded_fakes() == ["actlas_fake_means", "actlas_fake_norms"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", WELL)
def test_a_strangers_analysis_conforms(name):
    for check in checks(Registry().get(name)):
        check()


@pytest.mark.usefixtures("installed")
def test_a_strangers_analysis_runs_from_the_public_door():
    norms = actlas.get("fake_norms")(actlas.Activations.of([[3.0, 4.0]]), power=1.0)
    assert norms.tables["norms"]["norm"].tolist() == [7.0]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fake_absent", "plugin 'fake_absent' of actlas-fake fails: AttributeError"),
        ("fake_broken", "plugin 'fake_broken' of actlas-fake fails: RuntimeError: this plugin is"),
        ("fake_misnamed", "entry point 'fake_misnamed' of actlas-fake gives the analysis 'fake_no"),
        ("fake_nowhere", "plugin 'fake_nowhere' of actlas-fake fails: ModuleNotFoundError"),
        ("fake_number", "entry point 'fake_number' of actlas-fake gives no analysis"),
    ],
)
def test_a_broken_plugin_names_itself_and_its_owner(name, said):
    with pytest.raises(PluginError, match=said) as refused:
        Registry().get(name)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("installed")
def test_broken_plugins_are_listed_with_their_error_and_break_nothing_else():
    found = {p.name: p for p in Registry().plugins()}
    for name in (*OURS, *WELL):
        assert found[name].analysis.name == name
        assert found[name].error is None
    for name in BROKEN:
        assert found[name].analysis is None
        assert found[name].source == "actlas-fake"
        assert repr(name) in found[name].error


def test_a_plugin_that_ends_the_process_on_import_is_only_broken(monkeypatch, tmp_path):
    (tmp_path / "actlas_fake_exits.py").write_text("import sys\n\nsys.exit(7)\n")
    install(monkeypatch, tmp_path, "actlas-exits", {"exits": "actlas_fake_exits:exits"})
    with pytest.raises(PluginError, match="plugin 'exits' of actlas-exits fails: SystemExit: 7"):
        Registry().get("exits")
    assert {"exits", *OURS} <= {p.name for p in Registry().plugins()}


@pytest.mark.usefixtures("installed")
def test_the_plugin_list_shows_what_each_does_or_why_it_fails():
    rows = {row["name"]: row for row in plugin_list()}
    assert rows["fake_norms"] == {
        "name": "fake_norms",
        "source": "actlas-fake",
        "version": 2,
        "needs": "acts",
        "summary": "Length of every row.",
    }
    assert rows["probe"]["source"] == "actlas"
    assert rows["probe"]["needs"] == "acts, labels"
    broken = rows["fake_broken"]
    assert broken["summary"].startswith("broken: ")
    assert "RuntimeError: this plugin is broken" in broken["summary"]
    assert (broken["version"], broken["needs"]) == (None, None)


@pytest.mark.usefixtures("installed")
def test_an_unknown_name_gives_the_nearest_and_imports_nothing():
    with pytest.raises(PluginError, match=r"no analysis 'fake_norm'; did you mean fake_norms"):
        Registry().get("fake_norm")
    assert loaded_fakes() == []


@pytest.mark.usefixtures("installed")
def test_a_name_owned_twice_names_both_owners(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, "actlas-rival", {"fake_norms": "rival_module:fake_norms"})
    found = Registry()
    assert found.names.count("fake_norms") == 1
    errors = [p.error for p in found.plugins() if p.error and "rename" in p.error]
    assert len(errors) == 1
    assert "'fake_norms'" in errors[0]
    assert "actlas-fake" in errors[0]
    assert "actlas-rival" in errors[0]


def test_a_stranger_cannot_take_one_of_our_names(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, "aaa-first", {"spectrum": "rival_module:spectrum"})
    found = Registry()
    assert found.get("spectrum").function.__module__ == "actlas.plugins.spectrum"
    (error,) = [p.error for p in found.plugins() if p.error]
    assert "the name 'spectrum' is taken by actlas; aaa-first must rename" in error


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("only", "strangers"),
    [
        ("fake_norms", {"fake_norms"}),
        ("fake_norms,fake_means", {"fake_norms", "fake_means"}),
        (" fake_norms , nothing_such ", {"fake_norms"}),
        ("actlas-fake", {*WELL, *BROKEN}),
        ("", set()),
    ],
)
def test_the_environment_says_which_strangers_are_admitted(monkeypatch, only, strangers):
    monkeypatch.setenv("ACTLAS_PLUGINS", only)
    found = Registry()
    assert set(OURS) <= set(found.names)
    assert {n for n in found.names if n.startswith("fake_")} == strangers


@pytest.mark.usefixtures("installed")
def test_a_stranger_that_is_not_admitted_cannot_be_asked_for(monkeypatch):
    monkeypatch.setenv("ACTLAS_PLUGINS", "fake_norms")
    with pytest.raises(PluginError, match="no analysis 'fake_broken'"):
        Registry().get("fake_broken")
    assert not any(p.error for p in Registry().plugins())


def test_a_rival_that_is_not_admitted_is_no_error(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, "actlas-rival", {"spectrum": "rival_module:spectrum"})
    monkeypatch.setenv("ACTLAS_PLUGINS", "")
    assert [p.name for p in Registry().plugins() if p.error] == []


def test_a_file_gives_its_analyses(tmp_path):
    path = write_plugin(tmp_path / "mine.py")
    found = Registry((path,))
    assert "from_file" in found.names
    assert found.get("from_file").summary == "From a file."
    plugin = next(p for p in found.plugins() if p.name == "from_file")
    assert plugin.source == str(path)
    assert "from_file" not in Registry().names


def test_a_file_may_declare_tables_with_string_annotations(tmp_path):
    path = tmp_path / "later.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\nfrom typing import Annotated\n"
        "from actlas import Activations, Result, analysis\n\n"
        '@dataclass(frozen=True)\nclass Count:\n    """Number of rows."""\n'
        '    rows: Annotated[int, "rows read"]\n\n'
        '@analysis(version=1, tables={"count": Count})\n'
        'def counting(acts: Activations) -> Result:\n    """Count."""\n'
        '    return Result({"count": Count(len(acts))})\n'
    )
    acts = actlas.Activations.of(np.ones((5, 2), np.float32))
    result = Registry((path,)).get("counting")(acts)
    assert list(result.tables["count"]) == [{"rows": 5}]


def test_the_same_file_twice_is_no_clash(tmp_path):
    path = write_plugin(tmp_path / "mine.py")
    assert "from_file" in Registry((path, path)).names


def test_two_files_of_one_name_are_both_read(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = write_plugin(tmp_path / "a" / "mine.py", "first")
    second = write_plugin(tmp_path / "b" / "mine.py", "second")
    assert {"first", "second"} <= set(Registry((first, second)).names)


def test_a_file_that_imports_a_known_analysis_gives_only_its_own(tmp_path):
    path = write_plugin(tmp_path / "mine.py")
    path.write_text("from actlas.plugins.spectrum import spectrum\n" + path.read_text())
    found = Registry((path,))
    assert "from_file" in found.names
    assert next(p for p in found.plugins() if p.name == "spectrum").source == "actlas"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("raise ValueError('two\\nlines')", "fails on import: ValueError: two lines"),
        ("import no_such_module_at_all", "fails on import: ModuleNotFoundError"),
        ("def broken(:", "fails on import: SyntaxError"),
        ("raise SystemExit(3)", "fails on import: SystemExit"),
        ("", "has no @analysis; decorate a function"),
        ("x = 3", "has no @analysis; decorate a function"),
        (
            "from actlas import *\nfrom actlas import analysis\n"
            "@analysis(version=1)\ndef f(vectors: int) -> Result:\n    'Doc.'",
            "AnalysisError: analysis 'f': input 'vectors' is unknown",
        ),
    ],
)
def test_a_broken_or_empty_file_is_named(tmp_path, content, said):
    path = tmp_path / "theirs.py"
    path.write_text(content)
    with pytest.raises(PluginError, match=said) as refused:
        Registry((path,))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_one_of_another_kind_are_named(tmp_path):
    with pytest.raises(PluginError, match=r"no plugin file .*absent\.py"):
        Registry((tmp_path / "absent.py",))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PluginError, match=r"notes\.txt is no Python file"):
        Registry((tmp_path / "notes.txt",))


def test_a_file_cannot_take_a_known_name(tmp_path):
    path = write_plugin(tmp_path / "mine.py", "spectrum")
    with pytest.raises(PluginError, match=r"'spectrum' of .*mine\.py is already given by actlas"):
        Registry((path,))
    other = write_plugin(tmp_path / "other.py", "twice")
    again = write_plugin(tmp_path / "again.py", "twice")
    with pytest.raises(PluginError, match=r"'twice' of .*again\.py is already .*other\.py"):
        Registry((other, again))


def test_a_stored_result_is_readable_when_its_plugin_is_broken(monkeypatch, tmp_path, sqlite_store):
    """Reading needs no plugin; only the figures do."""
    from actlas.api.handles import StoredRun
    from actlas.storage import Run

    install(monkeypatch, tmp_path, "actlas-rival", {"rival": "rival_module:rival"})
    assert "rival" in registry().names
    run = Run(id=1, analysis="rival", status="done", warnings=[])
    assert dict(StoredRun(sqlite_store.database, run).result.tables) == {}
