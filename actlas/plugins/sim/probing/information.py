"""What single dimensions say of factors: mutual information by bins, R² by moments."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]
COLUMNS = 64  # dimensions that are binned at a time


def binned(X: "Tensor", bins: int) -> "Tensor":
    """Put each column of (n, d) into bins of equal counts: (d, n) of small numbers.

    Equal numbers are in one bin, so columns of many zeros fill fewer bins.
    """
    import torch

    n, found = len(X), []
    at = torch.linspace(0, n, bins + 1)[1:-1].round().long().clamp(0, n - 1)
    for start in range(0, X.shape[1], COLUMNS):
        columns = X[:, start : start + COLUMNS].T.contiguous()
        edges = columns.sort(1).values[:, at].contiguous()
        found.append(torch.searchsorted(edges, columns, right=True).to(torch.int16))
    return torch.cat(found)


def mutual_information(bins: "Tensor", count: int, codes: NDArray[np.int64]) -> Array:
    """Mutual information (d,) in nats of binned dimensions (d, n) and codes (n,), −1 left out."""
    import torch

    classes = int(codes.max(initial=0)) + 1
    known = torch.from_numpy(codes >= 0)
    y = torch.from_numpy(codes)[known]
    found = []
    for start in range(0, len(bins), COLUMNS):
        some = bins[start : start + COLUMNS][:, known].long()
        first = torch.arange(len(some))[:, None] * count
        cells = ((first + some) * classes + y).flatten()
        table = torch.bincount(cells, minlength=len(some) * count * classes)
        found.append(_information(table.double().reshape(len(some), count, classes)))
    return np.concatenate(found)


def _information(counts: "Tensor") -> Array:
    """Mutual information of tables of counts (d, bins, classes)."""
    p = counts / counts.sum((1, 2), keepdim=True)
    apart = p.sum(2, keepdim=True) * p.sum(1, keepdim=True)
    terms = p * (p / apart.clamp_min(1e-300)).clamp_min(1e-300).log()
    found: Array = terms.sum((1, 2)).clamp_min(0).numpy()
    return found


def entropy(codes: NDArray[np.int64]) -> float:
    """Entropy of codes in nats, −1 left out."""
    p = np.bincount(codes[codes >= 0]) / max(1, int((codes >= 0).sum()))
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def quantile_codes(values: Array, bins: int) -> NDArray[np.int64]:
    """Bins of equal counts of a continuous factor; −1 where it is NaN."""
    known = np.isfinite(values)
    edges = np.quantile(values[known], np.linspace(0, 1, bins + 1)[1:-1])
    codes = np.searchsorted(np.unique(edges), values, side="right")
    return np.where(known, codes, -1)
