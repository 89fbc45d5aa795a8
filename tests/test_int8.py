"""Rows stored as int8: how much is lost, what is kept apart, and when it is not done at all."""

import numpy as np
import pytest
import torch

import actlas
from actlas.storage import pack_window
from actlas.storage.codecs import INT8_ERROR, decode, pack

from .tiny import TEXTS


def unpacked(packed, width):
    rows = []
    for one in packed:
        out = np.empty((one.rows, width), np.float32)
        decode(one.data, one.codec, one.dtype, out)
        rows.append(out)
    return np.concatenate(rows)


def relative(found, given):
    return np.linalg.norm(found - given, axis=1) / np.linalg.norm(given, axis=1)


def test_ordinary_rows_take_a_quarter_and_lose_little():
    torch.manual_seed(0)
    matrix = torch.randn(3000, 768) * torch.rand(3000, 1) * 50
    packed = list(pack(matrix, "int8"))
    assert {(p.dtype, p.codec) for p in packed} == {("int8", "int8")}
    assert sum(len(p.data) for p in packed) <= 0.2514 * matrix.numel() * 4
    lost = relative(unpacked(packed, 768), matrix.numpy())
    assert np.sqrt((lost**2).mean()) < INT8_ERROR
    squared = sum(p.squared_error for p in packed)
    np.testing.assert_allclose(squared, (lost**2).sum(), rtol=1e-4)


def test_massive_dimensions_are_kept_apart():
    torch.manual_seed(0)
    matrix = torch.randn(500, 256)
    matrix[:, [7, 200]] *= 300
    packed = list(pack(matrix, "int8"))
    assert {p.codec for p in packed} == {"int8+7,200"}
    found = unpacked(packed, 256)
    rest = [c for c in range(256) if c not in (7, 200)]
    assert np.sqrt((relative(found[:, rest], matrix[:, rest].numpy()) ** 2).mean()) < 0.012
    np.testing.assert_array_equal(found[:, [7, 200]], matrix[:, [7, 200]].half().float().numpy())


def test_rows_that_int8_would_spoil_stay_float16():
    torch.manual_seed(0)
    matrix = torch.randn(300, 512) ** 7  # another few dimensions are massive in every row
    packed = list(pack(matrix, "int8"))
    assert {(p.dtype, p.codec) for p in packed} == {("float16", "raw")}
    np.testing.assert_array_equal(unpacked(packed, 512), matrix.half().float().numpy())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(bad):
    matrix = torch.randn(20, 32)
    matrix[4, 5] = bad
    found = unpacked(pack(matrix, "int8"), 32)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(matrix.numpy()))


def test_rows_of_zeros_are_zeros():
    matrix = torch.zeros(10, 16)
    matrix[3] = torch.arange(16)
    found = unpacked(pack(matrix, "int8"), 16)
    assert (found[[0, 1, 2, 4, 9]] == 0).all()
    np.testing.assert_allclose(found[3], np.arange(16), atol=15 / 127)


def test_an_extraction_says_what_it_lost(tiny, store):
    texts = actlas.Dataset.of([f"{TEXTS[i % len(TEXTS)]} No. {i}" for i in range(60)])
    exact = store.extract(tiny("bert"), texts, dtype="float32")
    small = store.extract(tiny("bert"), texts, dtype="int8")
    for one, other in zip(exact.layers(), small.layers(), strict=True):
        lost = relative(other.numpy(), one.numpy())
        (record,) = [a for a in small.sites if a.site == one.site]
        assert 0 < record.error <= INT8_ERROR
        np.testing.assert_allclose(record.error, np.sqrt((lost**2).mean()), rtol=1e-2)
        np.testing.assert_array_equal(other[[5, 2]], other.numpy()[[5, 2]])
    assert all(a.error is None for a in exact.sites)


def test_the_index_ranks_what_is_stored(tiny, sqlite_store):
    texts = actlas.Dataset.of([f"{TEXTS[i % len(TEXTS)]} No. {i}" for i in range(60)])
    small = sqlite_store.extract(tiny("bert"), texts, "layers.1", dtype="int8")
    stored = small.activations("layers.1").numpy()
    with sqlite_store.database.read() as session:
        from actlas.storage.entries import unpack_entries
        from actlas.storage.tables import Payload, TopIndex

        index = session.query(TopIndex).one()
        data = session.get_one(Payload, index.data_id).data
    entries = unpack_entries(data, index.codec).reshape(stored.shape[1], 2, index.k)
    order = np.argsort(-stored, axis=0, kind="stable")[: index.k]
    np.testing.assert_array_equal(entries["row"][:, 0], order.T)


def test_windows_are_packed_by_site():
    window = actlas.core.Window(0, 1, None, {"a": torch.randn(5, 4), "b": torch.randn(5, 2)})
    packed = pack_window(window, "float32")
    assert {name: [p.rows for p in parts] for name, parts in packed.items()} == {"a": [5], "b": [5]}


@pytest.mark.parametrize("scale", [200, 1000, 2000, 3000])
@pytest.mark.parametrize("every", [1, 20])
def test_a_massive_dimension_does_not_hide_what_the_others_lose(scale, every):
    torch.manual_seed(0)
    matrix = torch.randn(400, 384)
    matrix[::every, 7] = scale
    found = unpacked(pack(matrix, "int8"), 384)
    rest = [c for c in range(384) if c != 7]
    assert relative(found[:, rest], matrix[:, rest].numpy())[::every].max() < 0.03


def test_numbers_beyond_float16_stay_finite():
    torch.manual_seed(0)
    matrix = torch.randn(64, 256) ** 11
    matrix[:, 3] = 1e6
    assert np.isfinite(unpacked(pack(matrix, "int8"), 256)).all()
