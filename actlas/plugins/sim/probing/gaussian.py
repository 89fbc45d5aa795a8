"""Closeness to N(0, I): moments, shape, total correlation, norms; rate and active units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SHAPE_ROWS = 50_000  # most rows that are sorted
COLUMNS = 64  # dimensions that are sorted at a time
ACTIVE = 0.01  # Burda et al. 2016
DEPENDENT = 1e-14  # variance left of single-precision dimensions that follow from others
LEVELS = np.linspace(0.005, 0.995, 67)


@dataclass(frozen=True)
class Law:
    """How rows are distributed; see `Dimension` for the columns."""

    mean: Array
    variance: Array
    covariance: Array
    skewness: Array
    kurtosis: Array
    ks: Array
    wasserstein: Array
    quantiles: Array  # (d, levels)
    dead: NDArray[np.bool_]
    rows: int
    norm_mean: float  # of ‖z‖ / √d
    norm_cv: float

    @property
    def kl(self) -> Array:
        """KL of each dimension's Gaussian to N(0, 1), NaN where it is dead."""
        return marginal_kl(self.mean, np.where(self.dead, np.nan, self.variance))


def marginal_kl(mean: Array, variance: Array) -> Array:
    """(m² + s² − 1 − ln s²) / 2: KL(N(m, s²) ‖ N(0, 1)) in nats."""
    found: Array = (mean**2 + variance - 1 - np.log(variance)) / 2
    return found


def total_correlation(covariance: Array, rows: int) -> float | None:
    """Gaussian total correlation (nats) less its bias; None of as many dimensions as rows.

    (Σ ln S_dd − ln det S)/2 overestimates by [D ψ((n−1)/2) − Σ_i ψ((n−i)/2)]/2, exactly for
    Gaussian rows (Wishart), about D(D−1)/4n for n ≫ D. Of dimensions that follow from others it
    is infinite; single precision knows only that it is at least what is returned (`unresolved`).
    """
    from scipy.special import digamma

    d = len(covariance)
    if d == 0 or rows <= d:
        return None
    values = _spectrum(covariance)
    logdet = np.log(np.maximum(values, _least(values))).sum()
    bias = d * digamma((rows - 1) / 2) - digamma((rows - np.arange(1, d + 1)) / 2).sum()
    return float(-logdet - bias) / 2


def unresolved(law: Law) -> int:
    """How many directions vary by no more than single precision rounds."""
    values = _spectrum(_alive(law)) if not law.dead.all() else np.ones(0)
    return int((values <= _least(values)).sum())


def _spectrum(covariance: Array) -> Array:
    """Eigenvalues of the correlations, rising."""
    scale = np.sqrt(np.diag(covariance))
    found: Array = np.linalg.eigvalsh(covariance / np.outer(scale, scale))
    return found


def _least(values: Array) -> float:
    return float(DEPENDENT * len(values) * values.max(initial=0))


def _alive(law: Law) -> Array:
    """Covariance of the dimensions that vary."""
    alive = np.flatnonzero(~law.dead)
    found: Array = law.covariance[np.ix_(alive, alive)]
    return found


def law(X: NDArray[np.float32]) -> Law:
    """Measure rows (n, d)."""
    n, d = X.shape
    mean = X.mean(0, dtype=np.float64)
    covariance, third, fourth, norms = np.zeros((d, d)), np.zeros(d), np.zeros(d), []
    for start in range(0, n, 4096):
        rows = X[start : start + 4096].astype(np.float64)
        norms.append(np.sqrt((rows**2).sum(1)))
        rows -= mean
        covariance += rows.T @ rows / n
        square = rows * rows
        third += (square * rows).sum(0) / n
        fourth += (square * square).sum(0) / n
    variance = np.diag(covariance).copy()
    dead = variance <= 1e-14 * (mean**2 + variance.max(initial=0)) + 1e-30
    alive = np.where(dead, np.nan, variance)
    norm = np.concatenate(norms) / np.sqrt(d)
    ks, wasserstein, quantiles = _shape(X[:: max(1, -(-n // SHAPE_ROWS))])
    return Law(
        mean, variance, covariance, third / alive**1.5, fourth / alive**2 - 3, ks, wasserstein,
        quantiles, dead, n, float(norm.mean()), float(norm.std() / max(norm.mean(), 1e-30)),
    )  # fmt: skip


def correlation(law: Law) -> float | None:
    """Gaussian total correlation of the dimensions that vary."""
    return total_correlation(_alive(law), law.rows)


def _shape(X: NDArray[np.float32]) -> tuple[Array, Array, Array]:
    """Kolmogorov–Smirnov and Wasserstein-1 distances to N(0, 1), and quantiles."""
    from scipy.special import ndtr, ndtri

    n, d = X.shape
    steps = np.arange(n + 1) / n
    normal = ndtri((np.arange(n) + 0.5) / n)[:, None]
    at = np.clip(np.round(LEVELS * n - 0.5).astype(int), 0, n - 1)
    ks, wasserstein, quantiles = np.empty(d), np.empty(d), np.empty((d, len(LEVELS)))
    for start in range(0, d, COLUMNS):
        some = slice(start, start + COLUMNS)
        ordered = np.sort(X[:, some].astype(np.float64), axis=0)
        below = ndtr(ordered)
        ks[some] = np.maximum(
            (steps[1:, None] - below).max(0), (below - steps[:-1, None]).max(0)
        )  # fmt: skip
        wasserstein[some] = np.abs(ordered - normal).mean(0)
        quantiles[some] = ordered[at].T
    return ks, wasserstein, quantiles


def lag1(X: NDArray[np.float32], sample: NDArray[np.int64]) -> tuple[Array, Array] | None:
    """Correlation of neighbours in a sample and E(Δ²)/2Var, by dimension; None without any."""
    follows = np.flatnonzero(sample[1:] == sample[:-1])
    if len(follows) < 2:
        return None
    mean, change, product = X.mean(0, dtype=np.float64), 0.0, 0.0
    for start in range(0, len(follows), 4096):
        at = follows[start : start + 4096]
        now, then = X[at] - mean, X[at + 1] - mean
        change = change + ((then - now) ** 2).sum(0) / len(follows)
        product = product + (now * then).sum(0) / len(follows)
    variance = X.var(0, dtype=np.float64)
    variance[variance <= 1e-14 * (mean**2 + variance.max(initial=0)) + 1e-30] = np.nan
    return np.asarray(product / variance), np.asarray(change / (2 * variance))


@dataclass(frozen=True)
class Posterior:
    """What means and log-variances say beside the rows: nats, variances, by dimension."""

    rate: Array
    mean_variance: Array
    draws: NDArray[np.float32]

    @property
    def active(self) -> int:
        """Dimensions whose mean varies by more than 0.01 (Burda et al. 2016)."""
        return int((self.mean_variance > ACTIVE).sum())


@dataclass(frozen=True)
class Laws:
    """Everything that needs no labels."""

    law: Law
    lag: tuple[Array, Array] | None
    posterior: Posterior | None

    def neighbours(self) -> float:
        """Mean correlation of rows with the next of the same sample, 0 where there is none."""
        if self.lag is None or np.isnan(self.lag[0]).all():
            return 0.0
        return float(np.nanmean(self.lag[0]))


def posterior(mean: NDArray[Any], logvar: NDArray[Any], seed: int) -> Posterior:
    """Measure posteriors N(mean, exp(logvar)) (n, d) and draw from each once."""
    rng = np.random.default_rng([seed, 17])
    rate, draws = np.zeros(mean.shape[1]), np.empty(mean.shape, np.float32)
    for start in range(0, len(mean), 4096):
        at = slice(start, start + 4096)
        m, v = mean[at].astype(np.float64), np.clip(logvar[at].astype(np.float64), -80, 80)
        rate += ((m**2 + np.exp(v) - 1 - v) / 2).sum(0) / len(mean)
        draws[at] = m + np.exp(v / 2) * rng.standard_normal(m.shape)
    return Posterior(rate, mean.var(0, dtype=np.float64), draws)
