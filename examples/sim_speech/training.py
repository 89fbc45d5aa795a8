"""Training the networks, two at a time, each on one core."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from .corpus import Corpus
from .measures import COLLAPSED, CPC, GIM, RANDOM, SIM, SUPERVISED

RECIPE = 1  # raise it when training changes: what the folder holds is then old
NAMES = {SIM: "sim", GIM: "gim", CPC: "cpc", SUPERVISED: "supervised", RANDOM: "gim",
         COLLAPSED: "sim"}  # fmt: skip


@dataclass(frozen=True)
class Regime:
    """How networks are trained; the rest is the small recipe of `actlas train`.

    too_large: β of the network that is made to collapse. workers: trained at a time.
    """

    seeds: int = 3
    epochs: int = 60
    warmup: int = 10
    collapse_epochs: int = 20
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


@dataclass(frozen=True)
class Order:
    """What to train: a network, the table it learns from, settings beside the recipe's."""

    network: Network
    table: Path
    settings: dict[str, Any]


def trained(
    folder: Path, corpus: Corpus, regime: Regime, say: Callable[[str], None]
) -> list[Network]:
    """Train what the folder does not have; a training that was cut short goes on."""
    orders = list(_orders(folder, corpus, regime))
    return [order.network for order in orders]


def _orders(folder: Path, corpus: Corpus, regime: Regime) -> Iterator[Order]:
    digest = _digest(corpus)
    for seed in range(regime.seeds):
        for kind in (SIM, GIM, CPC, SUPERVISED, RANDOM):
            yield _order(folder, corpus, regime, kind, seed, digest)
    yield _order(folder, corpus, regime, COLLAPSED, 0, digest)


def _order(
    folder: Path, corpus: Corpus, regime: Regime, kind: str, seed: int, digest: str
) -> Order:
    epochs = {RANDOM: 0, COLLAPSED: regime.collapse_epochs}.get(kind, regime.epochs)
    settings: dict[str, Any] = {"seed": seed, "epochs": epochs}
    if NAMES[kind] == "sim":
        settings["warmup"] = regime.warmup
    if kind == COLLAPSED:
        settings |= {"beta": regime.too_large, "warmup": 0}
    table = corpus.taught if kind == SUPERVISED else corpus.train
    text = json.dumps([RECIPE, kind, settings, digest])
    name = f"{corpus.name}-{NAMES[kind]}-{seed}-{sha256(text.encode()).hexdigest()[:12]}"
    return Order(Network(kind, seed, folder / name, epochs), table, settings)


def _digest(corpus: Corpus) -> str:
    from actlas import read_dataset

    return "".join(read_dataset(table).digest() for table in (corpus.train, corpus.taught))
