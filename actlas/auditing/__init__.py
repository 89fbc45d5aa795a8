"""Audits: the same data and analyses over many models, described in one TOML file."""

from .checking import Checked, Line, check, checked_lines, checked_record, checked_rows
from .differing import (
    Difference,
    Differences,
    diff,
    differences_lines,
    differences_record,
    differences_rows,
)
from .faults import AuditError
from .jobs import Job
from .parsing import parse
from .planning import plan
from .running import Audited, audit, audited_record, described
from .spec import AuditSpec
from .status import Status, show, status, status_record, watch
from .template import write_template

__all__ = [
    "AuditError",
    "AuditSpec",
    "Audited",
    "Checked",
    "Difference",
    "Differences",
    "Job",
    "Line",
    "Status",
    "audit",
    "audited_record",
    "check",
    "checked_lines",
    "checked_record",
    "checked_rows",
    "described",
    "diff",
    "differences_lines",
    "differences_record",
    "differences_rows",
    "parse",
    "plan",
    "show",
    "status",
    "status_record",
    "watch",
    "write_template",
]
