"""The command line: every command with and without --json, every error as one line."""

import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from markupsafe import escape

import actlas
from actlas.cli import cli, main

SUBJECTS = ["cat", "dog", "river", "hill"]
SITES = ["embed", "layers.0", "layers.1", "layers.2"]
SITES_OF_A_LAYER = ["norm1", "heads", "attn", "norm2", "mlp.hidden", "mlp", ""]
RECORDS = [
    {"text": f"The {subject} is {size} number {i}.", "kind": kind, "size": size}
    for i, size in enumerate(["big", "small", "old"] * 2)
    for subject, kind in zip(SUBJECTS, ["animal", "animal", "place", "place"], strict=True)
]


class Done(NamedTuple):
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        """The JSON that was printed, which must be strict JSON."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(name):
    raise ValueError(f"{name} is no JSON")


def call(*args, typed=""):
    """Run the command line in this process, as the installed script does."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["actlas", *map(str, args)])
        patch.setattr(sys.modules["__main__"], "__package__", None)  # as the script, not -m
        patch.setattr(sys, "stdin", io.StringIO(typed))
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as stop,
        ):
            main()
    return Done(stop.value.code or 0, out.getvalue(), err.getvalue())


def spawn(*args, **environment):
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "actlas", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def fails(*args):
    """Run a command that must fail, and return what it says after `error: `."""
    done = call(*args)
    assert done.status == 1, done
    assert done.out == ""
    assert "Traceback" not in done.err
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def good(*args, **options):
    """Run a command that must work."""
    done = call(*args, **options)
    assert done.status == 0, done.err
    return done


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Nothing lands in the working folder, and no store of the user's is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACTLAS_STORE", raising=False)
    monkeypatch.delenv("ACTLAS_PLUGINS", raising=False)


@pytest.fixture(scope="module")
def model(tiny_folder):
    """A tiny checkpoint."""
    return tiny_folder("bert")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A labelled data set."""
    path = tmp_path_factory.mktemp("data") / "facts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory, model, data):
    """A store with an extraction, a spectrum of every site and a probe of the last."""
    path = tmp_path_factory.mktemp("store") / "filled.db"
    good("extract", model, data, "--pooling", "mean", "--store", path)
    good("run", "spectrum", "--store", path)
    good("run", "probe", "--labels", "kind", "--site", "layers.-1", "--store", path)
    return path


@pytest.fixture
def store(filled, tmp_path):
    """A copy of the filled store that a test may change."""
    return Path(shutil.copy(filled, tmp_path / "store.db"))


def runs_of(store):
    return good("runs", "list", "--store", store, "--json").json


# --- the root -----------------------------------------------------------------------------


def commands(command=cli, path=()):
    """Every command of the tree with its path; analyses are commands too."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


TREE = list(commands())


def test_the_tree_is_what_is_documented():
    nouns = [(noun, verb) for noun in ("models", "datasets", "extractions", "runs")
             for verb in ("list", "show", "rm")]  # fmt: skip
    wanted = {
        ("extract",), ("run", "spectrum"), ("run", "probe"), ("sql",), ("sites",), ("results",),
        ("doctor",), ("demo",), *nouns,
        *(("plugins", verb) for verb in ("list", "new", "check")),
        *(("store", verb) for verb in ("init", "info", "upgrade")),
    }  # fmt: skip
    assert wanted <= {path for path, _ in TREE}


@pytest.mark.parametrize(("path", "command"), TREE, ids=[" ".join(p) or "actlas" for p, _ in TREE])
def test_every_command_and_option_has_help(path, command):
    done = good(*path, "--help")
    assert done.out.startswith("Usage: actlas")
    assert len((command.help or "").strip()) > 10
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert any(name.startswith("--") for name in parameter.opts)
            assert parameter.opts[0] in done.out


@pytest.mark.parametrize(("path", "command"), TREE, ids=[" ".join(p) or "actlas" for p, _ in TREE])
def test_every_command_that_prints_can_print_json(path, command):
    if not isinstance(command, click.Group):
        assert "--json" in [opt for p in command.params for opt in p.opts]


def test_version():
    assert good("--version").out == f"actlas, version {actlas.__version__}\n"


def test_the_module_is_the_command_line():
    done = spawn("--version")
    assert (done.status, done.out.strip()) == (0, f"actlas, version {actlas.__version__}")


def test_the_installed_script_is_the_command_line():
    script = Path(sys.executable).parent / "actlas"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"actlas, version {actlas.__version__}"


@pytest.mark.parametrize(
    "code",
    [
        "import actlas",
        "import actlas; actlas.analysis; actlas.Activations; actlas.Result",
        "import sys; sys.argv = ['actlas', '--help']\n"
        "try:\n    from actlas.cli import main; main()\nexcept SystemExit: pass",
        "from actlas.registry import Registry; Registry().names",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(code):
    show = "\nimport sys; print('loaded', *sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + show], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split("loaded", 1)[1].split())
    assert "actlas" in loaded
    assert not {"torch", "transformers", "sklearn", "scipy", "pandas", "altair"} & loaded


def test_the_public_names_are_those_of_the_stub_sorted():
    stub = Path(actlas.__file__).with_suffix(".pyi").read_text()
    names = re.findall(r"(?m)^    (\w+) as \1,$", stub)
    assert len(names) > 30
    assert actlas.__all__ == sorted(names)
    for name in names:
        assert getattr(actlas, name).__name__ == name


# --- wrong usage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["extract"],
        ["extract", "model"],
        ["extract", "model", "data", "--no-such-option"],
        ["extract", "model", "data", "--pooling", "median"],
        ["extract", "model", "data", "--limit", "0"],
        ["extract", "model", "data", "--limit", "some"],
        ["sql"],
        ["sql", "SELECT 1", "--limit", "0"],
        ["models"],
        ["models", "show"],
        ["runs", "forget"],
        ["results"],
        ["run", "spectrum", "--top", "many"],
        ["run", "spectrum", "--labels", "kind"],
        ["run", "probe", "--nonfinite", "ignore"],
        ["plugins", "check"],
        ["store", "burn"],
        ["demo", "--folder"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_shown_with_status_2(args):
    done = call(*args)
    assert done.status == 2
    assert re.search(r"(?m)^Error: |^Usage: actlas", done.err)
    assert "Traceback" not in done.err
    assert done.out == ""


def test_an_error_in_a_process_of_its_own_is_one_line(tmp_path, model, data):
    done = spawn("extract", model, data, "--sites", "layers.99", "--store", tmp_path / "new.db")
    assert done.status == 1
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("error: no site 'layers.99'; ")


# --- extract and sites --------------------------------------------------------------------


def test_extract_says_what_it_will_do_and_what_it_did(tmp_path, model, data):
    done = good("extract", model, data, "--pooling", "mean", "--store", tmp_path / "new.db")
    assert re.search(r"about 24 rows × 4 sites, [\d.]+ k?B, [\d.]+ s", done.err)
    assert re.search(r"(?m)^rows +24$", done.out)
    assert re.search(r"(?m)^extraction +1$", done.out)
    assert str(tmp_path / "new.db") in done.out


def test_extract_prints_json_and_goes_on_where_it_stands(tmp_path, model, data):
    args = ["extract", model, data, "--pooling", "mean", "--store", tmp_path / "new.db", "--json"]
    first = good(*args, "--sites", "layers.-1").json
    assert first["sites"] == ["layers.2"]
    assert (first["extraction"], first["rows"], first["warnings"]) == (1, 24, [])
    again = good(*args, "--sites", "layers.-1")
    assert again.json == first
    assert "nothing to compute" in again.err
    assert good(*args).json["sites"] == SITES


def test_extract_takes_the_store_from_the_environment(tmp_path, model, data, monkeypatch):
    monkeypatch.setenv("ACTLAS_STORE", str(tmp_path / "env.db"))
    good("extract", model, data, "--pooling", "mean", "--limit", 2, "--sites", "embed")
    assert (tmp_path / "env.db").is_file()
    assert good("extractions", "list", "--json").json[0]["rows"] == 2


def test_extract_takes_columns_and_a_limit(tmp_path, model):
    path = tmp_path / "odd.csv"
    path.write_text(
        "body,word,topic,other\nA cat sat.,cat,x,1\nA dog ran.,dog,y,2\nIt is.,it,z,3\n"
    )
    store = tmp_path / "new.db"
    good("extract", model, path, "--text", "body", "--labels", "topic,other", "--target", "word",
         "--limit", 2, "--pooling", "word", "--sites", "embed", "--store", store)  # fmt: skip
    shown = good("datasets", "show", 1, "--store", store, "--json").json
    assert shown["samples"] == 2
    assert shown["label_sets"] == {
        "topic": "sample", "other": "sample", "topic@target": "word", "other@target": "word"
    }  # fmt: skip


def test_labels_may_be_written_with_spaces(tmp_path, model, data):
    store = tmp_path / "new.db"
    good("extract", model, data, "--labels", "kind, size", "--pooling", "mean", "--limit", 2,
         "--sites", "embed", "--store", store)  # fmt: skip
    shown = good("datasets", "show", 1, "--store", store, "--json").json
    assert set(shown["label_sets"]) == {"kind", "size"}


def test_sites_are_listed_with_their_widths(model):
    listed = good("sites", model, "--json").json
    assert [s["site"] for s in listed if "." not in s["site"]] == ["embed"]
    assert {"layers.0.attn", "layers.0.mlp", "layers.2"} <= {s["site"] for s in listed}
    assert {s["width"] for s in listed if not s["site"].endswith("mlp.hidden")} == {16}
    assert {s["width"] for s in listed if s["site"].endswith("mlp.hidden")} == {24}
    more = good("sites", model, "--all", "--json").json
    assert len(more) > len(listed)
    assert any(s["site"].startswith("module:") for s in more)
    table = good("sites", model).out
    assert "layers.0.attn" in table
    assert len([line for line in table.splitlines() if "layers." in line]) == 3 * len(
        SITES_OF_A_LAYER
    )


def test_a_model_that_is_not_there_is_named(tmp_path, data):
    assert "no folder ./nowhere" in fails("extract", "./nowhere", data)
    assert "no folder /nowhere/at/all" in fails("sites", "/nowhere/at/all")
    said = fails("sites", "no-such-org/no-such-model")
    assert "no model 'no-such-org/no-such-model' in the local cache" in said
    assert "unknown scheme 'ftp'" in fails("sites", "ftp:model")
    assert "no config.json" in fails("sites", tmp_path)
    assert not (tmp_path / "actlas.db").exists()


def test_a_folder_without_weights_is_named(tmp_path, model):
    shutil.copy(model / "config.json", tmp_path)
    assert "no weights (*.safetensors)" in fails("sites", tmp_path)


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path, model):
    shutil.copy(model / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    said = fails("sites", tmp_path)
    assert "only as a pickle (pytorch_model.bin), which can run code" in said
    assert "save_pretrained" in said


def test_an_unknown_site_gives_the_nearest(model, data):
    assert "no site 'layer.1'; did you mean layers.1" in fails(
        "extract", model, data, "--sites", "layer.1"
    )


def test_a_missing_label_column_lists_the_columns(model, data):
    said = fails("extract", model, data, "--labels", "kinds")
    assert "no column 'kinds'; it has text, kind, size" in said
    assert "no column 'body'; it has text, kind, size" in fails(
        "extract", model, data, "--text", "body"
    )


BAD = [
    ("empty.jsonl", '{"text": "One."}\n{"text": "  "}\n', r"empty\.jsonl, line 2: 'text' is empty"),
    ("bad.jsonl", '{"text": "One."}\n\n{"text": \n', r"bad\.jsonl, line 3: not a JSON object"),
    ("list.jsonl", '["One."]\n{"text": "Two."}\n', r"list\.jsonl, line 1: not a JSON object"),
    ("bad.csv", "text,kind\nOne.,a\nTwo.\n", r"bad\.csv, line 3: 1 fields where the header has 2"),
    ("empty.csv", "text,kind\n,a\nOne.,b\n", r"empty\.csv, line 2: 'text' is empty"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD, ids=[b[0] for b in BAD])
def test_a_bad_record_is_named_by_file_and_line_or_skipped_and_counted(
    tmp_path, model, name, content, said
):
    path = tmp_path / name
    path.write_text(content)
    store = tmp_path / "new.db"
    error = fails("extract", model, path, "--store", store)
    assert re.search(said, error)
    assert "--skip-bad" in error
    assert not store.exists()
    done = good("extract", model, path, "--skip-bad", "--pooling", "mean", "--store", store)
    assert "left out 1 unreadable or empty record\n" in done.err
    assert good("datasets", "list", "--store", store, "--json").json[0]["skipped"] == 1


def test_skipped_records_are_counted_under_a_limit_too(tmp_path, model):
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"text": ""}\n{"text": "One."}\n{"text": "Two."}\n{"text": "Three."}\n')
    done = good("extract", model, path, "--skip-bad", "--limit", 2, "--pooling", "mean",
                "--sites", "embed", "--store", tmp_path / "new.db")  # fmt: skip
    assert "left out 1 unreadable or empty record" in done.err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.jsonl", None, "no file"),
        ("data.xlsx", "x", "cannot tell how to read"),
        ("none.jsonl", "", "no column named text"),
        ("blank.txt", "\n\n", "no column named text|no text in it"),
        ("latin.txt", b"caf\xe9\n", r"latin\.txt, line 1: not UTF-8"),
    ],
)
def test_a_file_that_is_no_data_set_is_named(tmp_path, model, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = fails("extract", model, path)
    assert re.search(said, error)
    assert path.stem in error


def test_long_texts_are_cut_with_a_warning_or_refused(tmp_path, model, data):
    args = ["extract", model, data, "--pooling", "mean", "--max-length", 4, "--sites", "embed",
            "--store", tmp_path / "new.db"]  # fmt: skip
    said = fails(*args, "--long", "error")
    assert "4" in said
    assert re.search(r"sample 0|line 1|text 0", said)
    done = good(*args, "--json")
    assert done.json["warnings"] == ["24 texts longer than the limit, truncated"]
    assert "warning: 24 texts longer than the limit, truncated" in done.err


# --- run and results ----------------------------------------------------------------------


def test_run_prints_the_first_table_and_what_was_done(store):
    done = good("run", "spectrum", "--store", store)
    assert "effective_rank" in done.out
    assert re.findall(r"(?m)^ *(embed|layers\.\d) ", done.out) == SITES
    assert "0 runs computed, 4 runs already done; all tables: actlas results 4" in done.out


def test_run_prints_json(store):
    runs = good(
        "run", "spectrum", "--top", 3, "--site", "layers.*", "--store", store, "--json"
    ).json
    assert [r["site"] for r in runs] == ["layers.0", "layers.1", "layers.2"]
    assert not any(r["reused"] for r in runs)
    for run in runs:
        assert set(run["tables"]) == {"summary", "eigenvalues", "massive"}
        assert len(run["tables"]["massive"]) == 3
        assert run["tables"]["summary"][0]["width"] == 16
    again = good(
        "run", "spectrum", "--top", 3, "--site", "layers.*", "--store", store, "--json"
    ).json
    assert all(r["reused"] for r in again)
    assert [r["run"] for r in again] == [r["run"] for r in runs]
    forced = good("run", "spectrum", "--top", 3, "--site", "layers.0", "--force", "--store", store,
                  "--json").json  # fmt: skip
    assert not forced[0]["reused"]


def test_run_of_a_probe_takes_labels_and_its_own_parameters(store):
    (run,) = good("run", "probe", "--labels", "kind", "--groups", "size", "--site", "embed", "--c",
                  0.5, "--permutations", 0, "--test-share", 0.34, "--seed", 7, "--store", store,
                  "--json").json  # fmt: skip
    shown = good("runs", "show", run["run"], "--store", store, "--json").json
    assert shown["parameters"] == {
        "test_share": 0.34, "c": 0.5, "max_iter": 500, "permutations": 0, "seed": 7
    }  # fmt: skip
    assert (shown["labels"], shown["seed"]) == ("kind", 7)
    assert run["tables"]["summary"][0]["permuted"] is None


def test_run_with_a_plugin_file_makes_options_of_its_signature(store, tmp_path):
    path = tmp_path / "sizes.py"
    path.write_text(PLUGIN)
    help_text = good("run", "--plugin", path, "sizes", "--help").out
    for option in ("--n-power", "--centred / --no-centred", "--how [l1|l2]", "--step [1|2]"):
        assert option in help_text
    args = ["run", "--plugin", path, "sizes", "--site", "embed", "--store", store, "--json"]
    (row,) = good(*args).json[0]["tables"]["summary"]
    assert row == {"said": "2 False l2 1 None"}
    (row,) = good(*args, "--n-power", 3, "--centred", "--how", "l1", "--step", 2, "--most", 4).json[
        0
    ]["tables"]["summary"]
    assert row == {"said": "3 True l1 2 4"}
    assert call(*args, "--how", "l3").status == 2
    assert "sizes" in good("run", "--plugin", path, "--help").out
    # A stored result is read without its plugin.
    last = runs_of(store)[-1]
    assert last["analysis"] == "sizes"
    tables = good("results", last["id"], "--store", store, "--json").json
    assert tables["summary"] == [{"said": "3 True l1 2 4"}]


PLUGIN = '''
from dataclasses import dataclass
from typing import Annotated, Literal
from actlas import Activations, Result, analysis

@dataclass(frozen=True)
class Said:
    """What was set."""
    said: Annotated[str, "all parameters"]

@analysis(version=1, tables={"summary": Said})
def sizes(
    acts: Activations, *,
    n_power: Annotated[int, "which norm"] = 2,
    centred: Annotated[bool, "subtract the mean"] = False,
    how: Annotated[Literal["l1", "l2"], "which norm"] = "l2",
    step: Annotated[Literal[1, 2], "step width"] = 1,
    most: Annotated[int | None, "largest"] = None,
) -> Result:
    """Say what was set."""
    return Result({"summary": Said(f"{n_power} {centred} {how} {step} {most}")})
'''


def test_results_are_printed_whole_or_by_table(store):
    out = good("results", 1, "--store", store).out
    assert "summary (1 rows)" in out
    assert "eigenvalues (16 rows)" in out
    assert "massive (10 rows)" in out
    assert (
        "massive (10 rows, the first 2)"
        in good("results", 1, "massive", "--limit", 2, "--store", store).out
    )
    tables = good("results", 1, "--store", store, "--json").json
    assert {name: len(rows) for name, rows in tables.items()} == {
        "summary": 1, "eigenvalues": 16, "massive": 10
    }  # fmt: skip
    (only,) = good("results", 1, "massive", "--store", store, "--json").json
    assert only == "massive"


def test_missing_numbers_are_null_in_json(tmp_path, model):
    path = tmp_path / "one.jsonl"
    path.write_text('{"text": "One."}\n')
    store = tmp_path / "new.db"
    good("extract", model, path, "--pooling", "mean", "--sites", "embed", "--store", store)
    (run,) = good("run", "spectrum", "--store", store, "--json").json
    assert run["tables"]["summary"][0]["effective_rank"] is None
    tables = good("results", 1, "--store", store, "--json").json
    assert tables["summary"][0]["effective_rank"] is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "spectra"], r"no analysis 'spectra'; did you mean spectrum\?"),
        (["run", "spectrum", "--site", "layers.7"], r"no site 'layers\.7'|layers\.7"),
        (["run", "spectrum", "--extraction", "9"], "no extraction '9'; there is 1"),
        (["run", "spectrum", "--top", "0"], "top=0 lists nothing"),
        (["run", "probe"], r"probe needs labels: name one with --labels NAME; there is kind, size"),
        (["run", "probe", "--labels", "kinds"], "no label set 'kinds'.*kind"),
        (["run", "probe", "--labels", "kind", "--groups", "no"], "no label set 'no'"),
        (["run", "probe", "--labels", "kind", "--c", "nan"], "probe"),
        (["run", "--plugin", "absent.py", "sizes"], r"no plugin file absent\.py"),
        (["results", "99"], "no run '99'; there is 1, 2, 3"),
        (["results", "newest"], "no run 'newest'"),
        (["results", "99999999999999999999"], "no run '99999999999999999999'"),
        (["results", "1", "classes"], "run 1 has no table 'classes'"),
        (["models", "show", "none"], "no model 'none'; there is .*bert"),
        (["datasets", "show", "9"], "no dataset '9'; there is facts"),
        (["extractions", "rm", "9", "--yes"], "no extraction '9'; there is 1"),
        (["runs", "show", "9"], "no run '9'"),
        (["models", "rm", "1", "--yes"], "extractions 1 use it; remove them first"),
        (["datasets", "rm", "1", "--yes"], "extractions 1 use it"),
        (["sql", "DELETE FROM runs"], "the statement writes .*only reads"),
        (["sql", "CREATE TABLE t (x)"], "the statement writes"),
        (["sql", "SELECT * FROM absent"], "no such table: absent.*actlas store info"),
        (["sql", "SELECT 1; SELECT 2"], "SQL: "),
        (["sql", ""], "SELECT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_the_store_is_said_in_a_line(store, args, said):
    before = runs_of(store)
    assert re.search(said, fails(*args, *(["--store", store] if "--plugin" not in args else [])))
    assert [r for r in runs_of(store) if r["status"] == "done"] == before


def test_a_failed_run_is_recorded_and_shown(store):
    fails("run", "spectrum", "--top", "0", "--site", "embed", "--store", store)
    last = runs_of(store)[-1]
    assert last["status"] == "failed"
    shown = good("runs", "show", last["id"], "--store", store, "--json").json
    assert shown["error"].startswith("InputError: spectrum: top=0")
    assert "failed: InputError" in fails("results", last["id"], "--store", store)


# --- records ------------------------------------------------------------------------------


def test_models_are_listed_and_shown(store, model):
    (listed,) = good("models", "list", "--store", store, "--json").json
    assert (listed["id"], listed["spec"], listed["architecture"]) == (1, str(model), "BertModel")
    shown = good("models", "show", model, "--store", store, "--json").json
    assert shown["parameters"] == listed["parameters"] > 1000
    assert shown["config"]["hidden_size"] == 16
    assert str(model) in good("models", "list", "--store", store).out
    assert re.search(
        r"(?m)^architecture +BertModel$", good("models", "show", 1, "--store", store).out
    )


def test_datasets_are_listed_and_shown(store):
    (listed,) = good("datasets", "list", "--store", store, "--json").json
    assert (listed["name"], listed["samples"], listed["skipped"]) == ("facts", 24, 0)
    assert listed["label_sets"] == "kind, size"
    shown = good("datasets", "show", "facts", "--store", store, "--json").json
    assert shown["label_sets"] == {"kind": "sample", "size": "sample"}
    assert "facts" in good("datasets", "list", "--store", store).out
    assert "facts" in good("datasets", "show", 1, "--store", store).out


def test_extractions_are_listed_and_shown(store):
    (listed,) = good("extractions", "list", "--store", store, "--json").json
    assert (listed["pooling"], listed["dtype"], listed["rows"]) == ("mean", "float16", 24)
    assert (listed["dataset"], listed["sites"]) == ("facts", "4")
    shown = good("extractions", "show", 1, "--store", store, "--json").json
    assert [s["site"] for s in shown["sites"]] == SITES
    assert all(s["complete"] for s in shown["sites"])
    assert shown["warnings"] == []
    assert "float16" in good("extractions", "list", "--store", store).out
    assert "layers.2" in good("extractions", "show", 1, "--store", store).out


def test_runs_are_listed_and_shown(store):
    listed = runs_of(store)
    assert [(r["analysis"], r["site"], r["status"]) for r in listed] == [
        ("spectrum", "embed", "done"),
        ("spectrum", "layers.0", "done"),
        ("spectrum", "layers.1", "done"),
        ("spectrum", "layers.2", "done"),
        ("probe", "layers.2", "done"),
    ]
    shown = good("runs", "show", 5, "--store", store, "--json").json
    assert shown["tables"] == {"probe_summary": 1, "probe_classes": 2}
    assert set(shown["arrays"]) == {"coef", "intercept"}
    assert "(2, 16)" in shown["arrays"]["coef"]
    assert shown["versions"]["actlas"] == actlas.__version__
    assert "probe" in good("runs", "list", "--store", store).out
    assert "probe_classes" in good("runs", "show", 5, "--store", store).out


def test_what_is_removed_takes_what_hangs_on_it_along(store):
    done = good("runs", "rm", 5, "--yes", "--store", store, "--json")
    assert done.json == {"removed": "run 5"}
    assert good("sql", "SELECT count(*) n FROM probe_classes", "--store", store, "--json").json == [
        {"n": 0}
    ]
    done = good("extractions", "rm", 1, "--yes", "--store", store)
    assert "extraction 1 with 4 sites and 4 runs" in done.out
    left = {t["table"]: t["rows"] for t in good("store", "info", "--store", store, "--json").json[
        "tables"
    ]}  # fmt: skip
    for table in (
        "activations",
        "chunks",
        "payloads",
        "rows",
        "runs",
        "arrays",
        "spectrum_summary",
    ):
        assert left[table] == 0, table
    good("datasets", "rm", "facts", "--yes", "--store", store)
    good("models", "rm", 1, "--yes", "--store", store)
    for noun in ("models", "datasets", "extractions", "runs"):
        assert good(noun, "list", "--store", store).out == f"no {noun}\n"
        assert good(noun, "list", "--store", store, "--json").json == []


def test_removing_asks_and_no_is_no(store):
    done = call("extractions", "rm", 1, "--store", store, typed="n\n")
    assert "delete extraction 1 with 4 sites and 5 runs?" in done.err
    assert done.status != 0
    assert len(runs_of(store)) == 5
    good("extractions", "rm", 1, "--store", store, typed="y\n")
    assert runs_of(store) == []


def test_saying_no_is_not_called_an_interruption(store):
    done = call("runs", "rm", 1, "--store", store, typed="n\n")
    assert "goes on there" not in done.err


# --- sql and store ------------------------------------------------------------------------


def test_sql_prints_a_table_or_json(store):
    query = (
        "SELECT r.site, s.rank FROM spectrum_summary s JOIN runs r ON r.id = s.run_id ORDER BY r.id"
    )
    rows = good("sql", query, "--store", store, "--json").json
    assert [row["site"] for row in rows] == SITES
    assert all(isinstance(row["rank"], int) for row in rows)
    assert len(good("sql", query, "--limit", 2, "--store", store, "--json").json) == 2
    out = good("sql", query, "--store", store).out
    assert "site" in out
    assert "layers.2" in out


def test_sql_prints_what_is_no_number_or_text(store):
    (row,) = good(
        "sql", "SELECT NULL a, x'0102' b, 0.5 c, 'ä[red]' d", "--store", store, "--json"
    ).json
    assert row == {"a": None, "b": "2 bytes", "c": 0.5, "d": "ä[red]"}
    assert "ä[red]" in good("sql", "SELECT 'ä[red]' d", "--store", store).out
    assert good("sql", "SELECT 1 a WHERE 0", "--store", store, "--json").json == []


def test_a_store_is_made_described_and_upgraded(tmp_path):
    path = tmp_path / "new.db"
    assert good("store", "init", "--store", path).out.count(str(path)) == 1
    again = good("store", "init", "--store", f"sqlite:///{path}", "--json").json
    assert again["store"] == f"sqlite:///{path}"
    info = good("store", "info", "--store", path, "--json").json
    assert info["schema"] == again["schema"]
    assert {"table": "runs", "rows": 0} in info["tables"]
    assert "runs" in good("store", "info", "--store", path).out
    assert good("store", "upgrade", "--store", path, "--json").json["schema"] == info["schema"]
    assert info["schema"] in good("store", "upgrade", "--store", path).out


READERS = [
    ["sql", "SELECT 1"], ["results", "1"], ["run", "spectrum"], ["store", "info"],
    ["store", "upgrade"],
    *([noun, *verb] for noun in ("models", "datasets", "extractions", "runs")
      for verb in (["list"], ["show", "1"], ["rm", "1", "--yes"])),
]  # fmt: skip


@pytest.mark.parametrize("args", READERS, ids=" ".join)
def test_a_command_that_reads_makes_no_store(tmp_path, args):
    path = tmp_path / "absent.db"
    assert f"no store at sqlite:///{path}; make one with `actlas store init`" in fails(
        *args, "--store", path
    )
    assert not path.exists()


@pytest.mark.parametrize("args", READERS, ids=" ".join)
def test_a_store_of_a_newer_schema_is_refused(tmp_path, args):
    path = tmp_path / "new.db"
    good("store", "init", "--store", path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE actlas_alembic_version SET version_num = '9999'")
        connection.commit()
    said = fails(*args, "--store", path)
    assert "schema 9999" in said
    assert "newer actlas" in said


def test_a_file_that_is_no_store_is_named(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("These are notes, and by no means a database. " * 50)
    assert "no SQLite database" in fails("store", "info", "--store", path)
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    assert "holds no actlas store" in fails("store", "info", "--store", other)
    assert "no store on 'mysql'" in fails("store", "info", "--store", "mysql://host/db")
    assert "no folder" in fails("store", "init", "--store", tmp_path / "a" / "b.db")


# --- plugins, doctor, demo ----------------------------------------------------------------


def test_plugins_are_listed(tmp_path):
    path = tmp_path / "sizes.py"
    path.write_text(PLUGIN)
    rows = {r["name"]: r for r in good("plugins", "list", "--plugin", path, "--json").json}
    assert rows["sizes"]["source"] == str(path)
    assert rows["probe"]["needs"] == "acts, labels"
    out = good("plugins", "list").out
    assert "spectrum" in out
    assert "sizes" not in out


def test_a_new_plugin_is_written_and_passes_its_check(tmp_path):
    made = good("plugins", "new", "row_size", "--json").json
    assert made == {
        "folder": "actlas-row-size",
        "next": "pip install -e actlas-row-size && actlas plugins check row_size",
    }
    module = tmp_path / "actlas-row-size" / "actlas_row_size.py"
    checked = good("plugins", "check", "row_size", "--plugin", module, "--json").json
    assert {c["outcome"] for c in checked} == {"passed"}
    assert "is repeatable" in good("plugins", "check", "row_size", "--plugin", module).out
    assert "actlas-row-size is there already" in fails("plugins", "new", "row_size")
    assert good("plugins", "new", "row_size", "--folder", "other").out.startswith("folder  other")
    assert "'Row' is no analysis name" in fails("plugins", "new", "Row")


def test_a_plugin_that_fails_a_check_gives_status_1(tmp_path):
    path = tmp_path / "lucky.py"
    path.write_text(PLUGIN.replace("{most}", "{__import__('time').perf_counter_ns()}"))
    done = call("plugins", "check", "sizes", "--plugin", path, "--json")
    assert done.status == 1
    assert "is repeatable" in [c["check"] for c in done.json if c["outcome"] == "failed"]
    assert "no analysis 'nothing'" in fails("plugins", "check", "nothing")


def test_doctor_says_what_is_well_and_what_is_missing(store):
    checks = {c["check"]: c for c in good("doctor", "--store", store, "--json").json}
    assert checks["actlas"]["found"] == actlas.__version__
    assert checks["plugin spectrum"]["state"] == checks["plugin probe"]["state"] == "ok"
    assert checks["store"]["state"] == "ok"
    assert str(store) in checks["store"]["found"]
    assert "cpu" in checks["devices"]["found"]
    out = good("doctor").out
    assert re.search(r"store +missing +no store at sqlite:///actlas\.db", out)


def test_the_demo_does_the_whole_job_and_a_second_one_reuses_everything(tmp_path):
    first = good("demo", "--folder", tmp_path / "demo", "--json")
    made = first.json
    assert made["store"] == f"sqlite:///{tmp_path / 'demo' / 'actlas.db'}"
    assert {"spectrum", "probe"} <= set(made["runs"])
    depth = ["embed", *(f"layers.{i}" for i in range(6))]
    for name in ("spectrum", "probe"):
        assert [row["site"] for row in made["runs"][name]] == depth
    best = max(row["balanced_accuracy"] for row in made["runs"]["probe"])
    assert best > 3 * made["runs"]["probe"][0]["majority"]

    html = Path(made["report"]).read_text("utf-8")
    assert not re.search(
        r"""(?:src|href)\s*=\s*["']?(?:https?:)?//|@import|url\(\s*["']?http""", html
    )
    assert "<script" not in html
    assert "<link" not in html
    assert len(html) < 200_000 * len(made["runs"])
    assert {name for name in made["runs"] if " " in name} == {
        "capacity of token embeddings", "capacity of neurons' output directions",
    }  # fmt: skip
    for name, rows in made["runs"].items():
        section = html.split(f"<h2>{escape(name)}</h2>")[1].split("<h2>")[0]
        analysis = actlas.get(name.split()[0])
        assert escape(analysis.summary.split(",")[0]) in section
        drawn = section.count("<svg") + section.count('<img alt="')
        curve = analysis.headline is not None and len({row["site"] for row in rows}) > 1
        assert drawn >= curve + len(analysis.figures)
        assert "layers.5" in section or not curve
    concepts = made["runs"]["concept_capacity"]
    assert [row["site"] for row in concepts] == depth
    assert all(row["null_total"] < row["rank"] for row in concepts)

    runs = runs_of(made["store"])
    second = good("demo", "--folder", tmp_path / "demo")
    assert "nothing to compute" in second.err
    assert runs_of(made["store"]) == runs
    assert "balanced_accuracy" in second.out
    query = re.search(r'"(SELECT .*)"', second.out)[1]
    rows = good("sql", "--store", made["store"], query, "--json").json
    assert 0 < len(rows) <= 10
