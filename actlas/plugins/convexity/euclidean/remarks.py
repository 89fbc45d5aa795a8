"""What the reader of a score must know."""

from collections.abc import Sequence

from .tables import Class, Summary

NAMED = 5
STRAIGHT = 1e-4  # logits that bend less are linear, but for rounding
NEARLY = 0.1


def remarks(summary: Summary, classes: Sequence[Class], unknown: Sequence[str]) -> list[str]:
    """Say where the decision, the pairs or the labels make scores mean less than they seem to."""
    said = []
    if summary.vacuous and summary.against == "label":
        said.append("vacuous: there is one class only, and every point is predicted as it")
    elif summary.vacuous:
        said.append(
            "vacuous: the decision is linear, so its regions are convex and every class scores 1 "
            "by construction; use against=label, or another decision"
        )
    elif summary.bend < STRAIGHT:
        said.append(
            "the decision is linear, so its regions are convex by construction: the score is below "
            "1 only by the rows it gets wrong (see both_right)"
        )
    elif summary.bend < NEARLY:
        said.append(
            f"the decision is nearly linear (logits bend by {summary.bend:.1%}), as at the last "
            f"layers: regions are close to convex by construction, and a high score says little"
        )
    if summary.joinable_share < 1:
        said.append(
            f"{summary.joinable_share:.1%} of the pairs have as many positions and can be joined; "
            f"lengths=padded joins all"
        )
    if alone := [row.label for row in classes if not row.pairs]:
        said.append(f"no two rows that a segment can join, so no score: {_some(alone)}")
    if unknown:
        said.append(f"left out, as what judges does not know them: {_some(unknown)}")
    sizes = [row.n for row in classes if row.pairs]
    if max(sizes) > 10 * min(sizes):
        said.append(
            f"classes have {min(sizes)} to {max(sizes):,} rows: micro is that of the large ones, "
            f"and macro is the headline"
        )
    return said


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
