"""What a reader looks at: outermost rows, pairs of axes, and axes beside each other's words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError

from .extremes import Extremes
from .fit import Fit
from .reading import READ_ROWS, rows_at
from .rowsets import Pinned
from .tables import ScatterPoint

if TYPE_CHECKING:
    from torch import Tensor

PAIRS = ((0, 1), (2, 3), (49, 50), (99, 100))  # of axes (Yamagiwa et al. 2023, figure 3)
SCATTER_ROWS = 500  # as many as a small panel can show
LABELLED = 5  # outermost rows of either axis of a pair
HEAT_AXES = 30  # the paper has 100, which is 50,000 numbers a run; 30 are 4,500
HEAT_ROWS = 5  # of each axis
PLANE_AXES = 5  # in one plane where none are named
TINY = 1e-30  # length of a row that is the mean itself

Columns = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads used rows by their places, and says what they are called.

    rotation: (k, k), its rows the axes in their order. acts: all activations.
    """

    found: Fit
    rotation: NDArray[np.float64]
    acts: Activations

    @cached_property
    def tokens(self) -> Sequence[str | None]:
        """Of all activations."""
        return self.acts.rows.token

    def axes(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return unnormalised axes (n, k) of some rows in the bases ica and pca."""
        import torch

        Z = self.found.white(torch.from_numpy(rows_at(self.found.used, places))).double().numpy()
        return {"ica": Z @ self.rotation.T, "pca": Z}

    def names(self, places: NDArray[np.int64]) -> Columns:
        """Return the columns row and token of some rows."""
        rows = self.found.rows[places]
        tokens = [self.tokens[row] for row in rows.tolist()]
        return {"row": self.acts.numbers(rows).tolist(), "token": tokens}

    def kinds(self) -> NDArray[np.int64]:
        """Return the number of each row's token; a row without one is of its own kind."""
        numbers: dict[str | int, int] = {}
        keys = (self.tokens[row] for row in self.found.rows.tolist())
        named = (i if token is None else token for i, token in enumerate(keys))
        return np.array([numbers.setdefault(key, len(numbers)) for key in named], np.int64)

    def blocks(self) -> "Iterator[tuple[Tensor, Tensor]]":
        """Yield whitened rows in the order of the activations, and their axes."""
        import torch

        turn: Tensor | None = None
        for block in _in_order(self.found):
            if turn is None:
                turn = torch.from_numpy(self.rotation).to(block.device, torch.float32)
                turn = turn.T.contiguous()
            yield block, block @ turn


def views(
    found: Fit,
    rotation: NDArray[np.float64],
    acts: Activations,
    *,
    top: int,
    unique: bool,
    seed: int,
    plane: Sequence[int] | None,
) -> dict[str, Columns]:
    """Make the tables top_rows, scatter, projection and heatmap from one pass over the rows.

    unique: of the rows of one token only the outermost at each end counts. plane: axes that are
    projected, None: the first.
    """
    reader = Reader(found, rotation, acts)
    drawn = _plane(plane, len(rotation))
    kinds = reader.kinds() if unique else None
    pairs = shown_pairs(len(rotation))
    paired = sorted({axis for pair in pairs for axis in pair})
    high, low = (Extremes(len(rotation), max(top, HEAT_ROWS), kinds) for _ in range(2))
    far = {basis: Extremes(len(paired), LABELLED, kinds) for basis in ("ica", "pca")}
    start = 0
    for Z, S in reader.blocks():
        far["ica"].add(S[:, paired].abs(), start)
        far["pca"].add(Z[:, paired].abs(), start)
        shares = S / S.norm(dim=1, keepdim=True).clamp_min(TINY)
        high.add(shares, start)
        low.add(-shares, start)
        start += len(Z)
    return {
        "top_rows": _top_rows(reader, {"high": high, "low": low}, top),
        "scatter": _scatter(reader, pairs, far, seed),
        "projection": _projection(reader, drawn, high, seed),
        "heatmap": _heatmap(reader, high),
    }


def plane_axes(named: str | None) -> list[int] | None:
    """Read the numbers of axes, as "0,3,4"; InputError for anything else."""
    if named is None:
        return None
    try:
        found = [int(part) for part in named.split(",")]
    except ValueError:
        found = []
    if len(found) < 2 or len(set(found)) < len(found) or min(found) < 0:
        raise InputError(f"ica: plane={named!r}; name two or more axes, as 0,1,2")
    return found


def _plane(axes: Sequence[int] | None, k: int) -> list[int]:
    if axes is None:
        return list(range(min(PLANE_AXES, k)))
    if max(axes) >= k:
        raise InputError(f"ica: plane names axis {max(axes)}; there are 0 to {k - 1}")
    return list(axes)


def shown_pairs(k: int) -> list[tuple[int, int]]:
    """Those of `PAIRS` that k axes have, and the last pair in place of those they have not."""
    there = [pair for pair in PAIRS if pair[1] < k]
    if len(there) < len(PAIRS) and k > 1 and (k - 2, k - 1) not in there:
        there.append((k - 2, k - 1))
    return there


def _in_order(found: Fit) -> "Iterator[Tensor]":
    import torch

    if not isinstance(found.held, Pinned):
        yield from (block for block, _ in found.held.blocks())
        return
    assert found.place is not None
    for start in range(0, len(found.place), READ_ROWS):
        picked = torch.from_numpy(found.place[start : start + READ_ROWS])
        yield found.held.rows.index_select(0, picked.to(found.held.rows.device))


def _top_rows(reader: Reader, ends: dict[str, Extremes], top: int) -> Columns:
    parts = []
    for end, extremes in ends.items():
        found = extremes.found()
        shown = found.ranks <= top
        scores = found.values[shown] if end == "high" else -found.values[shown]
        parts.append(
            {
                "axis": found.columns[shown].tolist(),
                "end": [end] * len(scores),
                "rank": found.ranks[shown].tolist(),
                "score": scores.tolist(),
            }
            | reader.names(found.rows[shown])
        )
    table = _joined(parts)
    order = np.lexsort((table["rank"], table["end"], table["axis"])).tolist()
    return {name: [values[i] for i in order] for name, values in table.items()}


def _scatter(
    reader: Reader, pairs: list[tuple[int, int]], far: dict[str, Extremes], seed: int
) -> Columns:
    """A sample of rows drawn by chance, and the outermost ones, on pairs of axes."""
    sample = _sample(reader, seed)
    paired = sorted({axis for pair in pairs for axis in pair})
    outermost = {basis: extremes.found() for basis, extremes in far.items()}
    places = np.unique(np.concatenate([sample, *(found.rows for found in outermost.values())]))
    axes = reader.axes(places)
    parts = []
    for basis, found in outermost.items():
        for x, y in pairs:
            mine = np.isin(found.columns, [paired.index(x), paired.index(y)])
            outer = np.isin(places, found.rows[mine])
            drawn = np.flatnonzero(outer | np.isin(places, sample))
            parts.append(
                {
                    "basis": [basis] * len(drawn),
                    "x_axis": [x] * len(drawn),
                    "y_axis": [y] * len(drawn),
                    "x": axes[basis][drawn, x].tolist(),
                    "y": axes[basis][drawn, y].tolist(),
                    "outer": outer[drawn].tolist(),
                }
                | reader.names(places[drawn])
            )
    return _joined(parts) if parts else {field.name: [] for field in fields(ScatterPoint)}


def _projection(reader: Reader, axes: list[int], high: Extremes, seed: int) -> Columns:
    """Shares in some axes, which stand at equal angles (Yamagiwa et al. 2023, figure 1)."""
    found = high.found()
    shown = np.isin(found.columns, axes) & (found.ranks <= LABELLED)
    owners, ranks, outer = found.columns[shown], found.ranks[shown], found.rows[shown]
    order = np.lexsort((ranks, np.array([axes.index(owner) for owner in owners])))
    drawn = np.setdiff1d(_sample(reader, seed), outer)
    rows = np.concatenate([outer[order], drawn])
    S = reader.axes(rows)["ica"]
    shares = S / np.linalg.norm(S, axis=1, keepdims=True).clip(min=TINY)
    angles = 2 * np.pi * np.arange(len(axes)) / len(axes)
    return reader.names(rows) | {
        "axis": owners[order].tolist() + [None] * len(drawn),
        "rank": ranks[order].tolist() + [None] * len(drawn),
        "x": shares[:, axes] @ np.cos(angles),
        "y": shares[:, axes] @ np.sin(angles),
    }


def _sample(reader: Reader, seed: int) -> NDArray[np.int64]:
    n = len(reader.found.used)
    return np.random.default_rng(seed).choice(n, min(SCATTER_ROWS, n), replace=False)


def _heatmap(reader: Reader, high: Extremes) -> Columns:
    """Shares of the first axes in the length of the rows at the high end of each of them."""
    found = high.found()
    k = min(HEAT_AXES, len(reader.rotation))
    shown = (found.columns < k) & (found.ranks <= HEAT_ROWS)
    rows = found.rows[shown]
    S = reader.axes(rows)["ica"]
    shares = S / np.linalg.norm(S, axis=1, keepdims=True).clip(min=TINY)
    named = {name: [v for v in values for _ in range(k)] for name, values in
             reader.names(rows).items()}  # fmt: skip
    return named | {
        "owner": found.columns[shown].repeat(k),
        "rank": found.ranks[shown].repeat(k),
        "axis": np.tile(np.arange(k), len(rows)),
        "share": shares[:, :k].ravel(),
    }


def _joined(parts: list[Columns]) -> Columns:
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}
