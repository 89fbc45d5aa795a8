"""Audit files: what is right is read, and whatever is wrong is told with its line and key."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas import InputError
from actlas.auditing import AuditError, parse, write_template
from actlas.auditing.keys import ONE, SEVERAL
from actlas.auditing.positions import positions
from actlas.auditing.spec import ExtractEntry, Limits

DATA = 'text,kind\n"a cat",animal\n"a hill",place\n'
RIGHT = """\
[audit]
name = "small"

[[models]]
spec = "actlas:demo"
tags = { family = "minilm", size = 22 }

[[models]]
spec = "actlas:demo"
name = "again"

[[datasets]]
path = "data.csv"

[[extract]]
sites = "embed, layers.*"
pooling = ["mean", "token"]

[[analyses]]
name = "probe"
labels = "kind"

[[analyses]]
name = "ica"

[[compare]]
name = "cka"

[limits]
memory = "8 GB"
timeout = "10 min"
"""
WRONG = [
    # what is changed, into what, line, key, what is said of it
    ('name = "small"\n', "\n", 1, "audit.name", "is missing"),
    ('[audit]\nname = "small"\n', "\n\n", 31, "audit", r'is missing; write \[audit\]'),
    ('"small"', '"my audit"', 2, "audit.name", "without blanks"),
    ('"small"', "7", 2, "audit.name", "7 does not fit; it is a text"),
    ('"small"', '"small"\nplugins = "no.py"', 3, "audit.plugins", "no plugin file .*/no.py"),
    ('"small"', '"small"\nnames = "x"', 3, "audit.names", "no such key; did you mean name?"),
    ("[limits]", "[limit]", 29, "limit", "no such table; did you mean limits?"),
    ("[[datasets]]", "[datasets]", 12, "datasets", r"a list of tables; write \[\[datasets\]\]"),
    ("[limits]", "[[limits]]", 29, "limits", r"one table; write \[limits\]"),
    ('[[datasets]]\npath = "data.csv"', "\n", 31, "datasets", r"is missing; write \[\[datasets"),
    ('spec = "actlas:demo"\ntags', "tags", 4, "models.spec", "is missing; it is the model"),
    ('"actlas:demo"\ntags', '"nope:x"\ntags', 5, "models.spec", "unknown scheme 'nope'"),
    ('"again"', '"demo"', 10, "models.name", "'demo' is on line 4 too"),
    ('name = "again"\n', "\n", 8, "models.name", "'demo' is on line 4 too"),
    ("size = 22", "size = [22]", 6, "models.tags.size", r"\[22\] does not fit; a tag is"),
    ("tags = {", "tag = {", 6, "models.tag", "did you mean tags"),
    ("tags = {", 'quality = { x = "high" }\ntags = {', 6, "models.quality.x", "a finite number"),
    ("tags = {", "quality = { a = 1, b = inf }\ntags = {", 6, "models.quality.b", "finite"),
    ("tags = {", "quality = { size = 1 }\ntags = {", 7, "models.tags.size", "is a quality too"),
    ('"data.csv"', '"date.csv"', 13, "datasets.path", "no file .*/date.csv; relative paths start"),
    ('"data.csv"', '"actlas:concept"', 13, "datasets.path", "no shipped data set 'actlas:concept'"),
    ('"data.csv"', '"data.csv"\nlimit = 0', 14, "datasets.limit", "0 does not fit; it is a whole"),
    ('"data.csv"', '"data.csv"\nlimit = true', 14, "datasets.limit", "True does not fit"),
    ('"data.csv"', '"data.csv"\nskip_bad = 1', 14, "datasets.skip_bad", "it is true or false"),
    ('"data.csv"', '"data.csv"\n[[datasets]]\npath = "data.csv"', 14, "datasets.name", "another"),
    ('["mean", "token"]', '["mean", "words"]', 17, "extract.pooling", "'words' does not fit"),
    ('["mean", "token"]', "[]", 17, "extract.pooling", r"\[\] does not fit"),
    ('["mean", "token"]', '["mean", "mean"]', 17, "extract.pooling", "different texts"),
    ("pooling =", 'dtype = "float8"\npooling =', 17, "extract.dtype", "float32 or float16"),
    ("pooling =", 'dtype = ["float16"]\npooling =', 17, "extract.dtype", "only labels and param"),
    ("pooling =", 'models = "dem?x"\npooling =', 17, "extract.models", "matches no name; .* demo"),
    ("pooling =", 'datasets = ["data", "x"]\npooling =', 17, "extract.datasets", "'x' matches no"),
    ('"probe"', '"prob"', 20, "analyses.name", "no analysis 'prob'; did you mean probe"),
    ('name = "probe"\n', "\n", 19, "analyses.name", "is missing"),
    ('labels = "kind"', "\n", 19, "analyses.labels", "is missing; probe needs labels"),
    ('labels = "kind"', "labels = []", 21, "analyses.labels", r"\[\] does not fit"),
    ('labels = "kind"', 'labels = "kind"\nfols = 5', 22, "analyses.fols", "no parameter 'fols'"),
    ('labels = "kind"', 'labels = "kind"\nc = "x"', 22, "analyses.c", "it is of type float"),
    ('labels = "kind"', 'labels = "kind"\nc = []', 22, "analyses.c", "an empty list runs nothing"),
    ('labels = "kind"', 'labels = "kind"\nc = [1.0,\n"x"]', 23, "analyses.c", "of type float"),
    ('labels = "kind"', 'labels = "kind"\nc = [1.0, 1]', 22, "analyses.c", "there twice"),
    ('labels = "kind"', 'labels = "kind"\nc = [[1.0]]', 22, "analyses.c", "does not fit"),
    ('labels = "kind"', 'labels = "kind"\ngroups = ["a"]', 22, "analyses.groups", "only labels"),
    ('labels = "kind"', 'labels = "kind"\nother = "embed"', 22, "analyses.other", "takes no other"),
    ('labels = "kind"', 'labels = "kind"\ndata = "x"', 22, "analyses.data", "reads no samples"),
    ('labels = "kind"', 'labels = "kind"\nof = "ica"', 22, "analyses.of", "builds on nothing"),
    ('labels = "kind"', 'labels = "kind"\npoolings = "men"', 22, "analyses.poolings", "'men'"),
    ('name = "ica"', 'name = "ica"\nlabels = "kind"', 25, "analyses.labels", "takes no labels"),
    ('name = "ica"', 'name = "ica"\ngroups = "kind"', 25, "analyses.groups", "so no groups"),
    ('name = "ica"', 'name = "ica_cosine"', 24, "analyses.name", 'add .* name = "ica"'),
    ('name = "ica"', 'name = "ica"\n[[analyses]]\nname = "array_capacity"', 25, "analyses.of",
     "is missing; array_capacity reads runs of another"),
    ('name = "ica"', 'name = "ica_match"', 23, "analyses.other", "needs other sites"),
    ('name = "ica"', 'name = "decomposition_study"', 24, "analyses.name", r"under \[\[compare"),
    ('name = "ica"', 'name = "convexity"\nlabels = "sort"\nregions = "probe"', 25,
     "analyses.labels", "builds on probe, which has no labels 'sort'"),
    ('"cka"', '"spectrum"', 27, "compare.name", r"compares nothing; put it under \[\[analyses"),
    ('"cka"', '"cka"\nmodels = "again"', 27, "compare.name", "compares models, and here is one"),
    ('"cka"', '"association"\nof = "spectrum"', 28, "compare.of", "spectrum, which is not in"),
    ('"cka"', '"association"', 26, "compare.of", "is missing; association reads runs"),
    ('"8 GB"', '"8 gigs"', 30, "limits.memory", 'it is a size: "8 GB"'),
    ('"8 GB"', "-1", 30, "limits.memory", "it is a size"),
    ('"8 GB"', '"0 GB"', 30, "limits.memory", "it is a size"),
    ('"10 min"', '"10 minutes"', 31, "limits.timeout", 'it is a time: "30 s"'),
    ('"10 min"', "0", 31, "limits.timeout", "it is a time"),
    ('timeout = "10 min"', "threads = 0", 31, "limits.threads", "a whole number from 1"),
]  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Write an audit file beside its data."""
    (tmp_path / "data.csv").write_text(DATA)

    def written(text):
        path = tmp_path / "audit.toml"
        path.write_text(text)
        return path

    return written


def test_a_file_is_read_whole(write, tmp_path):
    spec = parse(write(RIGHT))
    assert (spec.name, spec.text, spec.path) == ("small", RIGHT, tmp_path / "audit.toml")
    demo, again = spec.models
    assert (demo.spec, demo.name, again.name) == ("actlas:demo", "demo", "again")
    assert dict(demo.tags) == {"family": "minilm", "size": 22}
    assert (spec.datasets[0].path, spec.datasets[0].name) == (str(tmp_path / "data.csv"), "data")
    assert [(e.sites, e.pooling) for e in spec.extractions] == [
        (("embed", "layers.*"), "mean"), (("embed", "layers.*"), "token"),
    ]  # fmt: skip
    assert [(e.name, e.labels, e.line) for e in spec.analyses] == [
        ("probe", ("kind",), 19), ("ica", (), 23),
    ]  # fmt: skip
    assert spec.limits == Limits(memory=8_000_000_000, timeout=600.0)


def test_what_is_left_out_has_defaults(write):
    spec = parse(write(RIGHT[: RIGHT.index("[[extract]]")]))
    assert spec.extractions == (ExtractEntry(("residual",), "mean"),)
    assert (spec.analyses, spec.comparisons, spec.limits) == ((), (), Limits())


def test_lists_of_parameters_are_a_grid(write):
    more = 'labels = ["kind", "size"]\nc = [0.5, 1]\nmax_iter = 50\nseed = [1, 2]\n'
    (entry, _) = parse(write(RIGHT.replace('labels = "kind"', more))).analyses
    assert entry.labels == ("kind", "size")
    assert entry.grid == {"c": (0.5, 1.0), "max_iter": (50,), "seed": (1, 2)}


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "said"), WRONG,
    ids=lambda value: str(value)[:30].replace("\n", "/"),
)  # fmt: skip
def test_a_fault_is_told_with_line_and_key(write, old, new, line, key, said):
    assert old in RIGHT
    path = write(RIGHT.replace(old, new, 1))
    with pytest.raises(AuditError) as caught:
        parse(path)
    starts = [f for f in caught.value.faults if f.startswith(f"{path}:{line}: {key}: ")]
    assert starts, caught.value.faults
    assert re.search(said, starts[0]), starts
    assert all("\n" not in fault for fault in caught.value.faults)


def test_all_faults_are_told_at_once_in_the_order_of_the_file(write):
    text = (
        RIGHT.replace('"8 GB"', '"8"').replace('"probe"', '"prob"').replace("size = 22", "s = []")
    )
    with pytest.raises(InputError) as caught:
        parse(write(text))
    lines = [int(fault.split(":")[1]) for fault in caught.value.faults]
    assert lines == [6, 20, 30]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[audit]\nname = "a"\n[[models]\n', 3),
        ("[audit]\nname = \n", 2),
        ('[audit]\nname = "a"\nname = "b"\n', 3),
        ('[audit]\nname = "a', 2),
        ("[audit]\nx = [1,\n2\n", 3),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(write, text, line):
    path = write(text)
    with pytest.raises(AuditError) as caught:
        parse(path)
    (fault,) = caught.value.faults
    assert abs(int(fault.removeprefix(f"{path}:").split(":")[0]) - line) <= 1
    assert "no TOML" in fault


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(InputError, match=r"no audit file .*; `actlas audit new"):
        parse(tmp_path / "audit.toml")
    (tmp_path / "audit.toml").write_bytes(b"[audit]\nname = '\xff'\n")
    with pytest.raises(AuditError, match=":2: not UTF-8"):
        parse(tmp_path / "audit.toml")


def test_paths_start_at_the_folder_of_the_file(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "checkpoint").mkdir()
    text = RIGHT.replace('"actlas:demo"\nname = "again"', '"hf:checkpoint"')
    model = parse(write(text)).models[1]
    assert (model.spec, model.name) == (f"hf:{tmp_path}/checkpoint", "checkpoint")


def test_line_ends_of_windows_count_once(write, tmp_path):
    path = write("")
    path.write_bytes(RIGHT.replace("[limits]", "[limit]").replace("\n", "\r\n").encode())
    with pytest.raises(AuditError, match=r":29: limit: no such table"):
        parse(path)


def test_the_template_is_right_and_never_overwrites(tmp_path):
    path = write_template(tmp_path / "mine.toml")
    assert parse(path).name == "first"
    before = path.read_text()
    with pytest.raises(InputError, match="there already"):
        write_template(path)
    assert path.read_text() == before
    with pytest.raises(InputError, match="cannot write"):
        write_template(tmp_path / "no" / "mine.toml")


def test_the_file_of_the_documentation_is_right(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "auditing.md").read_text()
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)
    (tmp_path / "intents.jsonl").write_text('{"text": "a", "intent": "b"}\n')
    (tmp_path / "audit.toml").write_text(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])
    spec = parse(tmp_path / "audit.toml")
    assert [model.name for model in spec.models] == ["pythia-70m-3000", "mine"]
    assert len(spec.comparisons) == 2


def test_every_key_is_documented():
    for keys in (*ONE.values(), *SEVERAL.values()):
        assert all(key.text for key in keys)


NAMES = st.sampled_from(["a", "b-c", "d_1", "9", "true"])
VALUES = st.sampled_from([
    "1", "-0.5e3", "true", '"a # b"', "'c [[d]] = {'", '"\\"x\\\\"', "1979-05-27 07:32:00",
    "[]", "[1, 2]", "[ # [\n 1,\n # ]\n [2, 3],\n]", "{}", "{ a = 1, b.c = [1, '}'] }",
    '"""\na = 1\n[x]\n"""', "'''\n'' [[y]]\n'''",
])  # fmt: skip


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["one", "two.three", '"q. r"']), st.booleans(),
            st.dictionaries(NAMES, st.tuples(VALUES, st.sampled_from(["", "\n", "# c [x]\n"])),
                max_size=4,
            ),
        ),
        max_size=4,
        unique_by=lambda table: table[0],
    ),
    st.integers(1, 3),
)  # fmt: skip
def test_positions_are_where_keys_were_written(tables, times):
    text, expected = "", {}
    for header, several, pairs in tables:
        path = tuple({"two.three": ["two", "three"], '"q. r"': ["q. r"]}.get(header, [header]))
        for number in range(times if several else 1):
            at = (*path, number) if several else path
            for stop in range(1, len(at) + 1):
                expected.setdefault(at[:stop], text.count("\n") + 1)
            text += f"[[{header}]]\n" if several else f"[ {header} ] # c\n"
            for name, (value, before) in pairs.items():
                text += before
                expected[(*at, name)] = text.count("\n") + 1
                text += f"{name} = {value}\n"
    tomllib.loads(text)
    found = positions(text)
    assert {place: found[place] for place in expected} == expected


def test_positions_of_what_is_inside_values():
    found = positions("a = [\n  1,\n  { b = 2 },\n]\nc.d = { e = [\n 3, 4] }\n")
    assert found[("a", 0)] == 2
    assert found[("a", 1)] == found[("a", 1, "b")] == 3
    assert found[("c",)] == found[("c", "d")] == found[("c", "d", "e")] == 5
    assert found[("c", "d", "e", 1)] == 6
