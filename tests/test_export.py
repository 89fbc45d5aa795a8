"""Exports read back with the libraries that they are for."""

import json
import sqlite3
import sys

import numpy as np
import pytest

import actlas

from .test_cli import call, fails
from .tiny import TEXTS

SITES = ["layers.0", "layers.2"]
ABOUT = {"model_digest", "dataset", "pooling", "stored_dtype", "extraction_key", "actlas"}
SUFFIX = {
    "npz": "a.npz", "safetensors": "a.safetensors", "parquet": "a.parquet", "zarr": "a.zarr",
    "anndata": "a.h5ad", "hf": "a",
}  # fmt: skip


@pytest.fixture
def extraction(sqlite_store, tiny):
    """Tokens of a tiny model with labels per sample; a special token at both ends."""
    texts = actlas.Dataset.of(TEXTS, labels={"kind": ["x", "y", None, "x", "z"]})
    return sqlite_store.extract(tiny("bert"), texts, SITES)


@pytest.fixture
def exported(sqlite_store, extraction, tmp_path):
    """Export in a format and give the path."""

    def export(kind, **options):
        path = tmp_path / SUFFIX[kind]
        options = {"format": kind, "texts": True, "sites": SITES, **options}
        done = sqlite_store.export(extraction, path, **options)
        assert (done.path, done.rows, done.format) == (path, len(extraction.rows), kind)
        hidden = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert not hidden
        return path

    return export


def wanted(extraction, dtype=np.float16):
    return {site: extraction.activations(site).numpy(dtype) for site in SITES}


def plain(values):
    return [None if v is None or v != v else v for v in values]


def check_columns(extraction, columns):
    """Provenance and labels as the store has them; missing is None, −1 or nothing."""
    rows = extraction.rows
    for name in ("sample", "position", "token_id", "start", "end"):
        found = [-1 if v is None else v for v in plain(columns[name])]
        assert found == getattr(rows, name).tolist(), name
    assert list(columns["special"]) == rows.special.tolist()
    assert [t or None for t in plain(columns["token"])] == list(rows.token)
    labels = extraction.labels("kind").values()
    assert [v or None for v in plain(columns["kind"])] == labels
    assert {None, "x", "y", "z"} == set(labels)
    assert list(columns["text"]) == [TEXTS[i] for i in rows.sample]


def test_npz(extraction, exported):
    with np.load(exported("npz")) as file:
        for site, matrix in wanted(extraction).items():
            np.testing.assert_array_equal(file[site], matrix)
            assert file[site].dtype == np.float16
        columns = {n.partition("/")[2]: file[n].tolist() for n in file.files if "/" in n}
        texts = file["texts"].tolist()
        about = json.loads(file["actlas.json"][0])
    assert texts == TEXTS
    check_columns(extraction, columns | {"text": [texts[i] for i in columns["sample"]]})
    assert about.keys() >= ABOUT
    assert about["sites"] == SITES


def test_safetensors_and_its_table(extraction, exported):
    import safetensors

    path = exported("safetensors")
    with safetensors.safe_open(path, "np") as file:
        assert list(file.keys()) == SITES
        for site, matrix in wanted(extraction).items():
            np.testing.assert_array_equal(file.get_tensor(site), matrix)
        assert json.loads(file.metadata()["actlas"]).keys() >= ABOUT
    lines = path.with_name("a.rows.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    names = {n for record in records for n in record}
    check_columns(extraction, {n: [r.get(n) for r in records] for n in names})


def test_parquet(extraction, exported):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(exported("parquet"))
    for site, matrix in wanted(extraction).items():
        np.testing.assert_array_equal(np.stack(table[site].to_numpy()), matrix)
    check_columns(extraction, table.drop_columns(SITES).to_pydict())
    assert json.loads(table.schema.metadata[b"actlas"]).keys() >= ABOUT


def test_parquet_row_groups_are_bounded(sqlite_store, tmp_path):
    import pyarrow.parquet

    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9000, 3), np.float32))
    sqlite_store.import_matrix(tmp_path / "x.npy")
    sqlite_store.export(None, tmp_path / "x.parquet")
    file = pyarrow.parquet.ParquetFile(tmp_path / "x.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
        4096, 4096, 808,
    ]  # fmt: skip
    matrix = np.stack(file.read()["x"].to_numpy())
    np.testing.assert_array_equal(matrix, np.load(tmp_path / "x.npy"))


def test_zarr(extraction, exported):
    import zarr

    group = zarr.open_group(exported("zarr"), mode="r")
    for site, matrix in wanted(extraction).items():
        np.testing.assert_array_equal(group[site][:], matrix)
    columns = {n: group["rows"][n][:].tolist() for n in group["rows"]}
    columns["kind"] = group["labels"]["kind"][:].tolist()
    columns["text"] = [group["texts"][:].tolist()[i] for i in columns["sample"]]
    check_columns(extraction, columns)
    assert group.attrs["actlas"].keys() >= ABOUT


def test_anndata(extraction, exported):
    """As the on-disk specification of AnnData says; anndata itself does not go with pandas 3."""
    import h5py

    with h5py.File(exported("anndata")) as file:
        assert file.attrs["encoding-type"] == "anndata"
        matrices = wanted(extraction)
        np.testing.assert_array_equal(file["X"][:], matrices["layers.0"])
        np.testing.assert_array_equal(file["layers/layers.2"][:], matrices["layers.2"])
        obs = file["obs"]
        assert obs.attrs["_index"] == "_index"
        columns = {}
        for name in obs.attrs["column-order"]:
            column = obs[name]
            if column.attrs["encoding-type"] == "categorical":
                names = [*column["categories"].asstr()[:], None]
                columns[name] = [names[code] for code in column["codes"][:]]
            else:
                columns[name] = column[:].tolist()
        check_columns(extraction, columns)
        assert len(obs["_index"]) == len(extraction.rows)
        assert len(file["var/_index"]) == 16
        assert json.loads(file["uns/actlas"].asstr()[()])["X"] == "layers.0"


def test_anndata_puts_wider_sites_apart(sqlite_store, tmp_path):
    import h5py

    np.savez(tmp_path / "x.npz", a=np.eye(3), b=np.ones((3, 5)))
    sqlite_store.import_matrix(tmp_path / "x.npz")
    sqlite_store.export(None, tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad") as file:
        assert file["X"].shape == (3, 3)
        assert file["obsm/b"].shape == (3, 5)
        assert not list(file["layers"])


def test_hugging_face(extraction, exported):
    import datasets

    table = datasets.load_from_disk(str(exported("hf"))).with_format("arrow")[:]
    for site, matrix in wanted(extraction).items():
        found = np.stack([np.array(row, np.float16) for row in table[site].to_pylist()])
        np.testing.assert_array_equal(found, matrix)
    check_columns(extraction, table.drop_columns(SITES).to_pydict())


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "int8"])
def test_dtypes(sqlite_store, tmp_path, stored):
    given = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    given[0, 0] = 1e6
    np.save(tmp_path / "x.npy", given)
    acts = sqlite_store.import_matrix(tmp_path / "x.npy", dtype=stored).activations("x").numpy()
    done = sqlite_store.export(None, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert done.dtype == file["x"].dtype == np.float32
        np.testing.assert_array_equal(file["x"], acts)
    sqlite_store.export(None, tmp_path / "b.npz", dtype="float16")
    with np.load(tmp_path / "b.npz") as file, np.errstate(over="ignore"):
        np.testing.assert_array_equal(file["x"], acts.astype(np.float16))


def test_whole_samples_and_chosen_labels(sqlite_store, tiny, tmp_path):
    texts = actlas.Dataset.of(TEXTS, labels={"kind": list("abcde"), "token": list("vwxyz")})
    sqlite_store.extract(tiny("bert"), texts, "layers.1", pooling="mean")
    sqlite_store.export(None, tmp_path / "a.npz", labels=["kind"])
    with np.load(tmp_path / "a.npz") as file:
        assert set(file.files) == {"layers.1", "rows/sample", "labels/kind", "actlas.json"}
        assert file["labels/kind"].tolist() == list("abcde")
    sqlite_store.export(None, tmp_path / "a.parquet")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["sample", "kind", "label token", "layers.1"]
    assert table["label token"].to_pylist() == list("vwxyz")


def test_nothing_is_half_there(sqlite_store, extraction, tmp_path):
    for kind, name in SUFFIX.items():
        sqlite_store.export(extraction, tmp_path / name, kind)
    before = {p.name: p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()}
    with sqlite3.connect(sqlite_store.database.backend.path) as connection:
        connection.execute("UPDATE payloads SET data = zeroblob(length(data)) WHERE id IN "
                           "(SELECT max(data_id) FROM chunks)")  # fmt: skip
    connection.close()
    for kind, name in SUFFIX.items():
        with pytest.raises(actlas.CorruptError):
            sqlite_store.export(extraction, tmp_path / name, kind, force=True)
    after = {p.name: p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()}
    changed = {n for n in before | after if before.get(n) != after.get(n)}
    assert {n for n in changed if not n.startswith("store.db")} == set()


def test_errors(sqlite_store, extraction, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    sqlite_store.export(extraction, path)
    size = path.stat().st_size
    with pytest.raises(actlas.InputError, match="is there already; name another, or use --force"):
        sqlite_store.export(extraction, path)
    sqlite_store.export(extraction, path, sites="layers.0", force=True)
    assert path.stat().st_size < size
    with pytest.raises(actlas.InputError, match="cannot tell the format"):
        sqlite_store.export(extraction, tmp_path / "a.foo")
    with pytest.raises(actlas.InputError, match="no format 'npy'; did you mean npz"):
        sqlite_store.export(extraction, tmp_path / "b", "npy")
    with pytest.raises(actlas.InputError, match="no folder"):
        sqlite_store.export(extraction, tmp_path / "no" / "a.npz")
    with pytest.raises(actlas.InputError, match="no export as 'int8'"):
        sqlite_store.export(extraction, tmp_path / "b.npz", dtype="int8")
    with pytest.raises(actlas.SiteError, match="no site 'foo'"):
        sqlite_store.export(extraction, tmp_path / "b.npz", sites="foo")
    with pytest.raises(actlas.LabelError, match="no label set 'foo'"):
        sqlite_store.export(extraction, tmp_path / "b.npz", labels=["foo"])
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(actlas.InputError, match=r"needs zarr; pip install 'actlas\[transfer\]'"):
        sqlite_store.export(extraction, tmp_path / "b.zarr")
    assert {p.name for p in tmp_path.iterdir() if "store.db" not in p.name} == {"a.npz"}


def test_command(sqlite_store, extraction, tmp_path):
    url, path = sqlite_store.url, tmp_path / "a.safetensors"
    done = call(
        "export", extraction.id, "-o", path, "--sites", "layers.2", "--store", url, "--json"
    )
    assert done.json["sites"] == ["layers.2"]
    assert done.json["rows_table"] == str(tmp_path / "a.rows.jsonl")
    assert "is there already" in fails("export", extraction.id, "-o", path, "--store", url)
    again = call("export", extraction.id, "-o", path, "--force", "--labels", "kind", "--store", url)
    assert again.status == 0
    assert "no extraction '9'" in fails("export", 9, "-o", tmp_path / "b.npz", "--store", url)
