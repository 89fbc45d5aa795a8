"""From feature sets to the tables that all capacity analyses share."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import InputError

from . import blocks as grouping
from .blocks import Blocks
from .features import Features
from .frame import Frame, frame
from .nulls import Null, expected
from .tables import TABLES, Block, Cell, Feature, Summary

IGNORED, DEDICATED = 0.05, 0.95
DRAWN = 48  # features in the Gram matrix
SHOWN_BLOCKS = 500


@dataclass(frozen=True)
class Settings:
    """What all capacity analyses let the user set.

    threshold: |cos| above which features are in one block; None: 1e-6 where residuals say that
        blocks are exact, else 0.2.
    most: features up to which blocks are looked for.
    """

    threshold: float | None = None
    most: int = 4096
    null: Null = "gaussian"
    unit: bool = False

    def check(self, who: str) -> None:
        """Raise InputError where a number does not fit."""
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise InputError(f"{who}: threshold={self.threshold} is no |cos|; use 0 … 1")
        if self.most < 0:
            raise InputError(f"{who}: block_limit={self.most} must be 0 or more")


@dataclass(frozen=True, eq=False)
class Measured:
    """A feature set, its frame, its blocks (None where there are too many features)."""

    features: Features
    frame: Frame
    blocks: Blocks | None
    null: NDArray[np.float64]


def measure(features: Features, settings: Settings, null: Any = None) -> Measured:
    """Measure a feature set; null (N,) in place of the analytic one."""
    found = frame(features)
    alive = int(features.alive.sum())
    groups = None
    if alive <= settings.most:
        threshold = settings.threshold
        if threshold is None:
            threshold = grouping.threshold_for(found)
        groups = grouping.find(features, threshold)
    if null is None:
        null = expected(
            found.squared, features.matrix.shape[1], settings.null,
            unit=settings.unit, centred=features.centre is not None,
        )  # fmt: skip
    return Measured(features, found, groups, null)


def tables(sets: Sequence[Measured]) -> dict[str, Any]:
    """Return the shared tables of all sets."""
    features = [_features(found) for found in sets]
    joined = {f.name: [v for part in features for v in part[f.name]] for f in fields(Feature)}
    made: dict[str, Any] = {
        "summary": [_summary(found) for found in sets],
        "features": joined,
        "blocks": [row for found in sets for row in _blocks(found)],
        "gram": [row for found in sets for row in _cells(found)],
    }
    return {name: made[name] for name in TABLES}


def remarks(sets: Sequence[Measured]) -> list[str]:
    """What the reader must know of the sets."""
    said = []
    for found in sets:
        source, alive = found.features.source, found.features.alive
        if not alive.all():
            said.append(f"{source}: {(~alive).sum():,} features have norm 0; their capacity is 0")
        if found.blocks is None:
            said.append(
                f"{source}: blocks of {alive.sum():,} features were not looked for; raise "
                f"block_limit to do so"
            )
        if found.frame.leverage is None:
            width = found.features.matrix.shape[1]
            said.append(f"{source}: no leverage and effective rank, as {width:,} is too wide")
    return said


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _summary(found: Measured) -> Summary:
    features, seen = found.features, found.frame
    count, width = features.matrix.shape
    alive = features.alive
    C, n = seen.capacity, int(alive.sum())
    total, chance = float(C.sum()), float(found.null.sum())
    most = min(n - (features.centre is not None), width)
    squares = float(seen.squared.sum()) * features.unit**2
    low, median, high = np.quantile(C[alive], (0.1, 0.5, 0.9))
    groups = found.blocks
    return Summary(
        source=features.source,
        features=count,
        nonzero=n,
        width=width,
        rank=seen.rank,
        total=total,
        null_total=chance,
        efficiency=total / seen.rank,
        fill=total / width,
        excess=(total - chance) / (most - chance) if most - chance > 1e-9 * most else None,
        mean=float(C[alive].mean()),
        tenth=float(low),
        median=float(median),
        ninetieth=float(high),
        ignored=int((C < IGNORED).sum()),
        shared=int(((C >= IGNORED) & (C <= DEDICATED)).sum()),
        dedicated=int((C > DEDICATED).sum()),
        participation_ratio=seen.ratio,
        effective_rank=_effective_rank(seen.values),
        dimensions_per_feature=_number(width / squares) if squares > 0 else None,
        residual=float(seen.residual[alive].mean()),
        mean_cosine=None if groups is None or n < 2 else groups.mean_cosine,
        coherence=None if groups is None or n < 2 else float(groups.nearest.max()),
        welch=float(np.sqrt(max(n - width, 0) / (width * (n - 1)))) if n > 1 else None,
        blocks=None if groups is None else len(groups.apart),
    )


def _effective_rank(values: NDArray[np.float64] | None) -> float | None:
    if values is None:
        return None
    p = values[values > 0] / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def _features(found: Measured) -> dict[str, Any]:
    features, seen, groups = found.features, found.frame, found.blocks
    count, unit = len(features.weights), features.unit**2
    nothing = [None] * count
    block = nothing
    if groups is not None:
        block = [None if b < 0 else b for b in groups.block.tolist()]
    return {
        "source": [features.source] * count,
        "feature": range(count),
        "name": features.names,
        "capacity": seen.capacity,
        "null": found.null,
        "norm": features.norms,
        "eigenvalue": seen.rayleigh * unit,
        "interference": (seen.rayleigh - seen.squared).clip(0) * unit,
        "leverage": nothing if seen.leverage is None else seen.leverage,
        "residual": seen.residual,
        "nearest": nothing if groups is None else groups.nearest,
        "block": block,
    }


def _blocks(found: Measured) -> list[Block]:
    groups, seen, features = found.blocks, found.frame, found.features
    if groups is None:
        return []
    living, C = groups.block[features.alive], seen.capacity
    rows = []
    for number in range(min(len(groups.apart), SHOWN_BLOCKS)):
        mine = groups.block == number
        size, total = int(mine.sum()), float(C[mine].sum())
        dimension = 1
        if size > 1:
            dimension = grouping.dimension(groups.directions[living == number], features.single)
        eigen = seen.rayleigh[mine]
        spread = float(eigen.std() / eigen.mean())
        tight = abs(total - dimension) < grouping.WHOLE and spread < grouping.EVEN
        rows.append(
            Block(
                source=features.source, block=number, size=size, dimension=dimension,
                total=total, eigenvalue=float(eigen.mean()) * features.unit**2, spread=spread,
                cross_cosine=float(groups.apart[number]), semi_orthogonal=bool(tight),
            )
        )  # fmt: skip
    return rows


def _cells(found: Measured) -> list[Cell]:
    """Cosines of the first features by block, and by norm in it."""
    groups, features = found.blocks, found.features
    if groups is None:
        return []
    alive = np.flatnonzero(features.alive)
    order = np.lexsort((-features.norms[alive], groups.block[alive]))[:DRAWN]
    rows = groups.directions[order]
    cosines = (rows @ rows.T).clip(-1, 1)
    called = [features.names[alive[i]] for i in order]
    return [
        Cell(features.source, i, j, called[i], called[j], int(groups.block[alive[order[i]]]),
             float(cosines[i, j]))
        for i in range(len(order)) for j in range(len(order))
    ]  # fmt: skip
