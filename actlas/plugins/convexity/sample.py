"""The rows that become vertices: those with a label, or some of every class."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels


@dataclass(frozen=True, eq=False)
class Sample:
    """Chosen rows and their classes.

    rows: (n,) their numbers among those given, rising. codes: (n,) places in names. who: the
    analysis that errors name.
    """

    acts: Activations
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    names: tuple[str, ...]
    unlabelled: int
    who: str = "convexity"

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """(n,) the rows' numbers in the extraction."""
        return self.acts.numbers(self.rows)

    def matrix(self, *, standardise: bool = False, unit: bool = False) -> NDArray[np.float32]:
        """Read the rows (n, width), dimensions divided by their spread, or rows by their length.

        Raises InputError for rows with NaN or infinity, and for a row of length 0 where it needs
        a direction.
        """
        every = len(self.rows) == len(self.acts)
        X: NDArray[np.float32] = (self.acts if every else self.acts.take(self.rows)).numpy()
        if not (finite := np.isfinite(X).all(axis=1)).all():
            raise InputError(
                f"{self.who}: {int((~finite).sum()):,} of {len(X):,} rows of {self.acts.site} hold "
                f"NaN or infinity; leave them out (--nonfinite drop)"
            )
        if standardise:
            spread = X.std(axis=0, dtype=np.float64)
            X /= np.where(spread > 0, spread, 1).astype(np.float32)
        if unit:
            length = np.linalg.norm(X.astype(np.float64), axis=1, keepdims=True)
            if not length.all():
                row = int(self.rows[int(np.argmin(length))])
                raise InputError(
                    f"{self.who}: row {row} of {self.acts.site} is zero and has no direction; use "
                    f"metric=euclidean"
                )
            X = (X / length).astype(np.float32)
        return X


def chosen(
    acts: Activations, labels: Labels, *, per_class: int, seed: int, who: str = "convexity"
) -> Sample:
    """Choose the rows with a label, at most `per_class` (0: all) of each, drawn by chance.

    Raises InputError where no class has two rows.
    """
    rows = np.flatnonzero(labels.known)
    if per_class:
        chance = np.random.default_rng(seed)
        parts = [rows[labels.codes[rows] == code] for code in range(len(labels.names))]
        drawn = [p if len(p) <= per_class else chance.choice(p, per_class, replace=False)
                 for p in parts]  # fmt: skip
        rows = np.sort(np.concatenate(drawn)) if drawn else rows
    codes = labels.codes[rows]
    used, codes = np.unique(codes, return_inverse=True)
    if not len(rows) or np.bincount(codes).max() < 2:
        raise InputError(
            f"{who}: no class of {labels.name} has two rows, so there are no paths; choose "
            f"labels that several rows share"
        )
    names = tuple(labels.names[code] for code in used)
    unlabelled = len(labels) - int(labels.known.sum())
    return Sample(acts, rows, codes.astype(np.int64), names, unlabelled, who)
