"""Capacity by the frame operator F = Σ w wᵀ: two passes over the features, never N × N.

Scherlis et al. 2022 (arXiv 2210.01892), equation of capacity; Elhage et al. 2022 call the same
number the dimensionality of a feature.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .features import READ_ROWS, Features, prepared

# Single precision products do where no eigenvalue is below this share of the largest: leverage
# then keeps a relative error of 3e-6, capacity of 1e-6 (measured); beyond it 4e-5 and 1e-6.
FLAT = 1e-4
FAINT = 1e-5  # share of the largest eigenvalue below which a Rayleigh quotient is taken anew
WIDEST = 2048  # dimensions up to which leverage is computed: eigenvectors cost d³


@dataclass(frozen=True, eq=False)
class Frame:
    """What the features (rows w of norm ≤ 1) and F say of each other.

    squared: (N,) squared norm n. rayleigh: (N,) λ = wᵀFw / n. residual: (N,) |Fŵ − λŵ| / λ.
    All are 0 where w is. leverage: (N,) wᵀF⁺w; values: eigenvalues of F, falling; both None
    where d is too large for eigenvectors. rank: eigenvalues above rounding. ratio:
    participation ratio (tr F)² / tr F². top: largest eigenvalue. flat: whether single precision
    would do.
    """

    squared: NDArray[np.float64]
    rayleigh: NDArray[np.float64]
    residual: NDArray[np.float64]
    leverage: NDArray[np.float64] | None
    values: NDArray[np.float64] | None
    rank: int
    ratio: float
    top: float
    flat: bool

    @property
    def capacity(self) -> NDArray[np.float64]:
        """(N,) n / λ, 0 where w is 0."""
        return _over(self.squared, self.rayleigh).clip(0, 1)


def frame(features: Features) -> Frame:
    """Measure features through the d × d frame operator, or their Gram matrix where N < d."""
    count, width = features.matrix.shape
    if count < width:
        return _gram_side(features)
    side = _frame_side if width <= WIDEST else _wide
    if features.single:
        found = side(features, np.float32)
        if found.flat:
            return found
    return _exact(features, side(features, np.float64))


def capacities(rows: Any) -> NDArray[np.float64]:
    """Return the capacity (N,) of features that are the rows of a matrix (N, d).

    C_i = (w_i·w_i)² / Σ_j (w_i·w_j)², 0 for rows that are zero. Raises InputError as
    `prepared` does.
    """
    return frame(prepared(np.asarray(rows), "features")).capacity


def _over(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
    return found


def operator(features: Features, dtype: DTypeLike) -> NDArray[np.float64]:
    """Return F (d, d), products in `dtype`, their sum over blocks in double precision."""
    from scipy.linalg import blas

    product = blas.ssyrk if dtype == np.float32 else blas.dsyrk  # half the work: F is symmetric
    width = features.matrix.shape[1]
    upper = np.zeros((width, width))
    for rows in features.blocks(dtype):
        upper += product(1.0, rows.T)
    whole: NDArray[np.float64] = upper + np.triu(upper, 1).T
    return whole


def _floor(features: Features, top: float) -> float:
    """Eigenvalues up to this are rounding: of the sums, and of the numbers that came."""
    count, width = features.matrix.shape
    came = np.finfo(np.float32 if features.single else np.float64).eps
    share: float = max(4 * width * float(np.finfo(np.float64).eps), count * float(came) ** 2)
    return share * top


def _moments(
    squares: NDArray[np.float64], values: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """Of squared coordinates (n, k) on eigenvectors: Σ p², Σ p²Λ, Σ p²Λ², Σ p²/Λ (n, 4)."""
    inverse = np.divide(1.0, values, out=np.zeros(len(values)), where=values > floor)
    columns = np.stack([np.ones(len(values)), values, values**2, inverse], axis=1)
    moments: NDArray[np.float64] = squares @ columns
    return moments


def _made(moments: NDArray[np.float64], values: NDArray[np.float64], floor: float) -> Frame:
    squared, first, second, leverage = moments.T
    rayleigh = _over(first, squared)
    spread = _over(second, squared) - rayleigh**2
    return Frame(
        squared,
        rayleigh,
        _over(np.sqrt(spread.clip(0)), rayleigh),
        leverage.clip(0, 1),
        values[::-1],
        int((values > floor).sum()),
        float(values.sum() ** 2 / (values @ values)),
        float(values[-1]),
        bool(values[0] >= FLAT * values[-1]),
    )


def _eigen(total: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues, rising and never below 0, and eigenvectors of F."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    # The threads of scipy's own BLAS still spin after `operator`; with those of numpy beside
    # them eigh took 1 to 12 s in place of 0.1 s (d = 768, 2 cores).
    with threadpool_limits(1):
        values, vectors = np.linalg.eigh(total)
    return values.clip(0), vectors


def _frame_side(features: Features, dtype: DTypeLike) -> Frame:
    values, vectors = _eigen(operator(features, dtype))
    floor = _floor(features, float(values[-1]))
    turn = vectors.astype(dtype)
    parts = []
    for rows in features.blocks(dtype):
        # Squared in double precision: the spread of λ is a small difference of large sums.
        squares = np.square((rows @ turn).astype(np.float64))
        parts.append(_moments(squares, values, floor))
    return _made(np.concatenate(parts), values, floor)


def _gram_side(features: Features) -> Frame:
    rows = features.whole()
    gram = rows @ rows.T
    values, vectors = np.linalg.eigh(gram)
    values = values.clip(0)
    floor = _floor(features, float(values[-1]))
    found = _made(_moments(np.square(vectors) * values, values, floor), values, floor)
    squared = np.diag(gram)
    rayleigh = _over(np.einsum("ij,ij->i", gram, gram), squared)
    return replace(found, squared=squared, rayleigh=rayleigh)


def _exact(features: Features, found: Frame) -> Frame:
    """Take λ of faint features from their products with all others, where F has lost them."""
    faint = np.flatnonzero((found.squared > 0) & (found.rayleigh < FAINT * found.top))
    rayleigh = found.rayleigh.copy()
    for start in range(0, len(faint), READ_ROWS):
        these = faint[start : start + READ_ROWS]
        rows = _rows(features, these)
        sums = sum(np.square(block @ rows.T).sum(axis=0) for block in features.blocks())
        rayleigh[these] = sums / np.einsum("ij,ij->i", rows, rows)
    return replace(found, rayleigh=rayleigh)


def _rows(features: Features, index: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = features.matrix[index].astype(np.float64)
    if features.centre is not None:
        rows -= features.centre
    rows *= features.weights[index, None]
    return rows


def _wide(features: Features, dtype: DTypeLike) -> Frame:
    """Without eigenvectors, whose d³ would cost more than the two passes."""
    total = operator(features, dtype)
    image = total.astype(dtype)
    parts = [_products(rows, rows @ image) for rows in features.blocks(dtype)]
    squared, first, second = np.concatenate(parts).T
    rayleigh = _over(first, squared)
    spread = (_over(second, squared) - rayleigh**2).clip(0)
    residual = _over(np.sqrt(spread), rayleigh)
    top = _top(total)
    flat = _above(total, FLAT * top)
    rank = len(total) if flat else _rank(total, _floor(features, top))
    ratio = float(np.trace(total) ** 2 / np.square(total).sum())
    return Frame(squared, rayleigh, residual, None, None, rank, ratio, top, flat)


def _top(total: NDArray[np.float64]) -> float:
    from scipy.sparse.linalg import eigsh

    start = np.diag(total).copy()  # given, so that the same F gives the same number
    return float(eigsh(total, k=1, v0=start, return_eigenvectors=False)[0])


def _above(total: NDArray[np.float64], floor: float) -> bool:
    """Whether all eigenvalues are above: F less the floor then has a Cholesky factor."""
    try:
        np.linalg.cholesky(total - floor * np.eye(len(total)))
    except np.linalg.LinAlgError:
        return False
    return True


def _rank(total: NDArray[np.float64], floor: float) -> int:
    if _above(total, floor):
        return len(total)
    return int((np.linalg.eigvalsh(total) > floor).sum())


def _products(rows: NDArray[Any], image: NDArray[Any]) -> NDArray[np.float64]:
    """Of rows w and F w: w·w, w·Fw, Fw·Fw (n, 3)."""
    pairs = ((rows, rows), (rows, image), (image, image))
    return np.stack([np.einsum("ij,ij->i", a, b, dtype=np.float64) for a, b in pairs], axis=1)
