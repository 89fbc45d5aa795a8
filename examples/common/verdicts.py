"""Claims, what was measured, and what follows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Word = Literal["supported", "not supported", "undecided", "not testable here"]


@dataclass(frozen=True)
class Estimate:
    """A number and the interval it is believed to lie in."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Verdict:
    """One claim, judged."""

    claim: str
    measured: str
    null: str
    verdict: Word
    why: str


def judged(found: Sequence[Estimate], above: float) -> Word:
    """Judge a claim that all these numbers lie above a threshold.

    Supported only if every interval does, not supported if one lies wholly at or below it, else
    undecided: an interval that holds the threshold says neither. Nothing to judge by is not
    testable.
    """
    if not found:
        return "not testable here"
    if all(one.low > above for one in found):
        return "supported"
    return "not supported" if any(one.high <= above for one in found) else "undecided"


def write_verdicts(
    folder: Path,
    claims: Sequence[Verdict],
    controls: Sequence[Verdict],
    facts: Mapping[str, str],
    quick: bool,
) -> None:
    """Write verdicts.json and verdicts.md into a folder."""
    given = {"claims": [asdict(one) for one in claims], "controls": [asdict(v) for v in controls]}
    text = json.dumps(given | {"facts": facts, "quick": quick}, indent=2, ensure_ascii=False)
    (folder / "verdicts.json").write_text(text + "\n", "utf-8")
    lines = ["# Verdicts", ""]
    for title, found in (("Claims", claims), ("Controls", controls)):
        lines += [f"## {title}", "", "| claim | measured | null | verdict | why |"]
        lines += ["|---|---|---|---|---|"]
        cells = [[str(v).replace("|", "\\|") for v in asdict(one).values()] for one in found]
        lines += [f"| {' | '.join(row)} |" for row in cells]
        lines += [""]
    (folder / "verdicts.md").write_text("\n".join(lines), "utf-8")
