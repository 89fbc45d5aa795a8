"""Scores of a matrix of importances, or of information: concentrated, disentangled, or neither.

Matrices are (…, dimensions, factors), so that many rotations are scored at once.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gini(r: Array) -> Array:
    """Gini coefficient along the last axis (Hurley & Rickard 2009); 0 of zeros."""
    d = r.shape[-1]
    ordered = np.sort(r, axis=-1)
    weighted = (ordered * (2 * np.arange(1, d + 1) - d - 1)).sum(-1)
    return _ratio(weighted, d * r.sum(-1))


def entropy_concentration(r: Array) -> Array:
    """1 − H(r/Σr)/ln d; 0 of zeros, NaN of one dimension."""
    d = r.shape[-1]
    if d == 1:
        return np.full(r.shape[:-1], np.nan)
    found = 1 - _entropy(r) / np.log(d)
    return np.where(r.sum(-1) > 0, found, 0.0)


def participation(r: Array) -> Array:
    """(Σr)²/Σr²: effective dimensions; 0 of zeros."""
    return _ratio(r.sum(-1) ** 2, (r**2).sum(-1))


def hoyer(r: Array) -> Array:
    """(√d − ℓ1/ℓ2)/(√d − 1); 0 of zeros, NaN of one dimension."""
    d = r.shape[-1]
    if d == 1:
        return np.full(r.shape[:-1], np.nan)
    l2 = np.sqrt((r**2).sum(-1))
    found = (np.sqrt(d) - _ratio(r.sum(-1), l2)) / (np.sqrt(d) - 1)
    return np.where(l2 > 0, found, 0.0)


CONCENTRATION = {
    "gini": gini,
    "entropy": entropy_concentration,
    "participation": participation,
    "hoyer": hoyer,
}


def disentanglement(R: Array) -> Array:
    """DCI disentanglement (Eastwood & Williams 2018); NaN of one factor: there is no log base."""
    return _pure(R)


def completeness(R: Array) -> Array:
    """DCI completeness; NaN of one dimension."""
    return _pure(np.swapaxes(R, -1, -2))


def _pure(R: Array) -> Array:
    """1 − entropy of each row / ln columns, weighted by the row's mass; 0 of zeros."""
    if R.shape[-1] == 1:
        return np.full(R.shape[:-2], np.nan)
    mass = R.sum(-1)
    purity = 1 - _entropy(R) / np.log(R.shape[-1])
    return _ratio((mass * purity).sum(-1), mass.sum(-1))


def gap(S: Array) -> Array:
    """Mean over factors of the largest less the second of (…, dimensions, factors): MIG and SAP."""
    if S.shape[-2] == 1:
        return np.full(S.shape[:-2], np.nan)
    ordered = np.sort(S, axis=-2)
    found: Array = (ordered[..., -1, :] - ordered[..., -2, :]).mean(-1)
    return found


def modularity(information: Array) -> Array:
    """1 − Σ other I²/(I²max (F − 1)), mean over dimensions (Ridgeway & Mozer 2018)."""
    F = information.shape[-1]
    if F == 1:
        return np.full(information.shape[:-2], np.nan)
    square = information**2
    largest = square.max(-1)
    return np.asarray((1 - _ratio(square.sum(-1) - largest, largest * (F - 1))).mean(-1))


def _entropy(r: Array) -> Array:
    """Entropy of r/Σr along the last axis, nats."""
    p = _ratio(r, r.sum(-1, keepdims=True))
    terms = p * np.log(np.where(p > 0, p, 1.0))
    return -np.asarray(terms.sum(-1))


def _ratio(above: Array, below: Array) -> Array:
    """above / below, 0 where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
