"""From what was gathered to the tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from actlas import Layers

from ..indicators import NAMES, Floats, Gathered
from .tables import Indicator


def indicator_rows(
    found: Gathered[str], depths: Sequence[str], terms: Sequence[str]
) -> list[Indicator]:
    """Means and spreads by depth, term and indicator."""
    return [
        Indicator(
            site, depths.index(site), term, name, _known(moments.known_mean[i, k]),
            _known(moments.deviation[i, k]), int(moments.count[i, k]),
        )
        for site, moments in found.moments.items()
        for k, term in enumerate(terms)
        for i, name in enumerate(NAMES)
    ]  # fmt: skip


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def source_columns(
    found: Sequence[tuple[int, Floats, Floats]], layers: Layers, terms: Sequence[str]
) -> dict[str, list[Any]]:
    """What each group gave to each row, where it gave anything; the other terms with null."""
    columns: dict[str, list[Any]] = {name: [] for name in ("row", "source", "text", "term", *NAMES)}
    rows = layers[0].rows
    for sample, group, values in found:
        places = np.flatnonzero(rows.sample == sample)
        numbers = layers[0].numbers(places).tolist()
        firsts = [int(np.flatnonzero(group == k)[0]) for k in range(int(group.max()) + 1)]
        texts = [
            "".join(str(rows.token[places[i]]) for i in np.flatnonzero(group == k))
            for k in range(len(firsts))
        ]
        named: list[tuple[int | None, str | None, str]] = [
            (numbers[at], text, "target") for at, text in zip(firsts, texts, strict=True)
        ]
        named += [(None, None, term) for term in terms[1:]]
        for row, number in enumerate(numbers):
            for k, (source, text, term) in enumerate(named):
                if values[2, k, row] == 0:  # a later token, in a decoder
                    continue
                columns["row"].append(number)
                columns["source"].append(source)
                columns["text"].append(text)
                columns["term"].append(term)
                for i, name in enumerate(NAMES):
                    columns[name].append(_known(values[i, k, row]))
    return columns
