"""The analysis `sim_probe`."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import (
    Activations,
    Factors,
    InputError,
    LabelError,
    NonFiniteError,
    Result,
    analysis,
    tell,
)

from . import figures, gaussian, report
from .gate import DECODED, Decoder
from .measured import Measured, Rows, drawn_curves, measure, row
from .probes import Sides, Task
from .rotations import Method, along, scored
from .rows import Pool, Pooling, Split, Target, on_both_sides, split, targets
from .tables import TABLES

FOLDS = 3
RANDOM_ORDERS = 3
ONE_NAME = 0.9  # share of rows called as most of their place: they are frames, not words
FEW_GROUPS = 5  # with fewer even a probe that is never wrong may not be sure
LEAKS = 0.1  # correlation of neighbouring rows from which groups of one row are doubtful


@dataclass(frozen=True)
class _Settings:
    pool: Pool
    window: int
    standardize: bool
    importance: Method
    c: float | None
    test_fraction: float
    topk: bool
    rotations: int
    permutations: int
    bins: int
    continuous: str | None
    seed: int

    def check(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise InputError(
                f"sim_probe: test_fraction={self.test_fraction} must lie between 0 and 1"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"sim_probe: seed={self.seed} must lie between 0 and 2³² − 1")
        if self.window < 1 or not 2 <= self.bins <= 1000:
            raise InputError("sim_probe: window ≥ 1 and 2 ≤ bins ≤ 1000 are needed")
        if self.rotations < 1 or self.permutations < 0:
            raise InputError("sim_probe: rotations ≥ 1 and permutations ≥ 0 are needed")
        if self.c is not None and self.c <= 0:
            raise InputError(f"sim_probe: c={self.c} must be above 0")


@analysis(
    version=2,
    tables=TABLES,
    arrays={"importance": "(width, factors) importance of each dimension to each factor"},
    figures=figures.ALL,
    headline="concentration",
    beside=DECODED,
)
def sim_probe(
    acts: Activations,
    factors: Factors | None,
    other: Activations | None,
    base: Result | None,
    *,
    pool: Annotated[
        Pool, "probe rows: each row; the mean, largest or last of a sample's; means of windows"
    ] = "none",
    window: Annotated[int, "rows of a window"] = 6,
    standardize: Annotated[bool, "divide dimensions by their deviation (training rows)"] = True,
    importance: Annotated[
        Method, "of the probe's weights, mutual information, |correlation|, differences of means"
    ] = "weights",
    c: Annotated[
        float | None, "inverse strength of the L2 penalty; none: chosen of 0.001 … 100 by "
        "cross-validation on training groups",
    ] = None,
    test_fraction: Annotated[float, "share of the rows kept for testing, in whole groups"] = 0.25,
    topk: Annotated[bool, "fit probes on the k best, random and worst dimensions too"] = True,
    rotations: Annotated[int, "random rotations that scores of axes are held against"] = 10,
    permutations: Annotated[int, "probes of labels permuted between groups"] = 3,
    bins: Annotated[int, "bins of equal counts for mutual information"] = 20,
    continuous: Annotated[
        str | None,
        "factors read as numbers, parted by commas; none: those of more than 20 numbers",
    ] = None,
    seed: Annotated[int, "seed of split, permutations, rotations and draws"] = 0,
) -> Result:  # fmt: skip
    """What dimensions say of labelled factors, how near they are to N(0, I), and whether to ask.

    The probing of Smooth InfoMax (Denoodt et al. 2024), for activations of any model. Factors
    are label sets of the rows (--labels digit,speaker); `other` is the site of log-variances
    where `acts` is one of posterior means (--other layers.2.logvar).

    The gate comes first: a collapsed representation is near N(0, I), smooth and concentrated,
    and says nothing. Only where a factor is read above chance by three errors (from draws of the
    posterior too), and a unit is active or a decoder of the site (the newest `sim_decode`)
    explains something, where that is known, the summary holds more than the gate; whatever is
    measured is in the tables all the same. Scores of axes are read as excess over random
    rotations of the same rows, since Gini and the like depend on width, penalty and scale.

    Probes are multinomial logistic (ridge for numbers, accuracy then being R²), tested on
    groups not seen. Classes that one side lacks are left out, and rows without any label.
    Everything but accuracies is of training rows; closeness to N(0, I) is of all rows, unpooled
    and not standardised, or of one draw each where `other` holds log-variances. A small total
    correlation is no disentanglement: N(0, I) has none along any axes. Rows are held in memory.
    """
    settings = _Settings(
        pool, window, standardize, importance, c, test_fraction, topk, rotations, permutations,
        bins, continuous, seed,
    )  # fmt: skip
    settings.check()
    X = _finite(acts)
    post = None if other is None else _posterior(acts, X, other, seed)
    found = gaussian.Laws(
        gaussian.law(X if post is None else post.draws),
        gaussian.lag1(X, acts.rows.sample),
        post,
    )
    said, decoder = _named(acts, other), Decoder.of(base)
    if factors is None:
        said.append("no factors, so the gate is not judged: name label sets with --labels A,B")
        return report.result(found, None, decoder, said)
    probed = _probed(acts, X, factors, found, settings)
    return report.result(found, probed, decoder, [*said, *probed.said])


def _named(acts: Activations, other: Activations | None) -> list[str]:
    """Say what a second site is taken for, where its name does not."""
    if other is None or "var" in other.site.lower():
        return []
    return [f"{other.site} is taken for the log-variances of {acts.site}: if not, leave it out"]


def _finite(acts: Activations) -> NDArray[np.float32]:
    X = acts.numpy()
    bad = int((~np.isfinite(X).all(1)).sum())
    if bad:
        raise NonFiniteError(
            f"{acts.site}: {bad:,} of {len(X):,} rows hold NaN or infinity; leave them out first"
        )
    return X


def _posterior(
    acts: Activations, X: NDArray[np.float32], other: Activations, seed: int
) -> gaussian.Posterior:
    if other.width != acts.width:
        raise InputError(
            f"sim_probe: {other.site} has {other.width} dimensions and {acts.site} {acts.width}; "
            f"--other is the site of its log-variances"
        )
    logvar = _finite(other)
    if np.abs(logvar).max(initial=0) > 80:
        raise InputError(
            f"sim_probe: {other.site} holds {np.abs(logvar).max():.3g}, no log-variance; --other "
            f"is the site of the log-variances of {acts.site}"
        )
    return gaussian.posterior(X, logvar, seed)


def _probed(
    acts: Activations, X: NDArray[np.float32], factors: Factors, laws: gaussian.Laws, s: _Settings
) -> report.Probed:
    pooling = Pooling.of(acts, s.pool, s.window)
    found, said = targets(factors, pooling, s.continuous, s.bins)
    groups = pooling.first(factors.groups)
    known = np.logical_or.reduce([target.known for target in found])
    if not known.any():
        raise LabelError(f"sim_probe: no row has a label of {', '.join(factors.names)}")
    kept = np.flatnonzero(known)
    found = [_taken(target, kept) for target in found]
    said += _leaks(acts, groups[kept], pooling, laws, s)
    sides = split(found, groups[kept], s.test_fraction, s.seed, FOLDS)
    said += _few(len(np.unique(groups[kept][sides.test])))
    usable = [on_both_sides(target, sides) for target in found]
    said += [remark for _, remark in usable if remark]
    left = [target for target, _ in usable if target is not None]
    if not left:
        raise LabelError(
            f"sim_probe: no factor of {', '.join(factors.names)} has two classes in two groups "
            f"each; choose other labels or --groups"
        )
    rows = _rows(acts, X, laws, pooling, kept, groups[kept], sides, s)
    measured = []
    for target in left:
        tell(f"probing {target.name}")
        task = Task.of(target, sides, groups[kept])
        measured.append(measure(rows, task, s.c, s.permutations, s.seed))
    said += [
        f"{m.task.target.name}: the probe did not converge; set --c lower"
        for m in measured if not m.probe.converged
    ]  # fmt: skip
    return _scored(rows, measured, sides, len(np.unique(groups[kept])), s, said)


def _few(tested: int) -> list[str]:
    if tested >= FEW_GROUPS:
        return []
    groups = "1 group" if tested == 1 else f"{tested} groups"
    return [f"{groups} to test on make little sure: raise --test-fraction, or use finer --groups"]


def _taken(target: Target, rows: NDArray[np.int64]) -> Target:
    values = None if target.values is None else target.values[rows]
    return Target(target.name, target.names, target.codes[rows], values)


def _leaks(
    acts: Activations, groups: NDArray[np.int64], pooling: Pooling, laws: gaussian.Laws,
    s: _Settings,
) -> list[str]:  # fmt: skip
    """Say where rows that belong together may be on both sides of the split."""
    if len(np.unique(groups)) < len(groups):
        return []
    samples = pooling.first(acts.rows.sample)
    together = len(np.unique(samples)) < len(samples)
    alike = s.pool == "none" and laws.neighbours() > LEAKS
    if not (together or alike):
        return []
    return [
        "every row is a group of its own, and neighbouring rows are alike: frames of one "
        "recording may be trained and tested on, which makes accuracies too high; give groups"
    ]


def _rows(
    acts: Activations, X: NDArray[np.float32], laws: gaussian.Laws, pooling: Pooling,
    kept: NDArray[np.int64], groups: NDArray[np.int64], sides: Split, s: _Settings,
) -> Rows:  # fmt: skip
    rng = np.random.default_rng([s.seed, 5])
    noise = rng.standard_normal((len(kept), X.shape[1]), dtype=np.float32)
    draws = None
    if laws.posterior is not None:
        draws = Sides.of(pooling.pooled(laws.posterior.draws)[kept], sides, s.standardize)
    return Rows(
        Sides.of(pooling.pooled(X)[kept], sides, s.standardize),
        Sides.of(noise, sides, True),
        draws,
        groups[sides.train],
        _types(acts, kept, sides) if s.pool == "none" else None,
    )


def _types(
    acts: Activations, kept: NDArray[np.int64], sides: Split
) -> NDArray[np.int64] | None:  # fmt: skip
    """Number of each row's token, training rows first; None where rows are no tokens.

    Frames and patches are called by their place, which is no type of anything.
    """
    tokens: Any = acts.rows.token
    if all(tokens[i] is None for i in kept[:100].tolist()):
        return None
    order = kept[np.concatenate([sides.train, sides.test])]
    numbers: dict[str | None, int] = {}
    types = np.array([numbers.setdefault(tokens[i], len(numbers)) for i in order.tolist()])
    return None if _named_by_place(types, acts.rows.position[order]) else types


def _named_by_place(types: NDArray[np.int64], place: NDArray[np.int64]) -> bool:
    """Whether nearly all rows of a place in their samples have one name."""
    pairs, counts = np.unique(np.stack([place, types], 1), axis=0, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=pairs[0, 0] - 1))
    return bool(np.maximum.reduceat(counts, starts).sum() > ONE_NAME * len(types))


def _scored(
    rows: Rows, measured: list[Measured], sides: Split, groups: int, s: _Settings, said: list[str]
) -> report.Probed:
    tasks, probes = [m.task for m in measured], [m.probe for m in measured]
    own, turned = None, []
    for axes in along(
        rows.sides, tasks, probes, s.importance, s.bins, s.rotations, s.seed
    ):  # fmt: skip
        own = axes if own is None else own
        turned.append(scored(axes))
    assert own is not None
    drawn = []
    for i, m in enumerate(measured):
        tell(f"accuracy from k dimensions of {m.task.target.name}" if s.topk else "")
        orders = RANDOM_ORDERS if s.topk else 0
        drawn.append(
            drawn_curves(rows, m, own.importance[:, i], orders, s.seed) if orders else []
        )  # fmt: skip
    table = [row(m, own.importance[:, i], drawn[i]) for i, m in enumerate(measured)]
    return report.Probed(measured, table, own, turned[0], turned[1:], drawn, sides, groups, said)
