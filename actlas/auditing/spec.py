"""What an audit file says, checked: models × data sets × extractions × analyses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EVERY = ("*",)  # names or globs: all models, or all data sets
ATTEMPTS = 3  # how often a job is begun whose worker died or whose fault may pass


@dataclass(frozen=True)
class ModelEntry:
    """A model; tags and qualities become tags of the stored model.

    name: what it is called in the file, tables and figures (default: the spec, or its folder).
    """

    spec: str
    name: str
    tags: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DataEntry:
    """A data set; reading: what `read_dataset` takes beside the path (columns, limit, …)."""

    path: str
    name: str
    reading: Mapping[str, Any] = field(default_factory=dict)


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


@dataclass(frozen=True)
class AnalysisEntry:
    """An analysis of every extraction it fits, or (compare) of several models' together.

    inputs: labels, groups, base, other, data, nonfinite, seed, as `Store.run` takes them.
    grid: every parameter with the values it takes; their product is what is run.
    of: of an analysis of `runs`, the analysis whose runs it is over.
    other_sites: of an analysis of `others`, the sites of the other models (default: `sites`).
    line: where it stands in the file.
    """

    name: str
    sites: tuple[str, ...] = ("residual",)
    inputs: Mapping[str, Any] = field(default_factory=dict)
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
