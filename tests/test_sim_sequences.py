"""Training on stored activations, and what a training leaves in a store."""

import numpy as np
import pytest

import actlas
from actlas import Activations, InputError, Rows
from actlas.api.sequences import train_sequences
from actlas.core import Dataset
from actlas.plugins.sim import recipe
from actlas.plugins.sim.sequences import SEQUENCE, site_clips

from .test_cli import fails, good
from .test_sim_training import write_tones

WORDS = ["cat", "dog", "moon", "sun", "rain", "tree"]
SETTINGS = {
    "crop": 8, "window": 8, "steps": 2, "channels": 6, "batch": 8, "epochs": 2, "held_out": 0.2,
}  # fmt: skip


def sequence(**changes):
    return recipe("sim", inputs=3, **{**SEQUENCE, "crop": 8, "steps": 2, **changes})


def rows_of(lengths, width=3):
    """Rows of samples of these lengths: dimension d of row i is i + 100·d, the last constant."""
    n = sum(lengths)
    sample = np.repeat(np.arange(len(lengths)), lengths)
    position = np.concatenate([np.arange(k) for k in lengths])
    X = np.arange(n)[:, None] + 100 * np.arange(width)[None]
    X[:, -1] = 7
    return Activations.of(X.astype(np.float32), rows=Rows.build(sample, position), site="layers.1")


def cut(acts, config):
    return site_clips(acts, config, spec="hf:x", digest="d", key="k")


def test_clips_are_the_rows_of_one_sample_each_in_order_and_standardised():
    clips = cut(rows_of([17, 5, 8]), sequence())
    assert clips.samples.tolist() == [0, 0, 2]
    raw = clips.held * np.array(clips.base.std)[:, None] + np.array(clips.base.mean)[:, None]
    first = [[0, 8, 22][i] + np.arange(8) for i in range(3)]
    np.testing.assert_allclose(raw[:, 0], first, atol=1e-4)
    np.testing.assert_allclose(raw[:, 1], np.array(first) + 100, atol=1e-4)
    np.testing.assert_allclose(clips.held[:, :2].mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(clips.held[:, :2].std((0, 2)), 1, atol=1e-5)
    assert (clips.held[:, 2] == 0).all()  # it does not vary
    assert clips.notes == ("1 samples shorter than 8 rows left out (1)",)


@pytest.mark.parametrize(
    ("acts", "changes", "said"),
    [
        (rows_of([7, 5]), {}, r"longest sample has 7 rows, and a clip 8; use --crop 7 or less"),
        (Activations.of(np.ones((9, 3)), site="s"), {}, r"row is a whole sample, .*--pooling tok"),
        (rows_of([9]).take(np.arange(9) != 4), {}, r"rows of positions are left out"),
        (rows_of([9]), {"steps": 4}, r"gives 4 frames of the last module; predicting 4 ahead needs "
                                     r"more: use --crop 10 or larger"),
        (Activations.of(np.full((9, 3), np.nan), rows=rows_of([9]).rows, site="s"), {},
         r"hold NaN or infinity; extract with --dtype float32"),
    ],
)  # fmt: skip
def test_rows_that_are_no_sequences_are_refused(acts, changes, said):
    with pytest.raises(InputError, match=said):
        cut(acts, sequence(**changes))


@pytest.fixture
def stored(sqlite_store, tiny):
    """Texts of 12 to 14 words through a tiny model."""
    draws = np.random.default_rng(0)
    texts = [" ".join(draws.choice(WORDS, 12 + i % 3)) for i in range(40)]
    made = sqlite_store.extract(tiny("bert"), Dataset.of(texts), "layers.1", dtype="float32")
    return sqlite_store, made


def test_an_encoder_of_a_stored_site_is_trained_loaded_extracted_and_kept(stored, tmp_path):
    store, made = stored
    said = []
    done = train_sequences(
        "sim", made.id, "layers.1", tmp_path / "top", store=store.url, settings=SETTINGS,
        device="cpu", say=said.append,
    )  # fmt: skip
    assert [m["module"] for m in done["modules"]] == ["layers.0", "layers.1"]
    run = store.result(done["run"])
    assert len(run.result.tables["epochs"]) == 4
    assert run.result.tables["summary"]["epochs"][0] == 2
    kept = [e for e in store.records("extractions") if e.id != made.id]
    assert [e.pooling for e in kept] == ["mean", "mean"]
    model = actlas.load_model(done["model"], device="cpu")
    assert model.sites["sim.layers.0"].width == 6
    again = train_sequences(
        "sim", made.id, "layers.1", tmp_path / "top", store=store.url, settings=SETTINGS,
        device="cpu", keep=False,
    )  # fmt: skip
    assert again["modules"] == done["modules"]
    assert "run" not in again


def test_the_command_trains_on_a_site_and_says_what_does_not_fit(stored, tmp_path, monkeypatch):
    store, made = stored
    monkeypatch.chdir(tmp_path)
    on = ["--extraction", made.id, "--site", "layers.1", "--store", store.url, "-o", "top"]
    small = ["--crop", 8, "--window", 8, "--steps", 2, "--batch", 8, "--epochs", 1]
    done = good("train", "gim", *on, *small, "--no-store", "--json").json
    assert (done["kind"], done["recipe"], "run" in done) == ("gim", "sequence", False)
    assert fails("train", "sim", "-o", "x") == (
        "no recordings; name DATA, or --extraction N and --site SITE"
    )
    assert "need both --extraction N and --site SITE" in fails("train", "sim", *on[:2], "-o", "x")
    assert "leave --recipe out" in fails("train", "sim", *on, "--recipe", "paper")
    assert "use sim, gim or cpc here" in fails("train", "supervised", *on, "--labels", "word")


def test_recordings_that_were_trained_on_are_extracted_beside_the_metrics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tones(tmp_path / "tones")
    small = ["--channels", 8, "--steps", 3, "--window", 16, "--batch", 8, "--crop", 2560]
    url = f"sqlite:///{tmp_path}/s.db"
    command = ["train", "sim", "tones", "-o", "m", *small, "--epochs", 1, "--json"]
    done = good(*command, "--gru", 5, "--store", url).json
    with actlas.open(url) as store:
        made = store.extraction(done["extraction"])
        assert [a.site for a in made.sites] == ["layers.0", "layers.1", "layers.2", "context"]
        assert (len(made.rows), made.record.pooling) == (24, "mean")
        epochs = store.result(done["run"]).result.tables["epochs"]
        assert epochs["module"].tolist() == ["layers.0", "layers.1", "layers.2", "context"]
    untrained = good(*command, "-o", "r", "--epochs", 0, "--store", url).json
    assert untrained["extraction"] != done["extraction"]
    assert "run" not in untrained
    monkeypatch.setenv("ACTLAS_STORE", f"sqlite:///{tmp_path}/none.db")
    assert "run" not in good(*command, "-o", "n", "--no-store").json
    assert not (tmp_path / "none.db").exists()
