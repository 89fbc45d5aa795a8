"""The four indicators of a term, and their moments over rows.

Mickus & Vázquez 2023 (arXiv 2310.06977), section 3: how much of a state e a term x is.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

NAMES = ("relative_dot", "cosine", "norm_ratio", "distance")
Floats = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)


def indicators(terms: "torch.Tensor", state: "torch.Tensor") -> Floats:
    """Return (4, terms, n): ⟨x, e⟩/‖e‖², cos(x, e), ‖x‖/‖e‖, ‖x − e‖; NaN where undefined.

    terms: (terms, n, width). state: (n, width). The first sums to one over the terms of a state;
    the second is undefined for a term of zeros.
    """
    import torch

    dots = torch.linalg.vecdot(terms, state)
    norms = torch.linalg.vector_norm(terms, dim=-1)
    gaps = torch.linalg.vector_norm(terms - state, dim=-1)
    size = torch.linalg.vector_norm(state, dim=-1)
    dot, norm, gap, whole = (t.double().cpu().numpy() for t in (dots, norms, gaps, size))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.stack([dot / whole**2, dot / (norm * whole), norm / whole, gap])
    found[~np.isfinite(found)] = np.nan
    return found


def row_errors(terms: "torch.Tensor", state: "torch.Tensor") -> Floats:
    """Return (n,) ‖Σ terms − e‖ / ‖e‖ of terms (terms, n, width) and states (n, width)."""
    import torch

    gap = torch.linalg.vector_norm(terms.sum(0) - state, dim=-1)
    size = torch.linalg.vector_norm(state, dim=-1)
    found: Floats = (gap / size.clamp_min(1e-30)).double().cpu().numpy()
    return found


@dataclass
class Moments:
    """Mean and spread over rows that come in blocks; NaN is left out.

    count, mean, squares: of the shape that each row has; squares: summed squared deviations.
    """

    count: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, values: Floats) -> "Moments":
        """Moments over the last axis."""
        known = ~np.isnan(values)
        count = known.sum(-1).astype(np.float64)
        whole = np.maximum(count, 1)
        mean = np.where(known, values, 0).sum(-1) / whole
        squares = (np.where(known, values - mean[..., None], 0) ** 2).sum(-1)
        return cls(count, mean, squares)

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        whole = np.maximum(count, 1)
        gap = other.mean - self.mean
        mean = self.mean + gap * other.count / whole
        squares = self.squares + other.squares + gap**2 * self.count * other.count / whole
        return Moments(count, mean, squares)

    @property
    def known_mean(self) -> Floats:
        """The mean, NaN where there is no row."""
        return np.where(self.count > 0, self.mean, np.nan)

    @property
    def deviation(self) -> Floats:
        """The standard deviation of the rows as a sample, NaN for fewer than two."""
        less = np.maximum(self.count - 1, 1)
        return np.where(self.count > 1, np.sqrt(self.squares / less), np.nan)


@dataclass
class Gathered(Generic[Key]):
    """Moments by key, and where they are asked for the rows themselves."""

    keep: bool = False
    moments: dict[Key, Moments] = field(default_factory=dict)
    rows: dict[Key, list[Floats]] = field(default_factory=dict)

    def add(self, key: Key, values: Floats) -> None:
        """Take the indicators of a block of rows (4, terms, n)."""
        found = Moments.of(values)
        self.moments[key] = self.moments[key] + found if key in self.moments else found
        if self.keep:
            self.rows.setdefault(key, []).append(values)

    def whole(self, key: Key) -> Floats:
        """All rows (4, terms, rows)."""
        return np.concatenate(self.rows[key], axis=-1)
