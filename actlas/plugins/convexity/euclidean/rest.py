"""The rest of a network as a decision: un-pooled states are interpolated and read on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, final

import numpy as np

from actlas import Batch, Encoded, InputError, LoadedModel, Samples, tell

from .decisions import Bend, Decision, Floats, Integers, Judged, shares
from .heads import Head

if TYPE_CHECKING:
    import torch

POSITIONS = {"cpu": 4096}  # in one forward pass
ACCELERATED = 1 << 17
STATE_BYTES = 256 << 20  # states of samples held at once
SAME = {"float32": 1e-3, "float64": 1e-6}  # of the logits' scale; else of 8 significant bits
ROUGHLY = 0.1


@dataclass(frozen=True, eq=False)
class _Tile:
    """Pairs whose states are held together: their places, and the positions of their states."""

    pairs: Integers
    positions: int


@final
class Rest(Decision):
    """Everything after a site: (positions, width) of a sample → logits.

    numbers: (rows,) sample of each row. padded: also join samples of unlike length (see
    `convexity_euclidean`).

    What comes before the site reads any sample of the same length, as it is replaced. That this
    changes nothing is looked at first: InputError where the end reads earlier states too.
    """

    def __init__(
        self,
        model: LoadedModel,
        site: Any,
        head: Head,
        samples: Samples,
        numbers: Integers,
        *,
        padded: bool,
    ):
        self._model, self._site, self._head = model, site, head
        self._samples, self._numbers = samples, numbers
        cpu = str(model.device) == "cpu"
        self._budget = POSITIONS["cpu"] if cpu else ACCELERATED
        self._length = np.zeros(len(numbers), np.int64)
        self._real = np.zeros(len(numbers), np.int64)  # of them that are the sample's own
        self.own = self._read_own(padded)
        self.names = head.names(self.own.shape[1])
        places = np.column_stack([self._length, self._real])
        self.spaces = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)
        self._once = self._find_way()
        if padded:
            self.spaces = np.zeros(len(numbers), np.int64)

    def _read_own(self, padded: bool) -> Floats:
        """Run every sample as it is, for its logits and positions."""
        found: dict[int, Floats] = {}
        for start in range(0, len(self._numbers), 1024):
            tell(f"the rows' own predictions: {start:,} of {len(self._numbers):,}")
            rows = np.arange(start, min(start + 1024, len(self._numbers)))
            for places, batch in self._batches(rows):
                for row, one in zip(places, batch, strict=True):
                    self._length[row], self._real[row] = one.given or len(one), len(one)
                if padded and batch[0].group is not None:
                    raise InputError(
                        "convexity_euclidean: these samples cannot be padded; use lengths=equal"
                    )
                run = self._model.rerun(self._model.feed.collate(batch), {}, self._head.read)
                logits = self._head.logits(run, self._real[places])
                found.update(zip(places, logits, strict=True))
        return np.stack([found[row] for row in range(len(self._numbers))])

    def _batches(
        self, rows: Integers, longest: Encoded | None = None
    ) -> Iterator[tuple[list[int], list[Encoded]]]:
        """Yield rows with their samples encoded, of one group and length a batch.

        longest: all are to be padded to it; then lengths do not matter.
        """
        many = self._model.feed.at_once

        def key(pair: tuple[int, Encoded]) -> tuple[str, int]:
            return str(pair[1].group), 0 if longest else (pair[1].given or len(pair[1]))

        for start in range(0, len(rows), many):
            some = rows[start : start + many].tolist()
            encoded = self._encoded(some)
            ordered = sorted(zip(some, encoded, strict=True), key=key)
            for _, same in groupby(ordered, key):
                pairs = list(same)
                size = max((one.given or len(one)) for _, one in pairs)
                step = max(1, self._budget // max(1, size))
                for first in range(0, len(pairs), step):
                    part = pairs[first : first + step]
                    yield [row for row, _ in part], [one for _, one in part]

    def _encoded(self, rows: list[int]) -> list[Encoded]:
        return self._samples.encoded(self._model, self._site, self._numbers[rows].tolist())

    def _states(self, rows: Integers, positions: int, longest: Encoded) -> "torch.Tensor":
        """Return the states (rows, positions, width) of samples, padded to the longest."""
        import torch

        short = bool((self._length[rows] < positions).any())
        found: dict[int, torch.Tensor] = {}
        for places, batch in self._batches(rows, longest if short else None):
            given = [*batch, longest] if short else batch
            states = self._model.capture(self._model.feed.collate(given), [self._site])
            found.update(zip(places, states[self._site.name], strict=False))
        return torch.stack([found[row] for row in rows.tolist()])

    def _logits(self, states: "torch.Tensor", real: int, filler: Encoded, *, once: bool) -> Floats:
        """Return the logits (n, classes) of states (n, positions, width), read on.

        once: run what is before the site for one sample, else for as many.
        """
        batch = self._model.feed.collate([filler])
        if not once:
            batch = _repeated(batch, len(states))
        run = self._model.rerun(batch, {self._site: states}, self._head.read)
        return self._head.logits(run, np.full(len(states), real))

    def _find_way(self) -> bool:
        """Say whether what is before the site can be run once for many points.

        Two samples' own states in place of another's must give their own logits.
        """
        numbers, counts = np.unique(self.spaces, return_counts=True)
        rows = np.flatnonzero(self.spaces == numbers[counts.argmax()])[:3]
        filler = self._encoded(rows[:1].tolist())[0]
        states = self._states(rows, int(self._length[rows[0]]), filler)
        scale = float(np.abs(self.own[rows]).max())
        most = SAME.get(self._model.dtype, ROUGHLY) * max(scale, 1e-30)
        for once in (True, False):
            try:
                found = self._logits(states, int(self._real[rows[0]]), filler, once=once)
            except (RuntimeError, ValueError, IndexError):
                if not once:
                    raise
                continue
            if found.shape == self.own[rows].shape and np.abs(found - self.own[rows]).max() <= most:
                return once
        raise InputError(
            f"convexity_euclidean: what follows {self._site.name} reads earlier states too, so its "
            f"states alone do not decide; choose another site, or decision=probe"
        )

    def judge(self, first: Integers, second: Integers, points: int) -> Judged:
        """See `Decision.judge`."""
        import torch

        predicted = np.empty((len(first), points), np.int32)
        bend, done = Bend(), 0
        share = torch.from_numpy(shares(points)).reshape(1, -1, 1, 1)
        for tile in self._tiles(first, second):
            a, b = first[tile.pairs], second[tile.pairs]
            longer = a[0] if self._length[a[0]] >= self._length[b[0]] else b[0]
            filler = self._encoded([int(longer)])[0]
            rows = np.unique(np.concatenate([a, b]))
            states = self._states(rows, tile.positions, filler)
            weight = share.to(states)
            step = max(1, self._budget // (points * tile.positions))
            for start in range(0, len(a), step):
                part = slice(start, start + step)
                x = states[np.searchsorted(rows, a[part])].unsqueeze(1) * weight
                x = x + states[np.searchsorted(rows, b[part])].unsqueeze(1) * (1 - weight)
                logits = self._logits(
                    x.flatten(0, 1), int(self._real[longer]), filler, once=self._once
                ).reshape(len(x), points, -1)
                predicted[tile.pairs[part]] = logits.argmax(axis=2)
                bend.add(logits, self.own[a[part]], self.own[b[part]])
                done += len(x)
                tell(f"segments: {done:,} of {len(first):,}")
        return Judged(predicted, bend.value())

    def _tiles(self, first: Integers, second: Integers) -> Iterator[_Tile]:
        """Cut pairs so that the states of each tile's rows fit into memory."""
        length = np.maximum(self._length[first], self._length[second])
        real = np.maximum(self._real[first], self._real[second])
        for positions, own in np.unique(np.column_stack([length, real]), axis=0).tolist():
            here = np.flatnonzero((length == positions) & (real == own))
            size = positions * self._site.width * 4
            many = max(1, STATE_BYTES // (2 * size))
            rows = np.unique(np.concatenate([first[here], second[here]]))
            tile = [np.searchsorted(rows, side[here]) // many for side in (first, second)]
            low, high = np.minimum(*tile), np.maximum(*tile)
            for place in np.unique(np.column_stack([low, high]), axis=0):
                yield _Tile(here[(low == place[0]) & (high == place[1])], positions)


def _repeated(batch: Batch, many: int) -> Batch:
    """Return a batch of one sample as one of `many`, without copies."""

    def expand(tensor: Any) -> Any:
        single = hasattr(tensor, "expand") and tensor.ndim and len(tensor) == 1
        return tensor.expand(many, *tensor.shape[1:]) if single else tensor

    named = {name: expand(tensor) for name, tensor in batch.arguments.items()}
    return Batch(named, (many, batch.shape[1]), tuple(map(expand, batch.positional)))
