import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actlas
from examples.common.verdicts import Estimate
from examples.convexity_finetuning.claims import claims, pooled
from examples.convexity_finetuning.encoders import Pictures, Sentences, Speech
from examples.convexity_finetuning.estimates import changed, correlation, mean, ranks
from examples.convexity_finetuning.page import write_page
from examples.convexity_finetuning.speech import RATE, SAMPLES, WORDS, Speaker, speak
from examples.convexity_finetuning.study import Trial, Workshop, study
from examples.convexity_finetuning.tasks import Examples, Size, Task, concepts, digits, tasks, words
from examples.convexity_finetuning.training import Plan, Shelf, fit, predicted, seeded

TINY = Size(
    concepts=4, intents=3, digits=160, words=3, takes=4, text_epochs=1, image_epochs=(2, 4),
    audio_epochs=(1, 1), halves=2, layers=2, draws=100,
)  # fmt: skip


def test_a_voice_says_what_it_is_told() -> None:
    rng = np.random.default_rng(0)
    one = Speaker(120.0, 1.0, 0.01)
    waves = speak(["i", "a", "u", "s"], [one] * 4, rng, snr=60)
    assert waves.shape == (4, SAMPLES)
    assert np.array_equal(waves, np.round(waves * 32768) / 32768)  # a WAV file holds it exactly
    power = np.abs(np.fft.rfft(waves)) ** 2
    frequency = np.fft.rfftfreq(SAMPLES, 1 / RATE)

    def share(low: float, high: float) -> Any:
        band = (frequency >= low) & (frequency < high)
        return power[:, band].sum(axis=1) / power.sum(axis=1)

    assert share(1800, 4000).argmax() == 3  # s is noise up there
    assert share(2000, 2350)[:3].argmax() == 0  # the second formant of i
    assert share(550, 1300)[:3].argmax() == 1  # both low formants of a


def test_speakers_and_noise_differ_and_the_seed_decides() -> None:
    first, again = (words(TINY) for _ in range(2))
    assert first.digest() == again.digest()
    assert first.classes == WORDS[:3]
    assert len(first.train) == 2 * len(first.held) == 24
    assert len(np.unique(first.train.inputs, axis=0)) == 24
    rng = np.random.default_rng(1)
    voice = Speaker.drawn(rng)
    quiet, loud = (speak(["mal"], [voice], np.random.default_rng(2), snr=snr)[0] for snr in (40, 0))
    assert abs(loud[:200]).mean() > 5 * abs(quiet[:200]).mean()


def test_nothing_held_out_is_trained_on() -> None:
    sentences = concepts(TINY)
    assert not set(sentences.train.inputs) & set(sentences.held.inputs)
    assert np.bincount(sentences.held.codes).tolist() == [25] * 4
    pictures = digits(TINY)
    both = np.concatenate([pictures.train.inputs, pictures.held.inputs]).reshape(160, -1)
    assert len(np.unique(both, axis=0)) == 160


def test_a_data_folder_adds_its_tasks(tmp_path: Path) -> None:
    import soundfile

    clinc, recordings = tmp_path / "clinc150", tmp_path / "fsdd" / "recordings"
    clinc.mkdir()
    recordings.mkdir(parents=True)
    for split in ("train", "test"):
        rows = [{"text": f"{split} {i}", "intent": f"intent {i % 5}"} for i in range(50)]
        (clinc / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for digit in range(10):
        for take in (0, 10):
            wave = np.full(RATE * (1 + take) // 4, 0.25, np.float32)
            soundfile.write(recordings / f"{digit}_ann_{take}.wav", wave, RATE)
    assert [make().name for make in tasks(TINY, tmp_path / "nowhere")] == [
        "concepts", "digits", "words",
    ]  # fmt: skip
    intents, spoken = (make() for make in tasks(TINY, tmp_path)[3:])
    assert intents.classes == ("intent 0", "intent 1", "intent 2")
    assert intents.held.inputs[0] == "test 0"
    assert len(intents.train) == 30
    assert spoken.held.inputs.shape == spoken.train.inputs.shape == (10, SAMPLES)
    assert (spoken.held.inputs[0] != 0).sum() == RATE // 4
    assert (spoken.train.inputs != 0).all()


def test_trainer_learns_and_the_seed_alone_decides() -> None:
    encoder = Pictures(TINY)
    rng = np.random.default_rng(0)
    codes = np.arange(64) % 2
    pictures = (rng.integers(0, 40, (64, 8, 8)) + 200 * codes[:, None, None]).astype(np.uint8)
    items = encoder.items(Examples(pictures, codes))

    def trained() -> Any:
        from transformers import ViTForImageClassification

        config = encoder._config()
        config.num_labels = 2
        model = seeded(lambda: ViTForImageClassification(config))
        fit(model, items, encoder.collate, Plan(3, 1e-3, batch=16))
        return model

    first, second = trained(), trained()
    assert (predicted(first, items, encoder.collate) == codes).all()
    states = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(bool((a == b).all()) for a, b in states)


def test_a_checkpoint_is_made_once_and_whole(tmp_path: Path) -> None:
    shelf, made = Shelf(tmp_path, lambda line: None), []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "weights").write_text("w")

    def broken(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.kept("net", 1, broken)
    assert shelf.kept("net", 1, make) == shelf.kept("net", 1, make)
    assert len(made) == 1
    assert shelf.kept("net", 2, make) != shelf.kept("net", 1, make)


def test_pixels_and_frames_are_those_of_the_extraction(tmp_path: Path) -> None:
    pictures = digits(TINY)
    encoder = Pictures(TINY)
    encoder.start(pictures, tmp_path)
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    from PIL import Image

    image = Image.fromarray(pictures.held.inputs[0]).convert("RGB")
    read = processor(images=[image], return_tensors="np")["pixel_values"][0]
    assert np.allclose(read, encoder.items(pictures.held)[0]["pixel_values"], atol=1e-6)
    speech = Speech(TINY)
    frames = speech.untrained()._get_feat_extract_output_lengths(SAMPLES)  # type: ignore[operator]
    assert speech.log_mel(np.zeros((2, SAMPLES), np.float32)).shape == (2, int(frames), 24)


def test_estimates_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(400)
    found = correlation(x, 0.6 * x + 0.8 * rng.standard_normal(400))
    assert found is not None
    assert found.low < 0.6 < found.high
    assert correlation(x, np.ones(400)) is None  # recall of 1 everywhere: nothing to tell
    assert correlation([1, 2, 3], [1, 2, 4]) is None
    assert mean([Estimate(1, 0, 2), Estimate(3, 2, 5)]) == Estimate(2, 1, 3.5)
    assert ranks([5, 1, 900, 300], [0, 0, 1, 1]).tolist() == [0.5, -0.5, 0.5, -0.5]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    """The whole study, of one task only."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch, actlas.open(str(folder / "actlas.db")) as store:
        patch.setattr("examples.convexity_finetuning.study.tasks", only_digits)
        trials = study(Workshop(folder, store, TINY, None, lambda line: None))
        write_page(trials, folder, quick=True)
    return folder, trials


def only_digits(size: Size, data: Path | None) -> list[Any]:
    return [lambda: digits(size)]


def test_the_whole_example_runs_small(done: tuple[Path, list[Trial]]) -> None:
    folder, (trial,) = done
    given = json.loads((folder / "verdicts.json").read_text("utf-8"))
    assert (len(given["claims"]), len(given["controls"])) == (5, 3)
    assert given["controls"][0]["verdict"] == "supported"  # shuffled labels
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("<svg") == 4
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing from elsewhere
    assert trial.degenerate == {"embed"}  # the first token is the same for every picture
    assert "embed" not in trial.sites
    assert trial.blocks == [f"layers.{i}" for i in range(2)]
    row = next(iter(trial.change["layers.1"].result.tables["summary"]))
    assert changed(trial.change["layers.1"].result).value == row["delta"]
    assert row["rows"] == 80


def test_what_is_there_is_not_made_again(
    done: tuple[Path, list[Trial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = done
    monkeypatch.setattr("examples.convexity_finetuning.study.tasks", only_digits)
    said: list[str] = []
    with actlas.open(str(folder / "actlas.db")) as store:
        runs, made = len(store.records("runs")), len(store.records("extractions"))
        study(Workshop(folder, store, TINY, None, said.append))
        assert len(store.records("runs")) == runs
        assert len(store.records("extractions")) == made == 3
    assert not [line for line in said if line.startswith("training")]


def test_recall_that_is_1_everywhere_is_not_testable(done: tuple[Path, list[Trial]]) -> None:
    _, (trial,) = done
    x, y, groups = pooled([trial])
    assert len(x) == len(y) == len(groups) == 10
    sure = Trial(**{**vars(trial), "recall": np.ones(10)})
    predicts = next(one for one in claims([sure]) if "predicts" in one.claim)
    assert predicts.verdict == "not testable here"
    assert "not defined" in predicts.measured
    planted = Trial(**{**vars(trial), "recall": x.argsort().argsort() / 20 + 0.3})
    predicts = next(one for one in claims([planted]) if "predicts" in one.claim)
    assert predicts.verdict == "supported"
    against = Trial(**{**vars(trial), "recall": 0.9 - x.argsort().argsort() / 20})
    predicts = next(one for one in claims([against]) if "predicts" in one.claim)
    assert predicts.verdict == "not supported"


def test_a_sentence_is_read_by_its_own_tokenizer() -> None:
    task = Task("t", "T", "text", "", ("a",), *[Examples(["one two"], np.zeros(1, int))] * 2)
    (item,) = Sentences(TINY).items(task.train)
    assert len(item["input_ids"]) == 4
    assert item["labels"] == 0
