"""The demo: the whole main job on a real model and real labels, offline."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import read_dataset
from ..registry import Analysis, registry
from .extracting import Work
from .handles import StoredExtraction, StoredRun
from .report import write_report
from .store import Store, open, store_url

MODEL, DATASET = "actlas:demo", "actlas:concepts"
BESIDE = {"other", "others", "runs"}  # what the demo does not make first
# What reads branches has an extraction of its own, of the first sentences, one row a token.
BRANCHES = {"decomposition", "decomposition_tokens"}
SITES, SENTENCES = "decomposition,layers.*.heads", 100
# The demo model predicts no tokens and was trained elsewhere; of sources there is a row a pair.
LEFT_OUT = {
    "decomposition_logits", "decomposition_token_logits", "decomposition_sources", "sim_training",
}  # fmt: skip
LABELS, GROUPS = "category@target", "word@target"
# By analysis: what its section is called, and its settings there.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "ica": {"ica": {"n_components": 16}},  # all take minutes a site
    "decomposition": {"decomposition": {"by": "heads"}},
    "decomposition_tokens": {"decomposition_tokens": {"by": "tokens", "first": 4}},
    "capacity": {
        "capacity of token embeddings": {"parameter": "embeddings.word_embeddings.weight"},
        "capacity of neurons' output directions": {
            "parameter": "encoder.layer.*.output.dense.weight",
            "axis": "columns",
        },
    },
}


@dataclass(frozen=True)
class Demo:
    """What the demo made; runs by what their section of the report is called."""

    store: Store
    extraction: StoredExtraction
    runs: dict[str, list[StoredRun]]
    report: Path


def run_demo(
    folder: Path, say: Callable[[str], None], on_plan: Callable[[Work], None] | None = None
) -> Demo:
    """Extract all layers of the demo model over the concept sentences, run every built-in
    analysis that can run on one extraction, and write a report into `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = open(store_url(str(folder / "actlas.db")))
    say(f"extracting branches of {MODEL} over {SENTENCES} sentences, one row a token")
    few = read_dataset(DATASET, limit=SENTENCES)
    branches = store.extract(MODEL, few, SITES, pooling="token")  # the first: not the newest
    say(f"extracting {MODEL} over {DATASET}, one row a word")
    extraction = store.extract(MODEL, DATASET, pooling="word", progress=True, on_plan=on_plan)
    runs: dict[str, list[StoredRun]] = {}
    for plugin in registry().plugins():
        analysis = plugin.analysis
        if plugin.error:
            say(f"warning: {plugin.error}")
        if analysis is None or plugin.source != "actlas" or BESIDE & set(analysis.needs):
            continue
        if not set(analysis.bases) <= set(runs) or analysis.name in LEFT_OUT:
            continue
        read = branches if analysis.name in BRANCHES else extraction
        say(f"running {analysis.name}: {analysis.summary}")
        for title, settings in SETTINGS.get(analysis.name, {analysis.name: {}}).items():
            runs[title] = _run(store, analysis, read, settings)
    report = write_report(store, extraction, runs, folder / "report.html")
    return Demo(store, extraction, runs, report)


def _run(
    store: Store, analysis: Analysis, extraction: StoredExtraction, settings: dict[str, Any]
) -> list[StoredRun]:
    if "labels" not in analysis.needs:
        return store.run(analysis, extraction, progress=True, **settings)
    return store.run(analysis, extraction, labels=LABELS, groups=GROUPS, progress=True, **settings)
