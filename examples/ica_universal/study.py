"""The analyses that the claims are judged by, run through the store like a user would."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from actlas import Result, StoredExtraction, StoredRun

from .models import SITE, Workshop

HUB, OTHER_HUB = "ppmi-A", "skipgram-A-0"
INDEPENDENT = ("ppmi-B", "skipgram-A-0", "skipgram-B-0", "minilm-tokens")
CONTROLS = ("ppmi-A-mapped", "ppmi-B-shuffled")
FROM_LAYER = "layers.2"  # the hub among the layers


@dataclass
class Study:
    """Runs by what they are of.

    axes: runs of `ica` by representation. read: runs of `ica_interpret`, likewise.
    matches: runs of `ica_match` by what is compared: words, seeds, layers, scenes.
    aligned: runs of `ica_align`, likewise.
    names: what the representations are called that a match knows as EXTRACTION:SITE.
    """

    axes: dict[str, StoredRun] = field(default_factory=dict)
    read: dict[str, StoredRun] = field(default_factory=dict)
    matches: dict[str, StoredRun] = field(default_factory=dict)
    aligned: dict[str, StoredRun] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def match(self, what: str) -> Result:
        """The result of a match."""
        return self.matches[what].result

    def target(self, name: str) -> str:
        """What a match calls a representation."""
        return next((known for known, given in self.names.items() if given == name), name)


def study(shop: Workshop) -> Study:
    """Make everything and run everything; what the store has is not run again."""
    done = Study()
    words = _words(shop, done)
    _match_words(shop, done, words)
    _layers(shop, done)
    _scenes(shop, done)
    return done


def _words(shop: Workshop, done: Study) -> dict[str, StoredExtraction]:
    first, second = shop.corpus.words
    done.facts |= {
        "words of half A": f"{first:,}",
        "words of half B": f"{second:,}",
        "vocabulary": f"{len(shop.vocabulary):,} words",
        "dimensions": str(shop.size.dims),
    }
    words = {
        "ppmi-A": shop.ppmi(0),
        "ppmi-B": shop.ppmi(1),
        "skipgram-A-0": shop.skip_gram(0, 0),
        "skipgram-A-1": shop.skip_gram(0, 1),
        "skipgram-B-0": shop.skip_gram(1, 0),
        "minilm-tokens": shop.pieces(),
        "ppmi-A-mapped": shop.linear(),
        "ppmi-B-shuffled": shop.misnamed(),
    }
    for name, extraction in words.items():
        shop.say(f"ica of {name}")
        _ica(shop, done, name, extraction, SITE, shop.size.components)
        done.names[f"{extraction.id}:{SITE}"] = name
    for name in ("minilm-tokens", HUB, OTHER_HUB):
        shop.say(f"ica_interpret of {name}")
        done.read[name] = _one(shop.store.run("ica_interpret", words[name], SITE))
    return words


def _match_words(shop: Workshop, done: Study, words: dict[str, StoredExtraction]) -> None:
    compared = {
        "words": (HUB, INDEPENDENT),
        "controls": (HUB, CONTROLS),
        "seeds": (OTHER_HUB, ("skipgram-A-1", "skipgram-B-0")),
    }
    for what, (hub, others) in compared.items():
        shop.say(f"ica_match of {hub} with {', '.join(others)}")
        runs = shop.store.run(
            "ica_match", words[hub], SITE, pairs="tokens",
            other=[f"{words[other].id}:{SITE}" for other in others],
        )  # fmt: skip
        done.matches[what] = _one(runs)
    shop.say(f"ica_align of {HUB} with {', '.join(INDEPENDENT)}")
    runs = shop.store.run(
        "ica_align", words[HUB], SITE, pairs="tokens",
        other=[f"{words[other].id}:{SITE}" for other in INDEPENDENT],
    )  # fmt: skip
    done.aligned["words"] = _one(runs)


def _layers(shop: Workshop, done: Study) -> None:
    shop.say("extracting the layers of MiniLM")
    extraction = shop.layers()
    sites = [record.site for record in extraction.sites if record.site.startswith("layers.")]
    done.facts["words read by MiniLM"] = f"{len(extraction.rows):,}"
    for site in sites:
        shop.say(f"ica and ica_interpret of MiniLM {site}")
        _ica(shop, done, site, extraction, site, shop.size.layer_components)
        done.read[site] = _one(shop.store.run("ica_interpret", extraction, site))
    others = [site for site in sites if site != FROM_LAYER]
    shop.say(f"ica_match of {FROM_LAYER} with the other layers")
    runs = shop.store.run("ica_match", extraction, FROM_LAYER, other=others)
    done.matches["layers"] = _one(runs)


def _scenes(shop: Workshop, done: Study) -> None:
    shop.say("drawing scenes")
    captions, pictures = shop.scenes()
    last = captions.sites[-1].site
    done.facts["scenes"] = f"{shop.size.scenes:,}"
    _ica(shop, done, "captions", captions, last, shop.size.scene_components)
    _ica(shop, done, "pictures", pictures, SITE, shop.size.scene_components)
    done.names[f"{captions.id}:{last}"] = "captions"
    shop.say("ica_match of pictures with captions")
    other = f"{captions.id}:{last}"
    done.matches["scenes"] = _one(shop.store.run("ica_match", pictures, SITE, other=other))


def _ica(
    shop: Workshop, done: Study, name: str, extraction: StoredExtraction, site: str, k: int
) -> None:
    done.axes[name] = _one(shop.store.run("ica", extraction, site, n_components=k))


def _one(runs: Sequence[StoredRun]) -> StoredRun:
    (run,) = runs
    return run
