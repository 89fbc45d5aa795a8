"""The example of Smooth InfoMax: its recordings, its verdicts, and everything once, tiny."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from scipy import stats

import actlas
from actlas.plugins.sim.corpus import write_wav
from examples.common.verdicts import Verdict
from examples.sim_speech import training
from examples.sim_speech.claims import claims, controls
from examples.sim_speech.corpus import Sizes, digit_corpus, syllable_corpus
from examples.sim_speech.measures import (
    COLLAPSED,
    CPC,
    GIM,
    RANDOM,
    SIM,
    SUPERVISED,
    Measured,
    Measures,
    difference,
    over_seeds,
    ratio,
)
from examples.sim_speech.measuring import measured
from examples.sim_speech.page import write_page
from examples.sim_speech.study import Size, Workshop, study
from examples.sim_speech.training import Regime

SIZES = Sizes(words=12, read=6, syllables=36, voices=2, new_voices=4)
SITES = ("layers.0", "layers.1", "layers.2")


def values_of(source: Path, name: str) -> list[str]:
    found = actlas.read_dataset(source).label_sets[name]
    return [item[-1] for item in found.items]


def test_voices_that_are_probed_were_not_heard_and_words_that_are_read_differ(
    tmp_path: Path,
) -> None:
    corpus = syllable_corpus(tmp_path, SIZES, "formants")
    heard, new = (set(values_of(t, "voice")) for t in (corpus.train, corpus.probed))
    assert (len(heard), len(new)) == (2, 4)
    assert not heard & new
    assert set(values_of(corpus.taught, "voice")) == heard
    assert not set(values_of(corpus.train, "word")) & set(values_of(corpus.read, "word"))
    assert len(set(values_of(corpus.probed, "word"))) == 9
    assert set(corpus.factors) <= set(corpus.probing.label_sets)
    before = corpus.train.stat().st_mtime_ns
    assert syllable_corpus(tmp_path, SIZES, "formants").train.stat().st_mtime_ns == before
    more = syllable_corpus(tmp_path, replace(SIZES, words=14), "formants")
    assert len(actlas.read_dataset(more.train)) == 14


def test_digits_are_joined_by_speaker_and_takes_that_are_probed_are_not_heard(
    tmp_path: Path,
) -> None:
    recordings = tmp_path / "fsdd"
    recordings.mkdir()
    time = np.arange(2400) / 8000
    for digit in range(3):
        for number, speaker in enumerate(("ann", "bob")):
            for take in range(10):
                tone = 0.5 * np.sin(2 * np.pi * (200 + 400 * number + 10 * take) * time)
                name = f"{digit}_{speaker}_{take}.wav"
                write_wav(recordings / name, tone.astype(np.float32), 8000)
    sizes = Sizes(words=5, read=2, syllables=12, voices=1, new_voices=1)
    corpus = digit_corpus(tmp_path / "made", recordings, sizes)
    assert sorted(set(values_of(corpus.probed, "word"))) == ["0", "1", "2"]
    assert sorted(set(values_of(corpus.probed, "voice"))) == ["ann", "bob"]
    assert len(corpus.probing) == 12
    assert set(values_of(corpus.taught, "voice")) == {"ann"}
    for table, count in ((corpus.train, 5), (corpus.read, 2)):
        clips = actlas.read_dataset(table)
        assert len(clips) == count
        assert clips.media is not None
        for one in clips.media:
            sound, rate = one.load()  # type: ignore[misc]
            assert (len(sound), rate) == (10_240, 16_000)
            loudest = np.abs(np.fft.rfft(sound)).argmax() * 16_000 / 10_240
            assert 210 < loudest < 310  # ann's takes 2 to 9, none of bob's


def test_intervals_are_students_over_seeds() -> None:
    one, other = [1.0, 2.0, 4.0], [4.0, 4.0, 10.0]
    low, high = stats.t.interval(0.95, 2, np.mean(one), stats.sem(one))
    found = over_seeds(one)
    assert (found.low, found.high) == pytest.approx((low, high))
    logs = np.log(np.divide(one, other))
    low, high = np.exp(stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs)))
    found = ratio(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((np.exp(logs.mean()), low, high))
    assert difference(one, other).value == pytest.approx(-11 / 3)
    assert over_seeds([1.0]).low == -np.inf
    assert np.isnan(over_seeds([]).value)


def made_up(**changed: float) -> Measures:
    """Numbers as health would give them, but for those named KIND__MEASURE."""
    usual = {
        (SIM, "marginal KL"): 0.1, (GIM, "marginal KL"): 0.8, (SIM, "total correlation"): 7,
        (GIM, "total correlation"): 100, (SIM, "ICS area"): 0.35, (GIM, "ICS area"): 0.8,
        (SIM, "active share"): 0.97, (SIM, "nce"): 1.5, (GIM, "nce"): 1.4,
        (SIM, "decoder error"): 0.5, (GIM, "decoder error"): 0.4,
        (SIM, "accuracy: vowel"): 0.9, (GIM, "accuracy: vowel"): 0.91,
        (RANDOM, "accuracy: vowel"): 0.9, (COLLAPSED, "nce"): 2.39,
        (COLLAPSED, "active share"): 0.0,
    }  # fmt: skip
    for name, value in changed.items():
        kind, _, measure = name.partition("__")
        usual[{"SIM": SIM, "COLLAPSED": COLLAPSED}[kind], measure.replace("_", " ")] = value
    return Measures([
        Measured("syllables", kind, seed, site, measure, value * (1 + 0.01 * seed))
        for (kind, measure), value in usual.items() for site in SITES for seed in range(3)
    ])  # fmt: skip


def verdict(found: list[Verdict], part: str) -> str:
    (word,) = [one.verdict for one in found if part in one.claim]
    return word


BELOW = ("standard normal", "total correlation", "concentrated in few dimensions as a decoder")


def test_health_supports_the_claims_that_can_be_supported() -> None:
    found = claims(made_up())
    for part in (*BELOW, "competitive with GIM on the vowel", "units are active", "log(N + 1)"):
        assert verdict(found, part) == "supported", part
    assert verdict(found, "Training helps") == "not supported"
    assert verdict(found, "fewer holes") == "not testable here"  # nothing was measured
    assert verdict(controls(made_up()), "collapse") == "supported"


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"SIM__marginal_KL": 0.5}, "standard normal"),
        ({"SIM__total_correlation": 40}, "total correlation"),
        ({"SIM__ICS_area": 0.75}, "concentrated in few dimensions as a decoder"),
        ({"SIM__accuracy:_vowel": 0.8}, "competitive with GIM on the vowel"),
        ({"SIM__active_share": 0.5}, "units are active"),
        ({"SIM__nce": 2.3}, "log(N + 1)"),
    ],
)
def test_a_bar_that_is_missed_is_not_supported(changed: dict[str, float], part: str) -> None:
    assert verdict(claims(made_up(**changed)), part) == "not supported"


@pytest.mark.parametrize(
    "changed", [{"SIM__active_share": 0.3}, {"SIM__nce": 2.39}, {"SIM__decoder_error": 1.0}]
)
def test_what_has_collapsed_is_not_called_smooth(changed: dict[str, float]) -> None:
    for part in BELOW:
        assert verdict(claims(made_up(**changed)), part) == "not testable here"


def test_a_collapse_that_is_not_found_is_a_failed_control() -> None:
    healthy = made_up(COLLAPSED__nce=1.0, COLLAPSED__active_share=1.0)
    assert verdict(controls(healthy), "collapse") == "not supported"


TINY = Size(
    Sizes(words=16, read=8, syllables=18, voices=2, new_voices=4),
    Regime(seeds=1, epochs=1, warmup=0, collapse_epochs=1, batch=8, workers=1),
    first=16,
    probing={"rotations": 1, "permutations": 1, "c": 0.1},
    decoding={"epochs": 1, "pairs": 4, "hidden": 16, "frames": 8, "bands": 8, "steps": 3},
)


def test_every_kind_is_trained_once(tmp_path: Path) -> None:
    said: list[str] = []
    corpus = syllable_corpus(tmp_path, TINY.clips, "formants")
    made = training.trained(tmp_path / "networks", corpus, TINY.regime, said.append)
    assert [one.kind for one in made] == [SIM, GIM, RANDOM, CPC, SUPERVISED, COLLAPSED]
    assert len(said) == 6
    for one in made:
        config = actlas.load_model(f"sim:{one.folder}", device="cpu").config
        assert config.kind == {COLLAPSED: "sim", RANDOM: "gim"}.get(one.kind, one.kind.lower())
        assert config.beta == {SIM: 0.01, COLLAPSED: 1.0}.get(one.kind, 0.0)
        assert len(config.classes) == (9 if one.kind == SUPERVISED else 0)
    assert training.trained(tmp_path / "networks", corpus, TINY.regime, said.append) == made
    assert len(said) == 6


def test_everything_runs_from_the_syllables_to_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "KINDS_IN_TURN", ((SIM, GIM),))
    said: list[str] = []
    with actlas.open(str(tmp_path / "actlas.db")) as store:
        shop = Workshop(tmp_path, store, TINY, "formants", None, said.append)
        (done,) = study(shop)
        found = write_page([done], tmp_path, quick=True)
        runs = len(store.records("runs"))
        count = sum(line.startswith("training") for line in said)
        assert count == len(done.networks) == 3
        again = study(shop)  # all of it is there already
        assert len(store.records("runs")) == runs
        assert sum(line.startswith("training") for line in said) == count
        assert [one.network for one in again[0].networks] == [one.network for one in done.networks]
    measures = measured(done)
    for kind in (SIM, GIM):
        for site in SITES:
            assert measures.of("marginal KL", kind, site)
            assert measures.of("accuracy: vowel", kind, site)
            assert measures.of("nce", kind, site)
    assert measures.of("active share", SIM, "layers.0")
    assert not measures.of("active share", GIM, "layers.0")
    html = (tmp_path / "report.html").read_text("utf-8")
    assert all(str(Markup.escape(one.claim)) in html for one in found)
    assert html.count("<figure>") >= 10
    assert "judge no claim by it" in html
    kept = json.loads((tmp_path / "verdicts.json").read_text("utf-8"))
    assert len(kept["claims"]) + len(kept["controls"]) == len(found)
    with (tmp_path / "measures.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(measures.rows)
