import json
import re
from pathlib import Path

import numpy as np
import pytest

import actlas
from examples.common.verdicts import Estimate, judged
from examples.ica_universal.corpus import Corpus, read_corpus, sentences
from examples.ica_universal.embeddings import (
    FREQUENT,
    cooccurrences,
    mapped,
    ppmi_svd,
    skip_gram,
)
from examples.ica_universal.models import Size, Workshop
from examples.ica_universal.page import write_page
from examples.ica_universal.scenes import COLOURS, learnt_features, make_scenes
from examples.ica_universal.study import study
from examples.ica_universal.verdicts import difference, ratio, share_lead

TINY = Size(
    words=150, least=3, dims=12, components=10, epochs=4, layer_sentences=30, layer_components=10,
    pieces=2000, scenes=60, scene_components=4, picture_epochs=1, packages=("click",),
)  # fmt: skip


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of twelve files, one of which cannot be parsed and one of which is a test."""
    root = tmp_path / "littlepackage"
    (root / "tests").mkdir(parents=True)
    for i in range(10):
        text = f"the {'abcdefghij'[i] * 3} file explains its own first purpose"
        (root / f"m{i}.py").write_text(f'"""Every file says this very same sentence.\n\n{text}."""')
    (root / "broken.py").write_text('"""this one is never to be read by anybody"""\ndef (')
    (root / "tests" / "t.py").write_text('"""tests are not to be read at all here"""')
    monkeypatch.syspath_prepend(tmp_path)
    return root.name


def test_halves_share_no_sentence_and_what_is_broken_is_passed_over(
    package: str, tmp_path: Path
) -> None:
    corpus = read_corpus(tmp_path / "kept", [package, "no_such_package"])
    first, second = ({" ".join(s) for s in half} for half in corpus.halves)
    assert first
    assert second
    assert not first & second
    assert len(first | second) == 11  # ten of their own, and the one of all files once
    assert not any("never" in text or "tests" in text for text in first | second)
    assert corpus == read_corpus(tmp_path / "again", [package])


def test_a_corpus_is_read_once(package: str, tmp_path: Path) -> None:
    read_corpus(tmp_path / "kept", [package])
    (tmp_path / "kept" / "corpus-A.txt").write_text("what is kept counts\n")
    corpus = read_corpus(tmp_path / "kept", [package])
    assert corpus.halves[0] == [["what", "is", "kept", "counts"]]


def test_code_and_names_are_no_words() -> None:
    text = """Return the Mean of n_components numbers, as DataFrame does.

    >>> this is code and never to be read
    x : array_like of n_rows, n_columns and n_axes
    """
    assert list(sentences(text)) == [["return", "the", "mean", "of", "numbers", "as", "does"]]


def test_vocabulary_is_what_both_halves_have() -> None:
    corpus = Corpus(([["aa", "bb", "bb", "cc"]], [["aa", "bb", "bb", "dd"]]))
    assert corpus.vocabulary(1, 10) == ["bb", "aa"]
    assert corpus.vocabulary(2, 10) == ["bb"]


def test_cooccurrences_weigh_distance_and_thin_frequent_words() -> None:
    counts = cooccurrences([["aa", "bb", "zz", "cc"]], ["aa", "bb", "cc"]).toarray()
    kept = FREQUENT * 3  # √(t/f) twice, f = 1/3; zz is taken out first
    assert np.allclose(counts, kept * np.array([[0, 1, 0.8], [1, 0, 1], [0.8, 1, 0]]))


def topics(words: int = 8, count: int = 1200) -> tuple[list[list[str]], list[str]]:
    """Sentences of six words of one of four topics, and all words by topic."""
    rng = np.random.default_rng(0)
    names = [[f"{'abcd'[t]}{'klmnopqr'[w]}" for w in range(words)] for t in range(4)]
    drawn = [
        [names[t][w] for w in rng.integers(words, size=6)] for t in rng.integers(4, size=count)
    ]
    return drawn, [name for topic in names for name in topic]


@pytest.mark.parametrize("train", ["ppmi", "skip-gram"])
def test_trainers_find_planted_topics(train: str) -> None:
    text, vocabulary = topics()
    counts = cooccurrences(text, vocabulary)
    X = ppmi_svd(counts, 4) if train == "ppmi" else skip_gram(counts, 4, epochs=150)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    same = np.equal.outer(np.arange(32) // 8, np.arange(32) // 8)
    cosine = X @ X.T
    assert cosine[same].mean() > cosine[~same].mean() + 0.5
    nearest = np.argsort(-cosine - np.where(np.eye(32), -9, 0), axis=1)[:, :5]
    assert (nearest // 8 == np.arange(32)[:, None] // 8).mean() > 0.95


def test_a_seed_decides_everything() -> None:
    counts = cooccurrences(*topics(count=100))
    assert np.array_equal(skip_gram(counts, 4, 1, 3), skip_gram(counts, 4, 1, 3))
    assert not np.array_equal(skip_gram(counts, 4, 1, 3), skip_gram(counts, 4, 2, 3))


def test_the_random_map_is_linear_and_can_be_undone() -> None:
    X = np.random.default_rng(0).standard_normal((200, 10)).astype(np.float32)
    Y = mapped(X).astype(np.float64)
    M, residue, rank, _ = np.linalg.lstsq(X.astype(np.float64), Y, rcond=None)
    assert rank == 10
    assert np.linalg.cond(M) == pytest.approx(100, rel=1e-3)
    assert residue.max() < 1e-6


def test_pictures_show_what_captions_say() -> None:
    scenes = make_scenes(40)
    for picture, caption in zip(scenes.pictures, scenes.captions, strict=True):
        colour = next(name for name in COLOURS if f" {name} " in caption)
        wanted = np.float32(np.array(COLOURS[colour]) / 255)
        share = np.isclose(picture, wanted[:, None, None]).all(axis=0).mean()
        assert 0.01 < share < 0.25
        ground = picture[:, 0, 0].mean()
        assert (ground < 0.2) == (" dark " in caption)
    assert np.array_equal(make_scenes(5).pictures, make_scenes(5).pictures)


def test_features_are_learnt_from_pictures_and_the_seed_alone() -> None:
    pictures = make_scenes(70).pictures
    first = learnt_features(pictures, 8, epochs=1)
    assert first.shape == (70, 8)
    assert np.array_equal(first, learnt_features(pictures, 8, epochs=1))


def test_a_claim_is_supported_only_where_every_interval_is_above() -> None:
    above = Estimate(2.0, 1.1, 3.0)
    assert judged([above, above], 1.0) == "supported"
    assert judged([Estimate(1.0, 1.0, 1.0)], 1.0) == "not supported"
    assert judged([], 1.0) == "not testable here"


def test_an_interval_that_holds_the_threshold_decides_nothing() -> None:
    above, across, below = (Estimate(1.0, low, high) for low, high in ((1.1, 3), (0.9, 3), (0, 1)))
    assert judged([above, across], 1.0) == "undecided"
    assert judged([above, across, below], 1.0) == "not supported"
    assert judged([Estimate(2.0, -np.inf, np.inf)], 1.0) == "undecided"  # repeated only once


def test_estimates_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    r = 0.3 + 0.1 * rng.random(50)
    twice = ratio(2 * r, r)
    assert (twice.value, twice.low, twice.high) == pytest.approx((2, 2, 2))
    found = difference(rng.normal(1, 1, 400), [*rng.normal(0, 1, 400), np.nan])
    assert found.low < 1 < found.high
    assert found.high - found.low == pytest.approx(4 * np.sqrt(2 / 400), rel=0.15)


def test_a_lead_of_shares_has_newcombes_interval() -> None:
    """Newcombe 1998, table II: 56 of 70 against 48 of 80 gives 0.0524 to 0.3339."""
    ours = {"p1": 56 / 70, "p1_low": 0.6919, "p1_high": 0.8769}
    theirs = {"p1": 48 / 80, "p1_low": 0.4904, "p1_high": 0.7004}
    found = share_lead(ours, theirs)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-4)


def test_the_whole_example_runs_small_and_is_not_run_twice(tmp_path: Path) -> None:
    url = str(tmp_path / "actlas.db")
    with actlas.open(url) as store:
        done = study(Workshop(tmp_path, store, TINY, lambda line: None))
        verdicts = write_page(done, tmp_path, quick=True)
        runs = len(store.records("runs"))
    given = json.loads((tmp_path / "verdicts.json").read_text("utf-8"))
    assert len(given["claims"]) + len(given["controls"]) == len(verdicts) == 12
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<svg") == 10
    assert "minilm-tokens, as it is" in page
    assert not re.search(r">\d+:vectors", page)
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing from elsewhere
    said: list[str] = []
    with actlas.open(url) as store:
        study(Workshop(tmp_path, store, TINY, said.append))
        assert len(store.records("runs")) == runs
    assert not [line for line in said if line.startswith(("training", "counting"))]
