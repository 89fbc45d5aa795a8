"""What was audited, how far it came, and what went wrong."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core import count, human_bytes
from .queries import Found
from .scope import Scope

SAID = 30  # warnings shown


@dataclass(frozen=True)
class Trouble:
    """Cells of the grid that are not there for one reason."""

    status: str
    what: str
    error: str
    cells: list[str]
    attempts: int


@dataclass(frozen=True)
class Head:
    """What stands above all figures.

    remarks: what a reader must know before anything else. lost: models with no extraction.
    """

    remarks: list[str]
    facts: dict[str, str]
    models: Found
    datasets: Found
    extractions: Found
    analyses: Found
    jobs: Found
    undone: Found
    troubles: list[Trouble]
    lost: list[str]
    warnings: list[tuple[str, int]]
    more_warnings: int


def head(scope: Scope) -> Head:
    """Read what was audited."""
    models = scope.ask("models", _models(scope))
    extractions = scope.ask("extractions", _extractions(scope))
    analyses = scope.ask("analyses", _analyses(scope))
    undone = scope.ask("not_done", _undone(scope))
    there = {row["model"] for row in models}
    said = _warnings(scope)
    return Head(
        _remarks(scope),
        _facts(scope, extractions, analyses),
        models,
        scope.ask("datasets", _datasets(scope)),
        extractions,
        analyses,
        scope.ask("jobs", _jobs(scope)),
        undone,
        troubles(undone),
        [name for name in scope.models if name not in there],
        said[:SAID],
        len(said[SAID:]),
    )


def _models(scope: Scope) -> str:
    return f"""SELECT j.model, m.spec, m.architecture, m.parameters, m.digest
FROM audits u
JOIN audit_jobs j ON j.audit_id = u.id
JOIN extractions e ON e.id = j.extraction_id
JOIN models m ON m.id = e.model_id
WHERE u.name = {scope.name} AND j.kind = 'extract'
GROUP BY j.model, m.spec, m.architecture, m.parameters, m.digest
ORDER BY MIN(j.place)"""


def _datasets(scope: Scope) -> str:
    return f"""SELECT j.dataset, d.name AS source, d.modality, d.samples, d.skipped, d.digest
FROM audits u
JOIN audit_jobs j ON j.audit_id = u.id
JOIN extractions e ON e.id = j.extraction_id
JOIN datasets d ON d.id = e.dataset_id
WHERE u.name = {scope.name} AND j.kind = 'extract'
GROUP BY j.dataset, d.name, d.modality, d.samples, d.skipped, d.digest
ORDER BY MIN(j.place)"""


def _extractions(scope: Scope) -> str:
    return f"""SELECT e.id, j.model, j.dataset, e.pooling, e.dtype, e.rows, e.truncated,
  COUNT(a.id) AS sites, SUM(a.nonfinite) AS nonfinite,
  COUNT(a.difference) AS proven, MAX(a.difference) AS difference, MAX(a.tolerance) AS tolerance,
  e.seconds, e.device, CAST(e.versions AS TEXT) AS versions
FROM (
  SELECT DISTINCT j.extraction_id, j.model, j.dataset
  FROM audits u JOIN audit_jobs j ON j.audit_id = u.id
  WHERE u.name = {scope.name} AND j.kind = 'extract'
) AS j
JOIN extractions e ON e.id = j.extraction_id
LEFT JOIN activations a ON a.extraction_id = e.id
GROUP BY e.id, j.model, j.dataset, e.pooling, e.dtype, e.rows, e.truncated, e.seconds, e.device,
  CAST(e.versions AS TEXT)
ORDER BY e.id"""


def _analyses(scope: Scope) -> str:
    return f"""SELECT a.analysis, a.version, a.labels, a.parameters, COUNT(DISTINCT r.id) AS runs,
  SUM(r.seconds) AS seconds, r.host, r.device, CAST(r.versions AS TEXT) AS versions
FROM audit_run a JOIN runs r ON r.id = a.run_id
WHERE a.audit = {scope.name}
GROUP BY a.analysis, a.version, a.labels, a.parameters, r.host, r.device, CAST(r.versions AS TEXT)
ORDER BY MIN(a.run_id)"""


def _jobs(scope: Scope) -> str:
    return f"""SELECT j.kind, j.status, COUNT(*) AS jobs, SUM(j.seconds) AS seconds,
  MAX(j.memory) AS peak_memory, MAX(j.attempts) AS attempts
FROM audits u JOIN audit_jobs j ON j.audit_id = u.id
WHERE u.name = {scope.name}
GROUP BY j.kind, j.status
ORDER BY MIN(j.place), j.status"""


def _undone(scope: Scope) -> str:
    return f"""SELECT j.job, j.kind, j.status, j.model, j.dataset, j.pooling, j.analysis,
  CAST(j.parameters AS TEXT) AS parameters, j.attempts, j.error
FROM audits u JOIN audit_jobs j ON j.audit_id = u.id
WHERE u.name = {scope.name} AND j.status <> 'done'
ORDER BY j.place"""


def troubles(undone: Found) -> list[Trouble]:
    """Put cells together that are not done for the same reason, failures first."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in undone:
        grouped.setdefault((row["status"], row["error"] or ""), []).append(row)
    order = ["failed", "skipped", "running", "waiting"]
    found = [
        Trouble(
            status,
            ", ".join(dict.fromkeys(row["analysis"] or row["kind"] for row in rows)),
            error,
            [row["job"] for row in rows],
            max(row["attempts"] for row in rows),
        )
        for (status, error), rows in grouped.items()
    ]
    return sorted(found, key=lambda t: order.index(t.status) if t.status in order else len(order))


def _remarks(scope: Scope) -> list[str]:
    """Say first what is not as it should be."""
    left = Counter(job.status for job in scope.jobs)
    done, every = left.pop("done", 0), len(scope.jobs)
    if not scope.jobs:
        return ["This audit has no jobs yet; run it with `actlas audit run FILE`."]
    said = []
    open_ = left["waiting"] + left["running"]
    if scope.audit.finished is None or open_:
        said.append(
            f"This audit is not finished: {done} of {every} jobs are done, {left['running']} run, "
            f"{left['waiting']} wait. `actlas audit run FILE` goes on where it stopped."
        )
    ends = {"failed": "failed", "skipped": "were skipped"}
    lost = [f"{left[status]} {end}" for status, end in ends.items() if left[status]]
    if lost:
        said.append(
            f"Of {count(every, 'job')} {' and '.join(lost)}; what they would have given is not "
            f"below. What is missing, at the end, says which and why."
        )
    if wrong := scope.plugins[1]:
        said.append(f"A plugin of the audit cannot be loaded here, so its figures lack: {wrong}")
    return said


def _facts(scope: Scope, extractions: Found, analyses: Found) -> dict[str, str]:
    """Whence, when, with what: one line each."""
    audit = scope.audit
    spent = sum(job.seconds or 0.0 for job in scope.jobs)
    memory = max((job.memory or 0 for job in scope.jobs), default=0)
    facts = {
        "started": audit.started,
        "finished": audit.finished or "not yet",
        "took": f"{_minutes(audit.seconds)}, its jobs {_minutes(spent)} together",
        "workers": "–" if audit.workers is None else str(audit.workers),
        "hosts": _distinct([row["host"] for row in analyses]),
        "devices": _distinct([row["device"] for row in extractions]),
        "versions": _versions([row["versions"] for f in (extractions, analyses) for row in f]),
        "proofs": _proofs(extractions),
        "peak memory": human_bytes(memory) if memory else "–",
        "store": scope.database.backend.name,
        "folder of the file": audit.folder,
    }
    return {name: value for name, value in facts.items() if value}


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _distinct(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _versions(texts: Sequence[str]) -> str:
    """Each library with the versions that were at work, those of actlas and torch first."""
    found: dict[str, dict[str, None]] = {}
    for text in dict.fromkeys(texts):
        for library, version in json.loads(text).items():
            found.setdefault(library, {})[str(version)] = None
    first = [name for name in ("actlas", "torch", "transformers") if name in found]
    names = [*first, *(name for name in found if name not in first)]
    return ", ".join(f"{name} {' and '.join(found[name])}" for name in names)


def _proofs(extractions: Found) -> str:
    rows = list(extractions)
    sites, proven = sum(r["sites"] for r in rows), sum(r["proven"] for r in rows)
    if not sites:
        return ""
    said = (
        f"{proven} of {count(sites, 'site')} compared with the model's own output, all within "
        f"tolerance"
    )
    bad = sum(r["nonfinite"] or 0 for r in rows)
    return said + (f"; {count(bad, 'value row')} with NaN or infinity" if bad else "")


def _warnings(scope: Scope) -> list[tuple[str, int]]:
    """What runs and jobs warned of, and how often, the commonest first."""
    found = scope.ask(
        "warnings",
        f"""SELECT a.analysis, CAST(r.warnings AS TEXT) AS warnings, COUNT(DISTINCT r.id) AS runs
FROM audit_run a JOIN runs r ON r.id = a.run_id
WHERE a.audit = {scope.name} AND CAST(r.warnings AS TEXT) <> '[]'
GROUP BY a.analysis, CAST(r.warnings AS TEXT)
ORDER BY a.analysis""",
    )
    said: Counter[str] = Counter()
    for row in found:
        for text in json.loads(row["warnings"]):
            said[f"{row['analysis']}: {text}"] += row["runs"]
    return said.most_common()
