"""What the study's numbers say of each claim."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .study import PRESENT, Rows

CLEAR = 0.1  # of the loss: cells whose two cheapest phases are nearer are not judged


@dataclass(frozen=True)
class Verdict:
    """One claim, and whether the numbers bear it out."""

    claim: str
    measured: str
    verdict: Literal["supported", "not supported"]


def judged(claim: str, measured: str, holds: bool) -> Verdict:
    """Make a verdict."""
    return Verdict(claim, measured, "supported" if holds else "not supported")


def on_cases(rows: Rows) -> Verdict:
    """Reference cases of the quadratic model."""
    error = max(row["error"] for row in rows)
    off = max(abs(row["loss"] / row["optimal"] - 1) for row in rows)
    return judged(
        "Trained quadratic models are at the global optimum: every capacity within 1e-4",
        f"greatest difference of a capacity {error:.1e}, of the loss {off:.1e} relative, any start",
        error <= 1e-4 and off <= 1e-6,
    )


def on_boundaries(rows: Rows) -> Verdict:
    """Boundaries found on trained models."""
    error = max(abs(row["trained"] - row["analytic"]) for row in rows)
    return judged(
        "The second feature is ignored up to the ratio of the formula, within 1e-3, with an "
        "output bias and without",
        f"greatest difference {error:.1e} over {len(rows)} boundaries",
        error <= 1e-3,
    )


def on_quadratic(rows: Rows) -> Verdict:
    """Cells of the quadratic diagrams."""
    error = np.array([abs(row["trained"] - row["analytic"]) for row in rows])
    return judged(
        "Every cell of the quadratic diagrams has the capacity of the formula, within 1e-4",
        f"greatest difference {error.max():.1e}, mean {error.mean():.1e}, {len(rows)} cells",
        float(error.max()) <= 1e-4,
    )


def on_benefit(rows: Rows) -> Verdict:
    """The optimality conditions at trained capacities."""
    worst = 0.0
    for kurtosis in dict.fromkeys(row["kurtosis"] for row in rows):
        mine = [row for row in rows if row["kurtosis"] == kurtosis]
        shared = [r["gain"] for r in mine if 1e-6 < r["trained"] < 1 - 1e-6]
        level = float(np.mean(shared))
        off = [abs(g / level - 1) for g in shared]
        off += [max(0, r["gain"] / level - 1) for r in mine if r["trained"] <= 1e-6]
        off += [max(0, 1 - r["gain"] / level) for r in mine if r["trained"] >= 1 - 1e-6]
        worst = max(worst, *off)
    return judged(
        "Features that share gain alike from more capacity, ignored ones less, dedicated ones more",
        f"greatest relative breach {worst:.1e}",
        worst <= 1e-4,
    )


def on_relu(rows: Rows, features: int) -> Verdict:
    """Phases of the ReLU model, where one is clearly cheaper and the formulas apply."""
    clear = [r for r in rows if clear_cell(r)]
    agree = sum(row["phase"] == row["analytic"] for row in clear)
    everywhere = sum(row["phase"] == row["analytic"] for row in rows)
    return judged(
        f"ReLU models of {features} features in {features - 1} are in the phase whose fixed "
        f"weights cost least, in 9 of 10 clear cells",
        f"{agree} of {len(clear)} clear cells; {everywhere} of all {len(rows)}",
        agree >= 0.9 * len(clear),
    )


def clear_cell(row: dict[str, float]) -> bool:
    """Whether a cell is judged: a clear winner, outside the dense corner of a further phase."""
    corner = row["density"] > 0.5 and 0.5 < row["ratio"] < 2
    return row["margin"] > CLEAR and not corner


def on_outcomes(rows: Rows) -> Verdict:
    """Geometry of equal sparse features."""
    wanted = {(5, 2): [0.4] * 5, (4, 3): [0.5, 0.5, 1, 1], (6, 3): [0.5] * 6}
    off = max(
        float(np.abs(np.subtract(r["capacities"], wanted[r["features"], r["dims"]])).max())
        for r in rows
    )
    return judged(
        "Equal sparse features (p = 0.05): a pentagon of 5 in 2, antipodal pairs of 4 in 3 and "
        "6 in 3",
        f"greatest difference of a capacity {off:.3f}",
        off <= PRESENT,
    )


def on_totals(rows: Rows) -> Verdict:
    """Whether many features use all dimensions."""
    known = [row for row in rows if row["fill"]]
    least = min(row["total"] / row["dims"] for row in known)
    return judged(
        "Many equal features fill their dimensions at every density: total capacity ≥ 0.999 of 10 "
        "(80 features) and 0.9988 of 20 (200)",
        f"least {least:.4f} of the dimensions, {len(known)} cells",
        all(row["total"] >= row["fill"] * row["dims"] for row in known),
    )


def on_known(rows: Rows) -> Verdict:
    """Dimensions per feature and represented features, beside an earlier measurement."""
    each = [row["each"] / row["known_each"] - 1 for row in rows if row["known_each"]]
    count = [
        row["represented"] / row["known_represented"] - 1
        for row in rows
        if row["known_represented"]
    ]
    off = [max(map(abs, each), default=0), max(map(abs, count), default=0)]
    return judged(
        "Dimensions per feature are those measured before within 5 %, represented features "
        "within 10 %",
        f"greatest difference {100 * off[0]:.1f} % and {100 * off[1]:.1f} %, "
        f"{len(each)} and {len(count)} cells",
        off[0] <= 0.05 and off[1] <= 0.1,
    )


def on_lines(rows: Rows) -> Verdict:
    """Where regular arrangements were found before."""
    said, holds = [], True
    for row in rows:
        for line, before in row["known_at"].items():
            here = row["at"][line]
            said.append(f"{row['setting']}, p = {row['density']:g}, at {line}: {here} ({before})")
            holds &= here >= 0.5 * before
    return judged(
        "Regular arrangements are found where they were before, with half as many features or more",
        "; ".join(said),
        holds,
    )


def on_unequal(rows: Rows) -> Verdict:
    """Dense and sparse features of falling importance."""
    unequal = [row for row in rows if row["decay"] != 1]
    said, holds = [], True
    for name in dict.fromkeys(row["setting"] for row in unequal):
        mine = sorted((r for r in unequal if r["setting"] == name), key=lambda r: -r["density"])
        counts = [row["represented"] for row in mine]
        holds &= counts == sorted(counts) and counts[0] <= mine[0]["dims"] < counts[-1]
        said.append(f"{name}: {', '.join(map(str, counts))}")
    return judged(
        "Of features of falling importance more are represented the sparser they are: dense no "
        "more than dimensions, sparse more",
        "represented, dense to sparse: " + "; ".join(said),
        holds,
    )
