"""The analysis `ica`: independent axes of one site."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Result, analysis

from . import figures, pictures
from .fastica import Solution
from .fit import STABLE, Fit, Settings, fit, remarks
from .measures import Measures, Meter
from .reading import READ_ROWS, row_blocks
from .rowsets import Pinned
from .tables import Axis, HeatCell, Iteration, Measured, PlanePoint, ScatterPoint, Summary, TopRow
from .views import plane_axes, views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

Contrast = Literal["logcosh", "exp", "cube"]
Solver = Literal["actlas", "sklearn", "picard"]
Order = Literal["skewness", "kurtosis", "negentropy"]
Start = Literal["random", "identity"]


@analysis(
    version=3,
    tables={
        "summary": Summary,
        "axes": Axis,
        "top_rows": TopRow,
        "measures": Measured,
        "iterations": Iteration,
        "scatter": ScatterPoint,
        "projection": PlanePoint,
        "heatmap": HeatCell,
    },
    arrays={
        "mean": "(width,) mean of the rows",
        "reading": "(k, width) axes as they are read: s = reading (x − mean)",
        "writing": "(width, k) axes as they are written: x − mean = writing s",
        "principal": "(k, width) principal directions, orthonormal, by falling variance",
        "variances": "(k,) variance along the principal directions",
    },
    figures={
        "nongaussianity": figures.nongaussianity,
        "top_rows": figures.top_rows,
        "heatmap": pictures.heatmap,
        "scatter": pictures.scatter,
        "projection": pictures.projection,
        "convergence": figures.convergence,
    },
    headline="mean_skewness",
)
def ica(
    acts: Activations,
    *,
    n_components: Annotated[int | None, "axes, by falling variance; none: all there are"] = None,
    contrast: Annotated[Contrast, "the function whose mean is made extreme"] = "logcosh",
    tol: Annotated[float, "stop where no axis turns by more, in 1 − |cos|"] = 1e-4,
    max_iter: Annotated[int, "most passes over the rows"] = 500,
    w_init: Annotated[
        Start, "axes begun with: identity: the principal ones, random: drawn by seed"
    ] = "random",
    seed: Annotated[int, "seed of the start, the halves and the random baseline"] = 0,
    restarts: Annotated[int, "fits of half of the rows from other starts, for stability"] = 1,
    weighting: Annotated[
        Literal["none", "token"], "token: every token counts once, however often it occurs"
    ] = "none",
    outlier_norm: Annotated[
        float, "leave out rows whose norm is above so many medians; 0: none"
    ] = 0.0,
    normalise: Annotated[bool, "divide rows by their length first (not in the paper)"] = False,
    order: Annotated[Order, "what axes are ordered by, falling"] = "skewness",
    top: Annotated[int, "rows kept at each end of an axis"] = 10,
    plane: Annotated[str | None, "axes projected to a plane, as 0,3,4; none: the first 5"] = None,
    unique: Annotated[bool, "of a token's rows keep only the outermost at each end"] = True,
    solver: Annotated[Solver, "whose iteration; sklearn and picard are cross-checks"] = "actlas",
    memory_gb: Annotated[float, "hold rows in memory up to this size, GB; else read anew"] = 4.0,
) -> Result:
    """Independent, interpretable axes of a site by FastICA.

    Rows are centred, whitened by their principal components (population variance; directions
    that rounding alone explains are left out) and rotated so that every axis is as far from a
    normal distribution as can be; then axes are turned to positive skewness and ordered
    (Yamagiwa, Oyama & Shimodaira 2023, section 3). The iteration is symmetric FastICA
    (Hyvärinen 1999). An axis that is not found again from another start on half of the rows is not
    stable: read nothing into it. An order by tour is the column tour of `ica_interpret`, one by
    matching the column rank of `ica_match`: numbers of axes stay what they are here.
    """
    if restarts < 0 or top < 1 or memory_gb < 0 or outlier_norm < 0:
        raise InputError("ica: restarts, memory_gb and outlier_norm ≥ 0 and top ≥ 1 are needed")
    shown = plane_axes(plane)
    settings = Settings(contrast, tol, max_iter, seed, solver, w_init)
    found = fit(
        acts, settings, n_components=n_components, restarts=restarts, by_token=weighting == "token",
        outlier_norm=outlier_norm, normalise=normalise, memory_gb=memory_gb,
    )  # fmt: skip
    axes = _Turned.of(found, order)
    bases = _bases(found, axes, seed)
    writing = found.white.writing @ axes.rotation.T
    tables = {
        "summary": _summary(found, acts, bases),
        "axes": _axes(found, axes, writing, tol),
        "measures": _measures(bases),
        "iterations": _iterations(found.solution),
        **views(found, axes.rotation, acts, top=top, unique=unique, seed=seed, plane=shown),
    }
    arrays = {
        "mean": found.white.mean,
        "reading": axes.rotation @ found.white.reading,
        "writing": writing,
        "principal": found.white.vectors.T,
        "variances": found.white.variances,
    }
    return Result(tables, arrays, remarks(found, acts, settings, restarts))


@dataclass(frozen=True)
class _Turned:
    """Axes in their final order, of skewness ≥ 0; order: which of the solution's each is."""

    rotation: NDArray[np.float64]
    order: NDArray[np.int64]
    measures: Measures

    @classmethod
    def of(cls, found: Fit, order: str) -> "_Turned":
        measured = _measured(found, found.solution.rotation)
        signs = np.where(measured.skewness < 0, -1.0, 1.0)  # never 0: a symmetric axis stays
        keys = {
            "skewness": np.abs(measured.skewness),
            "kurtosis": measured.kurtosis,
            "negentropy": measured.logcosh,
        }
        places = np.argsort(-keys[order], kind="stable")
        rotation = (found.solution.rotation * signs[:, None])[places]
        return cls(rotation, places, measured.turned(signs, places))


def _measured(found: Fit, rotation: NDArray[np.float64] | None) -> Measures:
    """Measure the whitened rows, rotated (None: as they are)."""
    import torch

    meter = Meter(found.held.k)
    turn: Tensor | None = None
    for block, weights in found.held.blocks():
        if rotation is not None and turn is None:
            turn = torch.from_numpy(rotation).to(block.device, torch.float32).T.contiguous()
        meter.add(block if turn is None else block @ turn, weights)
    return meter.measures()


def _bases(found: Fit, axes: _Turned, seed: int) -> dict[str, Measures]:
    """Measures of the axes, and of what they are compared with."""
    return {
        "ica": axes.measures,
        "pca": _measured(found, None).sizes(ordered=False),
        "raw": _raw(found).sizes(),
        "random": _random(len(found.used), found.held.k, seed).sizes(),
    }


def _raw(found: Fit) -> Measures:
    """Measure the dimensions themselves, each standardised; constant ones are left out."""
    import torch

    mean, second, weight = np.zeros(found.used.width), np.zeros(found.used.width), 0.0
    for chunk, share in _chunks(found):
        centred = chunk.double() - torch.from_numpy(found.white.mean).to(chunk.device)
        mean += (share @ centred).cpu().numpy()
        second += (share @ centred.square()).cpu().numpy()
        weight += float(share.sum())
    mean /= weight
    spread = np.sqrt((second / weight - mean**2).clip(min=0))
    live = spread > np.sqrt(found.white.floor)
    meter = Meter(int(live.sum()))
    centre, scale = (found.white.mean + mean)[live], spread[live]
    for chunk, share in _chunks(found):
        given = chunk[:, torch.from_numpy(np.flatnonzero(live)).to(chunk.device)].double()
        moved = given - torch.from_numpy(centre).to(chunk.device)
        meter.add((moved / torch.from_numpy(scale).to(chunk.device)).float(), share.float())
    return meter.measures()


def _chunks(found: Fit) -> "Iterator[tuple[Tensor, Tensor]]":
    import torch

    start = 0
    weights = np.ones(len(found.used)) if found.weights is None else found.weights
    for chunk in row_blocks(found.used):
        yield chunk, torch.from_numpy(weights[start : start + len(chunk)]).to(chunk.device)
        start += len(chunk)


def _random(rows: int, columns: int, seed: int) -> Measures:
    """Measure normal random numbers."""
    import torch

    chance = torch.Generator().manual_seed(seed)
    meter = Meter(columns)
    for start in range(0, rows, READ_ROWS):
        meter.add(torch.randn((min(READ_ROWS, rows - start), columns), generator=chance))
    return meter.measures()


def _summary(found: Fit, acts: Activations, bases: dict[str, Measures]) -> Summary:
    skewness = {name: float(np.abs(basis.skewness).mean()) for name, basis in bases.items()}
    limit = found.solution.limits[-1]
    return Summary(
        mean_skewness=skewness["ica"],
        mean_skewness_pca=skewness["pca"],
        mean_skewness_raw=skewness["raw"],
        mean_skewness_random=skewness["random"],
        rows=len(found.used),
        dropped_rows=len(acts) - len(found.used),
        width=acts.width,
        rank=found.white.rank,
        components=found.held.k,
        iterations=len(found.solution.limits),
        limit=None if np.isnan(limit) else limit,
        converged=found.solution.converged,
        stable=None if found.stability is None else int((found.stability >= STABLE).sum()),
        pinned=isinstance(found.held, Pinned),
    )


def _axes(found: Fit, axes: _Turned, writing: NDArray[np.float64], tol: float) -> dict[str, Any]:
    k = len(axes.order)
    stability = None if found.stability is None else found.stability[axes.order]
    return {
        "axis": range(k),
        "skewness": axes.measures.skewness,
        "kurtosis": axes.measures.kurtosis,
        "negentropy_logcosh": axes.measures.logcosh,
        "negentropy_gauss": axes.measures.gauss,
        "variance_share": (writing**2).sum(axis=0) / found.white.total_variance,
        "stability": [None] * k if stability is None else stability,
        "stable": [None] * k if stability is None else stability >= STABLE,
        "converged": found.solution.turned[axes.order] < tol,
    }


def _iterations(solution: Solution) -> dict[str, Any]:
    terms = np.stack(solution.negentropies)  # (passes, k)
    low, median, high = np.quantile(terms, [0.1, 0.5, 0.9], axis=1)
    return {
        "iteration": range(1, len(terms) + 1),
        "limit": list(solution.limits),
        "objective": terms.sum(axis=1),
        "low": low,
        "median": median,
        "high": high,
    }


def _measures(bases: dict[str, Measures]) -> dict[str, Any]:
    return {
        "basis": [name for name, basis in bases.items() for _ in basis.skewness],
        "index": [i for basis in bases.values() for i in range(len(basis.skewness))],
        "skewness": np.concatenate([np.abs(basis.skewness) for basis in bases.values()]),
        "kurtosis": np.concatenate([basis.kurtosis for basis in bases.values()]),
        "negentropy_logcosh": np.concatenate([basis.logcosh for basis in bases.values()]),
        "negentropy_gauss": np.concatenate([basis.gauss for basis in bases.values()]),
    }
