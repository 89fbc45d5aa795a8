"""What a worker keeps between jobs: a model and data sets, while their files are the same."""

import os

import torch

import actlas
from actlas.api.kept import SHELF
from actlas.auditing.data import Shelf

from .tiny import save_tiny


def test_a_model_is_kept_while_nothing_of_it_has_changed(tmp_path):
    spec = str(save_tiny("bert", tmp_path / "model"))
    with SHELF.keeping():
        first = actlas.load_model(spec, device="cpu")
        assert actlas.load_model(spec, device="cpu") is first
        assert actlas.load_model(first.spec, device="cpu") is first
        other = actlas.load_model(spec, device="cpu", compute_dtype="bfloat16")
        assert other is not first
        os.utime(tmp_path / "model" / "config.json", (1, 1))
        third = actlas.load_model(spec, device="cpu", compute_dtype="bfloat16")
        assert third is not other
        with torch.no_grad():
            next(iter(third.module.parameters())).add_(1)
        fourth = actlas.load_model(spec, device="cpu", compute_dtype="bfloat16")
        assert fourth is not third
        assert fourth.digest == other.digest
    assert actlas.load_model(spec, device="cpu", compute_dtype="bfloat16") is not fourth
    SHELF.clear()


def test_data_sets_are_read_again_where_their_files_changed(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one\ntwo\n")
    shelf = Shelf()
    first = shelf.read(str(path), {})
    assert shelf.read(str(path), {}) is first
    assert len(shelf.read(str(path), {"limit": 1})) == 1
    assert shelf.read(str(path), {}) is first
    path.write_text("one\ntwo\nthree\n")
    assert len(shelf.read(str(path), {})) == 3
