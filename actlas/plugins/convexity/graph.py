"""The analysis `convexity`: how far classes are convex along the graph of nearest neighbours."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels, Result, analysis, tell

from . import figures
from .neighbours import Neighbours, distinct, nearest
from .networks import Network, network
from .paths import ClassPaths, class_paths
from .probes import predicted
from .remarks import remarks
from .sample import Sample, chosen
from .sketch import sketch
from .tables import Class, Intruder, Intrusion, PathPoint, RowScore, Summary, Sweep

SWEEP = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
INTRUDERS = 5  # listed of a class


@analysis(
    version=1,
    tables={
        "summary": Summary,
        "classes": Class,
        "intrusions": Intrusion,
        "intruders": Intruder,
        "path": PathPoint,
        "rows": RowScore,
        "k_sweep": Sweep,
    },
    arrays={
        "rows": "(n,) rows of the activations that are vertices of the graph",
        "codes": "(n,) their classes, places in `classes` of the labels' names, sorted",
        "row_scores": "(n,) mean over the paths that begin at a row; NaN where none does, as −1",
    },
    figures={
        "classes": figures.classes,
        "intrusions": figures.intrusions,
        "k_sweep": figures.sweep,
        "path": figures.path,
    },
    headline="macro",
    base="probe",
    when={"base": {"regions": "probe"}},
)
def convexity(
    acts: Activations,
    labels: Labels,
    base: Result | None,
    *,
    regions: Annotated[
        Literal["label", "probe"],
        "classes: the labels, or what a stored probe of the site predicts",
    ] = "label",
    k: Annotated[int, "neighbours a row"] = 10,
    graph: Annotated[
        Literal["union", "mutual"], "an edge where either has the other as a neighbour, or each"
    ] = "union",
    metric: Annotated[
        Literal["euclidean", "cosine"], "cosine: Euclidean between rows of length 1"
    ] = "euclidean",
    standardise: Annotated[bool, "divide dimensions by their standard deviation first"] = False,
    per_class: Annotated[int, "at most so many rows a class, drawn by chance; 0: all"] = 0,
    max_pairs: Annotated[int, "ordered pairs scored a class, drawn by chance; 0: all"] = 0,
    duplicates: Annotated[
        Literal["drop", "link"],
        "rows that are the same: take up places and are not joined (as published), or are joined",
    ] = "drop",
    ties: Annotated[
        Literal["first", "best"], "of paths as short: the first found, or the one most inside"
    ] = "first",
    permutations: Annotated[
        int, "labels dealt out anew so often, for the spread of chance; 0: not"
    ] = 0,
    k_max: Annotated[int, "score for 1, 2, 3, 5, … neighbours up to this as well; 0: do not"] = 0,
    per_row: Annotated[bool, "keep the score of every row in the table rows"] = False,
    seed: Annotated[int, "seed of what is drawn by chance"] = 0,
) -> Result:
    """Graph convexity of the regions of labels.

    Rows are joined to their k nearest, edges as long as the distance. Of the shortest path between
    two rows of a class the score is the share of its interior vertices in the class: 1 where an
    edge joins them, 0 where nothing does. A class scores the mean over its ordered pairs (Tětková
    et al. 2025). Chance is exact for this graph: direct edges score 1 whatever the labels are, so
    it is above 1 / classes. Convex regions need not be separable by a plane nor the other way
    round, and after a softmax they are convex by construction.

    regions=probe measures decision regions: rows with a label are in the class that a stored probe
    of the site predicts of them. Concepts that share rows are a yes/no label set each: the graph
    is the same, and the class of the yes is the concept.
    """
    _check(k, k_max, per_class, max_pairs, seed)
    if permutations < 0 or permutations == 1:
        raise InputError("convexity: permutations 0 or ≥ 2 are needed")
    if regions == "probe":
        assert base is not None  # by `when`
        labels = predicted(acts, labels, base, "convexity")
    sample = chosen(acts, labels, per_class=per_class, seed=seed)
    X = sample.matrix(standardise=standardise, unit=metric == "cosine")
    most = max(k, k_max)
    if most >= len(X):
        raise InputError(
            f"convexity: {most} neighbours need {most + 1} rows or more; there are {len(X)}"
        )
    tell(f"neighbours of {len(X):,} rows")
    near = nearest(X, min(most + 1, len(X) - 1))  # one more tells ties for the last place
    settings = _Settings(graph == "mutual", duplicates == "link", ties == "best", max_pairs, seed)
    scores = settings.scores(near.cut(k), sample)
    rest = [q for q in SWEEP if q <= k_max]
    swept = [
        _sweep(q, scores if q == k else settings.scores(near.cut(q), sample), sample) for q in rest
    ]
    spread = settings.spread(scores.graph, sample, permutations)
    summary = _summary(scores, sample, near.cut(k + 1), k, X, spread)
    classes = _classes(scores, sample)
    tables = {
        "summary": summary,
        "classes": classes,
        "intrusions": _intrusions(scores, sample),
        "intruders": _intruders(scores, sample),
        "path": sketch(scores.graph, scores.paths, sample, X),
        "rows": _rows(scores, sample) if per_row else [],
        "k_sweep": swept,
    }
    arrays = {
        "rows": sample.numbers,
        "codes": sample.codes,
        "row_scores": _row_scores(scores, sample),
    }
    said = remarks(
        summary, classes, scores.graph, link=settings.link, best=settings.best, noise=_noise(X)
    )
    return Result(tables, arrays, said)


def _check(k: int, *others: int) -> None:
    if k < 1 or min(others) < 0:
        raise InputError("convexity: k ≥ 1 and seed, k_max, per_class, max_pairs ≥ 0 are needed")


@dataclass(frozen=True)
class _Scores:
    graph: Network
    paths: list[ClassPaths]  # one a class

    @property
    def scored(self) -> list[ClassPaths]:
        return [p for p in self.paths if p.pairs]

    def macro(self) -> float:
        return float(np.mean([p.score for p in self.scored]))

    def micro(self) -> float:
        return sum(p.score * p.pairs for p in self.scored) / sum(p.pairs for p in self.scored)

    def share(self, column: int) -> float:
        """Of all pairs."""
        counts = sum(p.counts[:, column].sum() for p in self.scored)
        return float(counts) / sum(p.pairs for p in self.scored)

    def chance(self) -> float:
        sizes = np.array([len(p.members) for p in self.scored])
        return float(self.graph.chance(sizes).mean())


@dataclass(frozen=True)
class _Settings:
    mutual: bool
    link: bool
    best: bool
    max_pairs: int
    seed: int

    def scores(self, near: Neighbours, sample: Sample) -> _Scores:
        graph = network(near, mutual=self.mutual, link=self.link)
        return self._on(graph, sample, f"k {near.k}")

    def spread(self, graph: Network, sample: Sample, times: int) -> float | None:
        """Standard deviation of the macro score when labels are dealt out anew so many times."""
        chance, found = np.random.default_rng([self.seed, 1]), []
        for i in range(times):
            dealt = replace(sample, codes=chance.permutation(sample.codes))
            found.append(self._on(graph, dealt, f"permutation {i + 1} of {times}").macro())
        return float(np.std(found, ddof=1)) if found else None

    def _on(self, graph: Network, sample: Sample, doing: str) -> _Scores:
        chance, paths = np.random.default_rng(self.seed), []
        for code, name in enumerate(sample.names):
            tell(f"{doing}: paths of {name} ({code + 1} of {len(sample.names)})")
            paths.append(
                class_paths(
                    graph, sample.codes, code, max_pairs=self.max_pairs, best=self.best,
                    chance=chance,
                )
            )  # fmt: skip
        return _Scores(graph, paths)


def _adjusted(score: float, chance: float) -> float | None:
    return None if chance >= 1 - 1e-12 else (score - chance) / (1 - chance)


def _summary(
    scores: _Scores,
    sample: Sample,
    near: Neighbours,
    k: int,
    X: NDArray[Any],
    spread: float | None,
) -> Summary:
    from scipy import stats

    macro, chance, graph = scores.macro(), scores.chance(), scores.graph
    sems = [p.sem for p in scores.scored]
    sem = (
        None if any(s is None for s in sems) else float(np.mean([s for s in sems if s is not None]))
    )
    band = None if sem is None else 1.96 * sem
    variance = X.var(axis=0, dtype=np.float64)
    hubs = float(stats.skew(graph.in_degree)) if np.ptp(graph.in_degree) else None
    return Summary(
        macro=macro,
        low=None if band is None else max(0.0, macro - band),
        high=None if band is None else min(1.0, macro + band),
        sem=sem,
        micro=scores.micro(),
        chance=chance,
        chance_sd=spread,
        adjusted=_adjusted(macro, chance),
        strict=float(np.mean([p.share(3) for p in scores.scored])),
        direct_share=scores.share(1),
        unreachable_share=scores.share(2),
        k=k,
        rows=len(sample.rows),
        unlabelled=sample.unlabelled,
        classes=len(scores.scored),
        edges=graph.edges,
        components=len(graph.components()),
        max_degree=int(graph.degree.max()),
        hub_skewness=hubs,
        duplicates=len(X) - len(distinct(X)[0]),
        ties=_ties(near),
        top_dimension=int(variance.argmax()),
        top_dimension_share=float(variance.max() / variance.sum()) if variance.any() else None,
    )


def _noise(X: NDArray[np.float32]) -> bool:
    """Whether rows differ by no more than float32's rounding, as where all inputs are the same."""
    spread, size = np.ptp(X.astype(np.float64), axis=0), np.abs(X).max(axis=0)
    return bool((spread <= 8 * np.finfo(np.float32).eps * size).all())


def _ties(near: Neighbours) -> int:
    """Rows two of whose neighbours, or the last and the next, are equally near."""
    return int(
        ((np.diff(near.distance, axis=1) == 0) & (near.distance[:, 1:] > 0)).any(axis=1).sum()
    )


def _classes(scores: _Scores, sample: Sample) -> list[Class]:
    sizes = np.array([len(p.members) for p in scores.paths])
    expected = scores.graph.chance(sizes).tolist()
    found = []
    for name, paths, chance in zip(sample.names, scores.paths, expected, strict=True):
        n = len(paths.members)
        if not paths.pairs:
            found.append(Class(name, n, 0, None, None, None, None, None, None, None, None))
            continue
        direct = paths.share(1)
        far = (paths.score - direct) / (1 - direct) if direct < 1 else None
        found.append(
            Class(
                name, n, paths.pairs, paths.score, paths.sem, chance,
                _adjusted(paths.score, chance), paths.share(3), far, direct, paths.share(2),
            )
        )  # fmt: skip
    return found


def _intrusions(scores: _Scores, sample: Sample) -> list[Intrusion]:
    found = []
    for name, paths in zip(sample.names, scores.paths, strict=True):
        codes = sample.codes[paths.crossed]
        by = np.bincount(codes, weights=paths.visits, minlength=len(sample.names))
        found += [
            Intrusion(name, sample.names[c], float(by[c] / by.sum()), int(by[c]))
            for c in np.flatnonzero(by).tolist()
        ]
    return found


def _intruders(scores: _Scores, sample: Sample) -> list[Intruder]:
    tokens = sample.acts.rows.token
    found = []
    for code, (name, paths) in enumerate(zip(sample.names, scores.paths, strict=True)):
        foreign = sample.codes[paths.crossed] != code
        crossed, visits = paths.crossed[foreign], paths.visits[foreign]
        for rank, i in enumerate(np.argsort(-visits, kind="stable")[:INTRUDERS].tolist(), 1):
            row, by = int(sample.numbers[crossed[i]]), sample.names[sample.codes[crossed[i]]]
            token, share = tokens[sample.rows[crossed[i]]], float(visits[i] / paths.pairs)
            found.append(Intruder(name, rank, row, by, token, int(visits[i]), share))
    return found


def _row_scores(scores: _Scores, sample: Sample) -> NDArray[np.float64]:
    found = np.full(len(sample.rows), -1.0)
    for paths in scores.scored:
        known = paths.counts[:, 0] > 0
        found[paths.members[known]] = paths.by_row[known]
    return found


def _rows(scores: _Scores, sample: Sample) -> dict[str, Any]:
    tokens = sample.acts.rows.token
    found = _row_scores(scores, sample)
    return {
        "row": sample.numbers,
        "label": [sample.names[c] for c in sample.codes],
        "token": [tokens[row] for row in sample.rows.tolist()],
        "score": np.where(found < 0, np.nan, found),
    }


def _sweep(k: int, scores: _Scores, sample: Sample) -> Sweep:
    macro, chance = scores.macro(), scores.chance()
    return Sweep(
        k, macro, scores.micro(), chance, _adjusted(macro, chance), scores.share(1),
        scores.share(2), len(scores.graph.components()), int(scores.graph.degree.max()),
    )  # fmt: skip
