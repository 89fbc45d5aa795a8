"""The analysis `cka`: centred kernel alignment of all pairs of sites."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Layers, Others, Result, analysis

from .batches import Kernel, hsic
from .figures import heat_map, most_similar
from .products import STEP, Precision, Stream, moments
from .sites import FEWEST, Sites
from .tables import SiteRow, Summary, pair_rows, site_rows, summary

CANCELLED = 30.0  # times its own value that float32 products may lose of a sum
BATCH = 512  # rows of a minibatch, of kernels that need some


@dataclass(frozen=True)
class Pair:
    """Two sites and how alike they are."""

    a: Annotated[str, "a site"]
    b: Annotated[str, "a later one"]
    cka: Annotated[float, "centred kernel alignment: 1 the same up to rotation and scale"]


@analysis(
    version=1,
    aligned=True,
    tables={"summary": Summary, "sites": SiteRow, "pairs": Pair},
    figures={"heat": heat_map("cka", "CKA"), "depths": most_similar("CKA")},
)
def cka(
    layers: Layers,
    others: Others | None,
    *,
    kernel: Annotated[Kernel, "linear, or Gaussian of the distance"] = "linear",
    biased: Annotated[bool, "with the bias of few rows, as published first"] = False,
    batch: Annotated[int | None, "rows of a minibatch; linear: none, rbf: 512"] = None,
    bandwidth: Annotated[float, "of rbf, times the median distance of a minibatch"] = 1.0,
    seed: Annotated[int, "seed by which rows are dealt to minibatches"] = 0,
) -> Result:
    """Centred kernel alignment of all pairs of sites, of one model or several.

    CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) (Kornblith et al. 2019), by the unbiased HSIC of
    Song et al. 2012 (equation 5): sites that have nothing in common give 0 on average, and may be
    a little below. The biased one is above 0 where rows are few for the dimensions. Of the linear
    kernel all rows count, exactly: tr(K̃L̃) = ‖XᵀY‖² − Σ|xᵢ|²|yᵢ|², all pairs in one pass over the
    rows (in several, of blocks of sites, where their products exceed 1 GiB). Minibatches average
    the unbiased HSIC (Nguyen, Raghu & Kornblith 2021). Sites of other extractions pair by rows:
    sample, position and span must be the same; that whole samples are of the same data is up to
    you. CKA is led by the directions of most variance: one outlier dimension may decide it.
    """
    sites = Sites.of("cka", layers, others)
    _check(kernel, biased, batch, bandwidth, seed)
    if kernel == "linear" and batch is None:
        found = linear(sites, biased=biased)
    else:
        found = hsic(sites, moments(sites), kernel, batch or BATCH, bandwidth, seed)
    similarity = _normalised(sites, found)
    tables = {
        "summary": summary(sites, similarity),
        "sites": site_rows(sites, similarity),
        "pairs": pair_rows(sites, cka=similarity),
    }
    return Result(tables)


def _check(kernel: Kernel, biased: bool, batch: int | None, bandwidth: float, seed: int) -> None:
    if biased and (kernel != "linear" or batch is not None):
        raise InputError(
            "cka: minibatches are averaged without bias only; leave out --biased, or take "
            "--kernel linear without --batch"
        )
    if (batch is not None and batch < FEWEST) or bandwidth <= 0 or seed < 0:
        raise InputError(f"cka: batch ≥ {FEWEST}, bandwidth > 0 and seed ≥ 0 are needed")


def linear(sites: Sites, *, biased: bool) -> NDArray[np.float64]:
    """Return HSIC of linear kernels (sites, sites), of rows of mean squared length 1.

    Unbiased: Song et al. 2012, where centred rows leave of 1ᵀK̃ minus their squared lengths.
    """
    found, cancelled = _linear(sites, "float32" if sites.rows > STEP else "float64", biased)
    return _linear(sites, "float64", biased)[0] if cancelled > CANCELLED else found


def _linear(sites: Sites, precision: Precision, biased: bool) -> tuple[NDArray[np.float64], float]:
    """HSIC (sites, sites); and how many times its own value is taken away from a sum, at most."""
    n, stream = sites.rows, Stream(sites, precision)
    squares = np.zeros((len(sites), len(sites)))
    for i, j, product in stream.products():
        squares[i, j] = squares[j, i] = float(product.square().sum())
    if biased:
        return squares, 0.0
    lengths = stream.lengths / n
    total, both = lengths.sum(axis=0), np.einsum("ni,nj->ij", lengths, lengths)
    unbiased: NDArray[np.float64] = (
        squares - both - 2 / (n - 2) * both + np.outer(total, total) / ((n - 1) * (n - 2))
    )
    own = np.maximum(np.diag(unbiased), np.finfo(float).tiny)
    return unbiased, float((np.diag(both) / own).max())


def _normalised(sites: Sites, found: NDArray[np.float64]) -> NDArray[np.float64]:
    own = np.diag(found)
    for place, value in zip(sites, own, strict=True):
        if value <= 1e-12:
            raise InputError(
                f"cka: rows of {place.name} are equally far from each other, which leaves nothing "
                f"to compare; give more rows, or leave it out"
            )
    similarity: NDArray[np.float64] = (found / np.sqrt(np.outer(own, own))).clip(-1, 1)
    return similarity  # beyond is rounding: both estimates are inner products
