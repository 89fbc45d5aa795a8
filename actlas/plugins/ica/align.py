"""The analysis `ica_align`: how well axes, matched by some words, translate the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Other, Others, Result, analysis, tell

from . import align_tables as tables
from .align_tables import Alignment, Score
from .bootstrap import base_rows
from .csls import Matrix, Queries, least_squares, procrustes, random_map, ranks, unit
from .fastica import fastica
from .items import fitted
from .matching import match
from .pairing import How, Pairing, Pairs, dictionaries, pair, vocabulary
from .project import Axes
from .rowsets import Pinned

Given = Literal["original", "mapped"]
FIRST = (1, 5, 10)
Z95 = 1.959963984540054  # of a normal distribution, 95 % lie within


@analysis(
    version=1,
    base="ica",
    tables={"summary": Alignment, "scores": Score},
    arrays={},
    figures={"precision": tables.precision},
)
def ica_align(
    acts: Activations,
    others: Others,
    base: Result,
    *,
    pairs: Annotated[
        Pairs, "rows: of the same place of the same data; tokens: equal words; or a dictionary's"
    ] = "rows",
    dictionary: Annotated[
        str | None,
        "file of word pairs (.csv, .tsv, else white space); a,b,…: one an other site",
        "file",
    ] = None,
    fold: Annotated[
        bool, "strip ##, Ġ and ▁ from words, lower their case, and write accents alike"
    ] = False,
    test_share: Annotated[float, "of the source's words (samples, where rows pair)"] = 0.25,
    neighbours: Annotated[int, "nearest of the other side that CSLS takes the mean of"] = 10,
    most: Annotated[int, "words (or rows) of each side that are searched, at most"] = 20_000,
    mapped: Annotated[
        bool, "also after a random linear map of each side, which takes a fit of ica each"
    ] = True,
    seed: Annotated[int, "seed of the split, of the maps and of the fits after them"] = 0,
    memory_gb: Annotated[float, "rows in memory of those fits, GB; of more, a sample"] = 4.0,
) -> Result:
    """Translate words by axes that were matched on other words, and by fitted linear maps.

    A part of the source's words is kept out. With the others, two linear maps are fitted (least
    squares; the nearest orthogonal one, Procrustes; on centred rows of length 1), and the axes of
    ICA and principal axes are matched one to one by falling r of rows of length 1 (Yamagiwa, Oyama
    & Shimodaira 2023, section 5.3 and appendix). A word that was kept out is then looked for among
    all of the target by CSLS (Conneau et al. 2018): 2 x·y less the mean of the largest products of
    each with the other side, x and y being mapped rows of length 1, or axes as they are. Precision
    at 1, 5 and 10 is the share of words of which any listed translation comes that early.

    A word is the mean of its rows. What is compared are the kept components of each side. mapped:
    these after a random linear map, U Σ Vᵀ with U, V of N(0, 1/d²) and Σ of Exp(1), of each
    side. White rows only turn by it, so that principal axes after it are known, and ICA after it
    is a fit from another start.
    """
    _check(test_share, neighbours, most, seed)
    source = _Site(Other("source", acts, base), (seed, 0), memory_gb, mapped=mapped)
    found = []
    for i, (other, path) in enumerate(
        zip(others, dictionaries("ica_align", dictionary, pairs, len(others)), strict=True), 1
    ):
        tell(f"{other.name}")
        target = _Site(other, (seed, i), memory_gb, mapped=mapped)
        split = _Split.of(source, target, How(pairs, path, fold), test_share, most, seed)
        found.append((split, list(_scores(source, target, split, neighbours))))
    return Result(
        {
            "summary": [_summary(split, scores) for split, scores in found],
            "scores": [score for _, scores in found for score in scores],
        },
        {},
        [line for split, _ in found for line in split.remarks()],
    )


def _check(test_share: float, neighbours: int, most: int, seed: int) -> None:
    if not 0 < test_share < 1 or neighbours < 1 or most < 2:
        raise InputError("ica_align: 0 < test_share < 1, neighbours ≥ 1 and most ≥ 2 are needed")
    if not 0 <= seed < 2**32 - 1:
        raise InputError(f"ica_align: seed={seed} must lie between 0 and 2³² − 2")


class _Site:
    """A site in its kept components, and its axes there, before and after a random map.

    variances (k,) of the components. map (k, k) of them. axes: of what is given and by which
    method, (k, k) that reads white components; of skewness ≥ 0 over the rows of the fit.
    """

    def __init__(self, other: Other, seed: Sequence[int], memory_gb: float, *, mapped: bool):
        assert other.base is not None
        self.name, self.base = other.name, other.base
        self.acts = fitted(other.acts, other.base)
        self.variances = np.asarray(other.base.arrays["variances"], float)
        self.k = len(self.variances)
        chance = np.random.default_rng(list(seed))
        rows = base_rows(other.acts, other.base, int(chance.integers(2**31)), memory_gb)
        self.said = rows.said
        turns: dict[Given, dict[str, Matrix]] = {
            "original": {"ica": rows.base, "pca": np.eye(self.k)}
        }
        self.map = random_map(self.k, chance)
        if mapped:
            turned = np.linalg.svd(np.sqrt(self.variances)[:, None] * self.map)[0].T
            again = _refitted(rows.held, other.base, int(chance.integers(2**31)))
            turns["mapped"] = {"ica": again, "pca": turned}
        self.axes = {
            given: {name: _skewed(rows.held, turn) for name, turn in both.items()}
            for given, both in turns.items()
        }

    def words(self, codes: NDArray[np.int64]) -> Matrix:
        """White components (units, k) of every unit: the mean of its rows."""
        import torch

        used = np.flatnonzero(codes >= 0)
        total = torch.zeros((int(codes.max()) + 1, self.k), dtype=torch.float64)
        start = 0
        for block in Axes.of(self.base, "pca").blocks(self.acts.take(used)):
            where = torch.from_numpy(codes[used[start : start + len(block)]])
            total.index_add_(0, where, block.double().cpu())
            start += len(block)
        counts = np.bincount(codes[used])
        found: Matrix = total.numpy() / counts[:, None]
        return found

    def vectors(self, words: Matrix, given: Given) -> Matrix:
        """Kept components of words, after the random map if so given, centred and of length 1."""
        rows = words * np.sqrt(self.variances)
        return unit(_centred(rows @ self.map if given == "mapped" else rows))


def _refitted(held: Pinned, base: Result, seed: int) -> Matrix:
    """Axes (k, k) of white rows by another start; rows that are a sample are made white first."""
    settings = {name: base.parameters[name] for name in ("contrast", "tol", "max_iter")}
    white = held.whitened()
    if white.root is None or not np.isfinite(white.root).all():
        raise InputError(
            f"ica_align: the rows do not vary in all {held.k} components of their base; give the "
            f"rows that it was made of"
        )
    return fastica(white, seed=seed, **settings).rotation @ white.root


def _skewed(held: Pinned, axes: Matrix) -> Matrix:
    """Axes (k, k) of white rows, turned to skewness ≥ 0."""
    import torch

    turn, third = torch.from_numpy(axes.T.copy()).float(), np.zeros(len(axes))
    for rows, weights in held.blocks():
        cubes = (rows @ turn.to(rows.device)) ** 3
        cubes = cubes if weights is None else cubes * weights[:, None]
        third += cubes.sum(dim=0, dtype=torch.float64).cpu().numpy()
    found: Matrix = axes * np.where(third < 0, -1.0, 1.0)[:, None]
    return found


@dataclass(frozen=True, eq=False)
class _Split:
    """Words of both sides (white components), and which are learnt from and asked for.

    left, right (lines,): words of both sides that are one, to learn from.
    """

    target: str
    here: Matrix
    there: Matrix
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    queries: Queries
    dropped: int
    said: tuple[str, ...]

    @classmethod
    def of(
        cls, source: _Site, target: _Site, how: How, share: float, most: int, seed: int
    ) -> "_Split":
        pairing = pair(source.acts, target.acts, how)
        if not len(pairing):
            raise InputError(
                f"ica_align: nothing of {target.name} meets what is here; rows of other data meet "
                f"by pairs=tokens, words of other languages by a dictionary"
            )
        groups = _groups(source.acts, pairing, how)
        tested = _tested(groups, share, seed)[groups]
        learnt = ~tested[pairing.left]
        queries = _queries(pairing, np.flatnonzero(tested))
        few = min(source.k, target.k)
        if not len(queries) or learnt.sum() <= few:
            raise InputError(
                f"ica_align: {len(pairing):,} pairs with {target.name} leave {learnt.sum():,} to "
                f"learn from and {len(queries):,} to test by; {few + 1} and 1 are needed"
            )
        codes = [
            vocabulary(site.acts, units, how, most)
            for site, units in ((source, pairing.source), (target, pairing.target))
        ]
        said = [*source.said, *target.said]
        if any((code < 0).any() for code in codes):
            said.append(f"only the first most={most:,} words (or rows) of each side are searched")
        return cls(
            target.name, source.words(codes[0]), target.words(codes[1]),
            pairing.left[learnt], pairing.right[learnt], queries, pairing.dropped, tuple(said),
        )  # fmt: skip

    def remarks(self) -> list[str]:
        return [f"{self.target}: {line}" for line in self.said]


def _groups(acts: Activations, pairing: Pairing, how: How) -> NDArray[np.int64]:
    """Of each unit of the source what it must not be parted from: rows go by whole samples."""
    if how.pairs != "rows":
        return np.arange(len(pairing.source.lines))
    return np.unique(acts.rows.sample[pairing.source.rows], return_inverse=True)[1]


def _tested(groups: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Mask of the groups that are kept out."""
    count = int(groups.max()) + 1
    picked = np.zeros(count, bool)
    picked[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return picked


def _queries(pairing: Pairing, tested: NDArray[np.int64]) -> Queries:
    order = np.argsort(pairing.left, kind="stable")
    bounds = np.searchsorted(pairing.left[order], [tested, tested + 1])
    gold = [pairing.right[order[a:b]] for a, b in bounds.T]
    return Queries(tested, gold)


def _scores(source: _Site, target: _Site, split: _Split, neighbours: int) -> Iterator[Score]:
    """Yield precision of every method on what it is given."""
    for given in source.axes:
        for method, sides in _aligned(source, target, split, given):
            wrong = ranks(*sides, split.queries, neighbours)
            p1, p5, p10 = (float((wrong < first).mean()) for first in FIRST)
            low, high = _wilson(p1, len(wrong))
            yield Score(split.target, given, method, p1, p5, p10, low, high)


def _aligned(
    source: _Site, target: _Site, split: _Split, given: Given
) -> Iterator[tuple[str, tuple[Matrix, Matrix]]]:
    """Yield methods, each with both vocabularies so that their products are the scores."""
    X = source.vectors(split.here, given)
    Y = target.vectors(split.there, given)
    for method, fit in (("least squares", least_squares), ("procrustes", procrustes)):
        W = fit(X[split.left], Y[split.right])
        yield method, (unit(X @ W), Y)
    for method in ("ica", "pca"):
        S, T = split.here @ source.axes[given][method].T, split.there @ target.axes[given][method].T
        r = _correlations(unit(S)[split.left], unit(T)[split.right])
        found = match(r, "greedy")
        yield method, (S[:, found.axis], T[:, found.other])


def _centred(rows: Matrix) -> Matrix:
    centred: Matrix = rows - rows.mean(axis=0)
    return centred


def _correlations(S: Matrix, T: Matrix) -> Matrix:
    """r (k, k') of columns; 0 where one does not vary."""
    one, other = (_centred(rows) for rows in (S, T))
    found: Matrix = unit(one.T) @ unit(other.T).T
    return found


def _wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson 1927)."""
    whole = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / whole
    half = Z95 * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n)) / whole
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def _summary(split: _Split, scores: Sequence[Score]) -> Alignment:
    first = {(s.given, s.method): s.p1 for s in scores}
    gold = [len(right) for right in split.queries.gold]
    return Alignment(
        split.target,
        first["original", "ica"],
        first["original", "pca"],
        first["original", "least squares"],
        first["original", "procrustes"],
        first.get(("mapped", "ica")),
        first.get(("mapped", "pca")),
        first.get(("mapped", "least squares")),
        first.get(("mapped", "procrustes")),
        chance_p1=float(np.mean(gold)) / len(split.there),
        learnt=len(split.left),
        tested=len(split.queries),
        translations=float(np.mean(gold)),
        words=len(split.here),
        target_words=len(split.there),
        dropped=split.dropped,
    )  # fmt: skip
