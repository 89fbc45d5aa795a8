"""What an audit file says, checked: models × data sets × extractions × analyses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

EVERY = ("*",)  # names or globs: all models, or all data sets
ATTEMPTS = 3  # how often a job is begun whose worker died or whose fault may pass


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of the names or globs."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class ModelEntry:
    """A model; tags and qualities become tags of the stored model.

    name: what it is called in the file, tables and figures (default: the spec, or its folder).
    """

    spec: str
    name: str
    tags: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    trust_remote_code: bool = False
    line: int = 0


@dataclass(frozen=True)
class DataEntry:
    """A data set; reading: what `read_dataset` takes beside the path (columns, limit, …)."""

    path: str
    name: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class ExtractEntry:
    """What is extracted of some models over some data sets.

    options: what `Store.extract` takes beside them (dtype, max_length, on_long, batch_tokens).
    """

    sites: tuple[str, ...] = ("residual",)
    pooling: str = "mean"
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = EVERY
    datasets: tuple[str, ...] = EVERY
    line: int = 0


@dataclass(frozen=True)
class AnalysisEntry:
    """An analysis of every extraction it fits, or (compare) of several models' together.

    sites: what it reads; none: all that the extraction is of.
    inputs: groups, other, data, nonfinite, seed, as `Store.run` takes them.
    labels: the label sets, each of which is run; none: it takes none.
    grid: every parameter given, with the values it takes; their product is what is run.
    of: what it builds on, or is over the runs of, where that may be any analysis of the file.
    other_sites: of an analysis of `others`, the sites of the other models (default: `sites`).
    line: where it stands in the file.
    """

    name: str
    sites: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    models: tuple[str, ...] = EVERY
    datasets: tuple[str, ...] = EVERY
    poolings: tuple[str, ...] = EVERY
    of: str | None = None
    other_sites: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True)
class Limits:
    """Of one machine; memory in bytes, timeout in seconds of one job, None: none.

    workers: jobs at a time (None: as many as cores and memory allow). threads: of each.
    """

    workers: int | None = None
    threads: int = 1
    memory: int | None = None
    device: str = "auto"
    compute_dtype: str = "float32"
    timeout: float | None = None
    attempts: int = ATTEMPTS


@dataclass(frozen=True)
class AuditSpec:
    """An audit file, whole and right; relative paths in it start at its folder."""

    name: str
    path: Path
    text: str
    models: tuple[ModelEntry, ...]
    datasets: tuple[DataEntry, ...]
    extractions: tuple[ExtractEntry, ...]
    analyses: tuple[AnalysisEntry, ...]
    comparisons: tuple[AnalysisEntry, ...] = ()
    plugins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
