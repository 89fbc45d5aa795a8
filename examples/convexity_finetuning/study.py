"""Everything that is made and run: networks, extractions, analyses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actlas import Result, Store, StoredExtraction, StoredRun, load_model

from .encoders import ENCODERS, Encoder
from .tasks import Size, Task, tasks
from .training import Shelf

STAGES = ("untrained", "pretrained", "fine-tuned")
TRUE, SHUFFLED = "class", "shuffled"


@dataclass(frozen=True)
class Workshop:
    """Where everything is put, and how large it is. data: a folder of further data sets."""

    folder: Path
    store: Store
    size: Size
    data: Path | None
    say: Callable[[str], None]

    @property
    def shelf(self) -> Shelf:
        """The checkpoints."""
        return Shelf(self.folder / "checkpoints", self.say)


@dataclass
class Trial:
    """One task: networks by stage, and the runs on them.

    convexity: runs of `convexity` by (stage, labels), one a site. change: runs of
    `convexity_change` from the pretrained to the fine-tuned network by site. depth: the same
    from the first to the last site of a network by stage. start: from the untrained to the
    pretrained at the last site.
    """

    task: Task
    encoder: Encoder
    recall: NDArray[np.float64]
    extractions: dict[str, StoredExtraction]
    convexity: dict[tuple[str, str], list[StoredRun]] = field(default_factory=dict)
    change: dict[str, StoredRun] = field(default_factory=dict)
    depth: dict[str, StoredRun] = field(default_factory=dict)
    layers: dict[str, StoredRun] = field(default_factory=dict)
    start: StoredRun | None = None
    correlated: StoredRun | None = None

    @property
    def sites(self) -> list[str]:
        """Sites in the order of the forward pass, of which the graph is of any use."""
        first = self.extractions[STAGES[0]]
        return [record.site for record in first.sites if record.site not in self.degenerate]

    @property
    def degenerate(self) -> set[str]:
        """Sites where all rows are the same: the first token before any layer."""
        runs = [run for found in self.convexity.values() for run in found]
        return {run.site or "" for run in runs if run.result.tables["summary"]["edges"][0] == 0}

    @property
    def blocks(self) -> list[str]:
        """Sites after each layer."""
        return [site for site in self.sites if site.startswith("layers.")]

    def result(self, stage: str, site: str, labels: str = TRUE) -> Result:
        """The result of `convexity` at a site."""
        return next(run.result for run in self.convexity[stage, labels] if run.site == site)


def study(shop: Workshop) -> list[Trial]:
    """Make and run everything; what is in the folder and the store is not made again."""
    return [_trial(shop, make()) for make in tasks(shop.size, shop.data)]


def _trial(shop: Workshop, task: Task) -> Trial:
    encoder = ENCODERS[task.modality](shop.size)
    shelf, digest, name = shop.shelf, task.digest(), task.name
    start = shelf.kept(f"{name}-untrained", repr(shop.size), lambda to: encoder.start(task, to))
    inputs = [digest, repr(shop.size)]
    first = shelf.kept(f"{name}-pretrained", inputs, lambda to: encoder.pretrain(task, to))
    second = shelf.kept(f"{name}-fine-tuned", inputs, lambda to: encoder.tune(task, first, to))
    given = np.load(second / "predicted.npy")
    codes = task.held.codes
    right = [float((given[codes == c] == c).mean()) for c in range(len(task.classes))]
    dataset = encoder.held_out(task, shop.folder / "samples" / f"{name}-{digest}")
    extractions = {}
    for stage, folder in zip(STAGES, (start, first, second), strict=True):
        shop.say(f"{name}: extracting the {stage} network")
        model = load_model(str(folder), device="cpu")
        extractions[stage] = shop.store.extract(
            model, dataset, pooling=encoder.pooling, dtype="float32"
        )
    trial = Trial(task, encoder, np.array(right), extractions)
    _measure(shop, trial)
    _compare(shop, trial)
    return trial


def _measure(shop: Workshop, trial: Trial) -> None:
    store = shop.store
    for stage in STAGES:
        shop.say(f"{trial.task.name}: convexity of the {stage} network")
        extraction = trial.extractions[stage]
        for labels in (TRUE, SHUFFLED):
            runs = store.run("convexity", extraction, labels=labels)
            trial.convexity[stage, labels] = runs


def _compare(shop: Workshop, trial: Trial) -> None:
    store, size, made = shop.store, shop.size, trial.extractions
    untrained, pretrained, tuned = (made[stage] for stage in STAGES)
    first, last = trial.blocks[0], trial.blocks[-1]

    def change(before: StoredExtraction, site: str, other: str) -> StoredRun:
        runs = store.run(
            "convexity_change", before, site, other=other, labels=TRUE, halves=size.halves,
            draws=size.draws,
        )  # fmt: skip
        return _one(runs)

    for site in trial.blocks:
        shop.say(f"{trial.task.name}: change at {site}")
        trial.change[site] = change(pretrained, site, f"{tuned.id}:{site}")
    trial.start = change(untrained, last, f"{pretrained.id}:{last}")
    shop.say(f"{trial.task.name}: layers and recall")
    for stage in STAGES:
        trial.depth[stage] = change(made[stage], first, last)
        trial.layers[stage] = _one(
            store.run("convexity_layers", made[stage], trial.sites, labels=TRUE)
        )
    store.run("probe", pretrained, trial.blocks, labels=TRUE, permutations=0)
    store.run("probe", tuned, last, labels=TRUE, permutations=0)
    trial.correlated = _one(
        store.run(
            "convexity_recall", pretrained, trial.blocks, other=f"{tuned.id}:{last}", labels=TRUE
        )
    )


def _one(runs: Sequence[StoredRun]) -> StoredRun:
    (run,) = runs
    return run
