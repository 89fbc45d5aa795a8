"""Encoders on top of a site of another model."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

import actlas
from actlas import DatasetError, ModelError, SiteError
from actlas.api.sequences import train_sequences
from actlas.core import Dataset
from actlas.plugins.sim import Scaling, build, recipe, save_model
from actlas.plugins.sim.network import read_weights
from actlas.plugins.sim.on_site import Base
from actlas.testing import model_checks

from .test_sim_network import talk

TEXTS = ["the cat sat on the mat", "a dog", "it rains again and again in the north", "so it is"]
MODULES = (((3, 1, 1),), ((3, 2, 1),))


def save_on(folder, base, site, modules=MODULES):
    """An untrained encoder of a site, its rows shifted and scaled by known numbers."""
    width = base.select([site])[0].width
    config = recipe("sim", modules=modules, inputs=width, channels=6)
    folder.mkdir(exist_ok=True)
    mean, std = tuple(np.arange(width) / 10), tuple(1 + np.arange(width) / 5)
    about = {"base": asdict(Base(base.spec, base.digest, site, mean, std))}
    save_model(folder, build(config), Scaling(), about)
    return config, f"sim:{folder}"


@pytest.fixture(scope="module")
def on_bert(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("on") / "bert"
    config, spec = save_on(folder, tiny("bert"), "layers.1")
    return folder, config, actlas.load_model(spec, device="cpu")


def test_its_sites_stand_after_the_one_they_read_and_beside_those_of_the_model_below(on_bert, tiny):
    model = on_bert[2]
    assert list(model.sites)[: len(tiny("bert").sites)] == list(tiny("bert").sites)
    own = [(s.name, s.width, s.stack) for s in model.sites.values() if s.name.startswith("sim.")]
    assert own == [
        ("sim.layers.0.logvar", 6, ""), ("sim.layers.0.sample", 6, ""), ("sim.layers.0", 6, ""),
        ("sim.layers.1.logvar", 6, "3"), ("sim.layers.1.sample", 6, "3"), ("sim.layers.1", 6, "3"),
    ]  # fmt: skip


def test_it_keeps_to_what_every_model_must(on_bert):
    for check in model_checks(on_bert[2], Dataset.of(TEXTS)):
        check()


def test_what_it_gives_is_what_stored_activations_of_the_site_give(on_bert, sqlite_store):
    folder, config, model = on_bert
    data = Dataset.of(TEXTS)
    below = sqlite_store.extract(model, data, "layers.1", dtype="float32")
    zero = sqlite_store.extract(model, data, "sim.layers.0,sim.layers.0.logvar", dtype="float32")
    one = sqlite_store.extract(model, data, "sim.layers.1", dtype="float32")
    network, rows = build(config), below.activations("layers.1").numpy()
    read_weights(folder, network)
    width = rows.shape[1]
    scaled = (rows - np.arange(width) / 10) / (1 + np.arange(width) / 5)
    for sample in range(len(TEXTS)):
        x = torch.tensor(scaled[below.rows.sample == sample].T[None], dtype=torch.float32)
        with torch.no_grad():
            mean, logvar = network.layers[0].posterior(x)
            last = network.layers[1].posterior(mean)[0]
        for made, site, own in (
            (zero, "sim.layers.0", mean), (zero, "sim.layers.0.logvar", logvar),
            (one, "sim.layers.1", last),
        ):  # fmt: skip
            stored = made.activations(site).numpy()[made.rows.sample == sample]
            np.testing.assert_allclose(stored, own[0].T.numpy(), atol=1e-5)


def test_a_sample_of_a_posterior_depends_on_the_text_and_not_on_its_place_in_a_batch(on_bert):
    model, data = on_bert[2], Dataset.of(["so it is"] * 3)
    (site,) = model.select("sim.layers.0.sample")
    encoded = model.feed.encode(data, range(3), site=site, max_length=model.max_length)
    drawn = model.capture(model.feed.collate(encoded), [site])[site.name]
    alone = model.capture(model.feed.collate(encoded[1:2]), [site])[site.name]
    torch.testing.assert_close(drawn[1:2], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(drawn[0], drawn[2], atol=1e-5, rtol=1e-5)


def test_a_row_of_hop_two_spans_two_tokens_and_is_special_where_both_are(on_bert, sqlite_store):
    model, data = on_bert[2], Dataset.of(TEXTS[:1])
    rows = sqlite_store.extract(model, data, "sim.layers.1").rows
    tokens = sqlite_store.extract(model, data, "layers.1").rows
    assert tokens.special[:2].tolist() == [True, False]
    assert rows.start.tolist()[:3] == [-1, tokens.start[1], tokens.start[3]]
    assert rows.end.tolist()[:3] == [-1, tokens.end[2], tokens.end[4]]
    assert rows.special[:3].tolist() == [True, False, False]
    assert rows.token[1] == TEXTS[0][tokens.start[1] : tokens.end[2]]


def test_it_stands_on_an_encoder_of_recordings_too(tmp_path, sqlite_store):
    talk(tmp_path / "talk", "a.wav", 3000)
    talk(tmp_path / "talk", "b.wav", 4100, seed=1)
    (tmp_path / "below").mkdir()
    save_model(tmp_path / "below", build(recipe("gim", channels=5)), Scaling(0.0, 0.1), {})
    below = actlas.load_model(f"sim:{tmp_path / 'below'}", device="cpu")
    _, spec = save_on(tmp_path / "top", below, "layers.1")
    model, data = actlas.load_model(spec, device="cpu"), actlas.read_dataset(tmp_path / "talk")
    for check in model_checks(model, data):
        check()
    made = sqlite_store.extract(model, data, "sim.layers.0", dtype="float32")
    own = sqlite_store.extract(below, data, "layers.1", dtype="float32")
    assert made.rows.start.tolist() == own.rows.start.tolist()
    assert sqlite_store.extract(model, data, "sim.layers.0,layers.0", pooling="mean")


def test_recordings_that_are_elsewhere_are_asked_for_before_anything_is_trained(
    tmp_path, sqlite_store, monkeypatch
):
    for i in range(3):
        talk(tmp_path / "talk", f"{i}.wav", 3000, seed=i)
    (tmp_path / "below").mkdir()
    save_model(tmp_path / "below", build(recipe("gim", channels=5)), Scaling(0.0, 0.1), {})
    data = actlas.read_dataset(tmp_path / "talk")
    made = sqlite_store.extract(f"sim:{tmp_path / 'below'}", data, "layers.0")
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    with pytest.raises(DatasetError, match=r"name the folder of its files with DATA$"):
        train_sequences("gim", made.id, "layers.0", tmp_path / "top", store=sqlite_store.url)
    assert not (tmp_path / "top").exists()
    short = {"crop": 64, "window": 16, "epochs": 0, "channels": 4, "steps": 2, "held_out": 0.0}
    done = train_sequences(
        "gim", made.id, "layers.0", tmp_path / "top", store=sqlite_store.url,
        data=str(tmp_path / "talk"), settings=short | {"batch": 2},
    )  # fmt: skip
    assert done["extraction"] != made.id


def test_a_model_below_that_has_changed_and_a_broken_folder_are_refused(on_bert, tiny, tmp_path):
    base = tiny("bert")
    _, spec = save_on(tmp_path / "top", base, "layers.1")
    path = tmp_path / "top" / "config.json"

    def changed(**values):
        said = json.loads(written)
        said["trained"]["base"] |= values
        path.write_text(json.dumps(said))
        return actlas.load_model(spec, device="cpu")

    written = path.read_text()
    with pytest.raises(ModelError, match=r"has changed since sim:.* was trained on its layers.1"):
        changed(digest="0" * 32)
    with pytest.raises(ModelError, match=r"config.json is not of `actlas train sim`"):
        changed(mean=3)
    with pytest.raises(SiteError, match=r"no site 'layers.9'"):
        changed(site="layers.9")
    assert changed(std=[2.0] * len(json.loads(written)["trained"]["base"]["std"])).digest != (
        on_bert[2].digest
    )
