"""Everything that is made and run: corpus, models, scores, decompositions, studies."""

import csv
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from actlas import Dataset, LoadedModel, Store, StoredRun, load_model

from .corpus import Corpus, Pair, read_corpus
from .scoring import Score, scored
from .training import CONDITIONS, Checkpoint, School, Size

REFERENCE, WRITTEN = "reference", "own output"  # what the decoders read
SHUFFLE_SEED = 7


@dataclass(frozen=True)
class Workshop:
    """Where everything is put, and how large it is."""

    folder: Path
    store: Store
    size: Size
    say: Callable[[str], None]

    @cached_property
    def corpus(self) -> Corpus:
        """The parallel sentences."""
        self.say("drawing sentences")
        return read_corpus(self.folder, self.size.pairs, self.size.tests)

    @property
    def read(self) -> list[Pair]:
        """Test sentences whose states are read: the first of them."""
        return self.corpus.test[: self.size.read]


@dataclass(frozen=True)
class Study:
    """What was made and found.

    scores: of each checkpoint, in their order.
    decomposed: runs of `decomposition` by what the decoder read and the checkpoint's place.
    study: over all of them; shuffled: over the references, with qualities dealt out anew.
    tokens: over runs at some steps that kept their tokens.
    """

    shop: Workshop
    checkpoints: list[Checkpoint]
    scores: list[Score]
    decomposed: dict[str, list[StoredRun]]
    study: StoredRun
    shuffled: StoredRun
    tokens: StoredRun

    @property
    def layers(self) -> list[str]:
        """Sites after each block of the decoder, the first first."""
        return layer_names(self.shop.size)

    @property
    def series(self) -> dict[str, str]:
        """Training runs, and the condition of each."""
        return {one.series: one.condition for one in self.checkpoints}

    def bleu(self) -> dict[str, list[float]]:
        """BLEU of each training run by checkpoint."""
        found: dict[str, list[float]] = {name: [] for name in self.series}
        for one, score in zip(self.checkpoints, self.scores, strict=True):
            found[one.series].append(score.bleu)
        return found


def layer_names(size: Size) -> list[str]:
    """Sites after each block of the decoder."""
    return [f"decoder.layers.{i}" for i in range(size.decoder_layers)]


def study(shop: Workshop) -> Study:
    """Make and run everything; what is in the folder and the store is not made again."""
    size = shop.size
    school = School(shop.folder / "checkpoints", shop.corpus, size, shop.say)
    made = [c for name in CONDITIONS for seed in range(size.seeds) for c in school.run(name, seed)]
    shop.say("translating the test sentences by every checkpoint")
    scores = [scored(one, shop.corpus.test) for one in made]
    every: dict[str, list[StoredRun]] = {REFERENCE: [], WRITTEN: []}
    for one, score in zip(made, scores, strict=True):
        model = load_model(str(one.folder), device="cpu")
        for data, runs in every.items():
            runs.append(_decomposed(shop, one, score, data, model))
    shop.say("comparing the checkpoints")
    table = _qualities(shop, made, [(s.bleu, s.chrf) for s in scores], "qualities.csv")
    found = _compared(shop, _ids(every.values()), table)
    order = _dealt(made)
    dealt = [(scores[i].bleu, scores[i].chrf) for i in order]
    other = _qualities(shop, made, dealt, "qualities-shuffled.csv")
    null = _compared(shop, _ids([every[REFERENCE]]), other)
    return Study(shop, made, scores, every, found, null, _tokens(shop, made, scores, table))


def _decomposed(
    shop: Workshop, checkpoint: Checkpoint, score: Score, data: str, model: LoadedModel,
    **settings: Any,
) -> StoredRun:  # fmt: skip
    pairs = shop.read
    targets = [pair.english for pair in pairs]
    if data == WRITTEN:  # an empty text cannot be read
        targets = [text or "." for text in score.written[: len(pairs)]]
    dataset = Dataset.of([pair.source for pair in pairs], name=data, targets=targets)
    shop.say(f"{checkpoint.series}, step {checkpoint.step}: {data}")
    extraction = shop.store.extract(model, dataset, "decomposition", dtype="float32")
    sites = [record.site for record in extraction.sites]
    return _one(shop.store.run("decomposition", extraction, sites, device="cpu", **settings))


def _tokens(
    shop: Workshop, made: Sequence[Checkpoint], scores: Sequence[Score], table: str
) -> StoredRun:
    """Keep the tokens of the references at some steps, of the two deepest layers."""
    steps = sorted({one.step for one in made})
    places = (
        np.linspace(0, len(steps) - 1, min(shop.size.token_steps, len(steps))).round().astype(int)
    )
    chosen = {steps[place] for place in places}
    kept = [(c, s) for c, s in zip(made, scores, strict=True) if c.step in chosen]
    only = ",".join(layer_names(shop.size)[-2:])
    runs = [
        _decomposed(shop, c, s, REFERENCE, load_model(str(c.folder), device="cpu"),
                    detail="tokens", only=only)
        for c, s in kept
    ]  # fmt: skip
    by_sentence = _sentences(shop, kept)
    shop.say("comparing tokens and sentences")
    return _compared(shop, _ids([runs]), table, sentences=by_sentence)


def _compared(shop: Workshop, runs: list[int], table: str, **settings: Any) -> StoredRun:
    return _one(
        shop.store.run(
            "decomposition_study", runs=runs, qualities=table, draws=shop.size.draws, **settings
        )
    )


def _qualities(
    shop: Workshop, made: Sequence[Checkpoint], values: Sequence[tuple[float, float]], name: str
) -> str:
    """Write what each checkpoint is and how good; returns the file's path."""
    rows = [
        [one.model, one.series, one.step, one.seed, one.condition, *map(repr, value)]
        for one, value in zip(made, values, strict=True)
    ]
    header = ["model", "series", "step", "seed", "condition", "bleu", "chrf"]
    return _written(shop.folder / name, header, rows)


def _sentences(shop: Workshop, kept: Sequence[tuple[Checkpoint, Score]]) -> str:
    """Write how good each sentence is; returns the file's path."""
    rows = [
        [one.model, sample, repr(value)]
        for one, score in kept
        for sample, value in enumerate(score.sentence_chrf[: shop.size.read])
    ]
    return _written(shop.folder / "sentences.csv", ["model", "sample", "chrf"], rows)


def _written(path: Path, header: list[str], rows: Iterable[Sequence[object]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def _dealt(made: Sequence[Checkpoint]) -> list[int]:
    """Places of checkpoints whose qualities each gets: those of its training run, shuffled."""
    rng, order = random.Random(SHUFFLE_SEED), list(range(len(made)))
    for name in dict.fromkeys(one.series for one in made):
        mine = [i for i, one in enumerate(made) if one.series == name]
        for i, j in zip(mine, rng.sample(mine, len(mine)), strict=True):
            order[i] = j
    return order


def _ids(runs: Iterable[Sequence[StoredRun]]) -> list[int]:
    return [run.id for part in runs for run in part]


def _one(runs: Sequence[StoredRun]) -> StoredRun:
    (run,) = runs
    return run
