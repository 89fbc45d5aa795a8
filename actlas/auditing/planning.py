"""From an audit file to jobs: extractions, analyses of each, comparisons of several."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain, product
from statistics import mode
from typing import Any, final

from ..core import ExtractOptions, digest
from ..registry import Analysis, registry
from ..storage import Database, Past, past
from .entries import bases_of, points
from .estimates import Estimate, Estimates
from .facts import Facts
from .fingerprints import Fingerprints
from .jobs import Job
from .naming import extraction_tail, tail
from .planned import Cell, Planned
from .skipping import labels_fault, misfit
from .spec import AnalysisEntry, AuditSpec, DataEntry, ExtractEntry, ModelEntry, matches

INNER = re.compile(r"layers\.-(?!1(\.|$))")  # a negative index that is not the last
ENOUGH = 2  # a comparison is of two at least


def plan(spec: AuditSpec, database: Database | None) -> list[Job]:
    """Return the jobs of an audit, those that are needed before those that need them.

    The same file, files and store give the same jobs. No model is loaded and nothing is asked of
    a network; a data set is read once where the store does not know its label sets.
    """
    return [job for job, _ in estimated(spec, database)[0]]


def estimated(
    spec: AuditSpec, database: Database | None
) -> tuple[list[tuple[Job, Estimate]], list[AnalysisEntry]]:
    """Return the jobs of an audit with what each will take, and entries that give no job."""
    made = _Plan(spec, database)
    estimates = Estimates(made.facts, past(database) if database else Past({}, [], [], {}, {}))
    found = []
    for one in made.jobs():
        took = estimates.of(one.job)
        found.append((replace(one.job, memory=took.memory, seconds=took.seconds), took))
    return found, made.empty


@final
class _Plan:
    def __init__(self, spec: AuditSpec, database: Database | None):
        self.spec, self.known = spec, registry(spec.plugins)
        self.prints = Fingerprints(spec.plugins)
        self.facts = Facts(database, self.prints)
        self.extractions: list[Planned] = []
        self.empty: list[AnalysisEntry] = []
        self.found: dict[str, Planned] = {}  # by the names of their jobs
        self.at: dict[tuple[Any, str], list[Planned]] = {}  # by extraction and analysis

    def jobs(self) -> list[Planned]:
        """Make all jobs in the order of the file, bases before what builds on them."""
        self.extractions = [self._add(one) for one in self._extractions()]
        for entry in self._ordered(self.spec.analyses):
            own = (self._analyses(entry, extraction) for extraction in self._chosen(entry))
            self._take(entry, chain.from_iterable(own))
        for entry in self._ordered(self.spec.comparisons):
            over = "runs" in self.known.get(entry.name).needs
            self._take(entry, self._over(entry) if over else self._compared(entry))
        return list(self.found.values())

    def _take(self, entry: AnalysisEntry, made: Iterable[Planned]) -> None:
        if not [self._add(one) for one in made]:
            self.empty.append(entry)

    def _add(self, one: Planned) -> Planned:
        """Keep a job; what two entries say alike is done once."""
        if one.job.name not in self.found:
            place = (one.job.work.get("extraction"), one.job.analysis)
            self.at.setdefault(place, []).append(one)
        return self.found.setdefault(one.job.name, one)

    def _ordered(self, entries: Sequence[AnalysisEntry]) -> list[AnalysisEntry]:
        """Put what is built on first, else keep the order of the file."""
        waiting, done = list(entries), []
        while waiting:
            names = {entry.name for entry in waiting}
            free = [e for e in waiting if not (self._bases(e) & names) - {e.name}]
            first = (free or waiting)[0]
            waiting.remove(first)
            done.append(first)
        return done

    def _bases(self, entry: AnalysisEntry) -> set[str]:
        analysis = self.known.get(entry.name)
        built = (bases_of(analysis, entry, point) for point in points(analysis, entry))
        return {name for names in built for name in names} | set(analysis.beside)

    # Extractions

    def _extractions(self) -> Iterator[Planned]:
        for model, data in product(self.spec.models, self.spec.datasets):
            sites: dict[str, list[str]] = {}  # asked for in several entries, extracted once
            entries: dict[str, ExtractEntry] = {}
            for entry in self.spec.extractions:
                if matches(model.name, entry.models) and matches(data.name, entry.datasets):
                    own = extraction_tail(entry)
                    entries.setdefault(own, entry)
                    sites[own] = list(dict.fromkeys([*sites.get(own, ()), *entry.sites]))
            for own, entry in entries.items():
                yield self._extraction(model, data, replace(entry, sites=tuple(sites[own])), own)

    def _extraction(
        self, model: ModelEntry, data: DataEntry, entry: ExtractEntry, own: str
    ) -> Planned:
        facts = self.facts.data(data)
        options = asdict(ExtractOptions(entry.pooling, **entry.options))
        done = {
            "model": model.spec, "trust_remote_code": model.trust_remote_code, "path": data.path,
            "reading": dict(data.reading), "sites": list(entry.sites),
            "pooling": options.pop("pooling"), "options": options,
            "compute_dtype": self.spec.limits.compute_dtype,
        }  # fmt: skip
        beside = {
            "device": self.spec.limits.device, "tags": {**model.tags, **model.quality},
            "plugins": list(self.spec.plugins), "stamp": self.facts.stamp(data),
        }  # fmt: skip
        job = Job(
            f"extract {model.name} {data.name} {own}", "extract", {"extract": {**done, **beside}},
            digest("extract", done), self.prints.extraction(model, data),
            model.name, data.name, entry.pooling,
            skipped=misfit(model, self.facts.model(model.spec), data, facts, entry.pooling),
        )  # fmt: skip
        cell = Cell(model, data, entry.pooling, own)
        return Planned(job, cell, f"{data.name} {own}", readable(entry.sites))

    def _chosen(self, entry: AnalysisEntry) -> list[Planned]:
        """Return the extractions that an entry is of."""
        return [
            one for one in self.extractions
            if matches(one.cell.model.name, entry.models)
            and matches(one.cell.data.name, entry.datasets)
            and matches(one.cell.pooling, entry.poolings)
        ]  # fmt: skip

    # Analyses of one extraction

    def _analyses(self, entry: AnalysisEntry, extraction: Planned) -> Iterator[Planned]:
        analysis = self.known.get(entry.name)
        for labels, settings in self._points(analysis, entry):
            names = bases_of(analysis, entry, settings)
            combinations = self._bases_at(names, extraction, labels)
            for bases in combinations:
                skipped = self._skipped(entry, extraction, bases, labels)
                yield self._analysis(entry, extraction, bases, labels, settings, skipped)

    def _points(
        self, analysis: Analysis, entry: AnalysisEntry
    ) -> Iterator[tuple[str | None, dict[str, Any]]]:
        yield from product(entry.labels or (None,), points(analysis, entry))

    def _bases_at(
        self, names: Sequence[str], extraction: Planned, labels: str | None
    ) -> list[tuple[Planned, ...]]:
        """Return what can be built on, each combination of the grids; all of the same labels.

        Where there is nothing of the kind, nothing is built: cells are where those of the base
        are. Of no names it is one combination of nothing.
        """
        offered = [self.at.get((extraction.job.name, name), []) for name in names]
        return [
            combination
            for combination in product(*offered)
            if len({one.labels for one in combination if one.labels} | ({labels} - {None})) <= 1
        ]

    def _skipped(
        self, entry: AnalysisEntry, extraction: Planned, bases: Sequence[Planned],
        labels: str | None,
    ) -> str:  # fmt: skip
        needs = self.known.get(entry.name).needs
        if extraction.job.skipped:
            return extraction.job.skipped
        for base in bases:
            if base.job.skipped:
                return base.job.skipped
        if not labels or not {"labels", "factors"} & set(needs):
            return ""
        cell, several = extraction.cell, "factors" in needs
        said = labels_fault(cell.data, self.facts.data(cell.data), cell.pooling, labels, several)
        return said and f"{self.spec.path.name}:{entry.line}: {said}"

    def _analysis(
        self, entry: AnalysisEntry, extraction: Planned, bases: Sequence[Planned],
        labels: str | None, settings: dict[str, Any], skipped: str,
    ) -> Planned:  # fmt: skip
        labels = labels or next((one.labels for one in bases if one.labels), None)
        sites = entry.sites or next((one.sites for one in bases), extraction.sites)
        cell = extraction.cell
        own = tail(self.known.get(entry.name), entry, extraction, bases, labels, settings)
        beside = self._beside(entry, extraction, labels)
        needs = [extraction, *bases, *beside]
        work = self._work(entry, sites, labels, settings) | {"extraction": extraction.job.name}
        if bases or beside:
            work["base"] = [one.job.name for one in (*bases, *beside)]
        name = f"{entry.name} {cell.model.name} {own}"
        job = self._job(name, "analyse", entry, work, needs, settings, skipped)
        job = replace(job, model=cell.model.name, dataset=cell.data.name, pooling=cell.pooling)
        return Planned(job, cell, f"{entry.name} {own}", sites, labels)

    def _beside(
        self, entry: AnalysisEntry, extraction: Planned, labels: str | None
    ) -> list[Planned]:
        """Return jobs of what is put into the base where there is any."""
        names = self.known.get(entry.name).beside
        return [
            one for name in names for (one,) in self._bases_at([name], extraction, labels)
            if not one.job.skipped
        ]  # fmt: skip

    def _work(
        self, entry: AnalysisEntry, sites: Sequence[str], labels: str | None,
        settings: Mapping[str, Any],
    ) -> dict[str, Any]:  # fmt: skip
        given = {**entry.inputs, **({"labels": labels} if labels else {})}
        return {
            "analysis": entry.name, "sites": list(sites), "parameters": dict(settings),
            "seed": settings.get("seed", 0), **given,
            "device": self.spec.limits.device, "plugins": list(self.spec.plugins),
        }  # fmt: skip

    def _job(
        self, name: str, kind: Any, entry: AnalysisEntry, work: dict[str, Any],
        needs: Sequence[Planned], settings: Mapping[str, Any], skipped: str, *more: Any,
    ) -> Job:  # fmt: skip
        analysis = self.known.get(entry.name)
        keys = {one.job.name: one.job.key for one in needs}
        done = {k: v for k, v in work.items() if k not in ("device", "plugins")}
        files = [self.prints.files(settings[p.name]) for p in analysis.parameters if p.file]
        prints = [one.job.fingerprint for one in needs]
        return Job(
            name, kind, work, digest(kind, _resolved(done, keys)),
            self.prints.analysis(analysis.version, files, prints, *more),
            analysis=entry.name, parameters=dict(settings),
            needs=tuple(dict.fromkeys(one.job.name for one in needs)), skipped=skipped,
        )  # fmt: skip

    # Comparisons

    def _compared(self, entry: AnalysisEntry) -> Iterator[Planned]:
        """Each model against those before it, so that one more adds one job."""
        analysis = self.known.get(entry.name)
        alike: dict[str, list[Planned]] = {}
        for extraction in self._chosen(entry):
            alike.setdefault(extraction.tail, []).append(extraction)
        for extractions in alike.values():
            for labels, settings in self._points(analysis, entry):
                names = bases_of(analysis, entry, settings)
                for place, extraction in enumerate(extractions[1:], 1):
                    before = [one for one in extractions[:place] if not one.job.skipped]
                    for bases in self._bases_at(names, extraction, labels):
                        skipped = self._skipped(entry, extraction, bases, labels)
                        yield from self._against(
                            entry, extraction, before, bases, labels, settings, skipped
                        )

    def _against(
        self, entry: AnalysisEntry, extraction: Planned, before: Sequence[Planned],
        bases: Sequence[Planned], labels: str | None, settings: dict[str, Any], skipped: str,
    ) -> Iterator[Planned]:  # fmt: skip
        built = {one.job.name: self._like(bases, one) for one in before}
        before = [one for one in before if len(built[one.job.name]) == len(bases)]
        single = "other" in self.known.get(entry.name).needs
        if not before and not skipped:
            skipped = "no model before it to compare with"
        for others in [[one] for one in before] if single else [before]:
            planned = self._analysis(entry, extraction, bases, labels, settings, skipped)
            needs = [*others, *(base for one in others for base in built[one.job.name])]
            work = {
                **planned.job.work, "others": [one.job.name for one in others],
                "other_sites": list(entry.other_sites or planned.sites),
            }  # fmt: skip
            if bases:
                work["base"] = [*work["base"], *(one.job.name for one in needs[len(others) :])]
            all_needs = [self.found[name] for name in planned.job.needs] + needs
            against = f" with={others[0].cell.model.name}" if single else ""
            name = f"compare {planned.job.name}{against}"
            job = self._job(name, "compare", entry, work, all_needs, settings, skipped)
            cell = extraction.cell
            job = replace(
                job, model=cell.model.name, dataset=cell.data.name, pooling=cell.pooling,
                enough=ENOUGH,
            )  # fmt: skip
            yield replace(planned, job=job, tail=f"compare {planned.tail}{against}")

    def _like(self, bases: Sequence[Planned], extraction: Planned) -> list[Planned]:
        """Return the jobs of another extraction that are as those built on."""
        return [
            one for base in bases
            for one in self.at.get((extraction.job.name, base.job.analysis), [])
            if one.tail == base.tail and not one.job.skipped
        ]  # fmt: skip

    def _over(self, entry: AnalysisEntry) -> Iterator[Planned]:
        """One job for each group of runs that differ by their model alone."""
        analysis = self.known.get(entry.name)
        groups: dict[str, list[Planned]] = {}
        chosen = {one.job.name for one in self._chosen(entry)}
        (base,) = bases_of(analysis, entry, points(analysis, entry)[0])
        for one in self.found.values():
            if one.job.analysis == base and one.job.work.get("extraction") in chosen:
                groups.setdefault(one.tail, []).append(one)
        tags = [[m.name, {**m.tags, **m.quality}] for m in self.spec.models]
        known = [tags] if "tags" in analysis.needs else []
        for group, runs in groups.items():
            able = [one for one in runs if not one.job.skipped]
            for settings in points(analysis, entry):
                skipped = "" if able else mode(one.job.skipped for one in runs)
                if 0 < len(able) < ENOUGH:
                    skipped = (
                        f"one model has runs of {base} here; {entry.name} is of {ENOUGH} or more"
                    )
                work = self._work(entry, (), None, settings)
                work["runs"] = [one.job.name for one in able]
                own = tail(analysis, entry, None, (), None, settings)
                name = f"compare {entry.name} of {group}{own and ' '}{own}"
                job = self._job(name, "compare", entry, work, able, settings, skipped, *known)
                cell = runs[0].cell
                job = replace(job, dataset=cell.data.name, pooling=cell.pooling, enough=ENOUGH)
                yield Planned(job, cell, name, ())


def readable(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the patterns by which what was extracted is read again.

    Negative indices count from the deepest site of a model, and of an extraction from the deepest
    that it has; so all that it has is read.
    """
    return ("residual",) if any(INNER.search(pattern) for pattern in patterns) else patterns


def _resolved(value: Any, keys: Mapping[str, str]) -> Any:
    """Put the keys of jobs where their names are: names differ between audits."""
    if isinstance(value, list):
        return [_resolved(one, keys) for one in value]
    if isinstance(value, dict):
        return {name: _resolved(one, keys) for name, one in value.items()}
    return keys.get(value, value) if isinstance(value, str) else value
