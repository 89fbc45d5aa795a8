"""The analysis `ica_cosine`: which axes two rows are alike in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas import Activations, InputError, Result, ResultTable, analysis

from .project import Axes, Basis
from .reading import rows_at

BASES: tuple[Basis, ...] = ("ica", "pca")
FEW = 5  # axes whose share of the cosine is told
NOWHERE = 1e-12  # length of a row, in standard deviations, that is the mean up to rounding


@dataclass(frozen=True)
class Summary:
    """How a cosine is made up; one row a run."""

    cosine: Annotated[float, "cosine of the two rows in whitened space"]
    top5: Annotated[float, "sum of its 5 largest terms, by the axes of ICA"]
    top5_pca: Annotated[float, "by the principal axes"]
    top5_share: Annotated[float | None, "top5 / cosine; none where the cosine is not positive"]
    top5_share_pca: Annotated[float | None, "by the principal axes"]
    significant: Annotated[int, "axes of ICA whose product is significant"]
    significant_pca: Annotated[int, "principal axes whose product is"]
    significant_x: Annotated[int, "axes of ICA on which the first row is significant by itself"]
    significant_x_pca: Annotated[int, "principal axes on which it is"]
    significant_y: Annotated[int, "axes of ICA on which the second row is"]
    significant_y_pca: Annotated[int, "principal axes on which it is"]
    axes: Annotated[int, "axes, by which p-values are multiplied (Bonferroni)"]
    row: Annotated[int, "the first row"]
    token: Annotated[str | None, "its token; none where it is a whole sample"]
    with_row: Annotated[int, "the second row"]
    with_token: Annotated[str | None, "its token"]


@dataclass(frozen=True)
class Term:
    """What one axis adds to the cosine."""

    basis: Annotated[str, "ica, pca"]
    rank: Annotated[int, "place among the terms of the basis, the largest is 1"]
    axis: Annotated[int, "number of the axis"]
    product: Annotated[float, "x · y, of which the cosine is the sum"]
    x: Annotated[float, "the first row's share: s / |s|"]
    y: Annotated[float, "the second row's share"]
    p_x: Annotated[float, "chance of a share as large as |x|, on a sphere of directions"]
    p_y: Annotated[float, "of one as large as |y|"]
    p_product: Annotated[float, "of a product as large as |x y|"]
    significant: Annotated[bool, "whether p_product × axes ≤ level"]
    cumulative: Annotated[float, "sum of the products up to this rank"]
    axis_token: Annotated[
        str | None, "token of the axis's outermost row on the side of x; none for pca"
    ]


def product_tail(t: ArrayLike, d: int) -> NDArray[np.float64]:
    """Return the chance that x y > |t|, of x and y independent and normal with variance 1 / d.

    ∫_{|t|}^∞ (d/π) K₀(d u) du = (1/π) ∫_0^∞ e^{−d|t| cosh θ} / cosh θ dθ, by the trapezoidal
    rule, which is exact to rounding for such integrands and never takes a difference.
    """
    x = np.abs(np.asarray(t, np.float64)) * d
    step = np.minimum(0.2, 0.7 / np.sqrt(np.maximum(x, 1e-300)))
    theta = step[..., None] * np.arange(240)
    cosh = np.cosh(theta)
    terms = np.exp(-x[..., None] * (cosh - 1)) / cosh
    terms[..., 0] /= 2
    tail: NDArray[np.float64] = np.exp(-x) * step * terms.sum(axis=-1) / np.pi
    return tail


def share_tail(share: ArrayLike, d: int) -> NDArray[np.float64]:
    """Return the chance of a share above |share|, of a normal with variance 1 / d."""
    from scipy.stats import norm

    tail: NDArray[np.float64] = norm.sf(np.sqrt(d) * np.abs(share))
    return tail


def _contributions(tables: Mapping[str, ResultTable]) -> Any:
    """The largest terms of the cosine, by the axes of ICA and by principal axes."""
    import altair as alt

    (said,) = tables["summary"]
    shown = [
        f"row {said[row]}" if said[token] is None else f"“{said[token]}” ({said[row]})"
        for row, token in (("row", "token"), ("with_row", "with_token"))
    ]
    kinds = ["significant", "not significant"]
    rows = [
        row | {
            "shown": f"{row['axis']} {row['axis_token'] or ''}".strip(),
            "kind": kinds[0] if row["significant"] else kinds[1],
        }
        for row in tables["terms"]
    ]  # fmt: skip
    high = max(0.0, *(row["product"] for row in rows))
    low = min(0.0, *(row["product"] for row in rows))
    panels = []
    for basis in BASES:
        mine = [row for row in rows if row["basis"] == basis]
        share = said["top5_share" if basis == "ica" else "top5_share_pca"]
        note = "" if share is None else f": first {FEW} give {share:.0%}"
        panels.append(
            alt.Chart(alt.Data(values=mine))
            .mark_bar()
            .encode(
                alt.Y("shown:N", sort=[row["shown"] for row in mine], title="axis"),
                alt.X("product:Q", title="term of the cosine").scale(domain=[low, high]),
                alt.Color("kind:N", title=None).scale(domain=kinds, range=["#1f77b4", "#c7c7c7"]),
                tooltip=["axis:Q", "product:Q", "x:Q", "y:Q", "p_product:Q", "cumulative:Q"],
            )
            .properties(width=300, height=alt.Step(18), title=f"{basis}{note}")
        )
    title = f"cosine of {shown[0]} and {shown[1]}: {said['cosine']:.3f}"
    return alt.hconcat(*panels).properties(title=title)


@analysis(
    version=1,
    base="ica",
    tables={"summary": Summary, "terms": Term},
    arrays={"products": "(2, k) terms of the cosine by axis: of ICA, of the principal axes"},
    figures={"contributions": _contributions},
    headline="top5_share",
)
def ica_cosine(
    acts: Activations,
    base: Result,
    *,
    row: Annotated[int, "the first row, from 0"] = 0,
    with_row: Annotated[int, "the second row, from 0"] = 1,
    level: Annotated[float, "significance level, after Bonferroni over the axes"] = 0.05,
    top: Annotated[int, "terms kept of each basis, the largest"] = 10,
) -> Result:
    """The cosine of two rows as a sum over axes, with the chance of each term.

    In whitened space the cosine is Σ x_j y_j, x = s / |s| of the first row and y of the second,
    the same in every turn of the axes; ICA puts more of it into few of them than PCA (Yamagiwa,
    Oyama & Shimodaira 2025). If directions were spread evenly over the sphere, x_j would be normal
    with variance 1 / d, and x_j y_j have density (d/π) K₀(d |t|): p-values are the chance of more
    than |x_j| and |x_j y_j| at one side.
    """
    n, places = len(acts), []
    for name, given in (("row", row), ("with_row", with_row)):
        if acts.index is None and not 0 <= given < n:
            raise InputError(f"ica_cosine: {name}={given} is outside 0…{n - 1}")
        places += acts.places([given]).tolist()
    if not 0 < level < 1 or top < 1:
        raise InputError("ica_cosine: 0 < level < 1 and top ≥ 1 are needed")
    X = rows_at(acts, places)
    shares = {basis: _shares(Axes.of(base, basis), X, (row, with_row)) for basis in BASES}
    tests = {basis: _Tests.of(*found, level) for basis, found in shares.items()}
    terms = [_terms(basis, shares[basis], tests[basis], top, base) for basis in BASES]
    products = np.stack([x * y for x, y in shares.values()])
    named = {
        "row": row, "token": acts.rows.token[places[0]],
        "with_row": with_row, "with_token": acts.rows.token[places[1]],
    }  # fmt: skip
    tables = {
        "summary": _summary(products, tests, named),
        "terms": {name: [v for part in terms for v in part[name]] for name in terms[0]},
    }
    return Result(tables, {"products": products})


@dataclass(frozen=True)
class _Tests:
    """p-values of every axis (k,), and how many hold after Bonferroni."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    product: NDArray[np.float64]
    level: float

    @classmethod
    def of(cls, x: NDArray[np.float64], y: NDArray[np.float64], level: float) -> "_Tests":
        d = len(x)
        return cls(share_tail(x, d), share_tail(y, d), product_tail(x * y, d), level)

    def holds(self, name: str) -> NDArray[np.bool_]:
        p: NDArray[np.float64] = getattr(self, name)
        return np.asarray(p * len(p) <= self.level)


def _shares(
    axes: Axes, X: NDArray[Any], rows: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axes.check(X.shape[1])
    S = axes.exact(X)
    long = np.linalg.norm(S, axis=1)
    for number, length in zip(rows, long, strict=True):
        if length < NOWHERE:
            raise InputError(f"ica_cosine: row {number} is the mean of all rows; use another")
    x, y = S / long[:, None]
    return x, y


def _terms(
    basis: Basis,
    shares: tuple[NDArray[np.float64], NDArray[np.float64]],
    tests: _Tests,
    top: int,
    base: Result,
) -> dict[str, Any]:
    x, y = shares
    order = np.argsort(-(x * y), kind="stable")
    kept = order[:top]
    ends = _ends(base) if basis == "ica" else {}
    return {
        "basis": [basis] * len(kept),
        "rank": range(1, len(kept) + 1),
        "axis": kept,
        "product": (x * y)[kept],
        "x": x[kept],
        "y": y[kept],
        "p_x": tests.x[kept],
        "p_y": tests.y[kept],
        "p_product": tests.product[kept],
        "significant": tests.holds("product")[kept],
        "cumulative": np.cumsum((x * y)[kept]),
        "axis_token": [ends.get((int(j), "high" if x[j] >= 0 else "low")) for j in kept],
    }


def _ends(base: Result) -> dict[tuple[int, str], str | None]:
    """Return the token that is furthest out, by axis and end."""
    return {
        (row["axis"], row["end"]): row["token"]
        for row in base.tables["top_rows"]
        if row["rank"] == 1
    }


def _summary(
    products: NDArray[np.float64], tests: dict[Basis, _Tests], named: dict[str, Any]
) -> Summary:
    cosine = float(products[0].sum())
    ours, pca = (float(np.sort(terms)[::-1][:FEW].sum()) for terms in products)
    counts: dict[str, Any] = {
        f"significant{ending}{of}": int(tests[basis].holds(name).sum())
        for of, basis in (("", BASES[0]), ("_pca", BASES[1]))
        for ending, name in (("", "product"), ("_x", "x"), ("_y", "y"))
    }
    return Summary(
        cosine=cosine,
        top5=ours,
        top5_pca=pca,
        top5_share=ours / cosine if cosine > 0 else None,
        top5_share_pca=pca / cosine if cosine > 0 else None,
        axes=products.shape[1],
        **counts,
        **named,
    )
