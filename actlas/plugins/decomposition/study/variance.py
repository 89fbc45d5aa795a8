"""Components of variance: how far values follow the run, the sentence, or neither."""

from typing import NamedTuple

import numpy as np

from .curves import Floats

FEWEST = 2  # runs, and sentences


class Components(NamedTuple):
    """Variance of the run, of the sentence and of the rest, each (columns,)."""

    run: Floats
    sentence: Floats
    rest: Floats


def components(X: Floats) -> Components:
    """Split the variance of X (runs, sentences, columns), runs and sentences crossed at random.

    Of the mean squares of the two-way layout without repetition the components are those with
    which they are expected (Searle, Casella & McCulloch 1992, ch. 4); negative ones are 0.
    """
    runs, sentences = X.shape[:2]
    by_run, by_sentence = X.mean(axis=1), X.mean(axis=0)
    mean = X.mean(axis=(0, 1))
    of_runs = sentences * ((by_run - mean) ** 2).sum(axis=0) / (runs - 1)
    of_sentences = runs * ((by_sentence - mean) ** 2).sum(axis=0) / (sentences - 1)
    rest = X - by_run[:, None] - by_sentence[None] + mean
    of_rest = (rest**2).sum(axis=(0, 1)) / ((runs - 1) * (sentences - 1))
    return Components(
        ((of_runs - of_rest) / sentences).clip(0),
        ((of_sentences - of_rest) / runs).clip(0),
        of_rest,
    )


def shares(found: Components) -> Floats:
    """Shares (3, columns) of run, sentence and rest; NaN where nothing varies."""
    parts = np.array(found)
    total = parts.sum(axis=0)
    out: Floats = np.full(parts.shape, np.nan)
    np.divide(parts, total, out=out, where=total > 0)
    return out
