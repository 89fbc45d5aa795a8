"""From what was gathered to the tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from actlas import Layers

from ..indicators import NAMES, Floats
from ..rows import known


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
                    columns[name].append(known(values[i, k, row]))
    return columns
