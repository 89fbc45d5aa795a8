"""Training of Smooth InfoMax and its relatives: short, deterministic, and stopped at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import xxhash
from safetensors.torch import load_file

import actlas
from actlas import DatasetError, InputError, LabelError, NonFiniteError
from actlas.plugins.sim import Hooks, build, read_clips, recipe, train_sim, training
from actlas.plugins.sim.loss import kl_rate
from actlas.plugins.sim.metrics import Metrics, Watch, beta_in, faults, read_metrics
from actlas.plugins.sim.side import side_by_side
from actlas.plugins.sim.steps import _generators, local_losses

from .test_cli import fails, good

SMALL = {
    "channels": 8, "steps": 3, "negatives": 10, "window": 16, "batch": 8, "crop": 2560, "epochs": 2,
    "held_out": 0.2, "warmup": 1,
}  # fmt: skip


def write_tones(folder, count=24, samples=2600, rate=16_000, **more):
    """Recordings of tones of four pitches that begin somewhere in noise."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    for i in range(count):
        time_s = np.arange(samples) / rate
        pitch, at = 200 * 2 ** (i % 4), draws.uniform(0, 0.05)
        wave = 0.3 * np.sin(2 * np.pi * pitch * time_s) * (time_s > at)
        wave += 0.01 * draws.standard_normal(samples)
        soundfile.write(folder / f"p{i % 4}_{i:02}.wav", wave, rate, subtype="FLOAT")
    return actlas.read_dataset(folder, name_labels="p{pitch}_{take}", **more)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("tones") / "all")


def clips_of(data, kind="sim", **changes):
    return read_clips(data, recipe(kind, **{**SMALL, **changes}))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def untimed(path):
    return [replace(line, seconds=0) for line in read_metrics(path / "metrics.jsonl")]


@pytest.mark.parametrize("kind", ["sim", "gim", "cpc"])
def test_a_short_training_leaves_the_loss_of_chance_and_can_be_loaded(tones, tmp_path, kind):
    changes = {"epochs": 20, "learning_rate": 1e-2, "gru": 8 if kind == "cpc" else 0}
    if kind == "sim":
        changes["beta"] = 1e-3
    done = train_sim(clips_of(tones, kind, **changes), tmp_path / "m", device="cpu")
    names = ["context"] if kind == "cpc" else ["layers.0", "layers.1", "layers.2"]
    assert [one.module for one in done.last()] == names
    assert all(one.nce < 0.92 * log(11) for one in done.last()), done.last()
    assert all(one.held_out_nce < 0.95 * log(11) for one in done.last())
    assert all(one.accuracy > 1.5 / 11 for one in done.last())
    assert (tmp_path / "m" / "metrics.jsonl").read_text().count("\n") == 20 * len(names)
    assert done.last()[0].step == 20 * (19 // 8)
    assert [one.kl is None for one in done.last()] == [kind != "sim"] * len(names)
    model = actlas.load_model(f"sim:{tmp_path / 'm'}", device="cpu")
    assert [name for name in model.sites if name in names] == names
    about = json.loads((tmp_path / "m" / "config.json").read_text())["trained"]
    assert (about["clips"], about["held_out"]) == (19, 5)


def test_the_network_before_training_is_the_start_of_its_training(tones, tmp_path):
    clips = clips_of(tones, epochs=0)
    done = train_sim(clips, tmp_path / "m", device="cpu")
    assert done.metrics == []
    network = actlas.load_model(f"sim:{tmp_path / 'm'}", device="cpu").module
    for name, tensor in build(clips.config).state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


class Stop(Exception):
    pass


def stop_after(epochs):
    def end(lines):
        if lines[0].epoch == epochs:
            raise Stop

    return Hooks(end=end)


@pytest.mark.parametrize("changes", [
    {}, {"random_crop": True, "crop": 2400, "batch_norm": True, "gru": 4, "normalise": "clip"},
])  # fmt: skip
def test_a_training_that_was_stopped_ends_with_the_same_bytes(tones, tmp_path, changes):
    clips = clips_of(tones, epochs=3, **changes)
    train_sim(clips, tmp_path / "whole", device="cpu")
    with pytest.raises(Stop):
        train_sim(clips, tmp_path / "parts", device="cpu", hooks=stop_after(1))
    with pytest.raises(actlas.ModelError, match="its training is not finished: give the same"):
        actlas.load_model(f"sim:{tmp_path / 'parts'}")
    train_sim(clips, tmp_path / "parts", device="cpu")
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert untimed(tmp_path / "parts") == untimed(tmp_path / "whole")
    shorter = clips_of(tones, epochs=2, **changes)
    train_sim(shorter, tmp_path / "longer", device="cpu")
    train_sim(clips, tmp_path / "longer", device="cpu")  # more epochs go on, too
    assert weights(tmp_path / "longer") == weights(tmp_path / "whole")


@pytest.mark.parametrize("at", [2, 4])  # of two epochs of two steps
def test_a_training_can_be_stopped_within_an_epoch(tones, tmp_path, monkeypatch, at):
    clips = clips_of(tones)
    train_sim(clips, tmp_path / "whole", device="cpu")
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    own, count = training._Training._step, []

    def counted(self, *args):
        count.append(1)
        if len(count) == at:
            raise Stop
        own(self, *args)

    monkeypatch.setattr(training._Training, "_step", counted)
    with pytest.raises(Stop):
        train_sim(clips, tmp_path / "parts", device="cpu")
    train_sim(clips, tmp_path / "parts", device="cpu")
    assert len(count) == 4 + 1  # the step that failed is done again, and no other
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert untimed(tmp_path / "parts") == untimed(tmp_path / "whole")


def test_clips_held_out_are_measured_alike_in_every_epoch_and_never_trained_on(
    tones, tmp_path, monkeypatch
):
    seen, own = {True: [], False: []}, training._Training._losses

    def kept(self, places, starts, beta, seed):
        losses = own(self, places, starts, beta, seed)
        nce = [float(one.nce) for one in losses]
        seen[self.network.training].append((places.tolist(), starts.tolist(), seed, nce))
        return losses

    monkeypatch.setattr(training._Training, "_losses", kept)
    clips = clips_of(tones, held_out=0.45, batch=4)
    done = train_sim(clips, tmp_path / "m", device="cpu")
    trained, measured = seen[True][3:], seen[False][3:]  # of the second epoch
    assert [one[:3] for one in measured] == [one[:3] for one in seen[False][:3]]
    held = [place for places, *_ in measured for place in places]
    assert len(held) == len(set(held)) == 11
    assert not set(held) & {place for places, *_ in seen[True] for place in places}
    assert len({seed for *_, seed, _ in seen[True]}) == len(seen[True]) == 6
    for part in (0, 1):  # another order, other crops
        assert [one[part] for one in trained] != [one[part] for one in seen[True][:3]]
    assert [one.beta for one in done.metrics] == [0.0] * 3 + [clips.config.beta] * 3
    for i, one in enumerate(done.last()):
        assert one.nce == pytest.approx(np.mean([nce[i] for *_, nce in trained]))
        whole = sum(nce[i] * len(places) for places, _, _, nce in measured) / 11
        assert one.held_out_nce == pytest.approx(whole)


def test_metrics_that_no_checkpoint_knows_are_written_anew(tones, tmp_path, monkeypatch):
    own = training._Training._checkpoint

    def stopped(self, epoch, step):
        if epoch == 2:
            raise Stop
        own(self, epoch, step)

    clips, path = clips_of(tones), tmp_path / "m" / "metrics.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(training._Training, "_checkpoint", stopped)
        with pytest.raises(Stop):
            train_sim(clips, tmp_path / "m", device="cpu")
    assert [one.epoch for one in read_metrics(path)] == [1, 1, 1, 2, 2, 2]
    path.write_text(path.read_text() + '{"epoch": 1, "st')  # cut off by a kill
    train_sim(clips, tmp_path / "m", device="cpu")
    assert [one.epoch for one in read_metrics(path)] == [1, 1, 1, 2, 2, 2]
    assert path.read_text().count("\n") == 6


def test_every_module_and_step_has_draws_of_its_own():
    def drawn(index, *seed):
        noise, places = _generators(torch.zeros(1), index, seed)
        return torch.rand(1, generator=noise).item(), torch.rand(1, generator=places).item()

    seeds = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({one for seed in seeds for one in drawn(*seed)}) == 10
    assert drawn(1, 2, 3) == drawn(1, 2, 3)


KILLED = """
import sys
from pathlib import Path
import actlas
from tests.test_sim_training import SMALL
from actlas.plugins.sim import read_clips, recipe, train_sim
data = actlas.read_dataset(sys.argv[1], name_labels="p{pitch}_{take}")
clips = read_clips(data, recipe("sim", **{**SMALL, "epochs": int(sys.argv[3])}))
train_sim(clips, Path(sys.argv[2]), device="cpu")
"""


def test_a_training_that_was_killed_ends_with_the_same_bytes(tones, tmp_path):
    source = Path(tones.media[0].path).parent
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "killed"), "100000"]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    state, until = tmp_path / "killed" / "state.safetensors", time.monotonic() + 60
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)  # at whatever it does then
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    epochs = read_metrics(tmp_path / "killed" / "metrics.jsonl")[-1].epoch + 2
    clips = clips_of(tones, epochs=100_000)
    for name in ("killed", "whole"):
        with pytest.raises(Stop):
            train_sim(clips, tmp_path / name, device="cpu", hooks=stop_after(epochs))
    whole = load_file(tmp_path / "whole" / "state.safetensors")
    for name, tensor in load_file(state).items():
        assert torch.equal(tensor, whole.pop(name)), name
    assert not whole
    assert untimed(tmp_path / "killed") == untimed(tmp_path / "whole")


def test_a_checkpoint_of_another_training_is_refused(tones, tmp_path):
    train_sim(clips_of(tones, epochs=1), tmp_path / "m", device="cpu")
    with pytest.raises(InputError, match=r"steps 3 \(now 4\), beta 0.01 \(now 0.1\); use another"):
        train_sim(clips_of(tones, beta=0.1, steps=4), tmp_path / "m", device="cpu")
    with pytest.raises(InputError, match=r"epochs 1 \(now 0\)"):
        train_sim(clips_of(tones, epochs=0), tmp_path / "m", device="cpu")
    with pytest.raises(InputError, match="a training on other clips"):
        train_sim(clips_of(tones.head(20), epochs=1), tmp_path / "m", device="cpu")
    (tmp_path / "m" / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"cannot be read .* use --force"):
        train_sim(clips_of(tones, epochs=1), tmp_path / "m", device="cpu")
    train_sim(clips_of(tones, epochs=1), tmp_path / "m", device="cpu", force=True)


def gradients(config, module, isolated):
    """Sum of |gradient| of each module's parameters under one module's loss."""
    network = build(replace(config, isolated=isolated))
    wave = torch.randn(4, 1, config.crop, generator=torch.Generator().manual_seed(0))
    losses = local_losses(network, wave, 0.01, ("x",))
    losses[module].total.backward()
    return [
        sum(0.0 if p.grad is None else float(p.grad.abs().sum()) for p in layer.parameters())
        for layer in network.layers
    ]


@pytest.mark.parametrize("kind", ["sim", "gim"])
def test_a_module_sends_no_gradient_to_the_one_before(kind):
    config = recipe(kind, **SMALL)
    below, own, above = gradients(config, 1, isolated=True)
    assert (below, above) == (0, 0)
    assert own > 0
    below, own, above = gradients(config, 1, isolated=False)
    assert below > 0


def test_beta_changes_the_total_and_not_the_nce():
    network = build(recipe("sim", **SMALL))
    wave = torch.randn(4, 1, 2560, generator=torch.Generator().manual_seed(0))

    def losses(beta):
        with torch.no_grad():
            return local_losses(network, wave, beta, ("x",))

    for none, some in zip(losses(0.0), losses(0.5), strict=True):
        assert float(none.nce) == float(some.nce)
        assert float(none.total) == float(none.nce)
        assert float(some.total) == pytest.approx(
            float(none.nce) + 0.5 * float(none.rate.per_vector)
        )
    with torch.no_grad():
        rate, wanted = losses(0.0)[0].rate, kl_rate(*network.layers[0].posterior(wave))
    assert float(rate.per_vector) == pytest.approx(float(wanted.per_vector))
    assert float(rate.paper_compat) == pytest.approx(float(wanted.paper_compat))


def test_a_unit_is_active_whose_mean_varies_within_batches_or_between_them():
    network = build(recipe("sim", **{**SMALL, "window": 1000}))
    wave = torch.randn(4, 1, 2560, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one = local_losses(network, wave, 0.0, ("x",))[0]
        mu = network.layers[0].posterior(wave)[0].transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(one.mean, mu.mean(0))
    torch.testing.assert_close(one.variance, mu.var(0, correction=0))
    sums, within = 0, torch.tensor([0.5, 0.0, 0.0, 0.007])
    for mean in ([0.0, 3.0, 1.0, 0.0], [0.0, 3.0, -1.0, 0.16]):  # between them: 0, 0, 1, 0.0064
        step = replace(one, mean=torch.tensor(mean), variance=within)
        sums = sums + training._summed([step], 4)[0]
    assert training._active(sums, 4) == 3


def test_log_variances_of_a_loss_stay_within_the_clamp():
    network = build(recipe("sim", **SMALL))
    wave = torch.randn(4, 1, 2560, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.layers[0].logvar.bias.fill_(100.0)
        rate = local_losses(network, wave, 0.0, ("x",))[0].rate
    at_most = network.config.logvar_clamp
    assert float(rate.per_vector) == pytest.approx(
        8 * (np.exp(at_most) - 1 - at_most) / 2, rel=0.01
    )


def test_context_and_target_are_two_draws_of_one_posterior(monkeypatch):
    from actlas.plugins.sim import steps

    seen, own = [], steps.info_nce
    monkeypatch.setattr(
        steps, "info_nce", lambda c, z, *a, **k: seen.append((c, z)) or own(c, z, *a, **k)
    )
    config = recipe("sim", **{**SMALL, "window": 1000})
    network = build(config)
    wave = torch.randn(16, 1, 2560, generator=torch.Generator().manual_seed(0))
    local_losses(network, wave, 0.0, ("x",))
    mu, logvar = (t.transpose(1, 2) for t in network.layers[0].posterior(wave))
    c, z = (((t - mu) / (logvar / 2).exp()).detach().flatten() for t in seen[0])
    assert abs(float(c.std()) - 1) < 0.02
    assert abs(float(z.std()) - 1) < 0.02
    assert abs(float((c * z).mean())) < 0.02
    seen.clear()
    local_losses(build(recipe("gim", **SMALL)), wave, 0.0, ("x",))
    assert all(torch.isin(c, z).all() for c, z in seen)  # means are the means


def test_one_module_is_trained_on_another_network_and_the_rest_stays(tones, tmp_path):
    train_sim(clips_of(tones, epochs=1, batch_norm=True), tmp_path / "a", device="cpu")
    clips = clips_of(tones, epochs=1, batch_norm=True, train_layer=1)
    train_sim(clips, tmp_path / "b", start=tmp_path / "a", device="cpu")
    a, b = (actlas.load_model(f"sim:{tmp_path / n}").module.state_dict() for n in "ab")
    changed = {".".join(name.split(".")[:2]) for name in a if not torch.equal(a[name], b[name])}
    assert changed == {"layers.1", "critics.1"}
    train_sim(clips, tmp_path / "b", start=tmp_path / "gone", device="cpu")  # it has begun
    other, kept = clips_of(tones, channels=4), weights(tmp_path / "b")
    with pytest.raises(InputError, match="differs in channels, batch_norm"):
        train_sim(other, tmp_path / "b", start=tmp_path / "a", device="cpu", force=True)
    assert weights(tmp_path / "b") == kept


def test_a_supervised_twin_learns_the_pitch(tones, tmp_path):
    clips = clips_of(tones, "supervised", epochs=25, learning_rate=1e-2, classes=("", " "))
    classes, names = clips.classes("pitch")
    clips = replace(clips, config=replace(clips.config, classes=names))
    done = train_sim(clips, tmp_path / "m", classes=classes, device="cpu")
    assert names == ("0", "1", "2", "3")
    assert done.last()[0].accuracy > 0.9
    assert "classifier" in actlas.load_model(f"sim:{tmp_path / 'm'}").sites
    with pytest.raises(LabelError, match="has no label set 'vowel'"):
        clips.classes("vowel")


def test_bfloat16_trains_near_float32(tones, tmp_path):
    found = {}
    for dtype in ("float32", "bfloat16"):
        clips = clips_of(tones, dtype=dtype, epochs=2)
        found[dtype] = train_sim(clips, tmp_path / dtype, device="cpu").last()
    for one, two in zip(*found.values(), strict=True):
        assert one.nce != two.nce
        assert one.nce == pytest.approx(two.nce, rel=0.05)


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tones, tmp_path):
    train_sim(clips_of(tones, epochs=1), tmp_path / "m", device="cpu")
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "m" / "state.safetensors"
    with safe_open(path, "pt") as held:
        about = held.metadata()
        tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
    tensors["network.critics.0.weight"][0] = torch.nan
    save_file(tensors, path, about)
    with pytest.raises(NonFiniteError, match=r"no number in epoch 2, step 0; .* lower --learning-"):
        train_sim(clips_of(tones, epochs=2), tmp_path / "m", device="cpu")
    assert path.exists()


def test_a_collapse_is_reported_at_once_with_what_to_change(tones, tmp_path):
    said = []
    changes = {"beta": 30.0, "warmup": 0, "epochs": 12, "logvar_bias": 0.0, "learning_rate": 1e-2}
    done = train_sim(
        clips_of(tones, **changes), tmp_path / "m", device="cpu", hooks=Hooks(warn=said.append)
    )
    assert [text.split(" ")[0] for text in sorted(said)] == ["layers.0", "layers.1", "layers.2"]
    assert all("use a lower --beta (now 30)" in text for text in said)
    assert done.warnings == said
    assert all("units active" in verdict for verdict in done.verdicts().values())


def line(epoch, active=8, nce=1.0):
    return Metrics(epoch, 0, "layers.0", nce, 0.5, 1.0, 1.0, 0.01, active, 0.0)


def test_the_watch_tells_collapse_from_a_slow_start():
    config = recipe("sim", channels=8, warmup=3)
    slow = Watch(config)
    assert [slow.look(line(e, active=0)) for e in range(1, 14)] == [None] * 13
    assert slow.look(line(14, active=0)).startswith(
        "layers.0 in epoch 14: NCE 1.00 of 2.40, 0 of 8"
    )
    assert slow.look(line(15, active=0)) is None  # once
    lived = Watch(config)
    assert lived.look(line(1)) is None
    assert lived.look(line(2, active=4)) is not None  # half of 8 is no more than half
    assert Watch(config, [line(1), line(2, active=4)]).look(line(3, active=4)) is None
    assert Watch(config, [line(1)]).look(line(2, nce=2.39)) is not None
    gim = Watch(recipe("gim", channels=8))
    assert "it learns nothing" in [gim.look(line(e, nce=2.39)) for e in range(1, 12)][-1]


def test_a_module_counts_as_trained_below_its_share_of_log_n_plus_1():
    config = recipe("sim", channels=8)
    assert faults(line(1, nce=2.19), config) == []
    assert faults(line(1, nce=2.21), config) == ["NCE 2.21 of log(N + 1) = 2.40"]
    assert faults(line(1, active=4), config) == ["4 of 8 units active"]
    assert faults(line(1, nce=2.19), replace(config, negatives=9)) != []


def test_what_is_said_of_an_epoch_names_the_loss_of_chance():
    said = training._said([line(1), line(1, nce=2.0, active=3)], recipe("sim", negatives=10))
    assert said == "NCE 1.00/2.00 of log 11 = 2.40 · right 50%/50% · rate 1/1 · active 8/3"


def test_beta_rises_over_the_warm_up():
    config = recipe("sim", beta=0.4, warmup=4)
    assert [beta_in(config, e) for e in range(6)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4])
    assert beta_in(recipe("sim", beta=0.4, warmup=0), 0) == 0.4


def test_crops_are_normalised_by_all_recordings_and_lie_where_asked(tones):
    waves = np.stack([soundfile.read(one.path, dtype="float32")[0] for one in tones.media])
    clips = clips_of(tones, crop=2400)
    every = np.arange(len(clips))
    first = clips.batch(every, np.full(len(clips), 0.9))
    mean, std = waves.mean(dtype=np.float64), waves.std(dtype=np.float64)
    np.testing.assert_allclose(first, (waves[:, :2400] - mean) / std, atol=1e-5)
    random = clips_of(tones, crop=2400, random_crop=True)
    last = random.batch(every, np.full(len(clips), 0.9))
    np.testing.assert_allclose(last, (waves[:, 160:2560] - mean) / std, atol=1e-5)
    own = clips_of(tones, normalise="clip").batch(every, np.zeros(len(clips)))
    np.testing.assert_allclose(own.std(1), 1, atol=1e-4)
    plain = clips_of(tones, normalise="none").batch(every, np.zeros(len(clips)))
    np.testing.assert_array_equal(plain, waves[:, :2560])


def test_recordings_that_are_not_about_zero_are_scaled_by_their_spread(tmp_path):
    noise = np.random.default_rng(0).standard_normal((3, 2600))
    waves = (0.4 + 0.1 * noise).astype(np.float32)
    for i, wave in enumerate(waves):
        soundfile.write(tmp_path / f"{i}.wav", wave, 16_000, subtype="FLOAT")
    scaling = clips_of(actlas.read_dataset(tmp_path)).scaling
    assert scaling.mean == pytest.approx(waves.mean(dtype=np.float64))
    assert scaling.std == pytest.approx(waves.std(dtype=np.float64))


def test_recordings_beyond_memory_are_read_again(tones, monkeypatch):
    from actlas.plugins.sim import clips as module

    held = clips_of(tones)
    monkeypatch.setattr(module, "HELD_BYTES", 10_000)
    again = clips_of(tones)
    assert not again.held
    places, starts = np.array([3, 17]), np.zeros(2)
    np.testing.assert_array_equal(again.batch(places, starts), held.batch(places, starts))


def test_recordings_that_cannot_be_used_are_named_or_left_out(tmp_path):
    folder = tmp_path / "tones"
    write_tones(folder, 6)
    rng = np.random.default_rng(0)
    soundfile.write(folder / "p0_90.wav", rng.standard_normal(1500) / 9, 8000)  # 3000 at 16 kHz
    data = actlas.read_dataset(folder)
    clips = clips_of(data)
    assert clips.notes == ("1 clips resampled 8000 → 16000 Hz",)
    soundfile.write(folder / "p0_91.wav", rng.standard_normal(2000) / 9, 16_000)
    data = actlas.read_dataset(folder)
    with pytest.raises(
        DatasetError, match=r"1 of 8 clips are shorter .* first is p0_91.wav \(2000\)"
    ):
        clips_of(data)
    padded = clips_of(data, short="pad")
    assert padded.notes[1] == "1 clips shorter than 2560 samples padded with zeros"
    crop = padded.batch(np.array([3]), np.zeros(1))[0]
    assert len(set(crop[2000:].tolist())) == 1
    skipped = clips_of(data, short="skip")
    assert (len(skipped), skipped.notes[1]) == (7, "1 clips shorter than 2560 samples left out")
    soundfile.write(folder / "p0_92.wav", np.full(3000, 0.25), 16_000)
    soundfile.write(folder / "p0_93.wav", np.full(3000, np.nan), 16_000, subtype="FLOAT")
    data = actlas.read_dataset(folder)
    with pytest.raises(DatasetError, match=r"p0_92.wav is silent \(every sample is 0.25\)"):
        clips_of(data, short="skip")
    left = read_clips(data, recipe("sim", **{**SMALL, "short": "skip"}), skip_bad=True)
    assert left.notes[-1] == "2 silent or unreadable clips left out"
    soundfile.write(folder / "p0_91.wav", rng.standard_normal(300) / 9, 16_000)
    with pytest.raises(DatasetError, match=r"p0_91.wav has 300 samples .* receptive field"):
        read_clips(actlas.read_dataset(folder), recipe("sim", **SMALL, short="pad"), skip_bad=True)


@pytest.mark.parametrize(("changes", "said"), [
    ({"crop": 640}, r"gives 4 frames .* use --crop 681 or larger"),
    ({"batch": 64}, r"19 clips to train on \(5 held out\) give no batch of 64; use --batch 19"),
    ({"batch": 1}, "batch is 1; it is 2 or more"),
])  # fmt: skip
def test_what_gives_no_batch_is_refused(tones, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        train_sim(clips_of(tones, steps=4, **changes), tmp_path / "m", device="cpu")
    assert not (tmp_path / "m").exists()


def test_texts_and_clips_without_labels_are_refused(tones, tmp_path):
    with pytest.raises(DatasetError, match="has no recordings; name a folder of audio files"):
        clips_of(actlas.read_dataset("actlas:concepts", limit=3))
    table = tmp_path / "t.csv"
    rows = [f"{one.path},{'' if i == 5 else i % 2}" for i, one in enumerate(tones.media)]
    table.write_text("audio,side\n" + "\n".join(rows) + "\n")
    clips = clips_of(actlas.read_dataset(table))
    with pytest.raises(LabelError, match="1 of 24 clips have no label 'side'"):
        clips.classes("side")


def test_the_commands_train_and_say_what_came_of_it(tones, tmp_path, monkeypatch):
    monkeypatch.setenv("ACTLAS_STORE", str(tmp_path / "store.db"))
    source = str(Path(tones.media[0].path).parent)
    sizes = ["--channels", "8", "--crop", "2560", "--steps", "3", "--batch", "8", "--epochs", "1"]
    given = ["train", "sim", source, "-o", str(tmp_path / "m"), *sizes, "--beta", "0.5", "--json"]
    found = good(*given).json
    assert found["model"] == f"sim:{tmp_path / 'm'}"
    assert [one["module"] for one in found["modules"]] == ["layers.0", "layers.1", "layers.2"]
    assert found["log(N + 1)"] == pytest.approx(log(11))
    stored = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (stored["beta"], stored["channels"], stored["kind"]) == (0.5, 8, "sim")
    assert "beta 0.5 (now 0.1)" in fails(*given[:-3], "--beta", "0.1")
    labelled = ["--name-labels", "p{pitch}_{take}", "--labels", "pitch"]
    twin = good("train", "supervised", source, "-o", tmp_path / "s", *sizes, *labelled, "--json")
    assert twin.json["modules"][0]["module"] == "classifier"
    for kind in ("gim", "cpc"):
        none = good("train", kind, source, "-o", tmp_path / kind, *sizes[:-1], "0", "--json")
        assert none.json["modules"] == []


def test_the_numbers_do_not_depend_on_the_threads(tones, tmp_path):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            clips = clips_of(tones, epochs=3, gru=4)
            train_sim(clips, tmp_path / str(threads), device="cpu")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert weights(tmp_path / "1") == weights(tmp_path / "2") == weights(tmp_path / "3")
    assert untimed(tmp_path / "1") == untimed(tmp_path / "3")


def test_modules_side_by_side_have_one_thread_each():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with side_by_side(recipe("sim", **SMALL), "cpu") as start:
            found = [torch.get_num_threads(), start(torch.get_num_threads)()]
        with side_by_side(recipe("sim", **{**SMALL, "channels": 128}), "cpu") as start:
            found.append(start(torch.get_num_threads)())
    finally:
        torch.set_num_threads(before)
    assert found == [1, 1, 2]  # products of wide ones are worth more


def test_modules_that_are_not_isolated_are_trained_by_all_losses(tones, tmp_path):
    clips = clips_of(tones, epochs=1, isolated=False, held_out=0.0, batch=24, seed=3)
    train_sim(clips, tmp_path / "m", device="cpu")
    network = build(clips.config)
    optimizer = torch.optim.Adam(network.parameters(), lr=clips.config.learning_rate)
    order = np.sort(np.arange(24))
    random = np.random.default_rng(
        xxhash.xxh3_64_intdigest(f"{clips.config.seed} order 0".encode())
    )
    wave = torch.from_numpy(clips.batch(random.permutation(order), np.zeros(24)))[:, None]
    sum(one.total for one in local_losses(network, wave, 0.0, (3, 0, 0))).backward()
    optimizer.step()
    stored = load_file(tmp_path / "m" / "model.safetensors")
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(stored[name], tensor, atol=1e-5, rtol=1e-4)


def test_a_module_that_fails_ends_the_training_of_all(tones, tmp_path, monkeypatch):
    from actlas.plugins.sim.blocks import Block

    def fail(self, x):
        raise Stop

    monkeypatch.setattr(Block, "heads", fail)
    with pytest.raises(Stop):  # and those that wait for its draw do not wait for ever
        train_sim(clips_of(tones), tmp_path / "m", device="cpu")
