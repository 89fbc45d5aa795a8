"""Everything that is made and run: recordings, networks, extractions, analyses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actlas import (
    Dataset,
    LoadedModel,
    Store,
    StoredExtraction,
    StoredRun,
    load_model,
    read_dataset,
)

from .corpus import Corpus, Sizes, Source, digit_corpus, syllable_corpus
from .measures import COLLAPSED
from .training import Network, Regime, trained

LAW, FACTORS, VOICE, ONSET, DECODED, HISTORY = (
    "law", "factors", "voice", "onset", "decoded", "history",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is made. first: clips whose frames are read at the first module, of many frames."""

    clips: Sizes
    regime: Regime
    first: int
    probing: dict[str, Any] = field(default_factory=dict)
    decoding: dict[str, Any] = field(default_factory=dict)


FULL = Size(Sizes(680, 160, 972, 9, 18), Regime(), 486)
QUICK = Size(Sizes(96, 32, 216, 3, 8), Regime(seeds=2, epochs=6, warmup=2, collapse_epochs=3), 108)


@dataclass(frozen=True)
class Workshop:
    """Where everything is put, and how large it is. digits: recordings of spoken digits."""

    folder: Path
    store: Store
    size: Size
    source: Source | None
    digits: Path | None
    say: Callable[[str], None]

    def corpora(self) -> Iterator[Corpus]:
        """Make or find the recordings."""
        place = self.folder / "recordings"
        self.say("speaking syllables")
        yield syllable_corpus(place, self.size.clips, self.source)
        if self.digits is not None:
            self.say("joining digits")
            yield digit_corpus(place, self.digits, self.size.clips)


@dataclass(frozen=True)
class Studied:
    """A network and the runs on it, by (what, site)."""

    network: Network
    runs: dict[tuple[str, str], StoredRun]


@dataclass(frozen=True)
class Study:
    """One corpus, and all networks trained on it."""

    corpus: Corpus
    size: Size
    networks: list[Studied]

    def one(self, kind: str) -> Studied:
        """The first network of a kind."""
        return next(one for one in self.networks if one.network.kind == kind)


def study(shop: Workshop) -> list[Study]:
    """Make and run everything; what is in the folder and the store is not made again."""
    return [_studied(shop, corpus) for corpus in shop.corpora()]


def _studied(shop: Workshop, corpus: Corpus) -> Study:
    made = trained(shop.folder / "networks", corpus, shop.size.regime, shop.say)
    done = []
    for network in made:
        shop.say(f"{corpus.name}: reading {network.kind}, seed {network.seed}")
        done.append(Studied(network, dict(_runs(shop, corpus, network))))
    return Study(corpus, shop.size, done)


def _runs(
    shop: Workshop, corpus: Corpus, network: Network
) -> Iterator[tuple[tuple[str, str], StoredRun]]:
    model = load_model(f"sim:{network.folder}", device="cpu")
    sites = [name for name in model.sites if name in ("layers.0", "layers.1", "layers.2")]
    # One clip a pass after a collapse: where all log-variances are near 0, what a batch rounds
    # otherwise is more than the proof of an extraction lets pass.
    batch = 1 if network.kind == COLLAPSED else 2048
    for site in sites:
        first = site == "layers.0"
        few = shop.size.first if first else None
        read = _frames(shop, model, corpus.reading, site, None if few is None else few // 4, batch)
        probed = _frames(shop, model, corpus.probing, site, few, batch)
        if not first:  # before the probes, whose gate hears of it
            yield (DECODED, site), _decoded(shop, read, site, corpus.read.parent)
            last = read
        yield (LAW, site), _probed(shop, read, site)
        spoken = [name for name in corpus.factors if name != "voice"]
        yield (FACTORS, site), _probed(shop, probed, site, spoken, "voice", network.shown)
        yield (VOICE, site), _probed(shop, probed, site, ["voice"], "word")
        if corpus.onsets is not None:
            onsets = _frames(shop, model, read_dataset(corpus.onsets), site, few, batch)
            yield (ONSET, site), _probed(shop, onsets, site, ["consonant"], "voice")
    if network.epochs:
        yield (HISTORY, ""), _one(shop.store.run("sim_training", last, sites[-1], device="cpu"))


def _frames(
    shop: Workshop, model: LoadedModel, data: Dataset, site: str, limit: int | None, batch: int
) -> StoredExtraction:
    """Extract frames: of a module that gives distributions, means and log-variances."""
    both = [name for name in (site, f"{site}.logvar") if name in model.sites]
    some = data if limit is None else data.head(min(limit, len(data)))
    return shop.store.extract(model, some, both, dtype="float32", batch_tokens=batch)


def _probed(
    shop: Workshop, extraction: StoredExtraction, site: str, labels: Sequence[str] = (),
    groups: str | None = None, topk: bool = False,
) -> StoredRun:  # fmt: skip
    return _one(
        shop.store.run(
            "sim_probe", extraction, site, other=_logvar(extraction, site),
            labels=list(labels) or None, groups=groups, pool="mean", topk=topk, **shop.size.probing,
        )
    )  # fmt: skip


def _decoded(
    shop: Workshop, extraction: StoredExtraction, site: str, recordings: Path
) -> StoredRun:
    return _one(
        shop.store.run(
            "sim_decode", extraction, site, other=_logvar(extraction, site), device="cpu",
            data=str(recordings), **shop.size.decoding,
        )
    )  # fmt: skip


def _logvar(extraction: StoredExtraction, site: str) -> list[str]:
    has = {record.site for record in extraction.sites}
    return [name for name in (f"{site}.logvar",) if name in has]


def _one(runs: Sequence[StoredRun]) -> StoredRun:
    (run,) = runs
    return run
