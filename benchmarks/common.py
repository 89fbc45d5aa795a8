"""Timing side by side, and the texts that are measured on."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import actlas
from actlas.core import Dataset

CLINC = Path(__file__).parents[2] / "shared/data/clinc150/train.jsonl"


@dataclass(frozen=True)
class Bar:
    """One measured number against what it must not pass, or with `at_least` must reach."""

    name: str
    value: float
    limit: float
    unit: str = "×"
    note: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        met = self.value >= self.limit if self.at_least else self.value <= self.limit
        verdict, sign = "met" if met else "MISSED", "≥" if self.at_least else "≤"
        against = f"{self.value:8.3f} {self.unit:<2} ({sign} {self.limit:g})"
        return f"{self.name:<58} {against:<24} {verdict:<6}  {self.note}"


def sentences(n: int) -> Dataset:
    """Return n real sentences: CLINC150 where it lies beside the repository, else the demo's."""
    if CLINC.exists():
        return actlas.read_dataset(CLINC, limit=n)
    texts = actlas.read_dataset("actlas:concepts").texts
    return Dataset.of([texts[i % len(texts)] for i in range(n)], name="concepts, repeated")


def interleaved(rounds: int, **contenders: Callable[[], object]) -> dict[str, list[float]]:
    """Time contenders in turn, round after round, so that all meet the same weather.

    What a contender returns is called, where it can be, to clear up untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            start = time.perf_counter()
            clear_up = contender()
            seconds[name].append(time.perf_counter() - start)
            if callable(clear_up):
                clear_up()
            del clear_up  # freeing what one made is no time of the next
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    """Return the median over rounds of one contender's time over another's."""
    pairs = zip(seconds[above], seconds[below], strict=True)
    return statistics.median(a / b for a, b in pairs)
