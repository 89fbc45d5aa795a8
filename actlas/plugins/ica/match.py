"""The analysis `ica_match`: which axes of one site are those of others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Other, Others, Result, analysis

from . import match_figures as figures
from .items import fitted
from .match_tables import Cell, CurvePoint, HubAxis, Matched, Pair
from .matching import Assignment, Match, Null, match, shuffled
from .moments import BASES, Side, cross, side
from .pairing import How, Pairing, Pairs, Weigh, dictionaries, pair
from .project import Basis

FIRST = 100  # pairs of axes of highest r, that the paper compares bases by
SHOWN = 50  # axes of a heat map


@analysis(
    version=1,
    base="ica",
    tables={
        "summary": Matched, "pairs": Pair, "hub": HubAxis, "curves": CurvePoint, "heatmap": Cell,
    },
    arrays={
        "correlations": "(targets, k, most k' of a target) r of every axis of the source with "
        "every axis of each target; 0 where a target has fewer axes"
    },
    figures={
        "curves": figures.curves, "heatmap": figures.heatmap, "hub": figures.hub,
    },
)  # fmt: skip
def ica_match(
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
    weigh: Annotated[
        Weigh, "words: each weighs 1; occurrences: every pair of a word's occurrences does"
    ] = "words",
    assignment: Annotated[
        Assignment, "greedy: the highest r first; optimal: the greatest total r"
    ] = "greedy",
    permutations: Annotated[
        int | None, "shuffles of the pairing; none: 3 to 100, more for fewer axes"
    ] = None,
    level: Annotated[float, "family-wise p up to which an axis counts as shared"] = 0.05,
    seed: Annotated[int, "seed of the shuffles and of the random axes"] = 0,
) -> Result:
    """Match the independent axes of a site with those of others: layers, models, languages.

    C holds the weighted Pearson correlation, over paired rows, of every axis of the source with
    every axis of a target, and pairs are taken by falling signed r (Yamagiwa, Oyama &
    Shimodaira 2023, section 4 and appendix). The source is the hub: every target is matched to
    it by itself. A word that occurs several times is paired in all its occurrences with all
    occurrences of its partner, and weighs 1 in all; every dictionary line is one observation.
    weigh=occurrences and fold are the variant of Yamagiwa, Oyama & Shimodaira 2025: the
    commonest words decide then. Sites of different models are told to be of the same data by
    nothing but their places: see the warnings.

    p is family-wise: the chance that any of the k k' axis pairs reaches r after rows (or words,
    whole, and all translations of a word together) were shuffled. One level holds for all
    ranks: a later match is the highest of those left, so that the shuffles' r at the same rank
    would call chance shared. Shuffling takes rows for independent; rows of one sentence are not
    quite, and p is then too small, as it is for axes of very heavy tails by a handful of
    shuffles (many axes; raise permutations). Principal and random axes, turned to positive
    skewness and matched alike, are for comparison.
    """
    _check(others, permutations, level, seed)
    paths = dictionaries("ica_match", dictionary, pairs, len(others))
    source = _Site(Other("source", acts, base), seed)
    found = [
        source.compared(_Site(other, seed + 1 + i), how=How(pairs, path, fold, weigh),
                        chance=(assignment, permutations, seed))
        for i, (other, path) in enumerate(zip(others, paths, strict=True))
    ]  # fmt: skip
    tables = {
        "summary": [one.summary(level) for one in found],
        "pairs": _stacked([one.pairs(base, level) for one in found]),
        "hub": _hub(found, len(base.arrays["reading"]), level),
        "curves": _stacked([one.curves() for one in found]),
        "heatmap": _stacked([one.heatmap() for one in found]),
    }
    said = [line for one in found for line in one.remarks()]
    return Result(tables, {"correlations": _padded([one.r["ica"] for one in found])}, said)


def _check(others: Others, permutations: int | None, level: float, seed: int) -> None:
    if not 0 < level < 1 or (permutations is not None and permutations < 2):
        raise InputError("ica_match: 0 < level < 1 and permutations ≥ 2 are needed")
    if not 0 <= seed < 2**32 - len(others) - 1:
        raise InputError(f"ica_match: seed={seed} must lie between 0 and about 2³²")


class _Site:
    """A site with its axes; rows that were left out of the fit for their norm are here too."""

    def __init__(self, other: Other, seed: int):
        assert other.base is not None
        self.name, self.base, self.seed = other.name, other.base, seed
        self.acts = fitted(other.acts, other.base)

    def compared(
        self,
        target: "_Site",
        *,
        how: How,
        chance: tuple[Assignment, int | None, int],
    ) -> "_Compared":
        """Pair rows with those of a target, correlate axes, and match them."""
        pairing = pair(self.acts, target.acts, how)
        self._enough(target, pairing, how.pairs)
        left = side(self.acts, self.base, pairing.source, self.seed)
        uneven = pairing.each is not None
        right = side(target.acts, target.base, pairing.target, target.seed, squares=uneven)
        covariance = cross(left, right, pairing.left, pairing.right, pairing.each)
        r = {basis: _correlations(left, right, basis, covariance) for basis in BASES}
        assignment, permutations, seed = chance
        null = Null.of(shuffled(left, right, pairing, permutations, seed), assignment)
        matches = {basis: match(r[basis], assignment) for basis in BASES}
        return _Compared(target.name, target.base, pairing, r, matches, null)

    def _enough(self, target: "_Site", pairing: Pairing, pairs: str) -> None:
        most = max(len(site.base.arrays["reading"]) for site in (self, target))
        if len(pairing) <= most:
            what = {"rows": "rows", "tokens": "words", "dictionary": "dictionary lines"}[pairs]
            other = "; rows of other data meet by pairs=tokens" if pairs == "rows" else ""
            raise InputError(
                f"ica_match: {len(pairing):,} {what} meet of {len(self.acts):,} rows here and "
                f"{len(target.acts):,} of {target.name}; {most} axes need {most + 1} or more{other}"
            )


def _correlations(
    source: Side, target: Side, basis: Basis, covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    found: NDArray[np.float64] = source.scale(basis) @ covariance @ target.scale(basis).T
    return found.clip(-1, 1)  # float32 rounds beyond


@dataclass(frozen=True, eq=False)
class _Compared:
    """The source beside one target."""

    name: str
    base: Result
    pairing: Pairing
    r: dict[Basis, NDArray[np.float64]]
    matches: dict[Basis, Match]
    null: Null

    def summary(self, level: float) -> Matched:
        """The row of this target."""
        k, other = self.r["ica"].shape
        mean = {basis: float(found.r.mean()) for basis, found in self.matches.items()}
        first = {basis: float(found.r[:FIRST].mean()) for basis, found in self.matches.items()}
        return Matched(
            self.name, mean["ica"], mean["pca"], mean["random"],
            first["ica"], first["pca"], first["random"],
            shared=int(self.shared(level).sum()),
            level_r=self.null.level(level),
            chance_r=float(np.sqrt(2 * np.log(k * other) / self.pairing.effective)),
            matched=min(k, other),
            axes=k,
            target_axes=other,
            weight=len(self.pairing),
            row_pairs=self.pairing.row_pairs,
            dropped=self.pairing.dropped,
            shuffles=len(self.null.curve),
        )  # fmt: skip

    def shared(self, level: float) -> NDArray[np.bool_]:
        """Of each matched pair."""
        return np.asarray(self.null.p(self.matches["ica"].r) <= level)

    def pairs(self, base: Result, level: float) -> dict[str, Any]:
        """Matched pairs by column."""
        found = self.matches["ica"]
        here, there = base.tables["axes"], self.base.tables["axes"]
        return {
            "target": [self.name] * len(found.r),
            "rank": range(1, len(found.r) + 1),
            "axis": found.axis,
            "other_axis": found.other,
            "r": found.r,
            "null_r": self.null.curve.mean(axis=0),
            "p": self.null.p(found.r),
            "shared": self.shared(level),
            "stable": here["stable"][found.axis],
            "other_stable": there["stable"][found.other],
            "skewness": here["skewness"][found.axis],
            "other_skewness": there["skewness"][found.other],
        }

    def curves(self) -> dict[str, Any]:
        """Matched r by rank."""
        curve = self.null.curve
        n, none = curve.shape[1], [None] * curve.shape[1]
        return {
            "target": [self.name] * 4 * n,
            "basis": [basis for basis in (*BASES, "shuffled") for _ in range(n)],
            "rank": [*range(1, n + 1)] * 4,
            "r": np.concatenate([*(self.matches[b].r for b in BASES), curve.mean(axis=0)]),
            "low": [*none * 3, *curve.min(axis=0).tolist()],
            "high": [*none * 3, *curve.max(axis=0).tolist()],
        }

    def heatmap(self) -> dict[str, Any]:
        """The source's first axes with the target's first, and with their matches."""
        found, r = self.matches["ica"], self.r["ica"]
        order = np.argsort(found.axis)
        shown = {
            "before": (np.arange(r.shape[0])[:SHOWN], np.arange(r.shape[1])[:SHOWN]),
            "after": (found.axis[order][:SHOWN], found.other[order][:SHOWN]),
        }
        parts = []
        for name, (axis, other) in shown.items():
            row, column = (i.ravel() for i in np.indices((len(axis), len(other))))
            parts.append({
                "target": [self.name] * len(row), "order": [name] * len(row),
                "column": column, "axis": axis[row], "other_axis": other[column],
                "r": r[axis[row], other[column]],
            })  # fmt: skip
        return _stacked(parts)

    def remarks(self) -> list[str]:
        """What the reader must know of this target."""
        n, said = len(self.pairing), []
        if self.pairing.unlike > n // 10:
            said.append(
                f"{self.name}: {self.pairing.unlike:,} of {n:,} rows that meet are of different "
                f"words; rows pair by their places in the same data, words by pairs=tokens"
            )
        if self.pairing.dropped:
            said.append(
                f"{self.name}: {self.pairing.dropped:,} dictionary lines are left out, as a word "
                f"of theirs is not there; {n:,} are used"
            )
        return said


def _hub(found: Sequence[_Compared], k: int, level: float) -> dict[str, Any]:
    total, matched, shared = np.zeros(k), np.zeros(k, np.int64), np.zeros(k, np.int64)
    for one in found:
        axis = one.matches["ica"].axis  # each at most once
        total[axis] += one.matches["ica"].r
        matched[axis] += 1
        shared[axis] += one.shared(level)
    order = np.argsort(-total, kind="stable")
    mean = [t / m if m else None for t, m in zip(total.tolist(), matched.tolist(), strict=True)]
    return {
        "rank": range(1, k + 1),
        "axis": order,
        "mean_r": [mean[i] for i in order],
        "sum_r": total[order],
        "matched": matched[order],
        "everywhere": matched[order] == len(found),
        "shared": shared[order],
    }


def _stacked(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tables below one another."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def _padded(matrices: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    widest = max(r.shape[1] for r in matrices)
    out = np.zeros((len(matrices), len(matrices[0]), widest), np.float32)
    for place, r in zip(out, matrices, strict=True):
        place[:, : r.shape[1]] = r
    return out
