"""Results as `decomposition` stores them, with numbers that a test chooses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actlas import Result, ResultTable, Rows, Runs
from actlas.plugins.decomposition.study.curves import INDICATORS, Column

QUALITIES = str(Path(__file__).parent / "data" / "qualities.csv")  # of `example`
SITES, TERMS = ("embed", "layers.0"), ("input", "attention")
COLUMNS = tuple(Column(s, i, t) for s in SITES for i in INDICATORS for t in TERMS)
# Values of tokens come in another order: by indicator first.
TOKEN_COLUMNS = tuple(Column(s, i, t) for i in INDICATORS for s in SITES for t in TERMS)
LENGTHS = (4, 6, 5)  # tokens of the sentences


def rows_of(lengths=LENGTHS, words="w"):
    sample = np.repeat(np.arange(len(lengths)), lengths)
    position = np.concatenate([np.arange(n) for n in lengths])
    return Rows.build(sample, position, [f"{words}{i}" for i in range(len(sample))])


def result(means, tokens=None, samples=None, numbers=None):
    """A result: means by `COLUMNS`; values of tokens, or of samples, (n, `TOKEN_COLUMNS`)."""
    site, indicator, term = (np.array(part, object) for part in zip(*COLUMNS, strict=True))
    columns = {"site": site, "indicator": indicator, "term": term, "mean": np.asarray(means, float)}
    tables = {"indicators": ResultTable("indicators", columns)}
    for name, key, values in (("tokens", "row", tokens), ("samples", "sample", samples)):
        tables[name] = ResultTable(name, _long(key, values, numbers))
    return Result(tables, parameters={"detail": "tokens" if tokens is not None else "none"})


def _long(key, values, numbers):
    """By row, site and term, with a column an indicator."""
    if values is None:
        return {name: np.array([]) for name in (key, "site", "term", *INDICATORS)}
    n = len(values)
    parts = np.asarray(values, float).reshape(n, len(INDICATORS), len(SITES) * len(TERMS))
    places = [(s, t) for s in SITES for t in TERMS]
    number = np.arange(n) if numbers is None else np.asarray(numbers)
    found = {
        key: np.repeat(number, len(places)),
        "site": np.array([s for s, _ in places] * n, object),
        "term": np.array([t for _, t in places] * n, object),
    }
    return found | {name: parts[:, i].ravel() for i, name in enumerate(INDICATORS)}


def runs_of(means, *, tokens=None, data="data", lengths=LENGTHS, **more) -> Runs:
    """Runs of the models m0, m1, …: means (runs, columns), tokens (runs, tokens, columns)."""
    each = [None] * len(means) if tokens is None else tokens
    results = [result(m, t, **more) for m, t in zip(means, each, strict=True)]
    models = [f"hf:/models/m{i}" for i in range(len(results))]
    return Runs.of(*results, models=models, data=data, rows=[rows_of(lengths)] * len(results))


def write(path: Path, header: str, lines: Sequence[Sequence[object]]) -> str:
    """Write a CSV and return its path."""
    path.write_text("\n".join([header, *(",".join(map(str, line)) for line in lines)]) + "\n")
    return str(path)


def example(checkpoints=4):
    """Two training runs of one condition and one of another, with values of tokens."""
    rng = np.random.default_rng(0)
    n = 3 * checkpoints
    means = rng.normal(size=(n, len(COLUMNS)))
    tokens = rng.normal(size=(n, sum(LENGTHS), len(COLUMNS)))
    return runs_of(means, tokens=tokens)
