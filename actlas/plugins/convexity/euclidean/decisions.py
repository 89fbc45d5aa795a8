"""Decision functions: what tells classes apart at the points of a segment."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
BLOCK = 1 << 22  # numbers held at once for points


@dataclass(frozen=True, eq=False)
class Judged:
    """What was predicted along segments.

    predicted: (pairs, points) places among the decision's classes, the second row's end first.
    bend: how far logits stray from the straight line between those of the ends: root mean square,
        relative to theirs. 0: the decision is linear.
    """

    predicted: NDArray[np.int32]
    bend: float


class Decision(ABC):
    """Tells classes apart.

    names: the classes. own: (rows, classes) logits of the rows themselves. spaces: (rows,) numbers
    of the spaces that rows lie in; segments join rows of one space.
    """

    names: tuple[str, ...]
    own: Floats
    spaces: Integers

    @abstractmethod
    def judge(self, first: Integers, second: Integers, points: int) -> Judged:
        """Predict at `points` interior points of each segment: λ first + (1 − λ) second."""

    def predictions(self) -> Integers:
        """Return the class predicted of each row."""
        found: Integers = self.own.argmax(axis=1)
        return found


def shares(points: int) -> Floats:
    """Return λ = i / (points + 1), i = 1 … points: the ends are no points."""
    return np.arange(1, points + 1) / (points + 1)


@final
class Bend:
    """Sums up how far logits stray from straight lines."""

    def __init__(self) -> None:
        self._strayed = self._scale = 0.0

    def add(self, logits: Floats, first: Floats, second: Floats) -> None:
        """Take logits (pairs, points, classes) and those of the ends (pairs, classes)."""
        share = shares(logits.shape[1])[:, None]
        line = share * first[:, None] + (1 - share) * second[:, None]
        strayed = logits - line
        strayed -= strayed.mean(axis=2, keepdims=True)  # what all classes share decides nothing
        line -= line.mean(axis=2, keepdims=True)
        self._strayed += float(np.square(strayed).sum())
        self._scale += float(np.square(line).sum())

    def value(self) -> float:
        """Return the relative root mean square."""
        return float(np.sqrt(self._strayed / self._scale)) if self._scale else 0.0


@final
class Linear(Decision):
    """Linear logits: those of a point are interpolated from those of the ends."""

    def __init__(self, own: Floats, names: tuple[str, ...]):
        self.own, self.names = own, names
        self.spaces = np.zeros(len(own), np.int64)

    def judge(self, first: Integers, second: Integers, points: int) -> Judged:
        """See `Decision.judge`."""
        share = shares(points)[:, None]
        predicted = np.empty((len(first), points), np.int32)
        for part in blocks(len(first), points * len(self.names)):
            a, b = self.own[first[part], None], self.own[second[part], None]
            predicted[part] = (share * a + (1 - share) * b).argmax(axis=2)
        return Judged(predicted, 0.0)

    def inside(self, first: Integers, second: Integers, target: Integers) -> Floats:
        """Return the exact share (pairs,) of each segment that is predicted as `target`.

        An argmax region of linear logits meets a line in one interval.
        """
        found = np.empty(len(first))
        for part in blocks(len(first), 4 * len(self.names)):
            mine = target[part, None]
            a, b = self.own[first[part]], self.own[second[part]]
            p = np.take_along_axis(a, mine, 1) - a  # (pairs, classes) lead over each, at λ = 1
            q = np.take_along_axis(b, mine, 1) - b  # at λ = 0
            with np.errstate(divide="ignore", invalid="ignore"):
                zero = q / (q - p)
            low = np.where(q < 0, np.where(p < 0, 1.0, zero), 0.0).max(axis=1)
            high = np.where(p < 0, np.where(q < 0, 0.0, zero), 1.0).min(axis=1)
            # Of classes that lead equally all along the first is predicted, as by argmax.
            earlier = (p == 0) & (q == 0) & (np.arange(len(self.names)) < mine)
            found[part] = np.where(earlier.any(axis=1), 0, np.maximum(0, high - low))
        return found


@final
class Function(Decision):
    """Logits by a function of points: (m, width) → (m, classes)."""

    def __init__(
        self,
        X: NDArray[np.float32],
        logits: Callable[[NDArray[np.float32]], Floats],
        names: tuple[str, ...],
    ):
        self._X, self._logits, self.names = X, logits, names
        parts = [logits(X[part]) for part in blocks(len(X), X.shape[1])]
        self.own = np.concatenate(parts)
        self.spaces = np.zeros(len(X), np.int64)

    def judge(self, first: Integers, second: Integers, points: int) -> Judged:
        """See `Decision.judge`."""
        share = shares(points).astype(np.float32)[:, None]
        predicted = np.empty((len(first), points), np.int32)
        bend = Bend()
        for part in blocks(len(first), points * max(self._X.shape[1], len(self.names))):
            a, b = first[part], second[part]
            x = share * self._X[a, None] + (1 - share) * self._X[b, None]
            logits = self._logits(x.reshape(-1, x.shape[2])).reshape(len(a), points, -1)
            predicted[part] = logits.argmax(axis=2)
            bend.add(logits, self.own[a], self.own[b])
        return Judged(predicted, bend.value())


def blocks(count: int, size: int) -> list[slice]:
    """Cut `count` things of `size` numbers each into blocks that memory has room for."""
    step = max(1, BLOCK // max(1, size))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
