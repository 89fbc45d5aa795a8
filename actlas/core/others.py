"""Others: the further sites that an analysis compares its own with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from .activations import Activations
from .errors import InputError
from .results import Result


class Other(NamedTuple):
    """A further site: what to call it, its activations, and the result it builds on."""

    name: str
    acts: Activations
    base: Result | None


@final
@dataclass(frozen=True, eq=False)
class Others:
    """Further sites, of this or of other extractions; their rows may be others.

    names: what to call each, no two alike: its site, or EXTRACTION:SITE.
    bases: of each the result of the analysis that is built on; empty where there is none.
    """

    sites: tuple[Activations, ...]
    names: tuple[str, ...]
    bases: tuple[Result, ...] = ()

    @classmethod
    def of(
        cls,
        *sites: Activations,
        names: Sequence[str] | None = None,
        bases: Sequence[Result] = (),
    ) -> "Others":
        """Put sites together; names default to those of the sites, numbered where alike."""
        given = [acts.site for acts in sites] if names is None else list(names)
        if names is None and len(set(given)) < len(given):
            given = [f"{i}:{name}" for i, name in enumerate(given)]
        if not sites or len(set(given)) != len(sites) or len(bases) not in (0, len(sites)):
            raise InputError(
                "give one site or more, as many different names, and either no result or one a site"
            )
        return cls(sites, tuple(given), tuple(bases))

    def __len__(self) -> int:
        return len(self.sites)

    def __iter__(self) -> Iterator[Other]:
        bases: tuple[Result | None, ...] = self.bases or (None,) * len(self.sites)
        yield from map(Other, self.names, self.sites, bases)
