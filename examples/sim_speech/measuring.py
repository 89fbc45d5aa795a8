"""Numbers out of stored runs."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from actlas import StoredRun

from .measures import Measured, Measures
from .study import DECODED, FACTORS, HISTORY, LAW, ONSET, VOICE, Studied, Study

# Name here, and score. Of the table and not of the summary, which is silent where nothing is read:
# what has collapsed is to be shown, too.
LAWS = {"marginal KL": "marginal_kl", "total correlation": "total_correlation", "rate": "rate"}
AXES = {"disentanglement": "disentanglement", "completeness": "completeness", "MIG": "mig",
        "SAP": "sap"}  # fmt: skip
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
            yield from ((row["module"], "nce", row["nce"]) for row in run.result.tables["modules"])
        else:
            yield from ((site, name, value) for name, value in READ[what](run))


def summary(run: StoredRun) -> Row:
    """The only row of a run's summary."""
    return next(iter(run.result.tables["summary"]))


def _scores(run: StoredRun) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in run.result.tables["scores"]:
        found.setdefault(row["score"], []).append(row)
    return found


def _law(run: StoredRun) -> Values:
    scores = _scores(run)
    for name, score in LAWS.items():
        yield from ((name, row["value"]) for row in scores.get(score, ()))
    for row in scores.get("active_units", ()):
        yield "active share", row["value"] / summary(run)["width"]


def _factors(run: StoredRun) -> Values:
    scores = _scores(run)
    for name, score in AXES.items():
        for row in scores.get(score, ()):
            yield name, row["value"]
            yield f"{name} excess", row["excess"]
    read = {row["factor"] for row in run.result.tables["factors"] if row["readable"]}
    some = [row for row in scores.get("gini", ()) if row["factor"] in read]
    if some:
        yield "Gini", sum(row["value"] for row in some) / len(some)
        yield "Gini excess", sum(row["excess"] for row in some) / len(some)
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
