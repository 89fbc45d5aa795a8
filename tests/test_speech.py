"""Models of recordings: frames and their times, resampling, batches without padding."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import resample_poly
from transformers import AutoFeatureExtractor, AutoModel

import actlas
from actlas.core import DatasetError, ExtractOptions, Extractor, InputError, ModelError, SiteError

from .tiny import MASKED_SPEECH, MEDIA, SPEECHES, joined_rows, media_set, recordings

LENGTHS = (8000, 5000, 8000, 12345)


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    return recordings(tmp_path_factory.mktemp("talks"), LENGTHS)


@pytest.fixture(scope="module")
def waves(talks):
    return [soundfile.read(one.path, dtype="float32")[0] for one in talks.media]


def extractor(model, data, sites="residual", **options):
    options = ExtractOptions(**{"dtype": "float32", **options})
    return Extractor(model, data, model.select(sites, options.pooling), options)


def extracted(model, data, sites="residual", **options):
    """Rows and matrices of an extraction in float32."""
    run = extractor(model, data, sites, **options)
    windows = list(run.windows())
    matrices = {
        s.name: np.concatenate([w.data[s.name].float() for w in windows]) for s in run.sites
    }
    return joined_rows([window.rows for window in windows]), matrices


def hidden_states(folder, module, wave):
    """What the network gives one recording by itself, prepared by transformers."""
    inputs = AutoFeatureExtractor.from_pretrained(folder)(
        wave, sampling_rate=16000, return_tensors="pt"
    )
    inputs.pop("attention_mask", None)
    with torch.inference_mode():
        return module(**inputs, output_hidden_states=True)


@pytest.mark.parametrize("kind", SPEECHES)
def test_rows_are_the_hidden_states_of_each_recording_by_itself(
    tiny, tiny_folder, talks, waves, kind
):
    model = tiny(kind)
    _, data = extracted(model, talks)
    folder = tiny_folder(kind)
    module = AutoModel.from_pretrained(folder)
    own = [hidden_states(folder, module, wave) for wave in waves]
    depth = 4 if "final" not in data else 3  # where a norm follows, theirs of the last is after it
    for i, name in enumerate(["embed", "layers.0", "layers.1", "layers.2"][:depth]):
        wanted = np.concatenate([one.hidden_states[i][0] for one in own])
        np.testing.assert_allclose(data[name], wanted, rtol=1e-4, atol=1e-5)
    last = np.concatenate([one.last_hidden_state[0] for one in own])
    np.testing.assert_allclose(data[list(data)[-1]], last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SPEECHES)
def test_only_a_network_that_reads_a_mask_has_recordings_padded(tiny, talks, kind):
    batches = list(extractor(tiny(kind), talks, batch_tokens=4000).batches())
    sizes = sorted(batch.shape[0] for batch in batches)
    masked = [batch for batch in batches if "attention_mask" in batch.arguments]
    if kind in MASKED_SPEECH:
        assert sizes == [1, 3]  # to pad three to the longest would be dearer than a pass
        (padded,) = (batch for batch in masked if batch.shape[0] == 3)
        assert padded.arguments["attention_mask"].sum(dim=1).tolist() == sorted(LENGTHS)[2::-1]
    else:
        assert sizes == [1, 1, 2]
        assert masked == []


@pytest.mark.parametrize("kind", [*SPEECHES, "whisper"])
def test_a_batch_gives_what_each_recording_gives_alone(tiny, talks, kind):
    together, alone = (extracted(tiny(kind), talks, batch_tokens=tokens)[1] for tokens in (4000, 1))
    for name, matrix in together.items():
        np.testing.assert_allclose(matrix, alone[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SPEECHES)
def test_frames_are_those_that_the_network_counts_and_carry_their_times(tiny, talks, kind):
    model = tiny(kind)
    rows, _ = extracted(model, talks, "embed")
    counted = [int(model.module._get_feat_extract_output_lengths(n)) for n in LENGTHS]
    assert np.bincount(rows.sample).tolist() == counted
    second = [rows[i] for i in range(counted[0], counted[0] + counted[1])]
    assert [row.position for row in second] == list(range(counted[1]))
    assert [(row.start, row.end) for row in second[:3]] == [(0, 20), (20, 40), (40, 60)]
    assert [row.token for row in second[:2]] == ["0.00–0.02 s", "0.02–0.04 s"]
    assert not rows.special.any()
    assert second[-1].end <= LENGTHS[1] / 16


def test_a_frame_hears_the_time_it_is_named_by(tiny, tmp_path):
    """A click changes the features of the frames around it, before attention spreads it."""
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32) / 10
    clicked = wave.copy()
    clicked[8000:8040] += 0.5  # at 0.5 s
    for name, samples in (("a", wave), ("b", clicked)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
    data = media_set([actlas.Media(str(tmp_path / f"{n}.wav"), "audio") for n in "ab"])
    rows, matrices = extracted(tiny("wav2vec2_layer"), data, "module:feature_projection.projection")
    first, second = np.split(*matrices.values(), 2)
    changed = np.abs(first - second).max(axis=1).argsort()[-2:]
    assert all(480 <= rows.start[i] <= 500 for i in changed)


def test_a_convolution_over_time_is_a_site_with_frames_as_rows(tiny, talks, waves):
    model = tiny("wav2vec2")
    name = "module:feature_extractor.conv_layers.6"
    _, data = extracted(model, talks, name)
    (site,) = model.select(name)
    assert (site.layout, site.width) == ("channels_first", 8)
    wave = (waves[1] - waves[1].mean()) / np.sqrt(waves[1].var() + 1e-7)
    with torch.inference_mode():
        wanted = model.module.feature_extractor(torch.from_numpy(wave)[None])[0].T.numpy()
    np.testing.assert_allclose(data[name][24 : 24 + len(wanted)], wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(SiteError, match=r"conv_layers\.2 yields shape \(2, 8, \d+\), not"):
        model.select("module:feature_extractor.conv_layers.2")


def test_whisper_is_its_encoder_and_its_rows_are_the_frames_that_hold_sound(
    tiny, tiny_folder, talks, waves
):
    model = tiny("whisper")
    assert model.architecture == "WhisperEncoder"
    assert not any("decoder" in name for name in model.weights)
    rows, data = extracted(model, talks)
    frames = [-(-n // 320) for n in LENGTHS]  # 20 ms each, the last one begun
    assert np.bincount(rows.sample).tolist() == frames
    folder = tiny_folder("whisper")
    module = AutoModel.from_pretrained(folder).get_encoder()
    own = [hidden_states(folder, module, wave) for wave in waves]
    for i, name in enumerate(["embed", "layers.0", "layers.1"]):
        pairs = zip(own, frames, strict=True)
        wanted = np.concatenate([one.hidden_states[i][0, :n] for one, n in pairs])
        np.testing.assert_allclose(data[name], wanted, rtol=1e-4, atol=1e-5)
    last = np.concatenate([o.last_hidden_state[0, :n] for o, n in zip(own, frames, strict=True)])
    np.testing.assert_allclose(data["final"], last, rtol=1e-4, atol=1e-5)
    first = [rows[i] for i in range(frames[0])]
    assert (first[-1].start, first[-1].end) == (480, 500)


@pytest.mark.parametrize(
    ("kind", "limit"), [("whisper", None), ("wav2vec2", 20), ("hubert", 20), ("whisper", 20)]
)
def test_longer_recordings_are_cut_and_counted(tiny, tmp_path, kind, limit):
    data = recordings(tmp_path, (20000, 3000))
    windows = list(extractor(tiny(kind), data, "embed", max_length=limit).windows())
    assert sum(window.truncated for window in windows) == 1
    counts = np.bincount(joined_rows([w.rows for w in windows]).sample)
    assert counts[0] == (limit or 50)
    assert counts[1] < 20


def test_a_cut_recording_is_read_as_if_it_ended_there(tiny, tmp_path):
    wave = np.random.default_rng(0).standard_normal(20000) / 10
    samples = 400 + 19 * 320  # 20 frames
    for name, end in (("long", None), ("short", samples)):
        soundfile.write(tmp_path / f"{name}.wav", wave[:end], 16000)
    data = media_set([actlas.Media(str(tmp_path / f"{n}.wav"), "audio") for n in ("long", "short")])
    _, matrices = extracted(tiny("wav2vec2"), data, "layers.2", max_length=20)
    first, second = np.split(matrices["layers.2"], 2)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_a_longer_recording_can_be_refused(tiny, tmp_path):
    data = recordings(tmp_path, (3000, 20000))
    run = extractor(tiny("whisper"), data, "embed", on_long="error")
    with pytest.raises(DatasetError, match=r"1\.wav has 1\.25 s, the limit is 1\.00 s"):
        list(run.windows())


def test_another_sampling_rate_is_brought_to_the_models_and_stated(tiny_folder, tmp_path):
    model = actlas.load_model(str(tiny_folder("wav2vec2")), device="cpu")
    assert model.feed.notes == []
    wave = np.sin(2 * np.pi * 440 * np.arange(6000) / 8000).astype(np.float32) / 2
    soundfile.write(tmp_path / "8k.wav", wave, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "16k.wav", resample_poly(wave, 2, 1), 16000, subtype="FLOAT")
    data = media_set([actlas.Media(str(tmp_path / f"{n}.wav"), "audio") for n in ("8k", "16k")])
    rows, matrices = extracted(model, data, "layers.2")
    first, second = np.split(matrices["layers.2"], 2)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    assert rows.end.max() <= 750
    assert model.feed.notes == ["resampled 8000 → 16000 Hz"]


def test_a_recording_too_short_for_a_frame_is_named(tiny, tmp_path):
    with pytest.raises(DatasetError, match=r"1\.wav is too short for one frame; leave it out"):
        extracted(tiny("wav2vec2"), recordings(tmp_path, (3000, 399)), "embed")


def test_a_recording_has_no_words(tiny, talks):
    with pytest.raises(InputError, match="recordings have no words; use --pooling token or mean"):
        extracted(tiny("wav2vec2"), talks, pooling="word")


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "whisper"])
def test_pooling_averages_the_frames_that_hold_sound(tiny, talks, kind):
    rows, tokens = extracted(tiny(kind), talks)
    pooled, means = extracted(tiny(kind), talks, pooling="mean")
    assert pooled.sample.tolist() == [0, 1, 2, 3]
    for name, matrix in means.items():
        wanted = [tokens[name][rows.sample == i].mean(axis=0) for i in range(4)]
        np.testing.assert_allclose(matrix, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["wavlm", "whisper"])
def test_a_store_holds_the_frames_of_recordings(tiny, talks, sqlite_store, kind):
    made = sqlite_store.extract(tiny(kind), talks, "layers.1", dtype="float32")
    rows, data = extracted(tiny(kind), talks, "layers.1")
    np.testing.assert_array_equal(made.activations("layers.1").numpy(), data["layers.1"])
    assert list(made.rows.token) == list(rows.token)
    assert made.rows.start.tolist() == rows.start.tolist()


def test_a_network_in_half_precision_is_given_its_own_dtype(tiny_folder, talks, waves):
    folder = str(tiny_folder("wav2vec2"))
    model = actlas.load_model(folder, device="cpu", compute_dtype="bfloat16")
    _, data = extracted(model, talks, "layers.1", dtype="bfloat16")
    wave = (waves[0] - waves[0].mean()) / np.sqrt(waves[0].var() + 1e-7)
    with torch.inference_mode():
        inputs = torch.from_numpy(wave)[None].bfloat16()
        own = model.module(inputs, output_hidden_states=True).hidden_states[2][0].float()
    np.testing.assert_array_equal(data["layers.1"][: len(own)], own)


def test_without_soundfile_the_extra_is_named(tiny, talks, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(DatasetError, match=r"pip install 'actlas\[audio\]'"):
        extracted(tiny("wav2vec2"), talks, "embed")


def test_features_whose_frames_cannot_be_told_are_refused(tiny_folder, tmp_path):
    folder = tmp_path / "strange"
    shutil.copytree(tiny_folder("whisper"), folder)
    values = {
        "feature_extractor_type": "SeamlessM4TFeatureExtractor", "feature_size": 8,
        "num_mel_bins": 8, "sampling_rate": 16000, "padding_value": 0.0, "stride": 2,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"neither waveforms nor a window .* torch:package"):
        actlas.load_model(str(folder), device="cpu")
    assert MEDIA["whisper"][2]["feature_size"] == 8
