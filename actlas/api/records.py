"""Records as plain dictionaries, for tables on the terminal and JSON."""

from typing import Any

from ..core import count
from ..storage import (
    Dataset,
    Extraction,
    Model,
    Run,
    activation_records,
    label_sets,
    sql_name,
    tags_of,
)
from .store import Store

KINDS: dict[str, Any] = {
    "models": Model,
    "datasets": Dataset,
    "extractions": Extraction,
    "runs": Run,
}


def columns(record: Any) -> dict[str, Any]:
    """All stored values of a record by column name."""
    return {c.name: getattr(record, c.name) for c in record.__table__.columns}


def listed(store: Store, noun: str) -> list[dict[str, Any]]:
    """One short dictionary a record, oldest first."""
    return [LISTED[noun](store, record) for record in store.database.records(noun)]


def shown(store: Store, noun: str, ident: str) -> dict[str, Any]:
    """Everything about one record, and what belongs to it."""
    record = store.database.find(KINDS[noun], ident)
    found = columns(record)
    if noun == "datasets":
        found["label_sets"] = label_sets(store.database, record.id)
    elif noun == "models":
        found["tags"] = tags_of(store.database, record.id)
    elif noun == "extractions":
        found["sites"] = [columns(a) for a in activation_records(store.database, record.id)]
        found["warnings"] = store.extraction(record.id).warnings
    elif noun == "runs" and record.status == "done":
        result = store.result(record.id).result
        found["tables"] = {sql_name(record.analysis, n): len(t) for n, t in result.tables.items()}
        found["arrays"] = {n: f"{a.dtype} {a.shape}" for n, a in result.arrays.items()}
    return found


def consequence(store: Store, noun: str, ident: str) -> tuple[int, str]:
    """The number of a record, and in words what removing it takes along."""
    record = store.database.find(KINDS[noun], ident)
    said = f"{noun.removesuffix('s')} {record.id}"
    if noun == "extractions":
        runs = [r for r in store.database.records("runs") if r.extraction_id == record.id]
        sites = activation_records(store.database, record.id)
        said += f" with {count(len(sites), 'site')} and {count(len(runs), 'run')}"
    return record.id, said


def remove(store: Store, noun: str, ident: int) -> None:
    """Delete a record and what hangs on it."""
    store.database.remove(KINDS[noun], ident)


def _model(store: Store, m: Any) -> dict[str, Any]:
    return {
        "id": m.id, "spec": m.spec, "architecture": m.architecture, "parameters": m.parameters,
        "max_length": m.max_length, "digest": m.digest[:8],
    }  # fmt: skip


def _dataset(store: Store, d: Any) -> dict[str, Any]:
    labels = label_sets(store.database, d.id)
    return {
        "id": d.id, "name": d.name, "samples": d.samples, "skipped": d.skipped,
        "label_sets": ", ".join(labels), "digest": d.digest[:8],
    }  # fmt: skip


def _extraction(store: Store, e: Any) -> dict[str, Any]:
    sites = activation_records(store.database, e.id)
    done = sum(a.complete for a in sites)
    return {
        "id": e.id,
        "model": store.database.find(Model, e.model_id).spec,
        "dataset": store.database.find(Dataset, e.dataset_id).name,
        "pooling": e.pooling, "dtype": e.dtype, "rows": e.rows,
        "sites": f"{done} of {len(sites)}" if done < len(sites) else str(done),
        "seconds": round(e.seconds, 1),
    }  # fmt: skip


def _run(store: Store, r: Any) -> dict[str, Any]:
    return {
        "id": r.id, "analysis": r.analysis, "version": r.version, "extraction": r.extraction_id,
        "site": r.site, "labels": r.labels, "status": r.status, "seconds": round(r.seconds, 2),
        "started": r.started,
    }  # fmt: skip


LISTED = {"models": _model, "datasets": _dataset, "extractions": _extraction, "runs": _run}
