"""From rows to axes and back, by the arrays of a run of `ica`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actlas import Activations, InputError, NonFiniteError, Result

from .fastica import start
from .reading import row_blocks
from .whitening import NONFINITE, finite

if TYPE_CHECKING:
    from torch import Tensor

Basis = Literal["ica", "pca", "random"]


@dataclass(frozen=True, eq=False)
class Axes:
    """The axes of a run of `ica`, or of what they are compared with, as a map of rows.

    s = reading (x − mean), where `normalise` of rows x that were divided by their length.
    mean (width,), reading (k, width).
    """

    mean: NDArray[np.float64]
    reading: NDArray[np.float64]
    normalise: bool = False

    @classmethod
    def of(cls, result: Result, basis: Basis = "ica", seed: int = 0) -> "Axes":
        """Take axes from a run: its own, the principal ones, or these turned by chance.

        All three are white on the rows of the run: columns of variance 1, uncorrelated.
        """
        arrays = result.arrays
        reading = arrays["reading"]
        if basis != "ica":
            reading = arrays["principal"] / np.sqrt(arrays["variances"])[:, None]
        if basis == "random":
            reading = start(len(reading), seed) @ reading
        return cls(arrays["mean"], reading, bool(result.parameters.get("normalise", False)))

    @property
    def k(self) -> int:
        """How many axes."""
        return len(self.reading)

    def __call__(self, rows: "Tensor") -> "Tensor":
        """Return the axes (n, k) of rows (n, width) in float32, made in float64."""
        import torch

        X = rows.double()
        if self.normalise:
            X = X / X.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        # Copied: what a store reads may not be written to, which torch has no word for.
        mean, reading = (torch.tensor(a, device=rows.device) for a in (self.mean, self.reading))
        return finite(((X - mean) @ reading.T).float())

    def exact(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the axes (n, k) of a few rows (n, width) in float64."""
        X = np.asarray(rows, np.float64)
        if self.normalise:
            X = X / np.linalg.norm(X, axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny)
        if not np.isfinite(X).all():
            raise NonFiniteError(NONFINITE)
        found: NDArray[np.float64] = (X - self.mean) @ self.reading.T
        return found

    def part(self, axes: slice) -> "Axes":
        """Some of the axes."""
        return replace(self, reading=self.reading[axes])

    def quick(self, rows: "Tensor") -> "Tensor":
        """Return the axes (n, k) of rows (n, width), made in float32: for sums over many rows.

        Each number errs by about 1e-7 · |x − mean| · |reading vector|, which averages out. Rows in
        float64 are read in float64.
        """
        import torch

        if rows.dtype == torch.float64:
            return self(rows)
        X = rows
        if self.normalise:
            X = X / X.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        mean, reading = (
            torch.tensor(a, device=rows.device, dtype=torch.float32)
            for a in (self.mean, self.reading)
        )
        return finite((X - mean) @ reading.T)

    def blocks(self, acts: Activations) -> "Iterator[Tensor]":
        """Yield the axes (n, k) of all rows, block by block; InputError for another width."""
        self.check(acts.width)
        for rows in row_blocks(acts):
            yield self(rows)

    def matrix(self, acts: Activations) -> "Tensor":
        """Return the axes (rows, k) of all rows in float32; InputError for another width."""
        import torch

        return torch.cat(list(self.blocks(acts)))

    def check(self, width: int) -> None:
        """Raise InputError where rows of this width cannot be read."""
        if width != self.reading.shape[1]:
            raise InputError(
                f"the axes read rows of width {self.reading.shape[1]}, not {width}; use rows of "
                f"the site they were made of, or of one as wide"
            )


def transform(result: Result, rows: ArrayLike) -> NDArray[np.float64]:
    """Return the axes (n, k) of rows (n, width): s = reading (x − mean), in float64.

    result: of a run of `ica`. Rows are divided by their length first where its rows were.
    Raises InputError where the rows have another width.
    """
    axes = Axes.of(result)
    X = np.asarray(rows, np.float64)
    if X.ndim != 2:
        raise InputError(f"rows are a matrix (n, width), not of shape {X.shape}")
    axes.check(X.shape[1])
    return axes.exact(X)


def restore(result: Result, axes: ArrayLike) -> NDArray[np.float64]:
    """Return rows (n, width) of axes (n, k): x = mean + writing s.

    What lies outside the span of the kept components is the mean's. Raises InputError where
    there are not k columns.
    """
    S = np.asarray(axes, np.float64)
    k = result.arrays["writing"].shape[1]
    if S.ndim != 2 or S.shape[1] != k:
        raise InputError(f"there are {k} axes, so rows of axes are (n, {k}), not {S.shape}")
    found: NDArray[np.float64] = result.arrays["mean"] + S @ result.arrays["writing"].T
    return found
