import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import actlas
from examples.common.verdicts import Verdict
from examples.decomposition_mt import scoring, training
from examples.decomposition_mt.claims import SHARED, TERMS, claims, controls
from examples.decomposition_mt.corpus import Pair, make_corpus, read_corpus
from examples.decomposition_mt.estimates import over_runs, share
from examples.decomposition_mt.lexicon import SAME_NOUN, SAME_VERB, Noun, Verb, english, made_up
from examples.decomposition_mt.meaning import Clause, Phrase, Pronoun, Relative
from examples.decomposition_mt.page import write_page
from examples.decomposition_mt.scoring import score_of, translated
from examples.decomposition_mt.sources import Kelen, Orua, ended, kelen_syllable, orua_syllable
from examples.decomposition_mt.study import REFERENCE, Study, Workshop, study
from examples.decomposition_mt.target import in_english, numeral
from examples.decomposition_mt.training import END, MIXED, ONE, School, Size, collated

TINY = Size(
    pairs=60, tests=8, vocabulary=200, width=16, encoder_layers=1, decoder_layers=2, steps=8,
    every=2, batch=4, rate=1e-2, seeds=2, read=4, token_steps=2,
    draws=100,
)  # fmt: skip
CAT, KING = Noun("cat", "cats", "animal"), Noun("king", "kings", "person")
EAT, SEE = Verb("eat", "ate", "food"), Verb("see", "saw", "any")
APPLE = Phrase(Noun("apple", "apples", "food"), False, False)


def spoken(language: Any, syllable: Any, seed: int = 3) -> Any:
    words = made_up(english().meanings(), syllable, seed)
    single = type(words)({name: found[:1] for name, found in words.words.items()})
    return language(single, random.Random(0)), lambda name: single.words[name][0]


def test_english_agrees_asks_and_denies() -> None:
    cat = Phrase(CAT, False, True, relative=Relative(SEE, "see", False, object=APPLE))
    says = Clause(EAT, "eat", cat, "present", object=APPLE)
    assert in_english(says) == "the cat who sees an apple eats an apple ."
    assert in_english(replace(says, subject=Pronoun(3, True), negative=True)) == (
        "they do not eat an apple ."
    )
    asks = replace(says, subject=Phrase(CAT, True, True, owner=Phrase(KING, True, True)),
                   question=True, tense="past")  # fmt: skip
    assert in_english(asks) == "did the kings' cats eat an apple ?"
    assert [" ".join(numeral(n)) for n in (0, 7, 10, 19, 20, 42)] == [
        "", "seven", "ten", "nineteen", "twenty", "forty two",
    ]  # fmt: skip


def test_kelen_puts_the_verb_last_and_marks_case_in_harmony() -> None:
    kelen, word = spoken(Kelen, kelen_syllable)
    cat = Phrase(CAT, True, True)
    eats = Clause(EAT, "eat", cat, "past", negative=True, object=replace(APPLE, definite=True))
    assert kelen.say(eats).split() == [
        ended(word("cat"), "lEr"), ended(word("apple"), "In"),
        ended(word("eat"), "mE", "dI", "lEr"), ".",
    ]  # fmt: skip
    assert (ended("kol", "lEr", "In"), ended("ket", "lEr", "In")) == ("kollarun", "ketlerin")
    new = kelen.say(replace(eats, subject=Phrase(CAT, True, False))).split()
    assert new[1] == ended(word("cat"), "lEr")  # a subject not yet known stands before the verb
    alone = kelen.say(replace(eats, subject=Pronoun(1, False))).split()
    assert alone[1].endswith(("dum", "dim"))  # no pronoun: the verb says who
    assert len(alone) == 3


def test_orua_puts_the_verb_first_and_says_a_plural_twice() -> None:
    orua, word = spoken(Orua, orua_syllable)
    eats = Clause(EAT, "eat", Phrase(CAT, True, True), "past", object=APPLE)
    assert orua.say(eats).split() == [
        "ua", word("eat"), "ta", word("cat"), word("cat"), "i", word("apple"), ".",
    ]  # fmt: skip


def test_the_context_decides_between_words_that_are_the_same() -> None:
    lexicon = english()
    kinds = {noun.name: noun.kind for nouns in lexicon.nouns.values() for noun in nouns}
    takes = {words[0].name: words[0].takes for words in lexicon.transitive}
    words = made_up(lexicon.meanings(), kelen_syllable, 1).words
    for one, other in SAME_NOUN:
        assert words[one] == words[other]
        assert kinds[one] != kinds[other]
    for one, other in SAME_VERB:
        assert words[one] == words[other]
        assert takes[one] != takes[other]


def test_nothing_tested_is_trained_on_and_the_seed_decides(tmp_path: Path) -> None:
    corpus = make_corpus(400, 50)
    assert corpus == read_corpus(tmp_path, 400, 50) == read_corpus(tmp_path, 400, 50)
    assert len({pair.english for pair in corpus.test}) == 50
    trained = [*corpus.kelen, *corpus.orua]
    assert not {p.english for p in corpus.test} & {p.english for p in trained}
    assert not {p.source for p in corpus.test} & {p.source for p in trained}
    mixed = corpus.mixed()
    assert mixed == [*corpus.kelen[:200], *corpus.orua[200:]]
    assert [p.english for p in mixed] == [p.english for p in corpus.kelen]


def test_tokens_say_what_was_said_and_batches_hide_their_padding() -> None:
    corpus = make_corpus(60, 8)
    tokenizer = training.make_tokenizer(corpus, 200)
    ids = tokenizer(corpus.test[0].english)["input_ids"]
    assert ids[-1] == END
    assert tokenizer.decode(ids, skip_special_tokens=True) == corpus.test[0].english
    batch = collated([{"input_ids": [5, 1], "labels": [7, 8, 1]},
                      {"input_ids": [5, 6, 1], "labels": [1]}])  # fmt: skip
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[7, 8, 1], [1, -100, -100]]


def test_scores_are_those_of_sacrebleu() -> None:
    test = [Pair("", "the cat eats an apple ."), Pair("", "a king slept .")]
    perfect = score_of([p.english for p in test], test)
    assert perfect.bleu == pytest.approx(100)
    assert perfect.sentence_chrf == pytest.approx([100, 100])
    worse = score_of(["the cat eats an apple .", "the cat sleeps ."], test)
    assert 20 < worse.bleu < 80
    assert worse.sentence_chrf[0] > worse.sentence_chrf[1]


def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    corpus = make_corpus(60, 8)
    size = replace(TINY, steps=4, every=2)

    def school(name: str) -> School:
        return School(tmp_path / name, corpus, size, lambda line: None)

    whole = school("whole").run(ONE, 0)
    assert [one.step for one in whole] == [2, 4]
    assert not (whole[0].folder / "optimizer.pt").exists()
    seen = []

    def killed(batch: Any) -> Any:
        seen.append(batch)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return collated(batch)

    with monkeypatch.context() as patch:
        patch.setattr(training, "collated", killed)
        with pytest.raises(KeyboardInterrupt):
            school("killed").run(ONE, 0)
    (half,) = (tmp_path / "killed").glob("*/checkpoint-2")
    cut = half.with_name("checkpoint-3")
    cut.mkdir()  # as a kill in the midst of saving would leave it
    again = school("killed").run(ONE, 0)
    assert not cut.exists()
    first, second = (load_file(run[-1].folder / "model.safetensors") for run in (whole, again))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    starts = [training.make_model(size, seed).state_dict() for seed in (0, 0, 1)]
    same, again, other = (one["model.shared.weight"] for one in starts)
    assert same.equal(again)
    assert not same.equal(other)


def test_estimates_hold_the_truth() -> None:
    found = over_runs([1.0, 2.0, 3.0, np.nan])
    assert found.value == 2
    assert found.high - found.value == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert over_runs([1.0]).low == -np.inf  # one run says nothing of others
    half = share(5, 10)
    assert half.low < 0.5 < half.high


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Study]]:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "MOST_TOKENS", 8)  # models this small never end a sentence
        with actlas.open(str(folder / "actlas.db")) as store:
            made = study(Workshop(folder, store, TINY, lambda line: None))
            write_page(made, folder, quick=True)
        yield folder, made


def test_the_whole_example_runs_small(done: tuple[Path, Study]) -> None:
    folder, made = done
    given = json.loads((folder / "verdicts.json").read_text("utf-8"))
    assert (len(given["claims"]), len(given["controls"])) == (13, 3)
    assert given["controls"][0]["verdict"] == "supported"  # terms sum to the states
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("<figure><svg") == 10
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing from elsewhere
    assert list(made.series.values()) == [ONE, ONE, MIXED, MIXED]


def test_what_is_there_is_not_made_again(done: tuple[Path, Study]) -> None:
    folder, _ = done
    said: list[str] = []
    with actlas.open(str(folder / "actlas.db")) as store:
        runs, made = len(store.records("runs")), len(store.records("extractions"))
        study(Workshop(folder, store, TINY, said.append))
        assert len(store.records("runs")) == runs
        assert len(store.records("extractions")) == made == 2 * 16
    assert not [line for line in said if line.startswith("training")]


def test_what_is_scored_is_what_the_checkpoint_writes(done: tuple[Path, Study]) -> None:
    _, made = done
    sources = [pair.source for pair in made.shop.corpus.test]
    assert translated(made.checkpoints[3].folder, sources) == made.scores[3].written


def planted(made: Study, rho: Any, **more: Any) -> Study:
    """The study with another table of correlations: rho of each (indicator, term, site)."""
    rows = [
        {"level": "checkpoint", "series": name, "data": REFERENCE, "metric": metric, "site": site,
         "indicator": kind, "term": term, "rho": rho(kind, term, site) + 0.01 * i, "p": 0.01,
         "partial": 0.1, "step_rho": 0.5, "low": 0.1, "high": 0.2, **more}
        for i, name in enumerate(made.series) for metric in ("bleu", "chrf")
        for site in made.layers for kind in ("cosine", "norm_ratio") for term in TERMS
    ]  # fmt: skip
    tables = {**made.study.result.tables, "correlation": rows}
    return replace(made, study=SimpleNamespace(result=SimpleNamespace(tables=tables)))  # type: ignore[arg-type]


def test_verdicts_follow_what_is_found(done: tuple[Path, Study]) -> None:
    _, made = done
    signs = {(kind, term): sign for kind, term, sign in SHARED}
    last = made.layers[-1]

    def as_published(kind: str, term: str, site: str) -> float:
        strength = {"cosine": 0.3, "norm_ratio": 0.6}[kind] + 0.2 * (site != last)
        return signs.get((kind, term), 1) * strength

    words = [one.verdict for one in claims(planted(made, as_published))]
    assert words[:9] == ["supported"] * 9
    against = claims(planted(made, lambda *of: -as_published(*of), p=0.9, partial=0.0))
    assert [one.verdict for one in against[:7]] == ["not supported"] * 7
    assert "the other way" in against[2].why
    flat = claims(planted(made, lambda *of: 0.5))
    assert [one.verdict for one in flat[7:9]] == ["not supported"] * 2
    assert controls(made)[0].verdict == "supported"


def similar(made: Study, **columns: Any) -> Verdict:
    """The claim on curves of the same data, with other columns in the table it is judged by."""
    tables = made.study.result.tables
    rows = [{**row, **columns} for row in tables["permutation"]]
    found = SimpleNamespace(result=SimpleNamespace(tables={**tables, "permutation": rows}))
    (one,) = [v for v in claims(replace(made, study=found)) if "similar curves" in v.claim]  # type: ignore[arg-type]
    return one


def test_nearness_that_could_not_be_found_is_not_judged(done: tuple[Path, Study]) -> None:
    _, made = done
    few = similar(made)  # two and two training runs: 15 ways, so p is 1/15 at least
    assert few.verdict == "not testable here"
    assert "p is 0.067 or more, so that nearness could never be found" in few.why
    assert similar(made, permutations=5005, p=0.5).verdict == "supported"
    assert similar(made, permutations=5005, p=0.001).verdict == "not supported"


def test_every_training_run_must_have_learnt(done: tuple[Path, Study]) -> None:
    _, made = done
    ends = dict.fromkeys(made.series, 40.0)

    def learnt() -> Verdict:
        scores = [replace(score, bleu=ends[one.series] if one.step == TINY.steps else 0.0)
                  for one, score in zip(made.checkpoints, made.scores, strict=True)]  # fmt: skip
        return controls(replace(made, scores=scores))[1]

    ends |= {"mixed 1": 5.0, "kelen 0": 90.0}  # a spread that no interval over runs would bear
    assert learnt().verdict == "supported"
    ends["mixed 1"] = 4.9
    assert learnt().verdict == "not supported"
    assert "smallest gain over the first checkpoint 4.9 (mixed 1)" in learnt().measured


def test_the_shuffled_control_says_what_it_could_not_see(done: tuple[Path, Study]) -> None:
    _, made = done
    assert "with 4 training runs a share of up to" in controls(made)[2].why
