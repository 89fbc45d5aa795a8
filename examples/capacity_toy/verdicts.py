"""What the study's numbers say of each claim."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .study import Rows

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
    off = max(float(np.abs(np.subtract(r["capacities"], r["wanted"])).max()) for r in rows)
    totals = [row["total"] - row["dims"] for row in rows]
    return judged(
        "Equal sparse features (p = 0.05), best of 8 starts: a pentagon of 5 in 2, antipodal pairs "
        "of 2 in 1, 3 in 2, 4 in 3 and 6 in 3; every capacity within 0.02, the total within 0.01",
        f"greatest difference of a capacity {off:.3f}, of a total {min(totals):+.4f} to "
        f"{max(totals):+.4f}",
        off <= 0.02 and min(totals) >= -0.01 and max(totals) <= 1e-6,
    )


def on_minima(rows: Rows) -> Verdict:
    """What descent reaches below kurtosis 3."""
    said = "; ".join(
        f"κ = {r['kurtosis']:g}: {r['there']} of {r['starts']} starts there, the worst "
        f"{100 * r['worst']:.0f} % above, best of 5 {100 * abs(r['few']):.1f} %"
        for r in rows
    )
    return judged(
        "Below kurtosis 3 some starts end in local minima; the best of 40 is the optimum",
        said,
        all(r["many"] <= 1e-6 and r["there"] < r["starts"] for r in rows),
    )


def on_drawn(rows: Rows) -> Verdict:
    """Quadratic models trained on samples."""
    judged_rows = [row for row in rows if not row["edge"]]
    largest, mean, total = (
        max(row[name] for row in judged_rows) for name in ("largest", "mean", "total")
    )
    return judged(
        "Quadratic models trained on samples have the optimum's capacities within 0.02, on average "
        "within 0.005, and fill their dimensions within 0.0012; but for ratios at the boundary",
        f"greatest difference {largest:.4f} (before: 0.010), greatest mean {mean:.4f} "
        f"(0.0026), of a total {total:.4f}",
        largest <= 0.02 and mean <= 0.005 and total <= 0.0012,
    )


def on_shares(rows: Rows) -> Verdict:
    """How many starts are pentagons."""
    known = [row for row in rows if row["known"]["share"] is not None]
    off = [abs(row["share"] - row["known"]["share"]) for row in known]
    return judged(
        "Of 20 starts of 5 features in 2 dimensions as many are pentagons as were before, within "
        "0.3 (two standard errors of one half)",
        ", ".join(
            f"p = {r['density']:g}: {100 * r['share']:.0f} % ({100 * r['known']['share']:.0f} %)"
            for r in known
        ),
        max(off) <= 0.3,
    )


def on_losses(rows: Rows) -> Verdict:
    """Which arrangement of five costs least."""
    said, holds = [], True
    for row in rows:
        five, two = row["pentagon"], row["digons"]
        first = "pentagon" if (five or np.inf) <= (two or np.inf) else "two pairs"
        name = "neither" if row["least"] not in (five, two) else first
        said.append(f"p = {row['density']:g}: {name}")
        holds &= name == ("two pairs" if row["density"] > 0.25 else "pentagon")
    return judged(
        "Two antipodal pairs, the fifth feature ignored, cost least for p ≥ 0.3, a pentagon for "
        "p ≤ 0.2",
        ", ".join(said),
        holds,
    )


def on_pentagons(rows: Rows) -> Verdict:
    """Losses, norms and biases of pentagons, beside an earlier measurement."""
    said, holds = [], True
    for row in rows:
        for name, within in (("pentagon", 0.02), ("digons", 0.02), ("norm", 0.01), ("bias", 0.05)):
            before, here = row["known"][name], row[name]
            if before is not None:
                found = "none" if here is None else f"{here:.4g}"
                said.append(f"{name} at p = {row['density']:g}: {found} ({before:g})")
                holds &= here is not None and abs(here / before - 1) <= within
    return judged(
        "Pentagons and pairs have the losses of before within 2 %, pentagons the norm within 1 % "
        "and the bias within 5 %",
        "; ".join(said),
        holds,
    )


def on_totals(rows: Rows) -> Verdict:
    """Whether many features use all dimensions."""
    said, holds = [], True
    known = [row for row in rows if row["least"] is not None]
    for name in dict.fromkeys(row["setting"] for row in known):
        mine = [row for row in known if row["setting"] == name]
        worst = min(mine, key=lambda row: row["total"])
        said.append(f"{name}: {worst['total']:.4f} at p = {worst['density']:g} "
                    f"({worst['least']:g})")  # fmt: skip
        holds &= worst["total"] >= worst["least"]
    return judged(
        "Many equal features fill their dimensions at every density: total capacity no less than "
        "the least measured before (in brackets)",
        "least " + "; ".join(said),
        holds,
    )


def on_known(rows: Rows) -> Verdict:
    """Dimensions per feature and represented features, beside an earlier measurement."""
    each = [row["each"] / row["known_each"] - 1 for row in rows if row["known_each"]]
    count = [row for row in rows if row["known_represented"] is not None]
    off = max(map(abs, each), default=0)
    missed = [row for row in count if abs(row["represented"] - row["known_represented"])
              > 0.1 * row["known_represented"]]  # fmt: skip
    return judged(
        "Dimensions per feature are those measured before within 5 %, represented features "
        "within 10 %",
        f"greatest difference {100 * off:.1f} % in {len(each)} cells; represented as before in "
        f"{len(count) - len(missed)} of {len(count)} cells"
        + "".join(f"; {r['setting']}, p = {r['density']:g}: {r['represented']} "
                  f"({r['known_represented']})" for r in missed),
        off <= 0.05 and not missed,
    )  # fmt: skip


def on_typical(rows: Rows) -> Verdict:
    """What capacity represented features have where no line is near."""
    known = [row for row in rows if row["known_typical"]]
    said, holds = [], True
    for row in known:
        low, high = row["known_typical"]
        here = row["typical"]
        holds &= here is not None and low - 0.01 <= here <= high + 0.01
        span = f"{low:g}" if low == high else f"{low:g} … {high:g}"
        said.append(f"p = {row['density']:g}: " + ("none" if here is None else f"{here:.3f}")
                    + f" ({span})")  # fmt: skip
    return judged(
        "The median capacity of represented features of 80 in 10 is that of before, within 0.01",
        ", ".join(said),
        holds,
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
