"""Networks whose weights lie on several devices are read like any other."""

import pytest
import torch

import actlas
from actlas.core import Dataset, ExtractOptions, Extractor, ModelError
from actlas.core.passes import passes_at_once

from .tiny import TEXTS

accelerate = pytest.importorskip("accelerate")


def rows(model, sites="layers.*"):
    run = Extractor(model, Dataset.of(TEXTS), model.select(sites), ExtractOptions(dtype="float32"))
    return next(run.windows()).data


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-5)


def test_where_one_device_is_enough_a_split_network_is_whole(tiny_folder):
    folder = str(tiny_folder("bert"))
    whole, split = (actlas.load_model(folder, device=d) for d in ("cpu", "split"))
    assert split.digest == whole.digest
    same(rows(whole), rows(split))


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_weights_in_several_places_are_fetched(tiny_folder, tmp_path, monkeypatch, kind):
    from transformers import AutoModel

    load = AutoModel.from_pretrained

    def spread(*given, device_map=None, **more):
        module, info = load(*given, **more)
        if device_map is None:
            return module, info
        places = {name: "disk" for name, _ in module.named_children()}
        places[next(iter(places))] = "cpu"
        return accelerate.dispatch_model(module, places, offload_dir=tmp_path), info

    monkeypatch.setattr(AutoModel, "from_pretrained", spread)
    folder = str(tiny_folder(kind))
    whole, split = (actlas.load_model(folder, device=d) for d in ("cpu", "split"))
    assert any(p.is_meta for p in split.module.parameters())
    assert split.device == "cpu"
    assert passes_at_once(split) == 1
    same(rows(whole), rows(split))


def test_split_says_what_it_needs(tiny_folder, monkeypatch):
    with pytest.raises(ModelError, match="is for networks of Hugging Face"):
        actlas.load_model("torch:tests.tiny:nothing", device="split")
    monkeypatch.setattr("actlas.core.loading.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'actlas\[split\]'"):
        actlas.load_model(str(tiny_folder("bert")), device="split")
