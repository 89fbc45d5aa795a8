"""Rows in the order of their samples, split by groups, and cut into items of equal length."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels

Ints = NDArray[np.int64]
MOST_FRAMES = 64
FEWEST = 4  # samples


@dataclass(frozen=True, eq=False)
class Sequences:
    """Rows sample by sample, frame by frame.

    rows: (rows,) places in the matrix, in that order.
    bounds: (samples + 1,) where each sample begins in `rows`.
    samples: (samples,) their numbers in the data set.
    """

    rows: Ints
    bounds: Ints
    samples: Ints

    @classmethod
    def of(cls, acts: Activations) -> Self:
        """Put the rows of a site in order."""
        where = acts.rows
        order = np.lexsort((where.position, where.sample))
        numbers, first = np.unique(where.sample[order], return_index=True)
        return cls(order, np.append(first, len(order)), numbers)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def sizes(self) -> Ints:
        """(samples,) frames of each."""
        return np.diff(self.bounds)

    def of_samples(self, chosen: Ints) -> Ints:
        """Return the places of all rows of some samples."""
        return np.concatenate([self.rows[self.bounds[i] : self.bounds[i + 1]] for i in chosen])

    def items(self, chosen: Ints, frames: int) -> Ints:
        """Return (items, frames) places: the first frames of those samples that have as many."""
        long = chosen[self.sizes[chosen] >= frames]
        found: Ints = self.rows[self.bounds[long][:, None] + np.arange(frames)]
        return found

    def some(self, most: int, rng: np.random.Generator) -> Self:
        """Return as many whole samples as have no more than `most` rows together."""
        order = rng.permutation(len(self))
        room = np.cumsum(self.sizes[order]) <= most
        room[:FEWEST] = True
        kept = np.sort(order[room])
        rows = self.of_samples(kept)
        return type(self)(rows, np.append(0, np.cumsum(self.sizes[kept])), self.samples[kept])


def usual(sequences: Sequences) -> int:
    """Return the frames that three quarters of the samples have, or more."""
    return max(int(np.quantile(sequences.sizes, 0.25)), 1)


def frames_of_items(sequences: Sequences, asked: int | None) -> int:
    """Return how long items are: three quarters of the samples are as long, 64 at most."""
    if asked is None:
        return min(usual(sequences), MOST_FRAMES)
    if asked < 1:
        raise InputError(f"sim_decode: frames={asked}; use 1 or more")
    longest = int(sequences.sizes.max())
    if longest < asked:
        raise InputError(
            f"sim_decode: frames={asked}, and the longest sample has {longest}; use fewer"
        )
    return asked


def split(
    sequences: Sequences, labels: Labels | None, share: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return training and test samples; those that share a group are on one side."""
    if not 0 < share < 1:
        raise InputError(f"sim_decode: test_share={share} must lie between 0 and 1")
    if len(sequences) < FEWEST:
        raise InputError(
            f"sim_decode: {len(sequences)} sample{'s' * (len(sequences) != 1)} cannot both train "
            f"and test a decoder; give {FEWEST} or more"
        )
    together = _components(sequences, labels)
    blocks = int(together.max()) + 1
    if blocks < 2:
        raise InputError(
            "sim_decode: all samples hang together by their groups; choose other --groups"
        )
    order = rng.permutation(blocks)
    held = order[: min(max(2, round(share * blocks)), max(blocks - 2, 1))]
    test = np.isin(together, held)
    return np.flatnonzero(~test), np.flatnonzero(test)


def _components(sequences: Sequences, labels: Labels | None) -> Ints:
    """(samples,) number of the connected set of samples and groups that each is of."""
    count = len(sequences)
    if labels is None:
        return np.arange(count)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    groups = np.unique(labels.groups[sequences.rows], return_inverse=True)[1]
    samples = np.repeat(np.arange(count), sequences.sizes)
    size = count + int(groups.max()) + 1
    graph = coo_matrix((np.ones(len(groups)), (samples, count + groups)), (size, size))
    found = connected_components(graph, directed=False)[1][:count]
    return np.asarray(np.unique(found, return_inverse=True)[1], np.int64)
