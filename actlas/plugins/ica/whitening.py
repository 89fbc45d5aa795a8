"""Centring, PCA with a rank cut, and whitening, from one pass over the rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, NonFiniteError

from .reading import row_blocks

if TYPE_CHECKING:
    from torch import Tensor

FLOAT32_RATIO = 1e-5  # σ_j / σ_max of a direction that float32 rounding alone can make
# Unit roundoff of what numbers may have been kept in.
EXACT = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}

NONFINITE = (
    "rows hold NaN or infinity; leave them out with acts.take(acts.finite_rows()), in a store with "
    "--nonfinite drop"
)


def finite(block: "Tensor") -> "Tensor":
    """Give numbers back, or raise NonFiniteError where one is NaN or infinite."""
    if not bool(block.sum().isfinite()):
        raise NonFiniteError(NONFINITE)
    return block


@dataclass(frozen=True)
class Whitening:
    """The affine map of rows to k uncorrelated directions of variance 1, and back.

    mean (width,), variances (k,) descending, vectors (width, k) orthonormal.
    rank: directions above `floor`, a variance that rounding of the rows explains.
    """

    mean: NDArray[np.float64]
    variances: NDArray[np.float64]
    vectors: NDArray[np.float64]
    total_variance: float
    rank: int
    floor: float

    @property
    def reading(self) -> NDArray[np.float64]:
        """(k, width): z = reading (x − mean)."""
        scaled: NDArray[np.float64] = (self.vectors / np.sqrt(self.variances)).T
        return scaled

    @property
    def writing(self) -> NDArray[np.float64]:
        """(width, k): x − mean = writing z, for rows in the span of the kept directions."""
        scaled: NDArray[np.float64] = self.vectors * np.sqrt(self.variances)
        return scaled

    def __call__(self, rows: "Tensor") -> "Tensor":
        """Whiten rows (n, width), in float64: small directions drown in large ones' rounding."""
        import torch

        mean, reading = (torch.from_numpy(a).to(rows.device) for a in (self.mean, self.reading))
        return finite(((rows.double() - mean) @ reading.T).float())


class _Moments:
    """Weighted sums in float64, around the first rows' mean so that nothing cancels."""

    def __init__(self, width: int):
        self.weight = 0.0
        self.shift: Tensor | None = None
        self.sum, self.products = np.zeros(width), np.zeros((width, width))
        self.rounding = 0.0
        self._exact = dict(EXACT)

    def add(self, rows: "Tensor", weights: "Tensor") -> None:
        import torch

        finest = torch.finfo(rows.dtype).eps / 2
        for name in [name for name, unit in self._exact.items() if unit > finest]:
            if not torch.equal(rows.to(getattr(torch, name)).to(rows.dtype), rows):
                del self._exact[name]
        X = rows.double()
        if self.shift is None:
            self.shift = X.mean(dim=0)
        self.rounding += float((weights @ X.square()).mean())
        X -= self.shift
        weighted = X * weights[:, None]
        self.weight += float(weights.sum())
        self.sum += weighted.sum(dim=0).cpu().numpy()
        self.products += (weighted.T @ X).cpu().numpy()

    def covariance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and population covariance."""
        assert self.shift is not None
        offset = self.sum / self.weight
        return self.shift.cpu().numpy() + offset, self.products / self.weight - np.outer(
            offset, offset
        )

    def floor(self, largest: float, width: int) -> float:
        """Variance of a direction that holds nothing but rounding.

        A number kept with unit roundoff u errs by u·|x|·√(1/6) at most on average over its binade;
        twice that standard deviation is told apart from rounding. Rows in float32 or less come of
        a network that computed as coarsely.
        """
        unit = max(self._exact.values())
        kept = 4 * unit**2 / 6 * self.rounding / self.weight
        made = 0.0 if unit == EXACT["float64"] else FLOAT32_RATIO**2
        return max(kept, largest * max(made, np.finfo(float).eps * width))


def whitening(acts: Activations, weights: NDArray[np.float64], k: int | None) -> Whitening:
    """Fit a whitening of k directions (None: all above rounding) to weighted rows.

    Raises InputError where there are too few rows, no variance, or fewer than k directions.
    """
    import torch

    moments = _Moments(acts.width)
    device, start = None, 0
    for rows in row_blocks(acts):
        device = device or rows.device
        moments.add(rows, torch.from_numpy(weights[start : start + len(rows)]).to(device))
        start += len(rows)
    mean, covariance = moments.covariance()
    if not np.isfinite(covariance).all():
        raise NonFiniteError(NONFINITE)
    values, vectors = _eigh(covariance)
    floor = moments.floor(float(values[0]), acts.width)
    rank = min(int((values > floor).sum()), len(acts) - 1)
    kept = _kept(rank, k, acts)
    return Whitening(mean, values[:kept], vectors[:, :kept], float(values.sum()), rank, floor)


def _eigh(covariance: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return eigenvalues descending, and vectors whose largest entry is positive."""
    import torch  # whose threads do not spin on and slow what comes next

    found = torch.linalg.eigh(torch.from_numpy(covariance))
    values, vectors = found.eigenvalues.numpy(), found.eigenvectors.numpy()
    values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
    peaks = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return values, vectors * np.where(peaks < 0, -1.0, 1.0)


def _kept(rank: int, k: int | None, acts: Activations) -> int:
    if rank < 1:
        few = (
            f"{len(acts)} row is too few"
            if len(acts) < 2
            else f"all {len(acts):,} rows are the same"
        )
        raise InputError(f"ica: of {acts.site} {few}; use others")
    if k is None:
        return rank
    if k < 1:
        raise InputError(f"ica: n_components={k}; use 1 to {rank}, or leave it out for all")
    if len(acts) < k + 1:
        raise InputError(f"ica: {k} components need {k + 1} rows or more; there are {len(acts)}")
    if k > rank:
        raise InputError(
            f"ica: n_components={k}, but the {len(acts):,} rows of {acts.site} have rank {rank} of "
            f"{acts.width}; use {rank} or fewer, or leave it out"
        )
    return k
