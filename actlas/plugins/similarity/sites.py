"""The sites that are compared: of the own extraction, then of others, with the same rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from actlas import Activations, InputError, Layers, Others

FEWEST = 4  # rows that an unbiased estimate needs


@dataclass(frozen=True, eq=False)
class Place:
    """A site: what to call it, the extraction it is of ("" is the own), and how deep it lies.

    depth: 0 for the first of its extraction among the sites compared, 1 for the last.
    """

    name: str
    extraction: str
    depth: float
    acts: Activations


@dataclass(frozen=True, eq=False)
class Sites:
    """Sites in order, own ones first; all have the same rows."""

    who: str
    places: tuple[Place, ...]

    @classmethod
    def of(cls, who: str, layers: Layers, others: Others | None) -> "Sites":
        """Put sites together; InputError where there is one only, or rows are not the same."""
        named = [(acts.site, "", acts) for acts in layers]
        named += [(name, _extraction(name), acts) for name, acts, _ in others or ()]
        names = [name for name, _, _ in named]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(
                f"{who}: {twice[0]} is there twice; leave it out of --other, or rename it"
            )
        if len(named) < 2:
            raise InputError(
                f"{who} compares sites, and {' '.join(names) or 'nothing'} is all there is; name "
                f"more with --site, or with --other EXTRACTION:SITE"
            )
        groups: dict[str, list[tuple[str, Activations]]] = {}
        for name, extraction, acts in named:
            groups.setdefault(extraction, []).append((name, acts))
        places = tuple(
            Place(name, extraction, i / max(1, len(group) - 1), acts)
            for extraction, group in groups.items()
            for i, (name, acts) in enumerate(group)
        )
        _check_rows(who, places)
        return cls(who, places)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Place]:
        return iter(self.places)

    @property
    def rows(self) -> int:
        """How many rows each has."""
        return len(self.places[0].acts)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Places of all pairs of different sites, the earlier first."""
        n = len(self.places)
        return [(i, j) for i in range(n) for j in range(i + 1, n)]


def _extraction(name: str) -> str:
    """EXTRACTION of EXTRACTION:SITE; a site of the own extraction has none."""
    number, colon, _ = name.partition(":")
    return number if colon else ""


def _check_rows(who: str, places: tuple[Place, ...]) -> None:
    first = places[0]
    if len(first.acts) < FEWEST:
        raise InputError(
            f"{who}: {first.name} has {len(first.acts)} rows, and {FEWEST} or more are needed"
        )
    own, seen = first.acts.rows, {id(first.acts.rows)}
    for place in places[1:]:
        rows = place.acts.rows  # one object for all sites of an extraction
        if id(rows) not in seen and not own.same_places(rows):
            raise InputError(
                f"{who}: the rows of {place.name} are not those of {first.name}; extract both of "
                f"the same data with the same pooling, word or mean where tokenizers differ"
            )
        seen.add(id(rows))
