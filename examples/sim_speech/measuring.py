"""Numbers out of stored runs."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from actlas import StoredRun

from .measures import Measured, Measures
from .study import DECODED, FACTORS, HISTORY, LAW, ONSET, VOICE, Studied, Study

# name here, column of the summary
LAWS = {"marginal KL": "marginal_kl", "total correlation": "total_correlation", "rate": "rate"}
SCORES = {
    "disentanglement excess": "disentanglement", "completeness excess": "completeness",
    "MIG excess": "mig", "SAP excess": "sap", "Gini excess": "concentration",
}  # fmt: skip
DECODES = {
    "ICS area": "area", "decoder error": "test_error", "prior realism": "prior",
    "midpoint realism": "midpoint", "linearity": "linearity",
}  # fmt: skip
CLOSENESS = {"prior": "prior log ratio", "fitted": "prior log ratio, fitted",
             "midpoint": "midpoint log ratio"}  # fmt: skip
Row = Mapping[str, Any]
Found = Iterator[tuple[str, str, float | None]]
Values = Iterator[tuple[str, float | None]]


def measured(study: Study) -> Measures:
    """Collect every number of a corpus that claims and figures are made of."""
    return Measures([
        Measured(study.corpus.name, one.network.kind, one.network.seed, module, name, float(value))
        for one in study.networks
        for module, name, value in _of(one)
        if value is not None and isfinite(value)
    ])  # fmt: skip


def _of(one: Studied) -> Found:
    for (what, site), run in one.runs.items():
        if what == HISTORY:
            yield from ((row["site"], "nce", row["nce"]) for row in run.result.tables["modules"])
        else:
            yield from ((site, name, value) for name, value in READ[what](run))


def summary(run: StoredRun) -> Row:
    """The only row of a run's summary."""
    return next(iter(run.result.tables["summary"]))


def _law(run: StoredRun) -> Values:
    row = summary(run)
    for name, column in LAWS.items():
        yield name, row[column]
    if row["active_units"] is not None:
        yield "active share", row["active_units"] / row["width"]


def _factors(run: StoredRun) -> Values:
    row = summary(run)
    for name, column in SCORES.items():
        yield name, row[column]
    factors = list(run.result.tables["factors"])
    if factors:
        yield "Gini", sum(f["gini"] for f in factors) / len(factors)
    yield from _accuracies(run)


def _accuracies(run: StoredRun) -> Values:
    for row in run.result.tables["factors"]:
        yield f"accuracy: {row['factor']}", row["accuracy"]
        yield f"majority: {row['factor']}", row["majority"]


def _onset(run: StoredRun) -> Values:
    for row in run.result.tables["factors"]:
        yield f"onset: {row['factor']}", row["accuracy"]


def _decoded(run: StoredRun) -> Values:
    row = summary(run)
    for name, column in DECODES.items():
        yield name, row[column]
    for found in run.result.tables["realism"]:
        for kind, name in CLOSENESS.items():
            if str(found["kind"]).startswith(kind):
                yield name, found["log_ratio"]


READ = {LAW: _law, FACTORS: _factors, VOICE: _accuracies, ONSET: _onset, DECODED: _decoded}
