"""Capacity by the frame operator F = Σ w wᵀ: two passes over the features, never N × N.

Scherlis et al. 2022 (arXiv 2210.01892), equation of capacity; Elhage et al. 2022 call the same
number the dimensionality of a feature.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .features import READ_ROWS, Features, prepared

# What products in single precision lose, measured on features made to suffer (tests): sums of
# products put 4e-8 of the largest eigenvalue on every λ, so F is summed from them only where no
# eigenvalue is below FLAT of it; coordinates of features on eigenvectors lose far less.
FLAT = 1e-2
STEEP = 1e-4  # for coordinates: share of the largest eigenvalue that the least must have
FAINT = 1e-5  # share of the largest eigenvalue below which a Rayleigh quotient is taken anew
STEP = 512  # rows, or columns, taken at a time between products
WIDEST = 2048  # dimensions up to which leverage is computed: eigenvectors cost d³


@dataclass(frozen=True, eq=False)
class Frame:
    """What the features (rows w as they are measured) and F say of each other.

    squared: (N,) squared norm n. rayleigh: (N,) λ = wᵀFw / n. residual: (N,) |Fŵ − λŵ| / λ.
    All are 0 where w is. leverage: (N,) wᵀF⁺w; values: eigenvalues of F, falling; both None
    where d is too large for eigenvectors. rank: eigenvalues above rounding. ratio:
    participation ratio (tr F)² / tr F². top: largest eigenvalue.
    """

    squared: NDArray[np.float64]
    rayleigh: NDArray[np.float64]
    residual: NDArray[np.float64]
    leverage: NDArray[np.float64] | None
    values: NDArray[np.float64] | None
    rank: int
    ratio: float
    top: float

    @property
    def capacity(self) -> NDArray[np.float64]:
        """(N,) n / λ, 0 where w is 0."""
        return _over(self.squared, self.rayleigh).clip(0, 1)


def frame(features: Features) -> Frame:
    """Measure features through the d × d frame operator, or their Gram matrix where N < d."""
    count, width = features.matrix.shape
    if count < width:
        return _gram_side(features)
    return _exact(features, _frame_side(features) if width <= WIDEST else _wide_side(features))


def capacities(rows: Any) -> NDArray[np.float64]:
    """Return the capacity (N,) of features that are the rows of a matrix (N, d).

    C_i = (w_i·w_i)² / Σ_j (w_i·w_j)², 0 for rows that are zero. Raises InputError as
    `prepared` does.
    """
    features = prepared(np.asarray(rows), "features")
    found = _by_factor(features)
    return frame(features).capacity if found is None else found


def _by_factor(features: Features) -> NDArray[np.float64] | None:
    """Return capacities (N,) from F = L Lᵀ: λ = |Lᵀw|² / |w|², half the work of a product with F.

    None where F has no factor, or features lie so far below its largest eigenvalue that they
    are lost in the sums.
    """
    count, width = features.matrix.shape
    if count < width:
        return None
    dtype = np.float32 if features.single else np.float64
    total = operator(features, dtype)
    factor = _factor(total)
    if factor is None:
        return None
    lower = np.asfortranarray(factor, dtype)
    squared = np.square(features.norms * features.weights)
    parts = [_lengths(rows, lower) for rows in features.blocks(dtype)]
    rayleigh = _over(np.concatenate(parts), squared)
    least = float(rayleigh[squared > 0].min())
    if least < (FLAT if features.single else FAINT) * _top(total):
        return None
    return _over(squared, rayleigh).clip(0, 1)


def _factor(total: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return L of F = L Lᵀ, None where F has an eigenvalue that is not above 0."""
    from scipy.linalg import LinAlgError, cholesky

    try:
        factor: NDArray[np.float64] = cholesky(total, lower=True, check_finite=False)
    except LinAlgError:
        return None
    return factor


def _lengths(rows: NDArray[Any], lower: NDArray[Any]) -> NDArray[np.float64]:
    """Squared length (n,) of Lᵀ times rows (n, d)."""
    from scipy.linalg import blas

    product = blas.strmm if rows.dtype == np.float32 else blas.dtrmm
    return _dots(*[product(1.0, lower, rows.T, lower=1, trans_a=1).T] * 2)


def _dots(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the products (n,) of rows, sums of more than a few columns in double precision."""
    found = np.zeros(len(a))
    for start in range(0, a.shape[1], STEP):
        some = slice(start, start + STEP)
        found += np.einsum("ij,ij->i", a[:, some], b[:, some])
    return found


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
    coordinates: NDArray[Any], values: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """Of coordinates p (n, k) on eigenvectors: Σ p², Σ p²Λ, Σ p²Λ², Σ p²/Λ (n, 4).

    Summed in double precision: the spread of λ is a small difference of large sums.
    """
    from scipy.linalg import blas

    inverse = np.divide(1.0, values, out=np.zeros(len(values)), where=values > floor)
    columns = np.stack([np.ones(len(values)), values, values**2, inverse])
    found = np.empty((len(coordinates), 4))
    for start in range(0, len(found), STEP):
        squares = np.square(coordinates[start : start + STEP]).astype(np.float64)
        found[start : start + STEP] = blas.dgemm(1.0, columns.T, squares.T, trans_a=1).T
    return found


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
    )


def _eigen(total: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues, rising and never below 0, and eigenvectors of F.

    By scipy's BLAS as all products here: with numpy's own beside it, whose threads still spin,
    eigenvectors took 1 to 12 s in place of 0.1 s (d = 768, 2 cores).
    """
    from scipy.linalg import eigh

    values, vectors = eigh(total, driver="evd", check_finite=False)
    return values.clip(0), vectors


def _frame_side(features: Features) -> Frame:
    dtype: Any = np.float32 if features.single else np.float64
    values, vectors = _eigen(operator(features, dtype))
    if features.single and values[0] < FLAT * values[-1]:
        values, vectors = _eigen(operator(features, np.float64))
        if values[0] < STEEP * values[-1]:
            dtype = np.float64
    floor = _floor(features, float(values[-1]))
    turn = np.asfortranarray(vectors, dtype)
    parts = [_moments(_turned(rows, turn), values, floor) for rows in features.blocks(dtype)]
    return _made(np.concatenate(parts), values, floor)


def _turned(rows: NDArray[Any], turn: NDArray[Any]) -> NDArray[Any]:
    """Return rows (n, d) on eigenvectors (d, d)."""
    from scipy.linalg import blas

    product = blas.sgemm if rows.dtype == np.float32 else blas.dgemm
    turned: NDArray[Any] = product(1.0, turn, rows.T, trans_a=1).T
    return turned


def _gram_side(features: Features) -> Frame:
    rows = features.whole()
    gram = rows @ rows.T
    values, vectors = np.linalg.eigh(gram)
    values = values.clip(0)
    floor = _floor(features, float(values[-1]))
    found = _made(_moments(vectors * np.sqrt(values), values, floor), values, floor)
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


def _wide_side(features: Features) -> Frame:
    if features.single:
        total = operator(features, np.float32)
        if _above(total, FLAT * _top(total)):
            return _wide(features, total, np.float32)
    return _wide(features, operator(features, np.float64), np.float64)


def _wide(features: Features, total: NDArray[np.float64], dtype: DTypeLike) -> Frame:
    """Without eigenvectors, whose d³ would cost more than the two passes."""
    image = np.asfortranarray(total, dtype)
    parts = [_products(rows, _turned(rows, image)) for rows in features.blocks(dtype)]
    squared, rayleigh, residual = np.concatenate(parts, axis=1)
    top = _top(total)
    rank = _rank(total, _floor(features, top))
    ratio = float(np.trace(total) ** 2 / np.square(total).sum())
    return Frame(squared, rayleigh, residual, None, None, rank, ratio, top)


def _top(total: NDArray[np.float64]) -> float:
    from scipy.sparse.linalg import eigsh

    if len(total) < 3:  # too few for Lanczos
        return float(np.linalg.eigvalsh(total)[-1])
    start = np.diag(total).copy()  # given, so that the same F gives the same number
    return float(eigsh(total, k=1, v0=start, return_eigenvectors=False)[0])


def _above(total: NDArray[np.float64], floor: float) -> bool:
    """Whether all eigenvalues are above: F less the floor then has a Cholesky factor."""
    return _factor(total - floor * np.eye(len(total))) is not None


def _rank(total: NDArray[np.float64], floor: float) -> int:
    if _above(total, floor):
        return len(total)
    return int((np.linalg.eigvalsh(total) > floor).sum())


def _products(rows: NDArray[Any], image: NDArray[Any]) -> NDArray[np.float64]:
    """Of rows w and F w, which is overwritten: w·w, λ, |Fŵ − λŵ| / λ (3, n)."""
    squared = _dots(rows, rows)
    rayleigh = _over(_dots(rows, image), squared)
    image -= rows * rayleigh.astype(rows.dtype)[:, None]
    rest = np.sqrt(_dots(image, image))
    return np.stack([squared, rayleigh, _over(rest, np.sqrt(squared) * rayleigh)])
