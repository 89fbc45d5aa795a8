"""The eigenvalue spectrum of a site's covariance, in one streaming pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, NonFiniteError, Result, ResultTable, analysis


@dataclass(frozen=True)
class Summary:
    """How a site's rows spread over directions; one row a run."""

    rows: Annotated[int, "rows read"]
    width: Annotated[int, "dimensions of a row"]
    rank: Annotated[int, "eigenvalues above the rounding error of the covariance"]
    total_variance: Annotated[float, "sum of the eigenvalues: mean squared distance to the mean"]
    effective_rank: Annotated[
        float | None, "exp of the entropy of the eigenvalue shares, in dimensions (1 … rank)"
    ]
    participation_ratio: Annotated[
        float | None, "(sum of eigenvalues)² / sum of their squares, in dimensions (1 … rank)"
    ]
    stable_rank: Annotated[float | None, "sum of eigenvalues / largest eigenvalue, in dimensions"]
    mean_share: Annotated[float | None, "|mean vector|² / mean |row|²: 1 if all rows are equal"]
    top_share: Annotated[float | None, "largest eigenvalue / sum of eigenvalues"]


@dataclass(frozen=True)
class Eigenvalue:
    """One eigenvalue of the covariance, largest first."""

    index: Annotated[int, "rank of the eigenvalue, from 0"]
    eigenvalue: Annotated[float, "variance along its eigenvector, activation units squared"]
    share: Annotated[float | None, "eigenvalue / sum of eigenvalues"]
    cumulative: Annotated[float | None, "sum of the shares up to this one"]


@dataclass(frozen=True)
class Massive:
    """One dimension with a large activation, the largest first (Sun et al. 2024)."""

    dimension: Annotated[int, "index of the dimension"]
    max_abs: Annotated[float, "largest magnitude over all rows, activation units"]
    row: Annotated[int, "row where it occurs"]
    mean: Annotated[float, "mean over the rows, activation units"]
    ratio: Annotated[float | None, "max_abs / median over dimensions of their root mean square"]


class _Moments:
    """Running sums in float64, around the first chunk's mean so that nothing cancels."""

    def __init__(self, width: int):
        self.rows = 0
        self.shift = np.zeros(width)
        self.sum = np.zeros(width)
        self.products = np.zeros((width, width))
        self.max_abs = np.zeros(width)
        self.max_row = np.zeros(width, np.int64)

    def add(self, chunk: NDArray[Any]) -> None:
        """Add rows (n, width)."""
        X = chunk.astype(np.float64)  # (n, width)
        if self.rows == 0:
            self.shift = X.mean(axis=0)
        magnitude = np.abs(X)
        top = magnitude.argmax(axis=0)
        largest = magnitude[top, np.arange(X.shape[1])]
        if not np.isfinite(largest).all():
            raise NonFiniteError("spectrum: rows hold NaN or infinity; leave them out")
        higher = largest > self.max_abs
        self.max_abs[higher] = largest[higher]
        self.max_row[higher] = top[higher] + self.rows
        X -= self.shift
        self.sum += X.sum(axis=0)
        self.products += X.T @ X  # (width, width)
        self.rows += len(X)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(width,) mean of the rows."""
        return self.shift + self.sum / self.rows

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(width, width) population covariance."""
        drift = self.sum / self.rows
        return self.products / self.rows - np.outer(drift, drift)


def _curve(tables: Mapping[str, ResultTable]) -> Any:
    """Eigenvalue shares against their rank, both on logarithmic axes."""
    import altair as alt

    rank = tables["summary"]["rank"][0]  # below it there is only rounding
    rows = [r | {"rank": r["index"] + 1} for r in tables["eigenvalues"] if r["index"] < rank]
    return (
        alt.Chart(alt.Data(values=rows), title="Eigenvalue spectrum")
        .mark_line(point=len(rows) < 50)
        .encode(
            alt.X("rank:Q", title="eigenvalue rank").scale(type="log"),
            alt.Y("share:Q", title="share of the variance").scale(type="log"),
            tooltip=["rank:Q", "share:Q", "cumulative:Q"],
        )
        .properties(width=420, height=260)
    )


@analysis(
    version=1,
    tables={"summary": Summary, "eigenvalues": Eigenvalue, "massive": Massive},
    arrays={"mean": "(width,) mean of the rows"},
    figures={"spectrum": _curve},
    headline="effective_rank",
)
def spectrum(
    acts: Activations,
    *,
    top: Annotated[int, "number of dimensions listed in the table massive"] = 10,
) -> Result:
    """Eigenvalue spectrum of the covariance, its effective dimensions and massive activations.

    Streams over the rows once, with float64 sums; memory is a few width × width matrices.
    Effective rank is the exponential of the entropy of the eigenvalue shares (Roy & Vetterli
    2007, on eigenvalues instead of singular values); participation ratio and stable rank are
    the other two common counts. All three are null where the rows do not vary.
    Dimensions with massive activations follow Sun et al. 2024, "Massive Activations in Large
    Language Models".
    """
    if top < 1:
        raise InputError(f"spectrum: top={top} lists nothing; use 1 or more")
    moments = _Moments(acts.width)
    for chunk in acts:
        moments.add(chunk)
    # Negative eigenvalues of a covariance are rounding.
    values = np.clip(np.linalg.eigvalsh(moments.covariance)[::-1], 0, None)  # (width,)
    tables = {
        "summary": _summary(moments, values),
        "eigenvalues": _eigenvalues(values),
        "massive": _massive(moments, acts, top),
    }
    return Result(tables, {"mean": moments.mean})


def _summary(moments: _Moments, values: NDArray[np.float64]) -> Summary:
    total, width = float(values.sum()), len(values)
    power = float(moments.mean @ moments.mean)
    # Rounding of the products, of the drift taken from them, and of X - shift.
    eps, drift = np.finfo(np.float64).eps, moments.sum / moments.rows
    floor = width * eps * (total + float(drift @ drift) + eps * power)
    varies = total > floor
    p = values[values > 0] / total if varies else np.ones(1)
    return Summary(
        rows=moments.rows,
        width=width,
        rank=int((values > floor).sum()),
        total_variance=total,
        effective_rank=float(np.exp(-(p * np.log(p)).sum())) if varies else None,
        participation_ratio=float(1 / (p @ p)) if varies else None,
        stable_rank=float(total / values[0]) if varies else None,
        mean_share=power / (power + total) if power + total > 0 else None,
        top_share=float(values[0] / total) if varies else None,
    )


def _eigenvalues(values: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    total = values.sum()
    share = values / total if total > 0 else np.full(len(values), np.nan)
    return {
        "index": np.arange(len(values)),
        "eigenvalue": values,
        "share": share,
        "cumulative": np.cumsum(share),
    }


def _massive(moments: _Moments, acts: Activations, top: int) -> dict[str, NDArray[Any]]:
    square = np.clip(np.diag(moments.covariance), 0, None) + moments.mean**2
    typical = float(np.median(np.sqrt(square)))
    chosen = np.argsort(-moments.max_abs, kind="stable")[:top]
    ratio = moments.max_abs[chosen] / typical if typical > 0 else np.full(len(chosen), np.nan)
    return {
        "dimension": chosen,
        "max_abs": moments.max_abs[chosen],
        "row": acts.numbers(moments.max_row[chosen]),
        "mean": moments.mean[chosen],
        "ratio": ratio,
    }
