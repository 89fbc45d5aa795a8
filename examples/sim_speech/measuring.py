"""Numbers out of stored runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from actlas import StoredRun

from .measures import Measured, Measures
from .study import DECODED, FACTORS, HISTORY, LAW, VOICE, WINDOW, Studied, Study

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


def measured(study: Study) -> Measures:
    """Collect every number of a corpus that claims and figures are made of."""
    rows = []
    for one in study.networks:
        for (what, site), run in one.runs.items():
            for name, module, value in READ[what](run, site, one):
                if value is not None:
                    network = one.network
                    rows.append(
                        Measured(
                            study.corpus.name, network.kind, network.seed, module, name,
                            float(value),
                        )
                    )  # fmt: skip
    return Measures(rows)


Found = Iterator[tuple[str, str, float | None]]


def summary(run: StoredRun) -> Row:
    """The only row of a run's summary."""
    return next(iter(run.result.tables["summary"]))


def _law(run: StoredRun, site: str, one: Studied) -> Found:
    row = summary(run)
    for name, column in LAWS.items():
        yield name, site, row[column]
    if row["active_units"] is not None:
        yield "active share", site, row["active_units"] / row["width"]


def _factors(run: StoredRun, site: str, one: Studied) -> Found:
    row = summary(run)
    for name, column in SCORES.items():
        yield name, site, row[column]
    factors = list(run.result.tables["factors"])
    if factors:
        yield "Gini", site, sum(f["gini"] for f in factors) / len(factors)
    yield from _accuracies(run, site, one)


def _accuracies(run: StoredRun, site: str, one: Studied) -> Found:
    for row in run.result.tables["factors"]:
        yield f"accuracy: {row['factor']}", site, row["accuracy"]
        yield f"majority: {row['factor']}", site, row["majority"]


def _window(run: StoredRun, site: str, one: Studied) -> Found:
    for row in run.result.tables["factors"]:
        yield f"window: {row['factor']}", site, row["accuracy"]


def _decoded(run: StoredRun, site: str, one: Studied) -> Found:
    row = summary(run)
    for name, column in DECODES.items():
        yield name, site, row[column]
    for found in run.result.tables["realism"]:
        for kind, name in CLOSENESS.items():
            if str(found["kind"]).startswith(kind):
                yield name, site, found["log_ratio"]


def _history(run: StoredRun, site: str, one: Studied) -> Found:
    for row in run.result.tables["modules"]:
        yield "nce", row["site"], row["nce"]


READ = {LAW: _law, FACTORS: _factors, VOICE: _accuracies, WINDOW: _window, DECODED: _decoded,
        HISTORY: _history}  # fmt: skip
