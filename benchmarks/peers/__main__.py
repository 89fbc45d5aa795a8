"""Compare actlas with its peers: `python -m benchmarks.peers --sentences 400` is a short try."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import Bar
from .models import SHAPES, UD, save_model, sentences

ROOT = Path(__file__).parents[2]
PEERS = {
    "transformer_lens": "TransformerLens 4.3",
    "nnsight": "nnsight 0.8.1",
    "captum": "captum 0.9 AV",
}
AGREE = 0.01


@dataclass(frozen=True)
class Measured:
    """What a contender printed."""

    rows: int
    seconds: float
    peak_mb: float
    stored_mb: float
    means: list[float]

    @property
    def rate(self) -> float:
        """Tokens a second, with all sites stored."""
        return self.rows / self.seconds

    def agrees(self, other: "Measured") -> bool:
        """Whether both stored as many tokens and, of the first text, the same numbers."""
        pairs = zip(self.means, other.means, strict=True)
        return self.rows == other.rows and all(abs(a - b) <= AGREE * a for a, b in pairs)


def measure(python: Path, name: str, model: Path, texts: Path, threads: int) -> Measured | str:
    """Run one contender in a process of its own; where it fails, return its last words."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    command = [python, "-m", f"benchmarks.peers.run_{name}", model, texts]
    done = subprocess.run(
        [*map(str, command), "--threads", str(threads)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compare(shape: str, folder: Path, texts: Path, given: Any) -> None:
    """Measure all contenders in turn, round after round, and print a line a peer."""
    model = save_model(shape, folder)
    ours: list[Measured] = []
    theirs: dict[str, list[Measured | str]] = {name: [] for name in given.peers}
    for _ in range(given.rounds):
        own = measure(Path(sys.executable), "actlas", model, texts, given.threads)
        if isinstance(own, str):
            raise SystemExit(f"actlas on {shape}: {own}")
        ours.append(own)
        for name in given.peers:
            theirs[name].append(measure(given.python, name, model, texts, given.threads))
    for name, found in theirs.items():
        print(line(f"rows/s, {shape} 12 × 768: actlas / {PEERS[name]}", ours, found), flush=True)


def line(title: str, ours: list[Measured], found: list[Measured | str]) -> str:
    """The bar of one peer, or why there is none."""
    good = [one for one in found if isinstance(one, Measured)]
    if len(good) < len(found):
        return f"{title:<58} cannot run: {next(one for one in found if isinstance(one, str))}"
    pairs = list(zip(ours, good, strict=True))
    if not all(own.agrees(other) for own, other in pairs):
        return f"{title:<58} NOT COMPARABLE: stored other tokens or other numbers"
    value = statistics.median(own.rate / other.rate for own, other in pairs)
    own, other = pairs[-1]
    note = (
        f"{own.rate:,.0f} and {other.rate:,.0f} tokens/s, peak {own.peak_mb:,.0f} and "
        f"{other.peak_mb:,.0f} MiB, on disk {own.stored_mb:,.0f} and {other.stored_mb:,.0f} MiB"
    )
    return str(Bar(title, value, 2.0, note=note, at_least=True))


def main() -> None:
    """Read the options, make models and texts, compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--sentences", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--data", type=Path, default=UD, help="folder of UD-EWT's files")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv-peers/bin/python")
    given = parser.parse_args()
    if not given.python.exists():
        parser.error(f"no environment of the peers at {given.python}; run `make bench-peers`")
    print(f"{given.sentences} sentences, {given.threads} threads, batches of 32 for the peers")
    with tempfile.TemporaryDirectory(prefix="actlas-peers-") as name:
        texts = Path(name) / "texts.json"
        texts.write_text(json.dumps(sentences(given.sentences, given.data)))
        for shape in given.shapes:
            compare(shape, Path(name), texts, given)


if __name__ == "__main__":
    main()
