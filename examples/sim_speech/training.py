"""Training the networks, two at a time, each on one core."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .corpus import SYLLABLE, Corpus
from .measures import COLLAPSED, CPC, GIM, RANDOM, SIM, SUPERVISED

RECIPE = 1  # raise it when training changes: what the folder holds is then old
NAMES = {SIM: "sim", GIM: "gim", CPC: "cpc", SUPERVISED: "supervised", RANDOM: "gim",
         COLLAPSED: "sim"}  # fmt: skip

KINDS_IN_TURN = ((SIM, GIM), (RANDOM, CPC, SUPERVISED))  # all seeds of the first are first


@dataclass(frozen=True)
class Regime:
    """How networks are trained; the rest is the small recipe of `actlas train`.

    too_large: β of the network that is made to collapse. workers: trained at a time.
    """

    seeds: int = 3
    epochs: int = 60
    warmup: int = 10
    collapse_epochs: int = 20
    batch: int = 32
    too_large: float = 1.0
    workers: int = 2

    def about(self) -> str:
        """Say it in a line."""
        return (
            f"the small recipe of `actlas train` (32 channels, K = 10, N = 10, β 0.01 per vector, "
            f"{self.warmup} epochs of warm-up), {self.epochs} epochs, {self.seeds} seeds; β "
            f"{self.too_large:g} and one seed for the network that is made to collapse"
        )


@dataclass(frozen=True)
class Network:
    """A network in a folder that `sim:FOLDER` loads. epochs: trained; 0 of a random one."""

    kind: str
    seed: int
    folder: Path
    epochs: int

    @property
    def shown(self) -> bool:
        """Whether it is drawn in detail: the first of SIM and of GIM."""
        return self.seed == 0 and self.kind in (SIM, GIM)


@dataclass(frozen=True)
class Order:
    """What to train: a network, the table it learns from, settings beside the recipe's."""

    network: Network
    corpus: str
    table: Path
    settings: dict[str, Any]

    def about(self) -> str:
        """Name it."""
        return f"{self.corpus}: {self.network.kind}, seed {self.network.seed}"


def trained(
    folder: Path, corpus: Corpus, regime: Regime, say: Callable[[str], None]
) -> list[Network]:
    """Train what the folder does not have; a training that was cut short goes on."""
    orders = list(_orders(folder, corpus, regime))
    missing = [one for one in orders if not (one.network.folder / "config.json").is_file()]
    workers = min(regime.workers, len(missing))
    if workers < 2:
        for order in missing:
            say(f"training {order.about()}")
            train(order)
        return [order.network for order in orders]
    # Each in a process of its own on one core: threads would wait for each other.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        under_way = {pool.submit(train, order): order for order in missing}
        for done in as_completed(under_way):
            done.result()
            say(f"trained {under_way[done].about()}")
    return [order.network for order in orders]


def train(order: Order) -> None:
    """Train one network, or go on where it was stopped."""
    import torch

    from actlas import read_dataset
    from actlas.plugins.sim import read_clips, recipe, train_sim

    torch.set_num_threads(1)
    kind, table, config = order.network.kind, read_dataset(order.table), order.settings
    if kind == SUPERVISED:
        names = sorted({str(item[-1]) for item in table.label_set("word").items})
        clips = read_clips(
            table, recipe(NAMES[kind], classes=tuple(names), crop=SYLLABLE, **config)
        )
        train_sim(clips, order.network.folder, classes=clips.classes("word")[0], device="cpu")
        return
    clips = read_clips(table, recipe(NAMES[kind], **config))
    train_sim(clips, order.network.folder, device="cpu")


def _orders(folder: Path, corpus: Corpus, regime: Regime) -> Iterator[Order]:
    digest = _digest(corpus)
    for kinds in KINDS_IN_TURN:
        for seed in range(regime.seeds):
            for kind in kinds:
                yield _order(folder, corpus, regime, kind, seed, digest)
    yield _order(folder, corpus, regime, COLLAPSED, 0, digest)


def _order(
    folder: Path, corpus: Corpus, regime: Regime, kind: str, seed: int, digest: str
) -> Order:
    epochs = {RANDOM: 0, COLLAPSED: regime.collapse_epochs}.get(kind, regime.epochs)
    settings: dict[str, Any] = {"seed": seed, "epochs": epochs, "batch": regime.batch}
    if NAMES[kind] == "sim":
        settings["warmup"] = regime.warmup
    if kind == COLLAPSED:
        settings |= {"beta": regime.too_large, "warmup": 0}
    table = corpus.taught if kind == SUPERVISED else corpus.train
    text = json.dumps([RECIPE, kind, settings, digest])
    name = f"{corpus.name}-{NAMES[kind]}-{seed}-{sha256(text.encode()).hexdigest()[:12]}"
    return Order(Network(kind, seed, folder / name, epochs), corpus.name, table, settings)


def _digest(corpus: Corpus) -> str:
    from actlas import read_dataset

    return "".join(read_dataset(table).digest() for table in (corpus.train, corpus.taught))
