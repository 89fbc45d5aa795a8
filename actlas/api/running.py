"""Running an analysis over sites: inputs, keys, seeds, failures and results are the host's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core import (
    Activations,
    Factors,
    InputError,
    Labels,
    LackingError,
    Layers,
    Result,
    Tags,
    count,
    labels_for,
    listing,
)
from ..registry import Analysis, refuse_nonfinite
from ..storage import (
    Database,
    Dataset,
    Model,
    Run,
    done_run,
    now,
    read_activations,
    read_samples,
    save_failure,
    save_run,
)
from .beside import Place, Wanted, opened_base, opened_others, places
from .comparing import opened_runs, opened_tags
from .environment import host, seed_everything, versions
from .handles import StoredExtraction, StoredRun
from .loading import load_model
from .progress import telling_bar
from .samples import stored_samples

Nonfinite = Literal["error", "drop", "keep"]


@dataclass(frozen=True)
class Request:
    """What to run on what; see `Store.run`."""

    analysis: Analysis
    extraction: StoredExtraction
    settings: dict[str, Any]
    sites: str | Sequence[str] = "residual"
    labels: str | None = None
    groups: str | None = None
    other: Sequence[str] = ()
    base: Sequence[int | str] = ()
    seed: int = 0
    nonfinite: Nonfinite = "error"
    device: str = "auto"
    force: bool = False
    data: str | None = None
    runs: Sequence[Run] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The inputs that are bound: those needed with these settings, or given."""
        needed, optional = self.analysis.wanted(self.settings), self.analysis.optional
        offered = (("others", "other") if self.other else ()) + (
            ("labels", "factors") if self.labels else ()
        )
        return (*needed, *(n for n in offered if n in optional and n not in needed))

    @property
    def label_sets(self) -> list[str]:
        """Names of the label sets that are read; of an analysis of factors parted by commas."""
        if self.labels is None:
            return []
        known = self.extraction.label_sets
        if "factors" not in self.analysis.needs or self.labels in known:
            return [self.labels]
        return [name.strip() for name in self.labels.split(",") if name.strip()]


def run(database: Database, request: Request, *, progress: bool) -> list[StoredRun]:
    """Run over every site asked for; runs whose key is done are returned as they are."""
    _check(request)
    if request.runs:  # their results are read, and no site
        with telling_bar(request.analysis.name, 1, shown=progress) as begin:
            begin(count(len(request.runs), "run"))
            return [_run_one(database, request, Layers(()))]
    opened = read_activations(database, request.extraction.record, request.sites)
    per_site = "acts" in request.analysis.needs
    targets = [Layers((acts,)) for acts in opened] if per_site else [opened]
    _check_bases(database, request, opened.names)
    request = _with_labels(database, request, opened[0].site)
    runs = []
    with telling_bar(request.analysis.name, len(targets), shown=progress) as begin:
        for layers in targets:
            begin(layers[0].site if per_site else f"{len(layers)} sites")
            runs.append(_run_one(database, request, layers))
    return runs


def _check(request: Request) -> None:
    who, needs = request.analysis.name, request.analysis.needs
    several = {"labels": "factors", "other": "others"}  # and what is bound of several
    for name, option in (("labels", request.labels), ("other", request.other)):
        taken = bool({name, several[name]} & set(needs))
        wanted = bool({name, several[name]} & set(request.wanted))
        if wanted and not option:
            known = ", ".join(request.extraction.label_sets) or "no label set"
            hint = f"; there is {known}" if name == "labels" else ""
            raise InputError(f"{who} needs {name}: name one with --{name} NAME{hint}")
        built_on = name == "labels" and request.analysis.bases  # then it chooses among runs
        if option and not taken and not built_on:
            raise InputError(f"{who} takes no {name}; leave --{name} out")
    if "other" in needs and len(request.other) > 1:
        raise InputError(f"{who} takes one other site; name it with one --other")
    if request.data and "samples" not in needs:
        raise InputError(f"{who} reads no samples again; leave --data out")
    if request.base and not (request.analysis.bases or request.analysis.beside):
        raise InputError(f"{who} builds on no other analysis; leave --base out")
    if request.runs and (request.labels or request.base):
        raise InputError(f"{who} is over runs; choose them with --runs, not --labels or --base")
    if request.groups is not None and not {"labels", "factors"} & set(needs):
        raise InputError(f"{who} takes no labels, so no groups; leave --groups out")


def _check_bases(database: Database, request: Request, sites: Sequence[str]) -> None:
    """Raise InputError for a run of --base that is of none of the places that are read."""
    own = request.extraction.record
    found = places(database, own, request.other, None) if request.base else []
    read = {*((own.id, site) for site in sites), *((p.extraction.id, p.acts.site) for p in found)}
    for run in (database.find(Run, ident) for ident in request.base):
        if (run.extraction_id, run.site) not in read:
            raise InputError(
                f"run {run.id} is of {run.site} of extraction {run.extraction_id}, which is not "
                f"read here; --base takes runs at {listing(sites)} of extraction {own.id}, or at a "
                f"site of --other"
            )


@dataclass(frozen=True)
class _Beside:
    """What is read beside the sites themselves; bases: of each site the runs built on."""

    others: list[Place]
    bases: list[list[Run]]
    tags: Tags | None = None


def _wanted(request: Request) -> Wanted:
    analysis = request.analysis
    labels = request.labels if analysis.bases else None  # what stands beside may have others
    return Wanted(analysis.bases, request.base, labels, analysis.beside)


def _with_labels(database: Database, request: Request, site: str) -> Request:
    """Let what is built on have the same labels everywhere: those of the first run."""
    if request.labels is not None or not request.analysis.bases:
        return request
    first = _wanted(request).at(database, request.extraction.record, site)
    return replace(request, labels=next((run.labels for run in first if run.labels), None))


def _beside(database: Database, request: Request, layers: Layers) -> _Beside:
    own, wanted = request.extraction.record, _wanted(request)
    needs, built = request.analysis.needs, bool(wanted.analyses)
    here = "base" in request.wanted or "base" not in needs  # optional: not always
    some = here if built else bool(wanted.beside)
    bases = [wanted.at(database, own, name) for name in layers.names] if some else []
    also = wanted if built and "others" in needs else None
    tags = opened_tags(database, request.runs) if "tags" in needs else None
    found = places(database, own, request.other, also)
    if "other" in needs and len(found) > 1:
        raise InputError(
            f"{request.analysis.name} takes one other site; {request.other[0]!r} names {len(found)}"
        )
    return _Beside(found, bases if any(bases) else [], tags)


def _run_one(database: Database, request: Request, layers: Layers) -> StoredRun:
    beside = _beside(database, request, layers)
    inputs = _identity(request, layers, beside)
    key = request.analysis.key(request.settings, inputs)
    done = done_run(database, key)
    if done is not None and not request.force:
        return StoredRun(database, done, True, request.analysis)
    record = Run(
        key=key,
        analysis=request.analysis.name,
        version=request.analysis.version,
        parameters=request.settings,
        inputs=inputs,
        extraction_id=request.extraction.id,
        site=layers[0].site if "acts" in request.analysis.needs else None,
        labels=request.labels,
        status="done",
        warnings=[],
        seed=request.seed,
        host=host(),
        device=request.device,
        started=now(),
        seconds=0.0,
        versions={},
    )
    record = _compute(database, request, layers, beside, record)
    return StoredRun(database, record, given=request.analysis)


def _compute(
    database: Database, request: Request, layers: Layers, beside: _Beside, record: Run
) -> Run:
    clock = time.perf_counter()
    try:
        bound = _bind(database, request, layers, beside)
        seed_everything(request.seed)
        result = _called(database, request, bound)
    except Exception as error:
        record.status, record.error = "failed", f"{type(error).__name__}: {error}"
        _stamp(record, clock)
        save_failure(database, record)
        raise
    record.warnings = [*result.warnings, *_of_other_samples(database, request, beside.others)]
    _stamp(record, clock)
    return save_run(database, record, request.analysis.tables, result)


def _called(database: Database, request: Request, bound: dict[str, Any]) -> Result:
    try:
        return request.analysis(**bound, **request.settings)
    except LackingError as error:
        dataset = database.find(Dataset, request.extraction.record.dataset_id)
        raise error.stored(dataset.name, database.backend.name) from error


def _stamp(record: Run, clock: float) -> None:
    record.seconds = time.perf_counter() - clock
    record.versions = versions("torch", "scipy", "scikit-learn")


def _identity(request: Request, layers: Layers, beside: _Beside) -> dict[str, Any]:
    """What a run's numbers depend on, by content and not by number in this store."""
    inputs: dict[str, Any] = {
        "extraction": request.extraction.record.key,
        "sites": list(layers.names),
        "seed": request.seed,
        "nonfinite": request.nonfinite,
    }
    named = [[name, request.extraction.label_set(name).digest()] for name in request.label_sets]
    if named:
        inputs["labels"] = named if "factors" in request.analysis.needs else named[0]
    if request.groups is not None:
        inputs["groups"] = [request.groups, request.extraction.label_set(request.groups).digest()]
    if beside.others:
        inputs["others"] = [place.identity() for place in beside.others]
    if request.runs:
        inputs["runs"] = [run.key for run in request.runs]
    if beside.tags is not None:
        inputs["tags"] = [dict(tags) for tags in beside.tags.values()]
    if beside.bases:
        inputs["bases"] = [[run.key for run in runs] for runs in beside.bases]
    return inputs


def _bind(database: Database, request: Request, layers: Layers, beside: _Beside) -> dict[str, Any]:
    """Make the inputs that the analysis needs, rows with NaN or infinity dealt with."""
    needs, own = request.wanted, request.extraction.record
    opened = [replace(acts, device=request.device) for acts in layers]
    bound: dict[str, Any] = {}
    if "acts" in needs:
        bound["acts"] = opened[0]
    if "other" in needs:
        bound["other"] = _aligned(request, opened[0], beside.others[0])
    if "others" in needs:
        bound["others"] = opened_others(
            database, request.analysis, own, beside.others, request.device
        )
    bases = [opened_base(database, request.analysis, runs) for runs in beside.bases]
    if "base" in request.analysis.needs and bases:
        bound["base"] = bases[0]
    if "layers" in needs:
        bound["layers"] = Layers.of(*opened, bases=bases)
    if "runs" in needs:
        bound["runs"] = opened_runs(database, request.runs)
    if beside.tags is not None:
        bound["tags"] = beside.tags
    if "labels" in needs:
        bound["labels"] = _labels(request, opened[0])[0]
    if "factors" in needs:
        bound["factors"] = Factors.of(*_labels(request, opened[0]))
    _settle_nonfinite(request, bound)
    if "weights" in needs or "model" in needs:
        model = _load(database, request)
        bound |= {n: v for n, v in (("model", model), ("weights", model.weights)) if n in needs}
    if "samples" in needs:
        bound["samples"] = stored_samples(database, own, request.data)
    return bound


def _labels(request: Request, acts: Activations) -> list[Labels]:
    extraction = request.extraction
    groups = None if request.groups is None else extraction.label_set(request.groups)
    sets = map(extraction.label_set, request.label_sets)
    return [labels_for(label_set, acts.rows, groups) for label_set in sets]


def _aligned(request: Request, acts: Activations, place: Place) -> Activations:
    extraction, other = place.extraction, place.acts
    same_data = extraction.dataset_id == request.extraction.record.dataset_id
    if len(other) != len(acts) or (same_data and not other.rows.same_places(acts.rows)):
        raise InputError(
            f"the rows of {other.site} in extraction {extraction.id} are not those of {acts.site} "
            f"in extraction {request.extraction.id}; extract both with the same data and pooling"
        )
    return replace(other, device=request.device)


def _of_other_samples(database: Database, request: Request, others: list[Place]) -> list[str]:
    """Say which extractions have other samples than the own, where rows pair by their places."""
    if not request.analysis.aligned:
        return []
    own = database.find(Dataset, request.extraction.record.dataset_id)
    texts: list[str] | None = None
    said = {}
    for place in others:
        there = database.find(Dataset, place.extraction.dataset_id)
        if there.id == own.id or place.extraction.id in said:
            continue
        texts = texts or read_samples(database, own.id)[0]
        if read_samples(database, there.id)[0] != texts:
            said[place.extraction.id] = (
                f"extraction {place.extraction.id} is of other samples ({there.name}) than "
                f"{request.extraction.id} ({own.name}); their rows are paired by place"
            )
    return list(said.values())


def _settle_nonfinite(request: Request, bound: dict[str, Any]) -> None:
    if request.nonfinite == "keep":
        return
    aligned: list[Activations] = [bound[n] for n in ("acts", "other") if n in bound]
    aligned += list(bound.get("layers", ()))
    others = bound["others"].sites if "others" in bound else ()
    bad = [acts for acts in (*aligned, *others) if acts.source.nonfinite]
    if bad and request.nonfinite == "error":
        refuse_nonfinite(request.analysis, bad[0], int((~bad[0].finite_rows()).sum()))
    elif bad:
        _drop_nonfinite(bound, bad, request.analysis.aligned)


def _drop_nonfinite(bound: dict[str, Any], bad: list[Activations], aligned: bool) -> None:
    """Leave rows out, the same of all that are aligned; of others that are not, each its own."""
    others: tuple[Activations, ...] = bound["others"].sites if "others" in bound else ()
    together = [acts for acts in bad if aligned or acts not in others]
    if aligned and len({len(acts) for acts in (*together, *others)}) > 1:
        raise InputError(
            f"{others[0].site} has other rows than the own sites; extract both of the same data "
            f"with the same pooling"
        )
    if together:
        keep = np.logical_and.reduce([_some_finite(acts) for acts in together])
        if not keep.any():
            raise InputError("every row holds NaN or infinity at one of the sites; extract again")
        for name in ("acts", "other", "labels", "factors"):
            if name in bound:
                bound[name] = bound[name].take(keep)
        for name in ("layers", "others") if aligned else ("layers",):
            if name in bound:
                kept = tuple(acts.take(keep) for acts in bound[name].sites)
                bound[name] = replace(bound[name], sites=kept)
    if others and not aligned:
        kept = tuple(
            acts.take(_some_finite(acts)) if acts.source.nonfinite else acts for acts in others
        )
        bound["others"] = replace(bound["others"], sites=kept)


def _some_finite(acts: Activations) -> NDArray[np.bool_]:
    keep = acts.finite_rows()
    if not keep.any():
        raise InputError(f"{acts.site}: every row holds NaN or infinity; extract again")
    return keep


def _load(database: Database, request: Request) -> Any:
    record = database.find(Model, request.extraction.record.model_id)
    if record.spec.startswith("import:"):
        raise InputError(
            f"{request.analysis.name} needs the network with these settings, and extraction "
            f"{request.extraction.id} was imported, without one; choose an extraction of a model"
        )
    compute_dtype = request.extraction.record.options.get("compute_dtype") or "float32"
    model = load_model(record.spec, device=request.device, compute_dtype=compute_dtype)
    if model.digest != record.digest:
        raise InputError(
            f"{record.spec} has changed since it was extracted (digest {model.digest[:8]}, stored "
            f"{record.digest[:8]}); extract it again"
        )
    return model
