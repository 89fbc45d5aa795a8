"""The index of highest and lowest rows against sorting everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.core import TopKeeper
from actlas.core.tops import _descending, _order


def sorted_entries(matrix, k):
    """Values and rows of the k highest and lowest of every column, by sorting."""
    found = []
    for sign in (1, -1):
        keys = np.where(np.isnan(matrix), -np.inf, sign * matrix)
        order = np.argsort(-keys, axis=0, kind="stable")[:k]
        found.append((np.take_along_axis(matrix, order, 0).T, order.T))
    return found


def assert_same(keeper, matrix, k):
    entries = keeper.entries()
    assert entries.shape == (matrix.shape[1], 2, min(k, len(matrix)))
    for place, (values, rows) in enumerate(sorted_entries(matrix, k)):
        np.testing.assert_array_equal(entries["value"][:, place], values)
        np.testing.assert_array_equal(entries["row"][:, place], rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_windows_of_any_length_give_what_sorting_gives(dtype):
    torch.manual_seed(0)
    matrix = (torch.randn(5000, 24) * torch.rand(24)).to(dtype)
    keeper = TopKeeper(24)
    for start, stop in ((0, 7), (7, 2500), (2500, 2501), (2501, 4000), (4000, 5000)):
        keeper.update(matrix[start:stop])
    assert keeper.rows == 5000
    assert_same(keeper, matrix.float().numpy(), 64)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_ties_and_few_values(drawn):
    width = drawn.draw(st.integers(1, 4))
    rows = drawn.draw(st.integers(1, 300))
    seed = drawn.draw(st.integers(0, 10_000))
    values = np.random.default_rng(seed).integers(-3, 4, (rows, width)).astype(np.float32)
    k = drawn.draw(st.integers(1, 70))
    keeper = TopKeeper(width, k)
    start = 0
    while start < rows:
        stop = min(rows, start + drawn.draw(st.integers(1, 120)))
        keeper.update(torch.from_numpy(values[start:stop]))
        start = stop
    assert_same(keeper, values, k)


def test_rising_and_falling_columns():
    rows = torch.arange(3000, dtype=torch.float32)
    matrix = torch.stack([rows, -rows, torch.zeros(3000), (rows * 37) % 1000], dim=1)
    keeper = TopKeeper(4, 10)
    for part in matrix.split(450):
        keeper.update(part)
    assert_same(keeper, matrix.numpy(), 10)


def test_nan_is_passed_over_and_zero_has_no_sign():
    matrix = torch.randn(200, 3)
    matrix[::3, 1] = torch.nan
    matrix[:, 2] = 0.0
    matrix[5, 2] = -0.0
    keeper = TopKeeper(3, 20)
    keeper.update(matrix)
    assert_same(keeper, matrix.numpy() + 0.0, 20)


@pytest.mark.parametrize("width", [1, 3, 1000, 2**31, 2**32])
def test_order_is_stable_for_any_width(width):
    """Where the places do not fit into the keys as well, they are sorted otherwise."""
    rng = np.random.default_rng(0)
    units = np.sort(rng.integers(0, width, 500))
    keys = _descending(units, rng.integers(-3, 4, 500).astype(np.float32))
    np.testing.assert_array_equal(_order(keys, width), np.argsort(keys, kind="stable"))
