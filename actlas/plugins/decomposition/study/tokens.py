"""Values of tokens: agreement and overlap of two training runs, and means of sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from actlas import Rows, RunResult

from .correlating import Ints, ranked
from .curves import INDICATORS, Column, Floats, Series, pairs_of, varying
from .tables import Agreement, Overlap

BLOCK = 1 << 24  # comparisons at once
FEWEST = 3  # tokens that are ranked


@dataclass(frozen=True, eq=False)
class Tokens:
    """Values (tokens, columns) of the rows that a run numbers, in the order of their numbers."""

    numbers: Ints
    sample: Ints
    values: Floats
    columns: tuple[Column, ...]
    rows: Rows

    def same_tokens(self, other: "Tokens") -> bool:
        """Whether both have the same values of the same tokens at the same places."""
        return (
            self.columns == other.columns
            and np.array_equal(self.numbers, other.numbers)
            and self.rows.same_places(other.rows)
            and list(self.rows.token) == list(other.rows.token)
        )

    def sentences(self) -> "Sentences":
        """Means over the tokens of each sample, of those where a value is defined."""
        samples, place = np.unique(self.sample, return_inverse=True)
        known = np.isfinite(self.values)
        sums, counts = np.zeros((2, len(samples), self.values.shape[1]))
        np.add.at(sums, place, np.where(known, self.values, 0.0))
        np.add.at(counts, place, known)
        means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        return Sentences(samples, means, self.columns)


@dataclass(frozen=True, eq=False)
class Sentences:
    """Mean values (samples, columns) of the samples of a run."""

    samples: Ints
    values: Floats
    columns: tuple[Column, ...]


def read_tokens(run: RunResult) -> Tokens | None:
    """Read the values of a run's tokens; None where it did not keep them."""
    found = _read(run, "tokens", "row")
    if found is None:
        return None
    rows = run.rows.take(found.samples)
    return Tokens(found.samples, rows.sample, found.values, found.columns, rows)


def read_sentences(run: RunResult) -> Sentences | None:
    """Read the means of samples where a run kept these instead of its tokens."""
    return _read(run, "samples", "sample")


def _read(run: RunResult, name: str, key: str) -> Sentences | None:
    """Read a table of indicators by row or sample: what is numbered (n,), values (n, columns).

    What does not vary, as the cosine of the input with itself, is NaN: its ranks are chance.
    """
    table = run.tables.get(name)
    if table is None or not len(table):
        return None
    numbers, place = np.unique(table[key], return_inverse=True)
    kinds, kind = _kinds(table["site"].tolist(), table["term"].tolist())
    values = np.full((len(numbers), len(INDICATORS), len(kinds)), np.nan)
    for i, indicator in enumerate(INDICATORS):
        values[place, i, kind] = table[indicator]
    columns = tuple(Column(site, i, term) for i in INDICATORS for site, term in kinds)
    flat: Floats = values.reshape(len(numbers), -1)
    flat[:, ~varying(flat)] = np.nan
    return Sentences(numbers, flat, columns)


def _kinds(sites: list[str], terms: list[str]) -> tuple[list[tuple[str, str]], Ints]:
    """Return the pairs of site and term, each once, and which of them every line has."""
    places = list(zip(sites, terms, strict=True))
    kinds = list(dict.fromkeys(places))
    number = {place: i for i, place in enumerate(kinds)}
    return kinds, np.array([number[place] for place in places])


def agreement(
    series: Sequence[Series], tokens: dict[str, Tokens], step: int
) -> Iterator[Agreement]:
    """Compare every two training runs of a data set at a step; tokens: of each by its name."""
    ranks = {name: ranked(found.values) for name, found in tokens.items()}
    for one, two in pairs_of(series):
        X, Y = tokens[one.name], tokens[two.name]
        if not X.same_tokens(Y):
            continue
        rho = (ranks[one.name] * ranks[two.name]).sum(axis=0)
        both = np.isfinite(X.values) & np.isfinite(Y.values)
        counts = both.sum(axis=0)
        for k in np.flatnonzero((counts >= FEWEST) & (counts < len(both))):
            kept = both[:, k]
            rho[k] = (ranked(X.values[kept, k, None]) * ranked(Y.values[kept, k, None])).sum()
        within = one.condition == two.condition
        for k in np.flatnonzero(np.isfinite(rho)):
            yield Agreement(
                one.name, two.name, within, one.data, step, *X.columns[k], float(rho[k]),
                int(counts[k]),
            )  # fmt: skip


def overlap(series: Sequence[Series], tokens: dict[str, Tokens], step: int) -> Iterator[Overlap]:
    """Compare values of the tokens of each sentence in every two training runs at a step."""
    for one, two in pairs_of(series):
        X, Y = tokens[one.name], tokens[two.name]
        if not X.same_tokens(Y):
            continue
        starts = np.flatnonzero(np.diff(X.sample, prepend=-1))
        spans = list(zip(starts, [*starts[1:], len(X.sample)], strict=True))
        above = np.array([effect(X.values[a:b], Y.values[a:b]) for a, b in spans])
        same = 1 - np.abs(2 * above - 1)
        within = one.condition == two.condition
        for k in np.flatnonzero(np.isfinite(above).all(axis=0)):
            yield Overlap(
                one.name, two.name, within, one.data, step, *X.columns[k],
                float(above[:, k].mean()), float(same[:, k].mean()), float(same[:, k].std()),
                len(spans),
            )  # fmt: skip


def effect(X: Floats, Y: Floats) -> Floats:
    """Mann–Whitney f = U / (n1 n2) by column: how often X is above Y, ties half; NaN if any is."""
    step = max(1, BLOCK // (X.shape[1] * len(Y) + 1))
    above = np.zeros(X.shape[1])
    for start in range(0, len(X), step):
        left = X[start : start + step, None]
        above += (left > Y).sum(axis=(0, 1)) + 0.5 * (left == Y).sum(axis=(0, 1))
    above /= len(X) * len(Y)
    return np.where(np.isfinite(X).all(axis=0) & np.isfinite(Y).all(axis=0), above, np.nan)
