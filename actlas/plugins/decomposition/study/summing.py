"""The summary: each indicator of each term, over training runs and sites."""

from collections.abc import Sequence

import numpy as np

from .tables import Correlation, Summary


def summaries(rows: Sequence[Correlation]) -> list[Summary]:
    """One row a level, data set, quality, indicator and term."""
    apart: dict[tuple[str, str, str, str, str], list[Correlation]] = {}
    for row in rows:
        key = (row.level, row.data, row.metric, row.indicator, row.term)
        apart.setdefault(key, []).append(row)
    return [_summary(key, mine) for key, mine in apart.items()]


def _summary(key: tuple[str, str, str, str, str], rows: Sequence[Correlation]) -> Summary:
    rho = np.array([row.rho for row in rows])
    by_site: dict[str, list[float]] = {}
    for row in rows:
        by_site.setdefault(row.site, []).append(row.rho)
    alike = [len(set(np.sign(found).tolist())) == 1 for found in by_site.values()]
    strongest = max(by_site, key=lambda site: float(np.mean(np.abs(by_site[site]))))
    ends = [(row.low, row.high) for row in rows if row.low == row.low and row.high == row.high]
    beyond = [low * high > 0 for low, high in ends if low is not None and high is not None]
    return Summary(
        *key, float(np.median(np.abs(rho))), float(rho.min()), float(rho.max()),
        float(np.mean(alike)), float(np.mean(beyond)) if beyond else None, strongest,
        float(np.mean(by_site[strongest])), len({row.series for row in rows}),
    )  # fmt: skip
