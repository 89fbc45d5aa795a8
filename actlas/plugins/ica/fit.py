"""From activations to a rotation: rows chosen, whitened, and solved from several starts."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError

from .fastica import Solution, fastica, start
from .reading import READ_ROWS, in_double
from .rowsets import Pinned, RowSet, Streamed, pinned
from .solvers import cross_check
from .whitening import Whitening, whitening

FAR_OUT = 5.0  # times the median norm
ENOUGH_ROWS = 10  # a component; with fewer, axes fit noise
SAMPLE_ROWS = 1 << 16  # of rows not held in memory, by which each restart tells stability
STABLE = 0.9  # mean |r| with the axes of restarts, from which an axis counts as found again


@dataclass(frozen=True)
class Settings:
    """How the iteration runs (see `ica`)."""

    contrast: str
    tol: float
    max_iter: int
    seed: int
    solver: str
    w_init: str = "random"

    def start(self, k: int) -> NDArray[np.float64]:
        """Axes (k, k) to begin with."""
        return np.eye(k) if self.w_init == "identity" else start(k, self.seed)

    def check(self) -> None:
        """Raise InputError for what cannot be."""
        if not 0 <= self.seed < 2**32:
            raise InputError(f"ica: seed={self.seed} must lie between 0 and 2³² − 1")
        if self.tol <= 0 or self.max_iter < 1:
            raise InputError("ica: tol > 0 and max_iter ≥ 1 are needed")


@dataclass(frozen=True)
class Fit:
    """Whitened rows and the rotation found.

    used: the activations that were fitted, rows: their numbers among those given.
    place: where each used row is in `held`, None where rows are read anew.
    stability: (k,) mean over restarts on half of the rows of the largest |r| with their axes.
    """

    used: Activations
    rows: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    white: Whitening
    held: RowSet
    place: NDArray[np.int64] | None
    solution: Solution
    stability: NDArray[np.float64] | None


def fit(
    acts: Activations,
    settings: Settings,
    *,
    n_components: int | None,
    restarts: int,
    by_token: bool,
    outlier_norm: float,
    normalise: bool,
    memory_gb: float,
) -> Fit:
    """Choose rows, whiten them, and solve."""
    settings.check()
    used, rows = _chosen(acts, outlier_norm, normalise)
    weights = token_weights(used) if by_token else None
    white = whitening(used, np.ones(len(used)) if weights is None else weights, n_components)
    held: RowSet
    if len(used) * len(white.variances) * 4 <= memory_gb * 1e9:
        held, place = pinned(used, white, weights, settings.seed)
        sample = held
    else:
        held, place = Streamed(used, white, weights), None
        sample = _sample(used, white, weights, settings.seed, memory_gb)
    solution = _solve(held, settings)
    stability = _stability(solution, held, sample, settings, restarts)
    return Fit(used, rows, weights, white, held, place, solution, stability)


def _chosen(
    acts: Activations, outlier_norm: float, normalise: bool
) -> tuple[Activations, NDArray[np.int64]]:
    rows = np.arange(len(acts))
    if outlier_norm > 0:
        norms = row_norms(acts)
        rows = np.flatnonzero(norms <= outlier_norm * np.median(norms))
        if len(rows) < 2:
            raise InputError(
                f"ica: outlier_norm={outlier_norm:g} leaves {len(rows)} of {len(norms):,} rows; "
                f"use 1 or more, {FAR_OUT:g} as a start"
            )
        acts = acts.take(rows)
    if normalise:  # as a copy in memory: not what the paper does
        X = acts.numpy(np.float64 if in_double(acts) else np.float32)
        acts = Activations.of(
            X / np.linalg.norm(X, axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny),
            rows=acts.rows,
            site=acts.site,
        )
    return acts, rows


def row_norms(acts: Activations) -> NDArray[np.float64]:
    """Euclidean norm of every row."""
    chunks = acts.chunks(READ_ROWS)
    return np.concatenate([np.sqrt((c.astype(np.float64) ** 2).sum(axis=1)) for c in chunks])


def token_weights(acts: Activations) -> NDArray[np.float64]:
    """Weight rows so that every token counts once; InputError where rows have none."""
    tokens = acts.rows.token
    if any(token is None for token in tokens):
        raise InputError("ica: weighting=token needs rows that are tokens or words; use none")
    _, kinds, counts = np.unique(
        np.array(tokens, dtype=object).astype(str), return_inverse=True, return_counts=True
    )
    found: NDArray[np.float64] = 1.0 / counts[kinds]
    return found


def _sample(
    acts: Activations,
    white: Whitening,
    weights: NDArray[np.float64] | None,
    seed: int,
    memory_gb: float,
) -> Pinned:
    fits = int(memory_gb * 1e9) // (4 * len(white.variances))
    most = max(1, min(len(acts), 2 * SAMPLE_ROWS, fits))
    picked = np.sort(np.random.default_rng(seed).choice(len(acts), most, replace=False))
    share = None if weights is None else weights[picked]
    return pinned(acts.take(picked), white, share, seed)[0]


def _solve(held: RowSet, settings: Settings) -> Solution:
    begin = settings.start(held.k)
    if settings.solver != "actlas":
        return cross_check(
            settings.solver, held, settings.contrast, settings.tol, settings.max_iter, begin
        )
    return fastica(
        held, contrast=settings.contrast, tol=settings.tol, max_iter=settings.max_iter,
        w_init=begin,
    )  # fmt: skip


def _stability(
    solution: Solution, held: RowSet, sample: Pinned, settings: Settings, restarts: int
) -> NDArray[np.float64] | None:
    """How well axes are found again, from another start and on half of the rows.

    All rows again would not do: the accidents of a sample are found again as well as what is in
    every sample. On whitened rows the correlation of two axes is the cosine of their directions.
    """
    if restarts < 1:
        return None
    found = []
    for i in range(restarts):
        part = sample.half(i, restarts)
        if len(part) <= part.k:
            return None  # too few to make axes of
        part = part.whitened()
        other = _solve(part, replace(settings, seed=settings.seed + 1 + i, w_init="random"))
        assert part.root is not None
        axes = other.rotation @ part.root
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        found.append(np.abs(solution.rotation @ axes.T).max(axis=1))
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def remarks(found: Fit, acts: Activations, settings: Settings, restarts: int) -> list[str]:
    """What the reader must know."""
    said = []
    k, n = len(found.white.variances), len(found.used)
    solution = found.solution
    if not solution.converged:
        slow = int((solution.turned >= settings.tol).sum())
        said.append(
            f"not converged: after {len(solution.limits)} passes {slow} of {k} axes still turned "
            f"by more than tol={settings.tol:g}; raise max_iter or tol, or keep fewer n_components"
        )
    if n < ENOUGH_ROWS * k:
        said.append(f"{n:,} rows for {k} axes: fewer than {ENOUGH_ROWS} a component fit noise")
    if found.white.rank < acts.width:
        said.append(
            f"{acts.width - found.white.rank} of {acts.width} directions hold nothing above "
            f"rounding and were left out: rank {found.white.rank}"
        )
    norms = row_norms(found.used)
    far = int((norms > FAR_OUT * np.median(norms)).sum())
    if far:
        said.append(
            f"{far:,} rows are longer than {FAR_OUT:g} medians and can draw axes to themselves; "
            f"outlier_norm={FAR_OUT:g} leaves them out"
        )
    if restarts and found.stability is None:
        said.append(
            f"stability is not known: half of the {n:,} rows in memory are too few for {k} axes; "
            f"keep fewer n_components, or raise memory_gb"
        )
    if found.stability is not None and (weak := int((found.stability < STABLE).sum())):
        said.append(
            f"{weak} of {k} axes are not stable: another start on half of the rows does not "
            f"find them"
        )
    return said
