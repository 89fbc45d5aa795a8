"""How far shortest paths between rows of a class stay within it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kernels import walk
from .networks import Network

SOURCES = 16  # of one task: enough to outweigh its start, few enough to share out evenly


@dataclass(frozen=True, eq=False)
class ClassPaths:
    """The paths between members of one class, summed by source.

    sums (members, 2): of scores, of their squares. counts (members, 4): pairs, direct,
    unreachable, wholly inside. crossed: vertices that paths pass through, rising, and of each the
    number of visits; of all vertices they would not fit into memory where classes are many.
    """

    members: NDArray[np.int64]
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    crossed: NDArray[np.int64]
    visits: NDArray[np.int64]

    @property
    def pairs(self) -> int:
        """Ordered pairs scored."""
        return int(self.counts[:, 0].sum())

    def share(self, column: int) -> float:
        """Share of the pairs: 1 direct edges, 2 unreachable, 3 wholly inside."""
        return float(self.counts[:, column].sum()) / self.pairs

    @property
    def score(self) -> float:
        """Mean over the pairs."""
        return float(self.sums[:, 0].sum()) / self.pairs

    @property
    def sem(self) -> float | None:
        """Standard deviation over pairs / √members: of points, not of pairs, as published."""
        if self.pairs < 2:
            return None
        spread = float(self.sums[:, 1].sum()) / self.pairs - self.score**2
        return float(np.sqrt(max(spread, 0) * self.pairs / (self.pairs - 1) / len(self.members)))

    @property
    def by_row(self) -> NDArray[np.float64]:
        """(members,) mean over the pairs that begin there; NaN where none does."""
        pairs = self.counts[:, 0]
        found: NDArray[np.float64] = np.full(len(pairs), np.nan)
        np.divide(self.sums[:, 0], pairs, out=found, where=pairs > 0)
        return found


def class_paths(
    graph: Network,
    codes: NDArray[np.int64],
    code: int,
    *,
    max_pairs: int = 0,
    best: bool = False,
    chance: np.random.Generator | None = None,
) -> ClassPaths:
    """Score all ordered pairs of a class, or `max_pairs` of them drawn without replacement."""
    import torch

    members = np.flatnonzero(codes == code)
    n = len(members)
    bounds = np.tile(np.array([[0, n]]), (n, 1))
    targets = members
    if 0 < max_pairs < n * (n - 1):
        assert chance is not None
        bounds, targets = _drawn(members, max_pairs, chance)
    sums, counts = np.zeros((n, 2)), np.zeros((n, 4), np.int64)
    inside = (codes == code).astype(np.uint8)

    def task(start: int) -> NDArray[np.int64]:
        part = slice(start, start + SOURCES)
        visits = np.zeros(len(graph), np.int64)
        walk(
            graph.indptr, graph.indices, graph.lengths, inside, members[part], bounds[part],
            targets, best, sums[part], counts[part], visits,
        )  # fmt: skip
        return visits

    visits = np.zeros(len(graph), np.int64)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for found in pool.map(task, range(0, n, SOURCES)):
            visits += found
    crossed = np.flatnonzero(visits)
    return ClassPaths(members, sums, counts, crossed, visits[crossed])


def _drawn(
    members: NDArray[np.int64], most: int, chance: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw ordered pairs; returns of each source where its targets are, and the targets."""
    n = len(members)
    picked = np.sort(chance.choice(n * (n - 1), most, replace=False, shuffle=False))
    source, other = picked // (n - 1), picked % (n - 1)
    other += other >= source  # the pair of a row with itself is not among them
    stops = np.bincount(source, minlength=n).cumsum()
    return np.column_stack([np.concatenate([[0], stops[:-1]]), stops]), members[other]
