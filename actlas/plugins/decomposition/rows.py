"""From what was gathered to the tables."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from actlas import Layers

from .bound import Bound
from .indicators import NAMES, Floats, Gathered, Moments
from .tables import HeadShare, Indicator, Sentence, Share, Token

Columns = dict[str, list[Any]]


def indicator_rows(
    found: Gathered[str], depths: Sequence[str], terms: Sequence[str]
) -> list[Indicator]:
    """Means and spreads by depth, term and indicator."""
    return [
        Indicator(
            site, depths.index(site), term, name, known(moments.known_mean[i, k]),
            known(moments.deviation[i, k]), int(moments.count[i, k]),
        )
        for site, moments in found.moments.items()
        for k, term in enumerate(terms)
        for i, name in enumerate(NAMES)
    ]  # fmt: skip


def known(value: float) -> float | None:
    """A number of a table, None where it is not defined."""
    return float(value) if np.isfinite(value) else None


def _measured(moments: Moments, at: int) -> dict[str, Any]:
    means = {name: known(moments.known_mean[i, at]) for i, name in enumerate(NAMES)}
    return {**means, "sd": known(moments.deviation[0, at]), "n": int(moments.count[0, at])}


def _by_part(found: Gathered[tuple[int, str]]) -> Iterator[tuple[int, str, Moments]]:
    for layer, term in sorted(found.moments, key=lambda key: key[0]):
        yield layer, term, found.moments[layer, term]


def share_rows(found: Gathered[tuple[int, str]], site: str) -> list[Share]:
    """What each block gave to each term."""
    return [Share(site, layer, term, **_measured(m, 0)) for layer, term, m in _by_part(found)]


def head_rows(found: Gathered[tuple[int, str]], site: str) -> list[HeadShare]:
    """What each head gave."""
    return [
        HeadShare(site, layer, term, head, **_measured(moments, head))
        for layer, term, moments in _by_part(found)
        for head in range(moments.count.shape[1])
    ]


def token_columns(found: Gathered[str], bound: Bound, layers: Layers) -> Columns:
    """The indicators of every row."""
    numbers = layers[0].numbers(np.arange(len(layers[0]))).tolist()
    columns = _empty(Token)
    for site in found.rows:
        whole = found.whole(site)
        for k, term in enumerate(bound.terms):
            _extend(columns, {"row": numbers}, bound, site, term, whole[:, k])
    return columns


def sentence_columns(found: Gathered[str], bound: Bound, layers: Layers) -> Columns:
    """The indicators by sample, means over its rows."""
    samples, inverse = np.unique(layers[0].rows.sample, return_inverse=True)
    columns = _empty(Sentence)
    counts = np.bincount(inverse, minlength=len(samples)).tolist()
    for site in found.rows:
        whole = found.whole(site)
        for k, term in enumerate(bound.terms):
            means = np.stack([_means(row, inverse, len(samples)) for row in whole[:, k]])
            own = {"sample": samples.tolist(), "n": counts}
            _extend(columns, own, bound, site, term, means)
    return columns


def _means(values: Floats, groups: Any, count: int) -> Floats:
    known = ~np.isnan(values)
    rows = np.bincount(groups[known], minlength=count)
    sums = np.bincount(groups[known], values[known], minlength=count)
    return np.where(rows > 0, sums / np.maximum(rows, 1), np.nan)


def _empty(row: Any) -> Columns:
    return {field.name: [] for field in fields(row)}


def _extend(
    columns: Columns, own: dict[str, Sequence[Any]], bound: Bound, site: str, term: str,
    values: Floats,
) -> None:  # fmt: skip
    count = values.shape[1]
    same = {"site": site, "depth": bound.depths.index(site), "term": term}
    for name, value in same.items():
        columns[name] += [value] * count
    for name, some in own.items():
        columns[name] += list(some)
    for name, row in zip(NAMES, values, strict=True):
        columns[name] += row.tolist()
