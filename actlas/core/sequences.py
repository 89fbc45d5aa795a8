"""Sequences that keep little in memory: read in blocks, packed, or seen through a view."""

from abc import ABC, abstractmethod
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import repeat
from threading import Lock
from typing import Any, TypeVar, final, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
BLOCK = 64  # items read at once
KEPT_BLOCKS = 4  # read blocks that are remembered


class LazySequence(Sequence[T], ABC):
    """A sequence whose items are made when asked for; slices are views; equal to equal lists.

    hasher: the xxh3-128 state after all items of a data set, once somebody has computed it.
    """

    hasher: Any = None

    @abstractmethod
    def _item(self, index: int) -> T:
        """Return an item; 0 <= index < len(self)."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "LazySequence[T]": ...
    def __getitem__(self, index: int | slice) -> "T | LazySequence[T]":
        if isinstance(index, slice):
            return View(self, range(len(self))[index])
        n = len(self)
        place = index + n if index < 0 else index
        if not 0 <= place < n:
            raise IndexError(f"index {index} of {n} items")
        return self._item(place)

    def __iter__(self) -> Iterator[T]:
        return map(self._item, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __getstate__(self) -> dict[str, Any]:  # what cannot be pickled is made anew
        return {k: v for k, v in vars(self).items() if k not in ("_recent", "_lock", "hasher")}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,}>"


@final
class View(LazySequence[T]):
    """Some items of another sequence."""

    def __init__(self, base: Sequence[T], places: range):
        self.base, self.places = base, places

    def __len__(self) -> int:
        return len(self.places)

    def _item(self, index: int) -> T:
        return self.base[self.places[index]]


class Blocks(LazySequence[T]):
    """Items read some at a time; the last few blocks are remembered. Safe between threads."""

    def __init__(self) -> None:
        self._recent: OrderedDict[int, list[T]] = OrderedDict()
        self._lock = Lock()

    @abstractmethod
    def _load(self, start: int, stop: int) -> list[T]:
        """Read the items start <= i < stop; one thread at a time comes here."""

    def _block(self, number: int) -> list[T]:
        with self._lock:
            found = self._recent.get(number)
            if found is None:
                found = self._load(number * BLOCK, min((number + 1) * BLOCK, len(self)))
                if len(self._recent) >= KEPT_BLOCKS:
                    self._recent.popitem(last=False)
                self._recent[number] = found
            else:
                self._recent.move_to_end(number)
            return found

    def _item(self, index: int) -> T:
        return self._block(index // BLOCK)[index % BLOCK]

    def __iter__(self) -> Iterator[T]:
        for number in range(-(-len(self) // BLOCK)):
            yield from self._block(number)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        Blocks.__init__(self)


@final
class Packed(LazySequence[str]):
    """Strings in one piece of memory: their UTF-8 bytes, and where each begins."""

    def __init__(self) -> None:
        self._bytes, self._starts = bytearray(), array("q", [0])

    def append(self, text: str) -> None:
        """Add a string at the end."""
        self._bytes += text.encode()
        self._starts.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def _item(self, index: int) -> str:
        return self._bytes[self._starts[index] : self._starts[index + 1]].decode()


@final
class SpanLists(LazySequence[list[tuple[int, int]]]):
    """Character spans of the words of each sample, in arrays.

    sample: (words,) the sample of each word, ascending; start, end: (words,) characters.
    """

    def __init__(self, samples: int, sample: NDArray[Any], start: NDArray[Any], end: NDArray[Any]):
        self.sample, self.start, self.end = sample, start, end
        self._first = np.searchsorted(sample, np.arange(samples + 1))

    def __len__(self) -> int:
        return len(self._first) - 1

    def _item(self, index: int) -> list[tuple[int, int]]:
        low, high = self._first[index], self._first[index + 1]
        return list(zip(self.start[low:high].tolist(), self.end[low:high].tolist(), strict=True))


def as_array(numbers: "array[int]") -> NDArray[Any]:
    """Return a growing array's numbers as numpy, without a copy."""
    return np.frombuffer(numbers, numbers.typecode) if numbers else np.empty(0, numbers.typecode)


def padded(numbers: "array[int]", length: int, value: int) -> None:
    """Fill a growing array up to a length."""
    numbers.extend(repeat(value, length - len(numbers)))
