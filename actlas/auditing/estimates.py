"""What jobs will take, from files' headers and from what was done before; nothing is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log
from pathlib import Path
from statistics import median
from typing import Any, final

from ..core import STORAGE_DTYPES, Site, SiteError, select_sites, split_spec
from ..storage import Past, PastExtraction
from .facts import DataFacts, Facts
from .jobs import Job

MB = 1_000_000
PROCESS = 750 * MB  # one that has done some jobs, whatever they were; measured
WINDOW = 120 * MB  # what an extraction holds of its rows, twice: one is made, one is written
MARGIN = 1.2  # of weights: buffers, and the copy of one while it is cast
COPIES = 3  # of the largest site: an analysis reads it, and makes as much twice
ROW_BYTES = 100  # where a row comes from
ALIKE = 3  # extractions by which one is timed
COMPUTE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
WHOLE = ("mean", "first", "last")  # poolings whose rows are samples


@dataclass(frozen=True)
class Estimate:
    """Of one job. seconds, bytes (of activations that it stores): None where not known.

    stores: whether it stores any. unknown: what lacks, in words.
    """

    memory: int
    seconds: float | None = None
    bytes: int | None = None
    stores: bool = False
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Size:
    """An extraction to be: rows, and the width of each site; None where unknown."""

    rows: int | None
    widths: Mapping[str, int] | None

    def numbers(self, patterns: Sequence[str]) -> dict[str, int] | None:
        """Rows × width of the sites that patterns stand for."""
        if self.rows is None or self.widths is None:
            return None
        chosen = chosen_sites(self.widths, patterns)
        return None if chosen is None else {name: self.rows * self.widths[name] for name in chosen}


@final
class Estimates:
    """Estimates jobs one after the other, those that are needed before those that need them."""

    def __init__(self, facts: Facts, past: Past):
        self._facts, self._past = facts, past
        self._sizes: dict[str, _Size] = {}
        self._taken = {
            name: list(runs) for name, runs in groupby(
                sorted(past.runs, key=lambda run: run.analysis), lambda run: run.analysis
            )
        }  # fmt: skip

    def of(self, job: Job) -> Estimate:
        """Estimate a job."""
        if job.kind == "extract":
            return self._extraction(job, job.work["extract"])
        return self._analysis(job)

    def _extraction(self, job: Job, work: Mapping[str, Any]) -> Estimate:
        model, data = self._facts.model(work["model"]), self._facts.stamped(work["stamp"])
        widths, rows = self._widths(work), self._rows(work, data)
        size = self._sizes[job.name] = _Size(rows, widths)
        numbers = size.numbers(work["sites"])
        stored = None
        if numbers is not None and rows is not None:
            item = STORAGE_DTYPES[work["options"]["dtype"]]
            scales = 4 * len(numbers) * (work["options"]["dtype"] == "int8")
            stored = sum(numbers.values()) * item + rows * (ROW_BYTES + scales)
        weights = (model.parameters or 0) * COMPUTE_BYTES.get(work["compute_dtype"], 4)
        memory = PROCESS + MARGIN * weights + 2 * min(WINDOW, stored or WINDOW)
        seconds = self._pace(work["stamp"], data, model.parameters)
        unknown = {
            f"the size of {job.model}: {_absent(work['model'])}": not model.parameters,
            f"the sites of {job.model}: its configuration does not tell": widths is None,
            f"data set {job.dataset}: it is on the hub, which is not asked": data.samples is None,
            f"rows of {job.dataset} by {job.pooling}: its tokens are not counted": rows is None
            and data.samples is not None,
            f"the time of extracting {job.dataset}: no extraction was timed": seconds is None
            and None not in (model.parameters, data.samples),
        }
        return Estimate(
            int(memory), seconds, stored, True, tuple(s for s, lacks in unknown.items() if lacks)
        )

    def _widths(self, work: Mapping[str, Any]) -> dict[str, int] | None:
        """Widths of a model's sites: as stored, else as its configuration says."""
        stored = self._past.sites.get(work["model"])
        if stored is not None:
            known = {site["name"]: Site(**site) for site in stored}
            chosen = _select(known, work["sites"])
            return None if chosen is None else {name: known[name].width for name in chosen}
        model = self._facts.model(work["model"])
        if model.blocks is None or model.width is None:
            return None
        names = ["embed", *(f"layers.{i}" for i in range(model.blocks))]
        chosen = chosen_sites(dict.fromkeys(names, model.width), work["sites"])
        return None if chosen is None else dict.fromkeys(chosen, model.width)

    def _rows(self, work: Mapping[str, Any], data: DataFacts) -> int | None:
        if work["pooling"] in WHOLE:
            return data.samples
        alike = [
            one.rows for one in self._past.extractions
            if one.dataset_id == self._past.stamps.get(work["stamp"])
            and one.pooling == work["pooling"]
        ]  # fmt: skip
        return int(median(alike)) if alike else None

    def _pace(self, stamp: str, data: DataFacts, parameters: int | None) -> float | None:
        """Seconds by what extractions of models of like size took, of this data set if any."""
        own = self._past.stamps.get(stamp)
        same = [one for one in self._past.extractions if one.dataset_id == own]
        taken: list[PastExtraction] = same or self._past.extractions
        if not taken or parameters is None or data.samples is None:
            return None
        taken = sorted(taken, key=lambda one: abs(log(max(one.parameters, 1) / parameters)))
        alike = taken[:ALIKE]
        pace = median(one.seconds / (one.samples * max(one.parameters, 1)) for one in alike)
        return pace * data.samples * parameters

    def _analysis(self, job: Job) -> Estimate:
        own = self._read(job.work.get("extraction"), job.work["sites"])
        sites = job.work.get("other_sites", ())
        others = [self._read(name, sites) for name in job.work.get("others", ())]
        known = [one for one in (own, *others) if one is not None]
        read = sum(sum(numbers.values()) for numbers in known)
        largest = max((size for numbers in known for size in numbers.values()), default=0)
        seconds = self._time(job.analysis, read)
        unknown = () if seconds is not None else (
            f"the time of {job.analysis}: the store has no run of it",
        )  # fmt: skip
        return Estimate(self._memory(job.analysis, largest), seconds, unknown=unknown)

    def _read(self, extraction: str | None, sites: Sequence[str]) -> dict[str, int] | None:
        size = self._sizes.get(extraction or "")
        return size.numbers(sites) if size else None

    def _time(self, analysis: str, numbers: int) -> float | None:
        """Seconds by the time that each number took in runs of the analysis."""
        taken = self._taken.get(analysis)
        if not taken:
            return None
        paces = [run.seconds / run.numbers for run in taken if run.numbers]
        if not paces or not numbers:  # it reads no rows, or nobody knows how many
            return median(run.seconds for run in taken)
        return median(paces) * numbers

    def _memory(self, analysis: str, largest: int) -> int:
        """Bytes by the most that its jobs have held; what is beyond the usual grows with sites."""
        numbers, most = self._past.memory.get(analysis, (0, 0))
        beyond = max(0, most - PROCESS) * max(1.0, largest / max(numbers, 1))
        return int(PROCESS + max(beyond, COPIES * 4 * largest))


def _absent(spec: str) -> str:
    """Say why nothing is known of a model's size."""
    rest = split_spec(spec)[1]
    if rest.startswith("/") and not Path(rest.partition("#")[0]).exists():
        return f"there is no {rest}, so it will fail"
    return "its weights are not on this machine, or not in safetensors"


def chosen_sites(widths: Mapping[str, int], patterns: Sequence[str]) -> list[str] | None:
    """Return which sites patterns stand for, all as the residual stream; None where none fits."""
    return _select({n: Site(n, "", w, residual=True) for n, w in widths.items()}, patterns)


def _select(sites: dict[str, Site], patterns: Sequence[str]) -> list[str] | None:
    try:
        return select_sites(patterns, sites)
    except SiteError:
        return None
