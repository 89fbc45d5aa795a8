"""The level of tokens and sentences, at some checkpoints of every training run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from actlas import Runs, tell

from . import variance
from .correlating import Drawing, Found, Ints, correlate, grouped
from .curves import Column, Floats, Series, data_sets, z_scores
from .qualities import QualityFile
from .tables import Agreement, Overlap, Variance
from .tokens import Tokens, agreement, overlap, read_sentences, read_tokens

QUARTILES = 4


@dataclass(frozen=True, eq=False)
class Means:
    """Mean values of sentences at one checkpoint: (samples, columns)."""

    series: str
    step: int
    run: int
    samples: Ints
    values: Floats


@dataclass
class TokenLevel:
    """What one pass over the tokens of some checkpoints gives."""

    agreement: list[Agreement] = field(default_factory=list)
    overlap: list[Overlap] = field(default_factory=list)
    variance: list[Variance] = field(default_factory=list)
    means: dict[str, list[Means]] = field(default_factory=dict)  # by data set
    columns: dict[str, tuple[Column, ...]] = field(default_factory=dict)
    without: int = 0


def token_level(series: Sequence[Series], points: int) -> TokenLevel:
    """Read tokens step by step, so that those of one step are held at a time."""
    found = TokenLevel()
    for data in data_sets(series):
        mine = [s for s in series if s.data == data]
        for step in chosen_steps(mine, points):
            tell(f"tokens at step {step} of {data}")
            _at_step(found, mine, data, step)
        found.variance += _variances(data, found.columns.get(data, ()), found.means.get(data, []))
    return found


def chosen_steps(series: Sequence[Series], points: int) -> list[int]:
    """Steps that most training runs have; of more than `points` so many, evenly spread."""
    counts = Counter(c.step for s in series for c in s.checkpoints)
    most = sorted(step for step, n in counts.items() if n == max(counts.values()))
    places = np.unique(np.linspace(0, len(most) - 1, min(points, len(most))).round().astype(int))
    return [most[place] for place in places]


def _at_step(found: TokenLevel, series: Sequence[Series], data: str, step: int) -> None:
    tokens: dict[str, Tokens] = {}
    for one in series:
        run = next((c.run for c in one.checkpoints if c.step == step), None)
        if run is None:
            continue
        read = read_tokens(run)
        means = read_sentences(run) if read is None else read.sentences()
        if means is None or found.columns.setdefault(data, means.columns) != means.columns:
            found.without += 1
            continue
        if read is not None:
            tokens[one.name] = read
        kept = Means(one.name, step, run.id, means.samples, means.values)
        found.means.setdefault(data, []).append(kept)
    here = [s for s in series if s.name in tokens]
    found.agreement += agreement(here, tokens, step)
    found.overlap += overlap(here, tokens, step)


def _variances(data: str, columns: tuple[Column, ...], means: Sequence[Means]) -> list[Variance]:
    """Over the checkpoints of each training run, and over the training runs at each end."""
    found = []
    names = dict.fromkeys(m.series for m in means)
    for name in names:
        over = f"checkpoints of {name}"
        found += _split(over, data, columns, [m for m in means if m.series == name])
    steps = sorted({m.step for m in means})
    for step in steps[:1] + steps[1:][-1:]:
        over = f"training runs at step {step}"
        found += _split(over, data, columns, [m for m in means if m.step == step])
    return found


def _split(
    over: str, data: str, columns: tuple[Column, ...], means: Sequence[Means]
) -> list[Variance]:
    if len(means) < variance.FEWEST:
        return []
    shared = sorted(set.intersection(*(set(m.samples.tolist()) for m in means)))
    X = np.array([m.values[np.searchsorted(m.samples, shared)] for m in means])
    found = []
    for k, column in enumerate(columns):
        known = np.isfinite(X[:, :, k]).all(axis=0)
        if known.sum() < variance.FEWEST:
            continue
        parts = variance.components(X[:, known, k : k + 1])
        share = variance.shares(parts)[:, 0]
        if np.isfinite(share).all():
            total = float(np.sum(parts))
            run, sentence, rest = map(float, share)
            counts = len(means), int(known.sum())
            found.append(Variance(over, data, *column, run, sentence, rest, total, *counts))
    return found


@dataclass(frozen=True, eq=False)
class Drawn:
    """Correlation over sentences of one training run; `n` triples were drawn."""

    series: str
    data: str
    metric: str
    columns: tuple[Column, ...]
    groups: list[tuple[str, str]]
    found: Found
    n: int


def sentence_correlations(
    level: TokenLevel, file: QualityFile, runs: Runs, how: Drawing, triples: int
) -> list[Drawn]:
    """Correlate over triples (checkpoint, sentence, what was written for it).

    As many triples are drawn of each quarter of the quality. Intervals draw sentences.
    """
    lines = file.of(runs)
    scores = {
        ident: {line.whole("sample", file.path): line.values for line in each}
        for ident, each in lines.items()
    }
    drawn = []
    for data, means in level.means.items():
        columns = level.columns[data]
        groups, group_names = grouped(columns)
        for name in dict.fromkeys(m.series for m in means):
            mine = [m for m in means if m.series == name]
            for metric in file.metrics:
                tell(f"sentences of {name}, {metric}")
                X, quality, sample = _pooled(mine, scores, metric)
                if len(X) < 2 * QUARTILES or np.ptp(quality) == 0:
                    continue
                kept = _by_quarters(quality, triples, np.random.default_rng(how.seed))
                found = correlate(
                    z_scores(X[kept]), quality[kept], groups, how,
                    resample=_Sentences(sample[kept]),
                )  # fmt: skip
                drawn.append(Drawn(name, data, metric, columns, group_names, found, len(kept)))
    return drawn


def _pooled(
    means: Sequence[Means], scores: dict[int, dict[int, dict[str, float]]], metric: str
) -> tuple[Floats, Floats, Ints]:
    """Values (triples, columns), qualities and samples of what has both."""
    values, quality, samples = [], [], []
    for one in means:
        for sample, row in zip(one.samples.tolist(), one.values, strict=True):
            score = scores[one.run].get(sample, {}).get(metric, np.nan)
            if np.isfinite(score):
                values.append(row)
                quality.append(score)
                samples.append(sample)
    return np.array(values), np.array(quality), np.array(samples, np.int64)


def _by_quarters(quality: Floats, triples: int, chance: np.random.Generator) -> Ints:
    """Draw as many of each quarter, in a random order: a pair then goes either way."""
    quarters = np.array_split(np.argsort(quality, kind="stable"), QUARTILES)
    each = [chance.permutation(q)[: triples // QUARTILES] for q in quarters]
    return chance.permutation(np.concatenate(each))


@dataclass(frozen=True, eq=False)
class _Sentences:
    """Draws sentences again, each with all its triples."""

    sample: Ints

    def __call__(self, chance: np.random.Generator) -> Ints:
        order = np.argsort(self.sample, kind="stable")
        counts = np.unique(self.sample, return_counts=True)[1]
        starts = np.cumsum(counts) - counts
        picked = chance.integers(0, len(counts), len(counts))
        return np.concatenate([order[starts[i] : starts[i] + counts[i]] for i in picked])
