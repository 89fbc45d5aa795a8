"""The bytes of an index: nothing is lost, and nothing is longer than it must be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actlas.core import TopKeeper
from actlas.core.tops import ENTRY
from actlas.storage.entries import entry_bytes, pack_entries, unpack_entries


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(("rows", "size"), [(100, 1), (256, 1), (257, 2), (70_000, 3)])
def test_numbers_are_as_long_as_those_stored_and_rows_as_short_as_they_go(dtype, rows, size):
    keeper = TopKeeper(3)
    scale = 1e6 if dtype == "bfloat16" else 1  # smaller numbers of it are float16 as well
    keeper.update((scale * torch.randn(rows, 3)).to(getattr(torch, dtype)))
    entries = keeper.entries()
    codec, data = pack_entries(entries, rows)
    assert codec == f"{dtype}+{size}"
    assert len(data) == entries.size * entry_bytes(codec)
    assert entry_bytes(codec) == size + (4 if dtype == "float32" else 2)
    np.testing.assert_array_equal(unpack_entries(data, codec).reshape(entries.shape), entries)


@given(st.lists(st.tuples(st.floats(width=32, allow_nan=False), st.integers(0, 2**32 - 1))))
def test_any_entries_come_back(pairs):
    entries = np.array(pairs, ENTRY)
    codec, data = pack_entries(entries, 1 + max((row for _, row in pairs), default=-1))
    assert unpack_entries(data, codec).tobytes() == entries.tobytes()


def test_infinity_does_not_lengthen_and_what_overflows_is_not_cut():
    entries = np.array([(np.inf, 0), (70_000, 1), (-np.inf, 2)], ENTRY)
    assert pack_entries(entries[::2], 3)[0] == "float16+1"
    assert pack_entries(entries, 3)[0] == "float32+1"


@pytest.mark.parametrize("codec", ["", "float32", "float64+3", "float16+0", "float16+5", "int8+3"])
def test_an_unknown_codec_is_refused(codec):
    with pytest.raises(ValueError, match="unknown"):
        entry_bytes(codec)
