"""The analysis `ica_reconstruct`: how much of a row few of its axes make up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Result, ResultTable, analysis

from .few_axes import steps
from .fit import token_weights
from .items import fitted_rows, raw_axes
from .project import Axes, Basis
from .reading import rows_at

WHITE: tuple[Basis, ...] = ("ica", "pca", "random")
NAMES = [*WHITE, "raw"]
Ranking = Literal["energy", "length"]


@dataclass(frozen=True)
class Summary:
    """What the axes of one basis give when `keep` of each row are kept, or taken away."""

    basis: Annotated[str, "ica, pca, random (white axes turned by chance), raw (dimensions)"]
    axes: Annotated[int, "axes of the basis; of raw, dimensions that are not constant"]
    keep: Annotated[int, "axes kept of each row; all where there are fewer"]
    kept: Annotated[float, "explained variance of rows made of these axes alone"]
    kept_error: Annotated[float, "mean over rows of |x − x̂| / |x − mean|"]
    ablated: Annotated[float, "explained variance of rows without these axes"]
    ablated_error: Annotated[float, "mean over rows of |x − x̂| / |x − mean|"]
    energy: Annotated[float, "mean share of these axes in Σ s²"]
    rows: Annotated[int, "rows, drawn by chance"]


@dataclass(frozen=True)
class Point:
    """Rows made again of p axes, other ones for every row, or of all but these."""

    basis: Annotated[str, "ica, pca, random, raw"]
    mode: Annotated[str, "keep: of p axes alone; ablate: of all others"]
    p: Annotated[int, "axes kept or ablated, those highest in the row"]
    explained_variance: Annotated[float, "1 − Σ |x − x̂|² / Σ |x − mean|² over rows"]
    relative_error: Annotated[float, "mean over rows of |x − x̂| / |x − mean|"]


@dataclass(frozen=True)
class Row:
    """One row made again of its `keep` highest axes of ICA, or without these."""

    row: Annotated[int, "row of the activations"]
    token: Annotated[str | None, "token or word of the row; none where it is a whole sample"]
    axis: Annotated[int, "its highest axis"]
    kept: Annotated[float, "1 − |x − x̂|² / |x − mean|² of these axes alone"]
    ablated: Annotated[float, "the same, without these axes"]
    energy: Annotated[float, "share of these axes in Σ s²"]


def _curves(tables: Mapping[str, ResultTable]) -> Any:
    """Explained variance by how many axes are kept, and by how many are ablated."""
    import altair as alt

    rows = list(tables["curves"])
    ticks = sorted({row["p"] for row in rows})
    least = min(-0.05, *(row["explained_variance"] for row in rows))
    panels = []
    for mode, title in (("keep", "axes kept of each row"), ("ablate", "axes ablated of each row")):
        mine = [row for row in rows if row["mode"] == mode]
        y = alt.Y("explained_variance:Q", title="explained variance")
        panels.append(
            alt.Chart(alt.Data(values=mine))
            .mark_line(point=True, clip=True)
            .encode(
                alt.X("p:Q", title=title)
                .scale(type="log", nice=False)
                .axis(values=ticks, labelOverlap=True),
                y.scale(domain=[max(least, -1), 1]),
                alt.Color("basis:N", sort=NAMES).scale(domain=NAMES),
                tooltip=["basis:N", "p:Q", "explained_variance:Q", "relative_error:Q"],
            )
            .properties(width=300, height=240, title=mode)
        )
    return alt.hconcat(*panels).properties(title="Rows made again of their highest axes")


@analysis(
    version=1,
    base="ica",
    tables={"summary": Summary, "curves": Point, "rows": Row},
    figures={"curves": _curves},
)
def ica_reconstruct(
    acts: Activations,
    base: Result,
    *,
    keep: Annotated[int, "axes of a row that summary and rows tell of"] = 10,
    by: Annotated[
        Ranking, "what is high in a row: energy s², or length |s · writing vector|"
    ] = "energy",
    sample: Annotated[int, "rows that are made again, drawn by chance"] = 2000,
    seed: Annotated[int, "seed of the sample and of random axes"] = 0,
) -> Result:
    """How much of each row its p highest axes make up, and what is left without them.

    A row is x̂ = mean + Σ s_j · (writing vector of j), over the p axes that are highest in that row
    (keep) or over all others (ablate), as in ICA Lens (Liu & Han 2026): of ICA, and of principal,
    random and the site's own axes. Explained variance is of stored rows, so directions of large
    variance decide it: principal axes give most of it with few where they are ranked by length.
    """
    if keep < 1 or sample < 1 or not 0 <= seed < 2**32:
        raise InputError("ica_reconstruct: keep ≥ 1, sample ≥ 1 and 0 ≤ seed < 2³² are needed")
    used = fitted_rows(acts, base)
    picked = np.random.default_rng(seed).permutation(len(used))[:sample]
    places = np.sort(used[picked])
    weights = np.ones(len(used))
    if base.parameters.get("weighting") == "token":
        weights = token_weights(acts.take(used))
    weights = weights[np.sort(picked)]
    X = rows_at(acts, places)
    made = {
        name: _Made.of(X, basis, keep, by, weights)
        for name, basis in _bases(acts.take(used), base, seed).items()
    }
    tokens = acts.rows.token
    tables = {
        "summary": [one.summary(name, keep) for name, one in made.items()],
        "curves": _points(made),
        "rows": made["ica"].rows(keep)
        | {"row": acts.numbers(places), "token": [tokens[place] for place in places.tolist()]},
    }
    return Result(tables)


@dataclass(frozen=True, eq=False)
class _Basis:
    """Axes as they are read, and as they are written (width, k)."""

    axes: Axes
    writing: NDArray[np.float64]


def _bases(acts: Activations, base: Result, seed: int) -> dict[str, _Basis]:
    to_white = base.arrays["principal"].T * np.sqrt(base.arrays["variances"])  # (width, k)
    found = {}
    for name in WHITE:
        axes = Axes.of(base, name, seed)
        found[str(name)] = _Basis(axes, to_white @ (axes.reading @ to_white).T)
    raw = raw_axes(acts, base)
    spread = np.divide(1, raw.reading, out=np.zeros_like(raw.reading), where=raw.reading != 0)
    return found | {"raw": _Basis(raw, spread.T)}


@dataclass(frozen=True, eq=False)
class _Made:
    """Rows made again. p: (steps,); the errors (steps, rows) are |x − x̂|² over |x − mean|².

    highest: (rows,) each row's highest axis. energy: (steps, rows) share in Σ s².
    """

    p: NDArray[np.int64]
    kept: NDArray[np.float64]
    ablated: NDArray[np.float64]
    energy: NDArray[np.float64]
    highest: NDArray[np.int64]
    weights: NDArray[np.float64]
    lengths: NDArray[np.float64]

    @classmethod
    def of(
        cls, X: NDArray[np.float64], basis: _Basis, keep: int, by: str, weights: NDArray[np.float64]
    ) -> "_Made":
        """keep: a step of its own."""
        import torch

        S = basis.axes.exact(X)  # (n, k)
        centred = Axes(basis.axes.mean, np.eye(X.shape[1]), basis.axes.normalise).exact(X)
        high = np.abs(S) * (1 if by == "energy" else np.linalg.norm(basis.writing, axis=0))
        order = np.argsort(-high, axis=1, kind="stable")
        p = np.union1d(steps(S.shape[1]), [min(keep, S.shape[1])])
        lengths = (centred**2).sum(axis=1)
        writing = torch.from_numpy(basis.writing.T.copy())
        whole = (torch.from_numpy(S) @ writing).numpy()
        kept, ablated, energy = np.empty((3, len(p), len(S)))
        for i, few in enumerate(p):
            part = np.zeros_like(S)
            np.put_along_axis(part, order[:, :few], np.take_along_axis(S, order[:, :few], 1), 1)
            again = (torch.from_numpy(part) @ writing).numpy()
            kept[i] = ((centred - again) ** 2).sum(axis=1)
            ablated[i] = ((centred - (whole - again)) ** 2).sum(axis=1)
            energy[i] = (part**2).sum(axis=1) / (S**2).sum(axis=1).clip(min=1e-300)
        floor = lengths.clip(min=1e-300)
        return cls(p, kept / floor, ablated / floor, energy, order[:, 0], weights, lengths)

    def explained(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(steps,) over all rows."""
        share = self.weights * self.lengths
        found: NDArray[np.float64] = 1 - errors @ share / share.sum()
        return found

    def error(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(steps,) mean over rows of the root."""
        found: NDArray[np.float64] = np.sqrt(errors) @ self.weights / self.weights.sum()
        return found

    def _at(self, keep: int) -> int:
        return int(np.searchsorted(self.p, min(keep, self.p[-1])))

    def summary(self, name: str, keep: int) -> Summary:
        at = self._at(keep)
        return Summary(
            basis=name,
            axes=int(self.p[-1]),
            keep=int(self.p[at]),
            kept=float(self.explained(self.kept)[at]),
            kept_error=float(self.error(self.kept)[at]),
            ablated=float(self.explained(self.ablated)[at]),
            ablated_error=float(self.error(self.ablated)[at]),
            energy=float(self.energy[at] @ self.weights / self.weights.sum()),
            rows=len(self.lengths),
        )

    def rows(self, keep: int) -> dict[str, Any]:
        at = self._at(keep)
        return {
            "axis": self.highest,
            "kept": 1 - self.kept[at],
            "ablated": 1 - self.ablated[at],
            "energy": self.energy[at],
        }


def _points(made: dict[str, _Made]) -> dict[str, Any]:
    parts = [
        (name, mode, p, explained, error)
        for name, one in made.items()
        for mode, errors in (("keep", one.kept), ("ablate", one.ablated))
        for p, explained, error in zip(
            one.p.tolist(), one.explained(errors), one.error(errors), strict=True
        )
    ]
    names = ("basis", "mode", "p", "explained_variance", "relative_error")
    return dict(zip(names, map(list, zip(*parts, strict=True)), strict=True))
