"""`sim:` networks: frames, twins, and extraction like any other model's."""

import json
import os

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import actlas
from actlas import DatasetError, InputError, ModelError
from actlas.plugins.sim import Scaling, SimConfig, build, geometries, recipe, save_model
from actlas.plugins.sim.layout import by_frames, lies_by_frames
from actlas.plugins.sim.network import write_whole

RATE = 16_000


def save(folder, config, scaling=Scaling(0.01, 0.2)):  # noqa: B008  # frozen
    folder.mkdir(exist_ok=True)
    save_model(folder, build(config), scaling, {"epochs": 0})
    return f"sim:{folder}"


def talk(folder, name, samples, rate=RATE, seed=0):
    folder.mkdir(exist_ok=True)
    wave = np.random.default_rng(seed).standard_normal(samples) * 0.1
    soundfile.write(folder / name, wave, rate, subtype="FLOAT")
    return wave.astype(np.float32)


@pytest.mark.parametrize(("samples", "frames"), [
    (10_240, (511, 129, 64)), (20_480, (1023, 257, 128)), (5_120, (255, 65, 32)),
])  # fmt: skip
def test_frames_are_those_published_and_those_the_network_gives(samples, frames):
    config = recipe("sim", channels=4, gru=3)
    assert tuple(g.frames(samples) for g in geometries(config)) == frames
    assert [(g.hop, g.receptive_field) for g in geometries(config)] == [
        (20, 45), (80, 225), (160, 465),
    ]  # fmt: skip
    z = torch.zeros(1, 1, samples)
    for layer, count in zip(build(config).layers, frames, strict=True):
        z = layer(z, [0])
        assert z.shape == (1, 4, count)


def test_the_original_of_greedy_infomax_has_five_modules_and_a_gru():
    config = recipe("gim", "gim-original")
    assert [g.hop for g in geometries(config)] == [5, 20, 40, 80, 160]
    assert (config.steps, config.channels, config.gru, config.head) == (12, 512, 256, "none")


def test_the_frames_of_a_site_have_seen_what_the_geometry_says():
    config = recipe("gim", channels=16)
    network = build(config)
    torch.manual_seed(0)
    wave = torch.randn(1, 1, 3000, requires_grad=True)
    z = wave
    for layer, geometry in zip(network.layers, geometries(config), strict=True):
        z = layer(z, [0])
        frame = z.shape[2] // 2
        (gradient,) = torch.autograd.grad(z[0, :, frame].sum(), wave, retain_graph=True)
        seen = gradient[0, 0].nonzero().flatten()
        first = geometry.start + frame * geometry.hop
        assert first <= seen[0] <= first + geometry.hop
        assert seen[-1] < first + geometry.receptive_field
        edges = geometry.edges(z.shape[2], 3000)
        middle = first + geometry.receptive_field / 2
        assert abs((edges[frame] + edges[frame + 1]) / 2 - middle) <= 1
        assert geometry.frames(geometry.samples(frame)) == frame
        assert geometry.frames(geometry.samples(frame) + 1) == frame + 1


def test_twins_begin_with_the_same_numbers_and_another_seed_with_others():
    sim, gim = (build(recipe(kind)).state_dict() for kind in ("sim", "gim"))
    assert set(sim) - set(gim) == {
        f"layers.{i}.logvar.{part}" for i in range(3) for part in ("weight", "bias")
    }
    assert all(torch.equal(sim[name], gim[name]) for name in gim)
    other = build(recipe("gim", seed=1)).state_dict()
    assert not any(torch.equal(other[name], gim[name]) for name in gim)
    assert sum(t.numel() for t in sim.values()) == 58_016  # the document's 58k
    assert (sim["layers.1.logvar.bias"] == -4).all()


def test_every_site_holds_what_the_network_computes_for_the_recording_alone(tmp_path, sqlite_store):
    talks = tmp_path / "talks"
    waves = [talk(talks, f"{n}.wav", n, seed=n) for n in (800, 2000, 801)]
    config = recipe("sim", channels=8, gru=5)
    spec = save(tmp_path / "m", config)
    network = build(config)
    order = sorted(range(3), key=lambda i: f"{(800, 2000, 801)[i]}.wav")
    states = {}
    for i in order:
        z = torch.from_numpy((waves[i] - np.float32(0.01)) / np.float32(0.2))[None, None]
        for m, layer in enumerate(network.layers):
            states.setdefault(f"layers.{m}.logvar", []).append(layer.posterior(z)[1][0].T)
            z = layer.posterior(z)[0]
            states.setdefault(f"layers.{m}", []).append(z[0].T)
        states.setdefault("context", []).append(network.context.gru(z.transpose(1, 2))[0][0])
    for sites in (["layers.0", "layers.0.logvar"], ["layers.2", "layers.2.logvar", "context"]):
        made = sqlite_store.extract(spec, talks, sites, dtype="float32")
        for site in sites:
            stored = torch.from_numpy(made.activations(site).numpy())
            torch.testing.assert_close(stored, torch.cat(states[site]).detach())
    rows = made.activations("context").rows
    assert rows.start[0] == 0
    assert rows.end[0] == round(100 / 16)
    assert (rows.start[1:5] == np.rint((100 + 160 * np.arange(4)) / 16)).all()
    pooled = sqlite_store.extract(spec, talks, "layers.*", pooling="mean", dtype="float32")
    means = torch.stack([one.mean(0) for one in states["layers.1"]]).detach()
    torch.testing.assert_close(torch.from_numpy(pooled.activations("layers.1").numpy()), means)


def test_a_sample_is_a_draw_that_depends_on_the_clip_and_the_seed_alone(tmp_path, sqlite_store):
    talks = tmp_path / "talks"
    for n in range(4):
        talk(talks, f"{n}.wav", 4000, seed=n)
    spec = save(tmp_path / "m", recipe("sim", channels=16))
    sites = ["layers.0", "layers.0.logvar", "layers.0.sample"]
    found = sqlite_store.extract(spec, talks, sites, dtype="float32")
    mean, logvar, sample = (found.activations(site).numpy() for site in sites)
    noise = (sample - mean) / np.exp(logvar / 2)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.03
    parts = noise.reshape(4, -1)
    assert abs(np.corrcoef(parts) - np.eye(4)).max() < 0.1
    (talks / "1.wav").unlink()  # in other company
    again = sqlite_store.extract(spec, talks, sites, dtype="float32")
    kept = np.delete(sample.reshape(4, -1), 1, 0).reshape(-1, 16)
    np.testing.assert_allclose(again.activations("layers.0.sample").numpy(), kept, atol=1e-6)
    other = actlas.load_model(save(tmp_path / "n", recipe("sim", channels=16, seed=1)))
    assert other.digest != actlas.load_model(spec).digest


def test_another_sampling_rate_is_resampled_and_that_is_said(tmp_path, sqlite_store):
    talks = tmp_path / "talks"
    talk(talks, "a.wav", 800, rate=8000)
    spec = save(tmp_path / "m", recipe("gim", channels=4))
    model = actlas.load_model(spec)
    made = sqlite_store.extract(model, talks, "layers.2")
    assert model.feed.notes == ["resampled 8000 → 16000 Hz"]
    assert len(made.activations("layers.2")) == geometries(SimConfig())[2].frames(1600)


def test_the_decoder_of_a_folder_says_what_is_wrong(tmp_path, sqlite_store):
    talks = tmp_path / "talks"
    talk(talks, "short.wav", 400)
    spec = save(tmp_path / "m", recipe("gim", channels=4))
    with pytest.raises(DatasetError, match=r"short.wav has 400 samples .* field .* \(465\)"):
        sqlite_store.extract(spec, talks, "layers.2")
    soundfile.write(talks / "short.wav", np.zeros(4000), RATE)
    with pytest.raises(DatasetError, match=r"short.wav is silent"):
        sqlite_store.extract(spec, talks, "layers.2")
    for spoil, said in [
        (lambda c: c.pop("modules"), "train the model again"),
        (lambda c: c.update(kind="simm"), "kind is 'simm'; use sim or gim"),
        (lambda c: c.update(channels=5), "cannot be read: .*size mismatch"),
    ]:
        path = tmp_path / "m" / "config.json"
        kept = path.read_text()
        config = json.loads(kept)
        spoil(config)
        path.write_text(json.dumps(config))
        with pytest.raises(ModelError, match=said):
            actlas.load_model(spec)
        path.write_text(kept)
    with pytest.raises(ModelError, match=r"has no config.json; `actlas train sim"):
        actlas.load_model(f"sim:{tmp_path}")


def test_a_file_gives_way_only_to_one_that_is_on_the_disk_whole(tmp_path, monkeypatch):
    path, seen = tmp_path / "state", []
    write_whole(path, b"old")

    def stopped(file):
        seen.append([one.read_bytes() for one in tmp_path.glob("state.*")])
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"new")
    assert seen == [[b"new"]]
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_whole(path, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["state"]
    assert path.read_bytes() == b"new"


def test_a_model_that_is_not_saved_to_the_end_is_none(tmp_path, monkeypatch):
    spec = save(tmp_path / "m", recipe("gim", channels=4))

    def stopped(file):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path / "m", recipe("gim", channels=4, seed=1))
    with pytest.raises(ModelError, match=r"has no config.json"):
        actlas.load_model(spec)


@pytest.mark.parametrize(("kind", "changes", "said"), [
    ("sim", {"head": "mean"}, "sim needs head gaussian; use gim"),
    ("gim", {"beta": 0.1}, "gim has no KL term"),
    ("sim", {"channels": 0}, "channels is 0; it is 1 or more"),
    ("sim", {"learning_rate": float("nan")}, "learning_rate is nan; it is above 0"),
    ("sim", {"modules": (((4, 2),),)}, r"modules is a list of modules, .* such as \[\[\[10,5,2\]"),
    ("sim", {"train_layer": 3}, "of sim or gim a module from 0 to 2"),
    ("cpc", {"train_layer": 0}, "of sim or gim a module from"),
    ("sim", {"logvar_bias": -20.0}, "within ±logvar_clamp"),
    ("sim", {"held_out": 1.0}, "held_out is 1.0; a share from 0"),
    ("sim", {"wat": 1}, "no setting 'wat'"),
    ("supervised", {}, "supervised has 0 classes"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(kind, changes, said):
    with pytest.raises(InputError, match=said):
        recipe(kind, **changes)


def test_a_context_without_gradient_through_time_computes_the_same():
    config = recipe("gim", channels=4, gru=3, remove_bptt=True)
    context = build(config).context
    z = torch.randn(2, 4, 9, requires_grad=True)
    stepped = context.train()(z)
    torch.testing.assert_close(stepped, context.eval()(z))
    (gradient,) = torch.autograd.grad(stepped[:, 6].sum(), z)
    assert gradient.abs().sum((0, 1)).nonzero().flatten().tolist() == [6]
    assert isinstance(context.gru, nn.GRU)


@pytest.mark.parametrize(("kind", "clips", "changes"), [
    ("sim", 3, {}), ("sim", 16, {}), ("sim", 3, {"batch_norm": True}), ("gim", 3, {"head": "none"}),
])  # fmt: skip
def test_what_is_laid_out_by_frames_gives_the_same_and_the_same_gradients(kind, clips, changes):
    config = recipe(kind, channels=4, **changes)
    plain, laid = build(config), build(config)
    wave = torch.randn(clips, 1, 700, generator=torch.Generator().manual_seed(0))
    mu, logvar = plain.layers[1].posterior(plain.layers[0].posterior(wave)[0])
    heads = mu if logvar is None else torch.cat([mu, logvar], 1)
    first = laid.layers[0].heads(by_frames(wave))[..., :4].transpose(1, 2)
    assert lies_by_frames(first)
    found = laid.layers[1].heads(first)
    assert found.stride(2) == 1
    torch.testing.assert_close(found, heads.transpose(1, 2))
    for one in (found, heads.transpose(1, 2)):
        one.square().sum().backward()
    learned = [pair for pair in zip(laid.parameters(), plain.parameters(), strict=True)
               if pair[1].grad is not None]  # fmt: skip
    assert len(learned) > 5
    for one, other in learned:
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-3)
    for one, other in zip(laid.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)
