"""Labels as chance would deal them, where rows belong together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def permute_groups(
    values: NDArray[Any], groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[Any]:
    """Return values (rows,) dealt out anew: whole groups change places, each turned about.

    groups: (rows,) rows of the same number belong together (a sentence, a speaker).

    Rows of a group are not independent, so rows shuffled one by one would be a null too low; a
    group gets another's values, in their order, repeated or cut where lengths differ. They begin
    at a random one: groups that all have the same values in the same order (speakers who say the
    same words) would else change places with no effect, and chance would seem to know the labels.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    dealt = np.empty_like(values)
    if len(starts) + 1 == len(order):  # every row is a group
        dealt[order] = values[rng.permutation(order)]
        return dealt
    parts = np.split(order, starts)
    turns = rng.integers(0, [len(part) for part in parts])
    for part, i in zip(parts, rng.permutation(len(parts)).tolist(), strict=True):
        dealt[part] = np.resize(np.roll(values[parts[i]], turns[i]), len(part))
    return dealt
