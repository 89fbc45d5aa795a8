"""Running out of memory in the middle: smaller batches, the same rows."""

import numpy as np
import pytest
import torch

import actlas
from actlas.core import ExtractOptions, Extractor

from .tiny import TEXTS


@pytest.fixture
def small_device(tiny, monkeypatch):
    """A model whose device holds no batch of more than `most` texts."""

    def make(most):
        model = tiny("bert")
        forward = type(model.module).forward

        def limited(self, input_ids, *rest, **named):
            if len(input_ids) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return forward(self, input_ids, *rest, **named)

        monkeypatch.setattr(type(model.module), "forward", limited)
        return model

    return make


def rows(model, texts, sites=("embed", "layers.1")):
    chosen = model.select(list(sites))
    windows = list(Extractor(model, texts, chosen, ExtractOptions(dtype="float32")).windows())
    return {s: np.concatenate([w.data[s].numpy() for w in windows]) for s in sites}


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tiny, small_device):
    texts = actlas.Dataset.of([f"{TEXTS[i % len(TEXTS)]} No. {i % 7}" for i in range(60)])
    expected = rows(tiny("bert"), texts)
    found = rows(small_device(3), texts)
    for site, matrix in expected.items():
        np.testing.assert_allclose(found[site], matrix, atol=1e-5)


def test_a_text_that_does_not_fit_alone_is_named(small_device):
    texts = actlas.Dataset.of(TEXTS)
    with pytest.raises(actlas.ModelError, match=r"sample \d+ \(\d+ positions\) does not fit.*cpu"):
        rows(small_device(0), texts)


def test_another_error_of_the_model_is_not_taken_for_it(tiny, monkeypatch):
    model = tiny("bert")

    def broken(self, *rest, **named):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    assert model.sites
    monkeypatch.setattr(type(model.module), "forward", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        rows(model, actlas.Dataset.of(TEXTS))
