"""The audit that a report is of: its jobs, its names in order, its analyses."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...core import ActlasError
from ...registry import Analysis, Registry, registry
from ...storage import Audit, AuditJob, Database, audit_jobs, audit_named
from .queries import Found, ask, literal


@dataclass(frozen=True)
class Scope:
    """An audit in a store."""

    database: Database
    audit: Audit
    jobs: Sequence[AuditJob]

    @classmethod
    def of(cls, database: Database, name: str | None) -> "Scope":
        """Read an audit, the newest where none is named; InputError where there is none."""
        audit = audit_named(database, name)
        return cls(database, audit, audit_jobs(database, audit.id))

    @property
    def name(self) -> str:
        """The audit's name as SQL."""
        return literal(self.audit.name)

    def ask(self, name: str, sql: str) -> Found:
        """Run one SELECT; name: of the file that its rows can be saved as."""
        return ask(self.database, name, sql)

    @cached_property
    def models(self) -> list[str]:
        """Names of the models in the order of the file."""
        return list(dict.fromkeys(job.model for job in self.jobs if job.model))

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the data sets in the order of the file."""
        return list(dict.fromkeys(job.dataset for job in self.jobs if job.dataset))

    @cached_property
    def tags(self) -> Found:
        """What is known of the models that were extracted."""
        return self.ask(
            "tags",
            f"""SELECT DISTINCT j.model, t.tag, t.value, t.number
FROM audits u
JOIN audit_jobs j ON j.audit_id = u.id
JOIN extractions e ON e.id = j.extraction_id
JOIN model_tag t ON t.model_id = e.model_id
WHERE u.name = {self.name} AND j.model <> ''
ORDER BY j.model, t.tag""",
        )

    @cached_property
    def tagged(self) -> dict[str, dict[str, str]]:
        """Values of the tags of each model, by name."""
        found: dict[str, dict[str, str]] = {}
        for row in self.tags:
            found.setdefault(row["model"], {})[row["tag"]] = row["value"]
        return found

    @cached_property
    def plugins(self) -> tuple[Registry, str | None]:
        """The analyses installed, with the file's own plugins, or what is wrong with those."""
        files = self._plugin_files()
        try:
            return registry(files), None
        except ActlasError as error:
            return registry(), str(error)

    def _plugin_files(self) -> tuple[str, ...]:
        try:
            named: Any = tomllib.loads(self.audit.text).get("audit", {}).get("plugins", [])
        except tomllib.TOMLDecodeError:
            return ()
        return tuple(str(Path(self.audit.folder, name)) for name in named)

    def analysis(self, name: str) -> Analysis | None:
        """Return an analysis as it is installed, None where its plugin is not."""
        known = self.plugins[0]
        try:
            return known.get(name) if name in known.names else None
        except ActlasError:
            return None
