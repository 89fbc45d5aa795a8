"""Names of jobs: what they are, and every setting that is not the default."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..core import ExtractOptions
from ..registry import Analysis
from .planned import Planned
from .spec import AnalysisEntry, ExtractEntry

DEFAULTS = {field.name: field.default for field in fields(ExtractOptions)}


def extraction_tail(entry: ExtractEntry) -> str:
    """Name how rows are made: pooling, and options that are not the default."""
    other = {name: value for name, value in entry.options.items() if value != DEFAULTS[name]}
    return " ".join([entry.pooling, *_settings(other)])


def tail(
    analysis: Analysis, entry: AnalysisEntry, extraction: Planned | None,
    bases: Sequence[Planned], labels: str | None, settings: Mapping[str, Any],
) -> str:  # fmt: skip
    """Name all of a job but its analysis and model."""
    default = {p.name: p.default for p in analysis.parameters}
    own = {name: value for name, value in settings.items() if value != default[name]}
    given = {
        "labels": labels, "sites": entry.sites, "other_sites": entry.other_sites,
        **{name: value for name, value in entry.inputs.items() if name not in settings},
    }  # fmt: skip
    usual = {"nonfinite": "error", "seed": 0}
    given = {n: v for n, v in given.items() if v and usual.get(n) != v}
    parts = [extraction.tail] if extraction else []
    on = [base.tail.replace(f" {part}", "", 1) for base in bases for part in parts]
    built = [f"on=({'; '.join(on)})"] if any(" " in base for base in on) else []
    return " ".join([*parts, *_settings({**given, **own}), *built])


def _settings(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_value(value)}" for name, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_value, value))
    plain = isinstance(value, str) and not re.search(r"\s", value)
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
