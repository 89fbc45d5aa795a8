"""What every model of a loader plugin must keep to, as checks for its author's tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..api import load_model
from ..core import Dataset, Encoded, LoadedModel, Site, check_sites
from .analyses import Check


def model_checks(model: LoadedModel, dataset: Dataset) -> list[Check]:
    """Return the conformance checks of a model as its loader gives it.

    dataset: some samples that it reads, of unlike length where it takes such.

    Use it in a test: `@pytest.mark.parametrize("check", model_checks(model, data), ids=repr)`.
    """
    kit = _Kit(model, dataset)
    return [
        Check("is loaded again by its spec", kit.again),
        Check("gives every site in the width it says", kit.widths),
        Check("gives the positions that its feed says", kit.positions),
        Check("gives a sample in a batch what it gives it alone", kit.alone),
        Check("gives the same twice", kit.repeatable),
    ]


@dataclass(frozen=True)
class _Kit:
    model: LoadedModel
    dataset: Dataset

    def again(self) -> None:
        loaded = load_model(self.model.spec, device=self.model.device)
        assert loaded.digest == self.model.digest, f"{self.model.spec} has another digest each time"
        assert list(loaded.sites) == list(self.model.sites), "its sites are others each time"

    def widths(self) -> None:
        assert self.model.sites, "it has no sites; name some with LoadedModel(…, names=…)"
        example = self.model.feed.example()
        for name, site in self.model.sites.items():
            rows = self.model.capture(replace(example, shape=(2, 0)), [site])[name]
            assert rows.shape[::2] == (2, site.width), f"{name} gives {tuple(rows.shape)}"

    def positions(self) -> None:
        """Of sites that share a stack the feed is asked for the first only."""
        for first, one in self._read():
            for site in self._stack(first):
                rows = self.model.capture(self.model.feed.collate([one]), [site])[site.name]
                given = one.given or len(one)
                assert rows.shape[1] == given, (
                    f"{site.name} gives {rows.shape[1]} positions of {one.text[:30]!r}, and the "
                    f"feed says {given} (at {first.name})"
                )
                assert len(one.ends) == len(one.special) == len(one), "columns of unlike length"

    def alone(self) -> None:
        proofs = check_sites(self.model, self.dataset, list(self.model.sites.values()))
        assert all(one.holds for one in proofs), [one for one in proofs if not one.holds]

    def repeatable(self) -> None:
        for first, one in self._read():
            sites, batch = self._stack(first), self.model.feed.collate([one])
            twice = [self.model.capture(batch, sites) for _ in range(2)]
            for name in twice[0]:
                assert bool((twice[0][name] == twice[1][name]).all()), f"{name} differs each time"

    def _stack(self, first: Site) -> list[Site]:
        return [site for site in self.model.sites.values() if site.stack == first.stack]

    def _read(self) -> Sequence[tuple[Site, Encoded]]:
        """Return the first site of every stack with each of the first samples."""
        firsts = {site.stack: site for site in reversed(self.model.sites.values())}
        found = []
        for site in firsts.values():
            encoded = self.model.feed.encode(
                self.dataset,
                range(min(4, len(self.dataset))),
                site=site,
                max_length=self.model.max_length,
            )
            found += [(site, one) for one in encoded]
        return found
