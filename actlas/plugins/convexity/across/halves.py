"""Graphs of half of each class's rows: their spread says what new rows would give.

The graphs of all rows share hubs, so that scores of rows depend on each other; drawing scores again
is too sure. Delete-half jackknife (Shao & Wu 1989, A general theory for jackknife variance
estimation).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels, Result, tell

from ..graph import convexity
from .resampling import Floats
from .stored import names_of


@dataclass(frozen=True, eq=False)
class Halves:
    """Half-samples of the same rows, for every site that they are read at.

    base: a result of `convexity` whose settings all graphs have. codes: (n,) classes of the rows.
    kept: of each half-sample the places of its rows among the n.
    """

    base: Result
    codes: NDArray[np.int64]
    kept: Sequence[NDArray[np.int64]]

    @classmethod
    def drawn(
        cls,
        who: str,
        base: Result,
        codes: NDArray[np.int64],
        count: int,
        chance: np.random.Generator,
    ) -> "Halves":
        """Draw them.

        Raises InputError where half of each class's rows, rounded down, make no graph with paths.
        """
        k = base.parameters["k"]
        sizes = np.bincount(codes, minlength=1) // 2
        if sizes.sum() <= k or sizes.max() < 2:
            raise InputError(
                f"{who}: half of the rows of each class, {sizes.sum()} of {len(codes)}, are too "
                f"few for k={k} or for pairs of a class; use --halves 0"
            )
        members = [np.flatnonzero(codes == code) for code in range(len(names_of(base)))]
        kept = [
            np.sort(np.concatenate([chance.choice(m, len(m) // 2, replace=False) for m in members]))
            for _ in range(count)
        ]
        return cls(base, codes, kept)

    def scores(self, acts: Activations, rows: NDArray[np.int64]) -> Floats:
        """Scores (halves, classes) of graphs of these rows of a site; one site in memory at a time.

        Scaled by √(m / (n − m)), m of n rows kept, so that their spread is the standard error. NaN
        for a class of fewer than four rows.
        """
        names = names_of(self.base)
        own = {one.name for one in convexity.parameters}  # those beside it have others
        settings = {n: value for n, value in self.base.parameters.items() if n in own} | {
            "regions": "label", "per_class": 0, "k_max": 0, "per_row": False, "permutations": 0,
        }  # fmt: skip
        values = [names[code] for code in self.codes]
        X, found = acts[rows], np.full((len(self.kept), len(names)), np.nan)
        for i, half in enumerate(self.kept):
            tell(f"half-sample {i + 1} of {len(self.kept)} at {acts.site}")
            labels = Labels.of([values[j] for j in half])
            table = convexity(Activations.of(X[half]), labels, **settings).tables["classes"]
            by_name = dict(zip(table["label"], table["graph_convexity"], strict=True))
            found[i] = [by_name.get(name, np.nan) for name in names]
        sizes = np.bincount(self.codes, minlength=len(names))
        scale = np.sqrt((sizes // 2) / np.maximum(sizes - sizes // 2, 1))
        return np.asarray(scale * found)
