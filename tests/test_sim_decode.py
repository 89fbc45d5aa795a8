"""`sim_decode`: planted decoders, the gate, splits, sound and pixels from files, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import actlas
from actlas import Activations, InputError, Labels, Media, Others, Rows, Samples
from actlas.cli import cli
from actlas.core.activations import Source
from actlas.plugins.sim.decoding import fitting, measures, sim_decode, sound
from actlas.plugins.sim.decoding.decoders import Latents, Scale, one_thread
from actlas.plugins.sim.decoding.remarks import gate
from actlas.plugins.sim.decoding.sequences import Sequences, split
from actlas.plugins.sim.decoding.sound import Bands, highest
from actlas.plugins.sim.decoding.targets import of_samples
from actlas.testing import checks

from .tiny import media_set

CLIPS, FRAMES, WIDTH, HOP = 24, 40, 5, 10  # milliseconds
TONES = (500, 2500)  # Hz
QUICK = {"epochs": 12, "pairs": 20, "steps": 3, "hidden": 32}


@pytest.fixture(scope="module", autouse=True)
def roughly():
    """Few rounds of Griffin and Lim: how well they sound is tested with the bands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sound, "ROUNDS", 2)
        yield


def frame_rows(clips=CLIPS, frames=FRAMES):
    at = np.tile(np.arange(frames), clips) * HOP
    sample = np.repeat(np.arange(clips), frames)
    return Rows.build(sample, at // HOP, start=at, end=at + HOP)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def site(X, name="layers.0", rows=None):
    return Activations.of(X, rows=frame_rows() if rows is None else rows, site=name)


@pytest.fixture(scope="module")
def planted():
    """Two dimensions of five decide the other site, the first alone most of it."""
    X = drawn((CLIPS * FRAMES, WIDTH))
    Y = X[:, :2] @ np.array([[3.0, 3.0, 3.0], [0.0, 0.0, 1.0]], np.float32)
    return site(X), site(Y, "embed")


@pytest.fixture(scope="module")
def linear(planted):
    X, Y = planted
    return sim_decode(X, others=Others.of(Y), target="site", decoder="ridge", alpha=0.0, pairs=50)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Clips of two tones, and latents that say how loud each is: (samples, activations)."""
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    media, rows = [], []
    for i in range(CLIPS):
        code = np.repeat(rng.standard_normal((4, WIDTH)), FRAMES // 4, axis=0)
        loud = np.repeat(0.02 * np.exp(code[:, :2]), HOP * 16, axis=0)
        at = 2 * np.pi * np.arange(len(loud))[:, None] * TONES / 16000
        soundfile.write(folder / f"{i:02d}.wav", (loud * np.sin(at)).sum(1).clip(-1, 1), 16000)
        media.append(Media(str(folder / f"{i:02d}.wav"), "audio"))
        rows.append(code)
    return Samples.of(media_set(media), pooling="token"), site(np.concatenate(rows))


@pytest.fixture(scope="module")
def spectra(tones):
    samples, acts = tones
    return sim_decode(acts, samples, form="mel", bands=12, decoder="ridge", **QUICK)


@pytest.mark.parametrize(
    "check",
    checks(
        sim_decode,
        inputs={
            "acts": site(drawn((CLIPS * 4, WIDTH)), rows=frame_rows(CLIPS, 4)),
            "others": Others.of(
                site(drawn((CLIPS * 4, WIDTH)) * 2, "embed", rows=frame_rows(CLIPS, 4))
            ),
        },
        target="site",
        **QUICK,
    ),
    ids=repr,
)
def test_it_conforms(check):
    check()


def test_a_linear_site_is_decoded_and_its_paths_are_straight(linear):
    (summary,) = linear.tables["summary"]
    assert summary["test_error"] < 1e-6
    assert summary["informative"]
    assert summary["linearity"] == pytest.approx(1, abs=1e-4)
    assert summary["prior"] == pytest.approx(1, abs=0.2)
    assert summary["midpoint"] < 0.9  # of independent frames: half as far from the mean
    assert linear.arrays["traversal_dims"][:2].tolist() == [0, 1]
    assert (summary["train"], summary["test"], summary["frames"]) == (18, 6, FRAMES)


def test_effects_and_masks_are_those_of_the_planted_dimensions(linear):
    table = linear.tables["dimensions"]
    assert table["dead"].tolist() == [False, False, True, True, True]
    unit = np.linspace(-2.68, 2.68, 9).var()  # the slope of dim 1 is 1 of a deviation of √10
    assert table["effect"][1] == pytest.approx(unit / 10 / 3, rel=0.15)
    np.testing.assert_allclose(table["masked"][2:], 0, atol=1e-5)
    assert table["masked"][0] > table["masked"][1] > 0.01
    assert table["peak"][1] == 2
    assert table["bandwidth"][1] < 0.01 < table["bandwidth"][0]
    kept = linear.tables["curve"]["kept"]
    assert kept[0] == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(kept[2:], 0, atol=1e-5)


def test_error_is_one_for_the_mean_and_nothing_is_called_smooth(planted):
    X, _ = planted
    noise = site(drawn((len(X), 3), seed=9), "embed")
    result = sim_decode(X, others=Others.of(noise), target="site", decoder="ridge", alpha=1e6)
    (summary,) = result.tables["summary"]
    assert summary["test_error"] == pytest.approx(1, abs=1e-3)
    assert not summary["informative"]
    told = ("area", "prior", "fitted", "midpoint", "linearity", "matched", "path_length")
    assert all(np.isnan(summary[name]) for name in told)
    assert len(result.tables["curve"]) == len(result.tables["realism"]) == 0
    assert "is not called smooth" in result.warnings[0]
    for figure in result.figures.values():
        assert "nothing can be decoded" in str(figure.to_dict())


def test_samples_of_a_collapsed_posterior_cannot_be_decoded_though_means_can(planted):
    X, Y = planted
    small = site(X.numpy() * 1e-4)  # what the mean says is drowned in N(0, 1)
    logvar = site(np.zeros(X.shape, np.float32), "layers.0.logvar")
    both = Others.of(Y, logvar)
    found = sim_decode(small, others=both, target="site", **QUICK).tables["summary"]
    assert found["trained_on"][0] == "samples"
    assert found["active"][0] == 0
    assert not found["informative"][0]
    means = sim_decode(small, others=both, target="site", sampled=False, **QUICK)
    assert means.tables["summary"]["informative"][0]
    assert means.tables["summary"]["trained_on"][0] == "means"


def test_draws_have_the_posteriors_moments():
    import torch

    mean, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, np.log(9.0)]])
    drawn = Latents(mean, logvar.float()).drawn(
        torch.zeros(20000, dtype=torch.long), torch.Generator().manual_seed(0)
    )
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=0.07)
    np.testing.assert_allclose(drawn.std(0), [1, 3], atol=0.05)
    wild = Latents(mean, torch.full((1, 2), 1e4)).drawn(torch.tensor([0]), torch.Generator())
    assert torch.isfinite(wild).all()


def test_a_constant_is_only_centred():
    import torch

    scale = Scale.of(torch.tensor([[3.0, 1.0], [3.0, 5.0]]))
    assert scale.to(torch.tensor([[3.0, 5.0]])).tolist() == [[0, 1]]
    assert scale.back(torch.tensor([[0.0, 1.0]])).tolist() == [[3, 5]]


def test_samples_and_groups_are_not_split():
    order = Sequences.of(site(drawn((CLIPS * FRAMES, 1))))
    groups = np.repeat(np.arange(CLIPS) // 4, FRAMES)
    labels = Labels.of(["x"] * len(groups), groups=groups)
    train, test = split(order, labels, 0.3, np.random.default_rng(0))
    assert sorted([*train, *test]) == list(range(CLIPS))
    assert not {i // 4 for i in train} & {i // 4 for i in test}
    assert len(test) == 8  # two of six groups
    one = Labels.of(["x"] * len(groups), groups=np.zeros(len(groups)))
    with pytest.raises(InputError, match="all samples hang together by their groups"):
        split(order, one, 0.3, np.random.default_rng(0))


def test_rows_are_put_in_order(planted):
    X, Y = planted
    order = np.random.default_rng(0).permutation(len(X))
    mixed = sim_decode(
        X.take(order), others=Others.of(Y.take(order)), target="site", decoder="ridge", pairs=30
    )
    plain = sim_decode(X, others=Others.of(Y), target="site", decoder="ridge", pairs=30)
    np.testing.assert_allclose(
        mixed.tables["curve"]["error"], plain.tables["curve"]["error"], rtol=1e-4, atol=1e-6
    )


def test_spread_traverses_each_dimension_by_its_own(planted):
    X, Y = planted
    wide = site(X.numpy() * 1000 + 5)
    setup = {"target": "site", "decoder": "ridge", "pairs": 20}
    unit = sim_decode(wide, others=Others.of(Y), **setup)
    assert any("use --units spread" in said for said in unit.warnings)
    spread = sim_decode(wide, others=Others.of(Y), units="spread", **setup)
    assert not any("--units" in said for said in spread.warnings)
    plain = sim_decode(X, others=Others.of(Y), **setup)
    ratio = spread.tables["dimensions"]["effect"][0] / plain.tables["dimensions"]["effect"][0]
    assert ratio == pytest.approx(1, abs=0.15)
    fitted, other = (one.tables["summary"]["fitted"][0] for one in (spread, plain))
    assert fitted == pytest.approx(other, rel=0.02)
    assert abs(fitted - spread.tables["summary"]["prior"][0]) > 0.1  # N(0, I) is one point here


def test_spectra_are_decoded_of_the_frames_that_they_are_of(spectra):
    (summary,) = spectra.tables["summary"]
    assert summary["target"] == "mel, 12 bands"
    assert summary["r2"] > 0.25  # bands without a tone hold noise
    assert spectra.arrays["priors"].shape == (16, FRAMES, 12)
    table = spectra.tables["dimensions"]
    assert set(table["share"].argsort()[::-1][:2].tolist()) == {0, 1}
    for peak, tone in zip(table["peak"][:2], TONES, strict=True):
        assert abs(peak - tone) < 0.35 * tone  # bands are wide
    assert {"item 0 original", "prior 0", "line step 0"} <= set(spectra.arrays["wave_names"])
    assert spectra.arrays["waves"].shape[1] == FRAMES * HOP * 16
    waves = dict(zip(spectra.arrays["wave_names"], spectra.arrays["waves"], strict=True))
    for dim in spectra.arrays["traversal_dims"][:2]:  # how loud a tone is
        assert waves[f"dim {dim} high"].std() > 2 * waves[f"dim {dim} low"].std()


def test_waveforms_have_the_length_of_their_stack(tones, monkeypatch):
    samples, acts = tones
    monkeypatch.setattr(fitting, "GATE", -1e9)  # two passes decode nothing
    result = sim_decode(acts, samples, form="wave", channels=2, **(QUICK | {"epochs": 2}))
    assert result.tables["summary"]["target"][0] == "waveform"
    assert result.arrays["waves"].shape[1] == FRAMES * 160


def test_a_waveform_that_is_not_decoded_says_what_to_do(tones):
    samples, acts = tones
    result = sim_decode(acts, samples, form="wave", channels=2, **(QUICK | {"epochs": 1}))
    assert not result.tables["summary"]["informative"][0]
    assert any("more --epochs, or --form spectrum" in said for said in result.warnings)


def test_bands_end_where_recordings_do(tones, tmp_path):
    _, acts = tones
    rng = np.random.default_rng(0)
    for i in range(CLIPS):
        soundfile.write(tmp_path / f"{i}.wav", rng.standard_normal(FRAMES * 80) * 0.1, 8000)
    media = [Media(str(tmp_path / f"{i}.wav"), "audio") for i in range(CLIPS)]
    samples = Samples.of(media_set(media), pooling="token")
    result = sim_decode(acts, samples, bands=12, decoder="ridge", **QUICK)
    assert any("hold no sound above 4000 Hz" in said for said in result.warnings)
    bands = Bands.for_hop(16000, 160, 12, True, highest(samples, np.arange(CLIPS), 16000))
    assert bands.centres.max() < 4000
    assert not bands.filters[:, 129:].any()  # bins above 4 kHz


def test_a_module_that_has_half_collapsed_says_so(planted):
    X, Y = planted
    logvar = site(np.full(X.shape, -9, np.float32), "layers.0.logvar")
    some = site(X.numpy() * np.array([1, 1, 1e-3, 1e-3, 1e-3], np.float32))
    setup = {"target": "site", "decoder": "ridge", "pairs": 10}
    result = sim_decode(some, others=Others.of(Y, logvar), **setup)
    assert any("partly collapsed: 2 of 5" in said for said in result.warnings)
    (summary,) = result.tables["summary"]
    assert summary["gate"].startswith("partly collapsed: 2 of 5 dimensions active; scores of the o")
    assert result.tables["dimensions"]["active"].tolist() == [True, True, False, False, False]
    whole = sim_decode(X, others=Others.of(Y, logvar), **setup)
    assert not any("collapsed" in said for said in whole.warnings)
    assert whole.tables["summary"]["gate"][0] == "informative"


def test_without_an_active_dimension_no_smoothness_is_told(planted):
    X, Y = planted
    sure = Others.of(Y, site(np.full(X.shape, -30, np.float32), "layers.0.logvar"))
    small = site(X.numpy() * 0.03)  # decodable, for its draws hardly spread
    result = sim_decode(small, others=sure, target="site", decoder="ridge", alpha=0.0)
    (summary,) = result.tables["summary"]
    assert summary["r2"] > 0.9
    assert summary["active"] == 0
    assert not summary["informative"]
    assert summary["gate"].startswith("collapsed: none of 5 dimensions active")
    assert np.isnan(summary["area"])
    assert any("collapsed: 0 of 5 dimensions are active" in said for said in result.warnings)


def test_the_gate_says_how_many_dimensions_count():
    some = np.array([True, True, False])
    assert gate(0.9, None) == gate(0.9, some[:2]) == "informative"
    assert gate(0.9, some).startswith("informative: 2 of 3 dimensions active; scores of the others")
    assert gate(0.9, ~some).startswith("partly collapsed: 1 of 3")
    assert gate(0.9, some[2:]) == "collapsed: none of 1 dimensions active; no smoothness is told"
    assert gate(0.05, some) == "uninformative: R² of test samples 0.05, not above 0.05"


def test_no_more_rows_are_read_than_asked(planted):
    X, Y = planted
    seen = []

    class Watched(Source):
        def __init__(self, inner):
            self.inner, self.shape = inner, inner.shape

        def read(self, start, stop, out):
            seen.append(np.arange(start, stop))
            self.inner.read(start, stop, out)

        def gather(self, index, out):
            seen.append(index)
            self.inner.gather(index, out)

    def watched(acts):
        return replace(acts, source=Watched(acts.source))

    groups = np.repeat(np.arange(CLIPS) // 12, FRAMES)  # the first rows are all of one group
    labels = Labels.of(["x"] * len(groups), groups=groups)
    result = sim_decode(
        watched(X), others=Others.of(watched(Y)), target="site", decoder="ridge", pairs=5,
        max_rows=7 * FRAMES + 1, labels=labels,
    )  # fmt: skip
    (summary,) = result.tables["summary"]
    assert summary["train"] + summary["test"] == 7
    assert len(np.unique(np.concatenate(seen))) == 7 * FRAMES


def test_items_that_are_cut_say_so():
    X = site(drawn((8 * 70, 3)), rows=frame_rows(8, 70))
    others, setup = Others.of(X), {"target": "site", "decoder": "ridge", "pairs": 5}
    cut = sim_decode(X, others=others, **setup)
    assert cut.tables["summary"]["frames"][0] == 64
    assert any("first 64 frames of samples that have 70" in said for said in cut.warnings)
    whole = sim_decode(X, others=others, frames=70, **setup)
    assert whole.tables["summary"]["frames"][0] == 70
    assert not any("frames" in said for said in whole.warnings)


def test_a_log_variance_is_advised_only_where_one_may_be(tones, planted):
    samples, acts = tones
    near = decoded(samples, acts)
    assert any("extract layers.0.logvar too" in said for said in near)
    assert not any("logvar" in said for said in decoded(samples, site(acts.numpy() * 9)))
    assert not any("logvar" in said for said in decoded(samples, site(acts.numpy(), "encoder.1")))
    own = decoded(samples, site(acts.numpy(), "layers.0.logvar"))
    assert any("decode layers.0, with --other layers.0.logvar" in said for said in own)
    X, Y = planted
    texts = sim_decode(X, others=Others.of(Y), target="site", decoder="ridge", pairs=5)
    assert not any("logvar" in said for said in texts.warnings)


def decoded(samples, acts):
    return sim_decode(acts, samples, bands=12, decoder="ridge", pairs=5).warnings


def test_whole_recordings_have_spectra_and_no_sound(tones):
    samples, acts = tones
    mean = acts.numpy().reshape(CLIPS, FRAMES, -1).mean(1)
    result = sim_decode(
        Activations.of(mean, site="layers.0"), samples, form="mel", bands=12, decoder="ridge",
        pairs=10,
    )  # fmt: skip
    assert result.tables["summary"]["r2"][0] > 0.05
    assert result.arrays["waves"].size == 0
    assert result.arrays["interpolation"].shape[2:] == (1, 12)


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """Clips with a click in some frames, and latents that say in which: (samples, activations)."""
    folder, rng = tmp_path_factory.mktemp("clicks"), np.random.default_rng(1)
    media, rows = [], []
    for i in range(8):
        code = rng.random(12) < 0.3
        wave = 1e-3 * rng.standard_normal(12 * 160)
        wave[160 * np.flatnonzero(code) + 20] = 0.9
        soundfile.write(folder / f"{i}.wav", wave, 16000, subtype="FLOAT")
        media.append(Media(str(folder / f"{i}.wav"), "audio"))
        rows.append(np.stack([code, ~code], 1).astype(np.float32))
    acts = site(np.concatenate(rows), rows=frame_rows(8, 12))
    return Samples.of(media_set(media), pooling="token"), acts


def test_a_decoded_waveform_is_where_its_original_is(clicks):
    samples, acts = clicks
    result = sim_decode(
        acts, samples, form="wave", loss="wave", channels=8, epochs=40, lr=0.02, pairs=4, steps=2
    )
    assert result.tables["summary"]["informative"][0]
    waves = dict(zip(result.arrays["wave_names"], result.arrays["waves"], strict=True))
    real, made = waves["item 0 original"], waves["item 0 decoded"]
    files = [soundfile.read(one.path, dtype="float32")[0] for one in samples.dataset.media]
    assert any(np.array_equal(real, one) for one in files)
    found = np.correlate(made, real, "full")
    assert found.argmax() - (len(real) - 1) == 0
    assert found.max() > 0.9 * np.sqrt((made @ made) * (real @ real))


def test_waveforms_are_wanted_from_the_first_frame_on(clicks):
    samples, acts = clicks
    rows = acts.rows
    late = Rows.build(rows.sample, rows.position, start=rows.start + 20, end=rows.end + 20)
    order = Sequences.of(acts)
    whole, cut = (of_samples(samples, at, order, "wave", 16000, 40, 6, 16) for at in (rows, late))
    assert whole.values.shape == (8, 6 * 160)
    for i in range(8):
        wave = soundfile.read(samples.dataset.media[i].path, dtype="float32")[0]
        np.testing.assert_array_equal(whole.values[i], wave[:960])
        np.testing.assert_array_equal(cut.values[i], wave[320 : 320 + 960])


def test_few_samples_train_and_test_or_say_what_is_missing():
    X = site(drawn((4 * 5, 3)), rows=frame_rows(4, 5))
    setup = {"target": "site", "decoder": "ridge", "pairs": 5}
    (summary,) = sim_decode(X, others=Others.of(X), **setup).tables["summary"]
    assert (summary["train"], summary["test"]) == (2, 2)
    groups = np.repeat([0, 0, 0, 1], 5)
    labels = Labels.of(["x"] * 20, groups=groups)
    with pytest.raises(InputError, match=r"to test on, and two of each are needed; give more"):
        sim_decode(X, others=Others.of(X), labels=labels, **setup)


def test_effects_do_not_hang_on_what_is_drawn_nor_on_the_first_frame(planted):
    X, Y = planted
    setup = {"target": "site", "decoder": "ridge", "pairs": 10}
    few, many = (sim_decode(X, others=Others.of(Y), steps=n, **setup) for n in (2, 9))
    np.testing.assert_array_equal(
        few.tables["dimensions"]["effect"], many.tables["dimensions"]["effect"]
    )


def test_random_points_are_as_far_as_the_other_item(planted, monkeypatch):
    X, Y = planted
    seen, lines = [], measures.lines

    def watched(decode, a, b):
        seen.append((b - a).flatten(1).norm(dim=1).numpy())
        return lines(decode, a, b)

    monkeypatch.setattr(measures, "lines", watched)
    sim_decode(X, others=Others.of(Y), target="site", decoder="ridge", pairs=5)
    items, random = seen
    np.testing.assert_allclose(random, items, rtol=1e-5)


def test_threads_are_as_many_after_as_before(planted):
    import torch

    X, Y = planted
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        with one_thread():
            seen.append(torch.get_num_threads())
        sim_decode(X, others=Others.of(Y), target="site", decoder="ridge", pairs=5)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_sounds_are_written(spectra, tmp_path):
    files = actlas.write_sounds(spectra, tmp_path / "wav")
    assert files[0].name == "00-item-0-original.wav"
    assert len(files) == len(spectra.arrays["waves"])
    wave, rate = soundfile.read(files[1], dtype="float32")
    own = spectra.arrays["waves"][1]
    np.testing.assert_allclose(wave, own / max(1, np.abs(own).max()), atol=1e-4)
    assert rate == 16000
    with pytest.raises(InputError, match=r"is there already; name another folder"):
        actlas.write_sounds(spectra, tmp_path / "wav")


def test_a_result_without_sound_says_so(linear, tmp_path):
    with pytest.raises(InputError, match="holds no sound"):
        actlas.write_sounds(linear, tmp_path)


def test_pixels_of_whole_images(tmp_path):
    from PIL import Image

    code, media = drawn((CLIPS, 2)), []
    for i, (a, _) in enumerate(code):
        level = int(np.clip(128 + 50 * a, 0, 255))
        Image.new("RGB", (8, 8), (level, 255 - level, 0)).save(tmp_path / f"{i}.png")
        media.append(Media(str(tmp_path / f"{i}.png"), "image"))
    whole = Samples.of(media_set(media))
    acts = Activations.of(code)
    result = sim_decode(acts, whole, pixels=4, decoder="ridge", alpha=1e-4, pairs=10)
    (summary,) = result.tables["summary"]
    assert summary["target"] == "4 × 4 pixels"
    assert summary["test_error"] < 0.05
    patches = Activations.of(drawn((CLIPS * 2, 2)), rows=frame_rows(CLIPS, 2))
    with pytest.raises(InputError, match="pixels are decoded of whole images"):
        sim_decode(patches, whole)


def refusals(tones):
    samples, acts = tones
    other = site(drawn((len(acts), 3)), "embed")
    plain = Activations.of(drawn((CLIPS, 2)))
    yield (acts,), {"samples": Samples.of(["a"] * CLIPS)}, "texts are decoded to another site"
    yield (acts, samples), {"form": "wave", "rate": 32000}, "320 samples apart at 32000 Hz"
    yield (acts, samples), {"form": "wave", "frames": 2}, r"too short to decode .* --frames"
    yield (acts, samples), {"frames": 41}, "the longest sample has 40; use fewer"
    yield (plain, samples), {"form": "wave"}, "extract with --pooling token"
    logvar = site(drawn((len(acts), 3)), "layers.0.logvar")
    fits = site(drawn((len(acts), WIDTH)), "layers.0.logvar")
    named = {"others": Others.of(logvar, other), "target": "site"}
    yield (acts,), named, "layers.0.logvar is 3 wide and layers.0 5; name that of the same"
    yield (acts,), {"others": Others.of(fits), "target": "site"}, r"and 0 are named; .*--other"
    short = Others.of(Activations.of(drawn((CLIPS, 3)), site="embed"))
    yield (acts,), {"others": short, "target": "site"}, "rows of embed are not those of layers.0"
    few = acts.take(slice(0, 3 * FRAMES))
    yield (few, samples), {}, "3 samples cannot both train and test a decoder; give 4"
    for name, value in [("pairs", 0), ("steps", 1), ("test_share", 1.0), ("bands", 1000),
                        ("lr", 0.0), ("rate", 10), ("frames", 0)]:  # fmt: skip
        yield (acts, samples), {name: value}, name
    yield (acts,), {}, "needs samples"


def test_bad_input_is_refused_in_a_line(tones):
    for inputs, given, said in refusals(tones):
        with pytest.raises(InputError, match=said):
            sim_decode(*inputs, **given)


def test_recordings_that_are_gone_are_named(tones, tmp_path):
    _, acts = tones
    gone = media_set([Media(str(tmp_path / f"{i}.wav"), "audio") for i in range(CLIPS)])
    with pytest.raises(actlas.DatasetError, match=r"0\.wav cannot be read"):
        sim_decode(acts, Samples.of(gone), **QUICK)


def test_the_command_line_writes_sounds_of_a_stored_run(spectra, linear, tmp_path, monkeypatch):
    held = {"1": spectra, "2": linear}

    class Stored:
        def __init__(self, run):
            self.result = held[run]

    monkeypatch.setattr(actlas.api.Store, "result", lambda _, run: Stored(run))
    store = f"sqlite:///{tmp_path / 'x.db'}"
    with actlas.open(store):
        pass

    def wav(run):
        return CliRunner().invoke(
            cli, ["results", run, "--wav", str(tmp_path / "w"), "--store", store]
        )

    told = wav("1")
    assert told.exit_code == 0, told.output
    written = sorted((tmp_path / "w").glob("*.wav"))
    assert len(written) == len(spectra.arrays["waves"])
    assert str(written[0]) in told.output.replace("\n", "")
    assert "is there already" in str(wav("1").exception)
    assert "holds no sound" in str(wav("2").exception)
