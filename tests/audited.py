"""A small audit in a store: tiny models, quick analyses, and cells that failed or were skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import actlas
from actlas.core import LoadedModel
from actlas.registry import registry
from actlas.storage import Audit, AuditJob, begin_audit

from .tiny import TEXTS

PLUGIN = '''
"""A quick analysis with a band, a level of chance and figures, one of which breaks."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import Activations, Result, analysis


@dataclass(frozen=True)
class Summary:
    """One row a run."""

    score: Annotated[float, "a score & its <meaning>"]
    low: Annotated[float, "its lower end"]
    high: Annotated[float, "its upper end"]
    chance: Annotated[float, "by chance"]
    good: Annotated[bool, "whether it is above one"]


@dataclass(frozen=True)
class Unit:
    """One dimension."""

    unit: Annotated[int, "which"]
    mean: Annotated[float | None, "its mean"]
    up: Annotated[bool, "whether that is above zero"]


def bars(tables):
    import altair as alt

    assert tables["units"]["up"].dtype == bool
    rows = list(tables["units"])
    return alt.Chart(alt.InlineData(values=rows)).mark_bar().encode(x="unit:O", y="mean:Q")


def broken(tables):
    raise ValueError("no <b>luck</b>")


@analysis(
    version=1, tables={"summary": Summary, "units": Unit}, headline="score",
    figures={"bars": bars, "broken": broken},
)
def quick(acts: Activations, *, k: Annotated[int, "factor"] = 1) -> Result:
    """Score a site by how far its rows spread."""
    X = acts.numpy(np.float64)
    score = k * float(X.std())
    units = [Unit(i, float(m), bool(m > 0)) for i, m in enumerate(X.mean(axis=0))]
    summary = Summary(score, score - 0.1, score + 0.1, 0.5, score > 1)
    return Result({"summary": summary, "units": units})
'''
NAMES = {
    "bert": "<script>alert(1)</script>",
    "gpt2": "it's gpt2",
    "distilbert": "distil",
    "llama": "llama",
}
Load = Callable[[str], LoadedModel]


class Maker:
    """Collects jobs as they are done."""

    def __init__(self) -> None:
        self.jobs: list[AuditJob] = []

    def add(self, kind: str, cell: tuple[str, ...], **more: Any) -> None:
        model, dataset, analysis = (*cell, "", "")[:3]
        values: dict[str, Any] = {
            "status": "done", "error": None, "attempts": 1, "owner": None, "heartbeat": None,
            "started": "2026-01-01T00:00:00Z", "seconds": 2.0, "memory": 10_000_000, "runs": [],
            "extraction_id": None, "warnings": [], "needs": [], "work": {}, "parameters": {},
            "pooling": "mean",
        }  # fmt: skip
        name = f"{kind} {' '.join(cell)} {more.get('parameters', '')}"
        place = len(self.jobs)
        cells = {"model": model, "dataset": dataset, "analysis": analysis, "kind": kind}
        values |= {"place": place, "key": f"{place:032}", "fingerprint": "", **cells, **more}
        self.jobs.append(AuditJob(job=name, **values))


def make_audit(
    store: actlas.Store, tiny: Load, folder: Path, kinds: tuple[str, ...] = tuple(NAMES)
) -> dict[tuple[str, str], actlas.StoredExtraction]:
    """Make the audit "try 'it'" of models over the data set one, and of the first two over two.

    Returns its extractions by model and data set.
    """
    plugin = folder / "quick.py"
    plugin.write_text(PLUGIN)
    quick = registry((str(plugin),)).get("quick")
    maker, found = Maker(), {}
    for data in ("one", "two") if kinds else ():
        before: list[actlas.StoredExtraction] = []
        ids = []
        for n, kind in enumerate(kinds if data == "one" else kinds[:2]):
            name = NAMES[kind]
            texts = actlas.Dataset(data, [f"{text} {data}" for text in TEXTS])
            own = store.extract(tiny(kind), texts, pooling="mean")
            store.tag(own.record.model_id, {"family": kind[:4], "quality": n + 0.5})
            maker.add("extract", (name, data), extraction_id=own.id)
            for k in (1, 2):
                runs = [run.id for run in store.run(quick, own, k=k)]
                maker.add("analyse", (name, data, "quick"), runs=runs, parameters={"k": k})
                ids += runs if k == 2 else []
            if before:
                others = [f"{e.id}:{s.site}" for e in before for s in e.sites]
                run = store.run("cka", own, ["embed", "layers.*"], other=others)[0]
                maker.add("compare", (name, data, "cka"), runs=[run.id])
            before.append(own)
            found[name, data] = own
        if len(before) >= 4:
            run = store.run("association", runs=ids, over="max", draws=50)[0]
            maker.add("compare", ("", data, "association"), runs=[run.id])
        why = f"the data set {data!r} has no label set '<i>topic</i>'"
        maker.add("analyse", (name, data, "probe"), status="skipped", error=why)
    maker.add("extract", ("never", "one"), status="failed", error="no <weights>", attempts=3)
    maker.add("analyse", ("never", "one", "quick"), status="waiting")
    text = f'[audit]\nname = "try"\nplugins = ["{plugin.name}"]\n'
    audit = Audit(
        name="try 'it'", text=text, folder=str(folder), started="2026-01-01T00:00:00Z",
        finished=None, seconds=None, workers=2, owner=None, heartbeat=None,
    )  # fmt: skip
    begin_audit(store.database, audit, maker.jobs)
    return found
