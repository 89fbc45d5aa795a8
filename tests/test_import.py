"""Activations of other tools come in as they are, once, and are analysed like any other."""

import json
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import actlas

from .test_cli import call, fails
from .tiny import TEXTS

RNG = np.random.default_rng(0)
WORDS = [text.split() for text in TEXTS]


def same(a, b, sites):
    """Whether two extractions hold the same numbers of the same rows with the same labels."""
    for site in sites:
        np.testing.assert_array_equal(a.activations(site).numpy(), b.activations(site).numpy())
    for name in ("sample", "position", "token_id", "start", "end", "special"):
        np.testing.assert_array_equal(getattr(a.rows, name), getattr(b.rows, name), name)
    assert list(a.rows.token) == list(b.rows.token)
    assert set(a.label_sets) == set(b.label_sets)
    for name in a.label_sets:
        assert a.labels(name).values() == b.labels(name).values(), name
    samples = sorted(set(a.rows.sample.tolist()))
    assert a.texts(samples) == b.texts(samples)


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_round_trip(sqlite_store, tiny, tmp_path, architecture, kind, dtype):
    texts = actlas.Dataset.of(
        TEXTS, labels={"kind": ["x", "y", None, "x", "z"]},
        target=["cat", "best", "One", "sites", "Sentence"],
    )  # fmt: skip
    sites = ["embed", "layers.1"]
    first = sqlite_store.extract(tiny(architecture), texts, sites, dtype=dtype)
    done = sqlite_store.export(first, tmp_path / f"a.{kind}", texts=True)
    with actlas.open(f"sqlite:///{tmp_path}/other.db") as other:
        second = other.import_matrix(done.path, rows=done.rows_path)
        same(first, second, sites)
        assert first.label_sets == second.label_sets
        assert [a.site for a in second.sites] == sites
    again = sqlite_store.import_matrix(done.path, rows=done.rows_path)  # beside what it came from
    same(first, again, sites)
    assert again.record.dataset_id == first.record.dataset_id


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_stored_as_in_the_file(store, tmp_path, dtype):
    matrix = torch.from_numpy(RNG.standard_normal((70, 12))).to(getattr(torch, dtype))
    save_file({"x": matrix}, tmp_path / "a.safetensors")
    done = store.import_matrix(tmp_path / "a.safetensors")
    assert (done.record.dtype, done.record.rows) == (dtype, 70)
    np.testing.assert_array_equal(done.activations("x").numpy(), matrix.float().numpy())
    assert store.import_matrix(tmp_path / "a.safetensors").id == done.id
    assert len(store.records("extractions")) == 1


@pytest.mark.parametrize(
    "made", [np.float64, np.int64, np.uint8, np.int16, bool, np.dtype(">f4"), np.dtype(">f8")]
)
def test_other_kinds_become_float32(sqlite_store, tmp_path, made):
    matrix = (RNG.standard_normal((9, 4)) * 50).astype(made)
    np.save(tmp_path / "a.npy", matrix)
    notes = []
    done = sqlite_store.import_matrix(tmp_path / "a.npy", "x", on_note=notes.append)
    assert done.record.dtype == "float32"
    np.testing.assert_array_equal(done.activations("x").numpy(), matrix.astype(np.float32))
    assert ("float64 numbers are stored as float32" in notes) == (np.dtype(made).itemsize == 8
            and np.dtype(made).kind == "f")  # fmt: skip


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz(sqlite_store, tmp_path, save, order):
    a = np.asarray(RNG.standard_normal((40, 3)).astype(np.float16), order=order)
    b = np.asarray(RNG.standard_normal((40, 7)).astype(np.float16), order=order)
    save(tmp_path / "a.npz", a=a, b=b, y=np.arange(40))
    notes = []
    done = sqlite_store.import_matrix(tmp_path / "a.npz", on_note=notes.append)
    assert [s.site for s in done.sites] == ["a", "b"]
    assert notes == ["left out what is no matrix: y; labels come with --rows"]
    np.testing.assert_array_equal(done.activations("b").numpy(), b.astype(np.float32))
    named = sqlite_store.import_matrix(tmp_path / "a.npz", ["layers.0=b", "embed=a"])
    assert [s.site for s in named.sites] == ["layers.0", "embed"]
    np.testing.assert_array_equal(named.activations("embed").numpy(), a.astype(np.float32))


def test_hdf5(sqlite_store, tmp_path):
    matrix = RNG.standard_normal((30, 5)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/x"], file["names"] = matrix, ["a", "b"]
    done = sqlite_store.import_matrix(tmp_path / "a.h5", "x=deep/x")
    np.testing.assert_array_equal(done.activations("x").numpy(), matrix)


@pytest.fixture
def neurox(tmp_path):
    """A file as NeuroX's HDF5ActivationsWriter lays it out."""
    sentences = [*WORDS, WORDS[0]]
    layers = [RNG.standard_normal((3, len(s), 8)).astype(np.float32) for s in sentences]
    with h5py.File(tmp_path / "acts.hdf5", "w") as file:
        index = {}
        for i, (words, data) in enumerate(zip(sentences, layers, strict=True)):
            file.create_dataset(str(i), data=data)
            text = " ".join(words)
            index[f"{text} (Occurrence 2)" if text in index else text] = str(i)
        file.create_dataset("sentence_to_index", (1,), dtype=h5py.special_dtype(vlen=str))
        file["sentence_to_index"][0] = json.dumps(index)
    return tmp_path / "acts.hdf5", layers


def test_neurox(sqlite_store, neurox, monkeypatch):
    path, layers = neurox
    monkeypatch.setattr("actlas.api.importing.WINDOW_BYTES", 4 * 8 * 3 * 7)  # cuts sentences
    done = sqlite_store.import_matrix(path)
    assert [s.site for s in done.sites] == ["hidden.0", "hidden.1", "hidden.2"]
    for i in range(3):
        want = np.concatenate([data[i] for data in layers])
        np.testing.assert_array_equal(done.activations(f"hidden.{i}").numpy(), want)
    assert list(done.rows.token) == [w for words in [*WORDS, WORDS[0]] for w in words]
    assert done.texts([0, 5]) == {0: TEXTS[0], 5: TEXTS[0]}
    hit = sqlite_store.top("hidden.2", 1, 1)[0]
    assert hit.marked == TEXTS[hit.sample % 5].replace(hit.token, f"«{hit.token}»", 1)


def test_table_of_rows(sqlite_store, tmp_path):
    np.save(tmp_path / "x.npy", RNG.standard_normal((5, 3)).astype(np.float32))
    lines = ["sample,token,tag,topic", "A,The,DET,t", "A,cat,NOUN,t", "B,Dogs,NOUN,u", "B,bark,,u",
             "B,loud,ADV,u"]  # fmt: skip
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    done = sqlite_store.import_matrix(tmp_path / "x.npy", rows=tmp_path / "rows.csv")
    assert done.rows.sample.tolist() == [0, 0, 1, 1, 1]
    assert done.rows.position.tolist() == [0, 1, 0, 1, 2]
    assert done.texts([0, 1]) == {0: "The cat", 1: "Dogs bark loud"}
    assert done.label_sets == {"tag": "word", "topic": "sample"}
    assert done.labels("tag").values() == ["DET", "NOUN", "NOUN", None, "ADV"]
    assert done.labels("topic").values() == ["t", "t", "u", "u", "u"]
    chosen = sqlite_store.import_matrix(
        tmp_path / "x.npy", rows=tmp_path / "rows.csv", labels=["topic"], dataset_name="other"
    )
    assert chosen.id == done.id


def test_analyses_run_on_it(sqlite_store, tmp_path):
    classes = np.arange(120) % 3
    matrix = RNG.standard_normal((120, 6)) + 4 * np.eye(6)[classes]
    np.save(tmp_path / "x.npy", matrix.astype(np.float32))
    rows = "".join(json.dumps({"text": f"text {i}", "class": f"c{c}"}) + "\n"
                   for i, c in enumerate(classes))  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(rows)
    sqlite_store.import_matrix(tmp_path / "x.npy", rows=tmp_path / "rows.jsonl")
    spectrum = sqlite_store.run("spectrum")[0].result
    assert spectrum.tables["summary"]["rows"][0] == 120
    probe = sqlite_store.run("probe", labels="class")[0]
    assert next(iter(probe.result.tables.values()))["accuracy"][0] > 0.8


def test_labels_of_other_extractions_are_not_changed(sqlite_store, tmp_path):
    texts = ["one", "two", "three"]
    np.savez(
        tmp_path / "a.npz", **{"x": np.eye(3), "rows/text": texts, "labels/y": ["a", "b", "c"]}
    )
    first = sqlite_store.import_matrix(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{"x": 2 * np.eye(3), "rows/text": texts,
             "labels/y": ["c", "b", "a"], "labels/z": ["d", "e", "f"]})  # fmt: skip
    with pytest.raises(actlas.LabelError, match="other labels 'y'; give the column another name"):
        sqlite_store.import_matrix(tmp_path / "b.npz")
    second = sqlite_store.import_matrix(tmp_path / "b.npz", labels=["z"])
    assert first.labels("y").values() == ["a", "b", "c"]
    assert second.labels("z").values() == ["d", "e", "f"]


KILLED = """
import os, signal, sys
import actlas
from actlas.api import importing
importing.WINDOW_BYTES = 4 * 16 * 50
write, left = importing._write, int(sys.argv[3])
def killing(*args):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    write(*args)
importing._write = killing
with actlas.open(sys.argv[1]) as store:
    store.import_matrix(sys.argv[2])
"""


def test_killed_half_way(tmp_path, monkeypatch):
    monkeypatch.setattr("actlas.api.importing.WINDOW_BYTES", 4 * 16 * 50)  # as in KILLED
    path = tmp_path / "x.npz"
    matrix = RNG.standard_normal((301, 16)).astype(np.float32)
    np.savez(path, **{"x": matrix, "rows/sample": np.arange(301) // 7})
    killed = f"sqlite:///{tmp_path}/killed.db"
    for writes in (0, 3):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, killed, str(path), str(writes)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
        with actlas.open(killed) as store, pytest.raises(actlas.InputError, match="not complete"):
            store.extraction().activations("x")
    with actlas.open(killed) as store:
        assert len(store.extraction().rows) == 147  # three windows of seven samples
    found = []
    for url in (killed, f"sqlite:///{tmp_path}/whole.db"):
        with actlas.open(url) as store:
            np.testing.assert_array_equal(
                store.import_matrix(path).activations("x").numpy(), matrix
            )
            chunks = "SELECT first_row, rows, checksum FROM chunks ORDER BY first_row"
            indexes = "SELECT checksum, rows, first_row FROM top_indexes"
            found.append([store.database.select(query) for query in (chunks, indexes)])
    assert found[0] == found[1]
    assert len(found[0][0][1]) > 4


@pytest.mark.parametrize(
    ("arrays", "sites", "message"),
    [
        ({"x": np.zeros((2, 3, 4))}, (), r"x has shape \(2, 3, 4\), and a site is a matrix"),
        ({"x": np.zeros(3)}, (), r"x has shape \(3,\)"),
        ({"x": np.zeros((0, 3))}, (), "there is nothing in it"),
        ({"x": np.zeros((2, 2), complex)}, (), "holds complex128, and activations are real"),
        ({"x": np.array([["a", "b"]])}, (), "activations are real numbers"),
        ({"x": np.array([["2020-01-01"]], "M8[D]")}, (), "activations are real numbers"),
        ({"x": np.array([[1 << 30]])}, (), "not exact in float32"),
        ({"a": np.zeros((2, 3)), "b": np.zeros((4, 3))}, (), "have the same rows; these differ"),
        ({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}, "c", "no array 'c'; there is a, b"),
        ({"abc": np.zeros((2, 3))}, "x=abd", "no array 'abd'; did you mean abc"),
        ({"x": np.zeros((2, 3))}, "a,b", "is no name of a site"),
        ({"a": np.eye(2), "b": np.eye(2)}, ["x=a", "x=b"], "two arrays for one site"),
        ({"x": np.eye(2), "rows/sample": ["a", ""]}, (), "row 1 has no sample"),
        ({"x": np.zeros((2, 3)), "rows/sample": [0]}, (), "has 1 row .* and the matrix 2"),
        ({"x": np.zeros((3, 2)), "rows/sample": [0, 1, 0]}, (), "row 2 goes back to sample 0"),
        ({"x": np.zeros((1, 2)), "rows/position": ["a"]}, (), "position 'a' is no whole number"),
        ({"x": np.zeros((1, 2)), "rows/special": ["x"]}, (), "neither true nor false"),
        ({"x": np.zeros((2, 2)), "rows/sample": [0, 0], "rows/text": ["a", "b"]}, (),
         "sample 0 .* has several texts"),
        ({"x": np.zeros((2, 2)), "rows/sample": [0, 0], "labels/y": ["a", "b"]}, (),
         "row 1 should have 'b', but only whole samples and spans"),
    ],
)  # fmt: skip
def test_what_does_not_fit(sqlite_store, tmp_path, arrays, sites, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(actlas.ActlasError, match=message) as caught:
        sqlite_store.import_matrix(tmp_path / "a.npz", sites)
    assert "\n" not in str(caught.value)
    assert not sqlite_store.records("extractions")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors", "a.h5", "a.pt", "b.npy"])
def test_no_such_file(sqlite_store, tmp_path, name):
    if name.startswith("a"):
        (tmp_path / name).write_bytes(b"this is something else altogether")
    message = fails("import", tmp_path / name, "--store", sqlite_store.url)
    assert name in message


def test_command(sqlite_store, tmp_path):
    matrix = RNG.standard_normal((4, 2)).astype(np.float32)
    matrix[1, 0], matrix[2, 0] = np.nan, 1e6
    np.save(tmp_path / "x.npy", matrix)
    (tmp_path / "r.csv").write_text("text,y,z\na,1,2\nb,1,2\nc,2,2\nd,,2\n")
    url = sqlite_store.url
    given = ["import", tmp_path / "x.npy", "--site", "s", "--rows", tmp_path / "r.csv",
             "--labels", "y", "--dtype", "float16", "--store", url]  # fmt: skip
    done = call(*given, "--json")
    assert done.json == {
        "extraction": 1, "rows": 4, "dtype": "float16", "sites": ["s"], "labels": ["y"],
        "store": url,
    }  # fmt: skip
    assert "2 rows hold NaN or infinity, 1 of them overflow in float16" in done.err
    again = call(*given)
    assert "the same content is there as extraction 1; nothing to import" in again.err
    shown = call("models", "list", "--store", url, "--json").json[0]
    assert (shown["spec"], shown["architecture"]) == ("import:x.npy", "imported")
    assert "no column 'w'" in fails(*given[:-6], "--labels", "w", "--store", url)
    assert "a table of rows ends in" in fails(*given[:4], "--rows", "r.doc", "--store", url)
