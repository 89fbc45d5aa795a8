"""Jobs: the parts of an audit, each of which can be done again without harm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["extract", "analyse", "compare"]


@dataclass(frozen=True)
class Job:
    """One job, as plain values: it is sent to other processes and stored.

    name: unique in the audit, the same whenever the file says the same.
    model, dataset, analysis: the cell of the grid that it fills; of a comparison over all models,
        model is "".
    needs: names of the jobs whose results it reads. A comparison does with those of them that
        succeeded (`enough` of them); any other job needs all.
    work: what is to be done, as JSON, jobs by their names; see below.
    fingerprint: digest of what it depends on outside the store, as cheap to make as a look at
        files (name, size, time of change): equal means that a job that is done is still right.
    key: digest of what is done, equal for equal work of two audits, of which one then waits.
    memory: bytes it is expected to need. seconds: its expected time, None where nothing like it
        has been run.
    skipped: why it cannot be done ("": it can); it is recorded, not run.

    `work` of an extraction is {"extract": {…}} with model (a spec), trust_remote_code, path (of
    the data set) and reading (the arguments of `read_dataset`), sites, pooling, options (further
    arguments of `Store.extract`), device, compute_dtype, tags (for the stored model, also where
    the job is done already), plugins (files), stamp (by which the data set is known).

    `work` of the others has the arguments of `Store.run`: analysis, sites, parameters (all of
    them), seed, device, plugins, and where they are given labels, groups, other, data, nonfinite;
    with jobs in the place of numbers:
    extraction: the extract job that is read; it must have succeeded. Absent beside `runs`.
    base: jobs whose runs are built on, each at its own site, of this and of other extractions.
    others: extract jobs of other models, each to be read at `other_sites`.
    runs: jobs over whose runs the analysis is.
    """

    name: str
    kind: Kind
    work: Mapping[str, Any]
    key: str
    fingerprint: str
    model: str = ""
    dataset: str = ""
    pooling: str = ""
    analysis: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    enough: int | None = None
    memory: int = 0
    seconds: float | None = None
    skipped: str = ""
