"""What a run reads beside its own site: other sites, and results that it builds on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core import Activations, InputError, Others, Result
from ..registry import ANY, Analysis
from ..storage import Database, Extraction, Run, newest_run
from .handles import StoredExtraction, StoredRun


@dataclass(frozen=True)
class Place:
    """A site of an extraction, opened; bases: the runs that are built on there."""

    extraction: Extraction
    acts: Activations
    bases: list[Run]

    def identity(self) -> list[str]:
        """What it is by content, not by number in this store."""
        return [self.extraction.key, self.acts.site, *(run.key for run in self.bases)]


@dataclass(frozen=True)
class Wanted:
    """Which runs are built on: of these analyses, with these labels, the chosen before others.

    beside: analyses whose runs are taken where there are any.
    """

    analyses: tuple[str, ...]
    chosen: Sequence[int | str]
    labels: str | None
    beside: tuple[str, ...] = ()

    def at(self, database: Database, extraction: Extraction, site: str) -> list[Run]:
        """Find them at a site: of each analysis one, then of those beside."""
        found = [_find(database, self, name, extraction, site) for name in self.analyses]
        more = [_beside(database, self, name, extraction, site) for name in self.beside]
        return found + [run for run in more if run is not None]


def places(
    database: Database, own: Extraction, others: Sequence[str], wanted: Wanted | None
) -> list[Place]:
    """Open `SITE` (of the extraction itself) or `EXTRACTION:SITE`, each with what is built on.

    A site may stand for several, as `2:layers.*`.
    """
    found = []
    for text in others:
        number, colon, site = text.partition(":")
        elsewhere = bool(colon) and number.isdigit()
        extraction = database.find(Extraction, number) if elsewhere else own
        for acts in StoredExtraction(database, extraction).layers(site if elsewhere else text):
            bases = wanted.at(database, extraction, acts.site) if wanted else []
            found.append(Place(extraction, acts, bases))
    return found


def _find(database: Database, wanted: Wanted, name: str, extraction: Extraction, site: str) -> Run:
    """Find the run of an analysis at a site: of those chosen, else the newest; of any, the chosen.

    Raises InputError where there is none, with the command that makes it.
    """
    run = _chosen(database, wanted, name, extraction, site)
    if name == ANY and run is None:
        raise InputError("name the run to build on with --base RUN; `actlas runs list` lists them")
    run = run or newest_run(database, name, extraction.id, site, wanted.labels)
    with_labels = f" --labels {wanted.labels}" if wanted.labels else ""
    if run is None:
        raise InputError(
            f"no run of {name} at {site} of extraction {extraction.id}"
            f"{f' with labels {wanted.labels}' * bool(wanted.labels)} to build on; make it with "
            f"`actlas run {name} --extraction {extraction.id} --site {site}{with_labels}`"
        )
    return _of_labels(run, wanted)


def _beside(
    database: Database, wanted: Wanted, name: str, extraction: Extraction, site: str
) -> Run | None:
    """Find the run of an analysis that may lack: the chosen, else the newest."""
    run = _chosen(database, wanted, name, extraction, site)
    run = run or newest_run(database, name, extraction.id, site, wanted.labels)
    return run and _of_labels(run, wanted)


def _chosen(
    database: Database, wanted: Wanted, name: str, extraction: Extraction, site: str
) -> Run | None:
    """Return the last of the chosen runs that is of the analysis and at the site."""
    asked = [database.find(Run, ident) for ident in wanted.chosen]
    known = (*wanted.analyses, *wanted.beside)
    for given in asked:
        if ANY not in known and given.analysis not in known:
            names = " or ".join(known)
            raise InputError(f"run {given.id} is of {given.analysis}; --base takes runs of {names}")
    here = [
        run for run in asked
        if name in (ANY, run.analysis) and (run.extraction_id, run.site) == (extraction.id, site)
    ]  # fmt: skip
    if here and here[-1].status != "done":
        raise InputError(f"run {here[-1].id} failed: {here[-1].error}")
    return here[-1] if here else None


def _of_labels(run: Run, wanted: Wanted) -> Run:
    if wanted.labels and run.labels not in (None, wanted.labels):
        raise InputError(
            f"run {run.id} has the labels {run.labels}, not {wanted.labels}; give runs of the same "
            f"labels, or --labels {run.labels}"
        )
    return run


def opened_base(database: Database, analysis: Analysis, runs: Sequence[Run]) -> Result:
    """Read the results that are built on at a site."""
    results = [StoredRun(database, run).result for run in runs]
    count = len(analysis.bases)
    beside = {run.analysis: one for run, one in zip(runs[count:], results[count:], strict=True)}
    return analysis.joined(results[:count], beside)


def opened_others(
    database: Database, analysis: Analysis, own: Extraction, found: Sequence[Place], device: str
) -> Others:
    """Make the input `others`; sites of other extractions are called EXTRACTION:SITE."""

    def name(place: Place) -> str:
        apart = place.extraction.id != own.id
        return f"{place.extraction.id}:{place.acts.site}" if apart else place.acts.site

    return Others.of(
        *(replace(place.acts, device=device) for place in found),
        names=[name(place) for place in found],
        bases=[opened_base(database, analysis, place.bases) for place in found if place.bases],
    )
