"""What a run reads beside its own site: other sites, and results that it builds on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core import Activations, InputError, Others, Result
from ..registry import ANY, Analysis
from ..storage import Database, Extraction, Run, newest_run
from .handles import StoredExtraction, StoredRun


@dataclass(frozen=True)
class Place:
    """A site of an extraction, opened; base: the run that is built on there."""

    extraction: Extraction
    acts: Activations
    base: Run | None

    def identity(self) -> list[str]:
        """What it is by content, not by number in this store."""
        built_on = [] if self.base is None else [self.base.key]
        return [self.extraction.key, self.acts.site, *built_on]


def places(
    database: Database,
    analysis: Analysis,
    own: Extraction,
    others: Sequence[str],
    bases: Sequence[int | str],
) -> list[Place]:
    """Open `SITE` (of the extraction itself) or `EXTRACTION:SITE`, each with what is built on."""
    found = []
    for text in others:
        number, colon, site = text.partition(":")
        elsewhere = bool(colon) and number.isdigit()
        extraction = database.find(Extraction, number) if elsewhere else own
        acts = StoredExtraction(database, extraction).activations(site if elsewhere else text)
        base = None
        if analysis.base is not None and "others" in analysis.needs:
            base = find_base(database, analysis.base, extraction, acts.site, bases)
        found.append(Place(extraction, acts, base))
    return found


def find_base(
    database: Database, name: str, extraction: Extraction, site: str, chosen: Sequence[int | str]
) -> Run:
    """Find the run of an analysis at a site: of those chosen, else the newest; of any, the chosen.

    Raises InputError where there is none, with the command that makes it.
    """
    asked = [database.find(Run, ident) for ident in chosen]
    for given in asked:
        if name not in (ANY, given.analysis):
            raise InputError(f"run {given.id} is of {given.analysis}; --base takes runs of {name}")
    here = [r for r in asked if (r.extraction_id, r.site) == (extraction.id, site)]
    if here and here[-1].status != "done":
        raise InputError(f"run {here[-1].id} failed: {here[-1].error}")
    if name == ANY and not here:
        raise InputError(_unnamed(asked, extraction, site))
    run = here[-1] if here else newest_run(database, name, extraction.id, site)
    if run is None:
        raise InputError(
            f"no run of {name} at {site} of extraction {extraction.id} to build on; make it with "
            f"`actlas run {name} --extraction {extraction.id} --site {site}`"
        )
    return run


def _unnamed(asked: Sequence[Run], extraction: Extraction, site: str) -> str:
    if not asked:
        return "name the run to build on with --base RUN; `actlas runs list` lists them"
    run = asked[-1]
    return (
        f"run {run.id} is at {run.site or 'all sites'} of extraction {run.extraction_id}, not at "
        f"{site} of {extraction.id}; name its own with --extraction and --site"
    )


def opened_base(database: Database, run: Run) -> Result:
    """Read the result that is built on."""
    return StoredRun(database, run).result


def opened_others(
    database: Database, own: Extraction, found: Sequence[Place], device: str
) -> Others:
    """Make the input `others`; sites of other extractions are called EXTRACTION:SITE."""

    def name(place: Place) -> str:
        apart = place.extraction.id != own.id
        return f"{place.extraction.id}:{place.acts.site}" if apart else place.acts.site

    return Others.of(
        *(replace(place.acts, device=device) for place in found),
        names=[name(place) for place in found],
        bases=[opened_base(database, place.base) for place in found if place.base],
    )
