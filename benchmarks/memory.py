"""Peak memory of an extraction over once and ten times the data, against the bare forward."""

import subprocess
import sys
import tempfile

from .common import Bar

SENTENCES = 2000
SCRIPT = """
import resource, sys
import actlas
from actlas.core import Dataset
from benchmarks.extraction import bare, loaded, sorted_batches
from benchmarks.peers.models import UD, sentences
kind, name, times, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
texts = sentences({n}, UD)
if {n} * times != len(texts):
    texts = [f"{{t}} {{i}}" for i in range(times) for t in texts]
with loaded(name) as model:
    if kind == "bare":
        bare(model, sorted_batches(model, texts[:{n}]))
    else:
        with actlas.open(f"sqlite:///{{folder}}/s.db") as store:
            store.extract(model, Dataset.of(texts))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak_mb(kind: str, name: str, times: int) -> float:
    """Peak resident memory in MB of a process that runs or extracts the sentences."""
    with tempfile.TemporaryDirectory() as folder:
        script = SCRIPT.format(n=SENTENCES)
        command = [sys.executable, "-c", script, kind, name, str(times), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def run() -> list[Bar]:
    """Measure."""
    bars = []
    for name, many in (("demo", 10), ("bert", 1)):
        base = peak_mb("bare", name, 1)
        for times in sorted({1, many}):
            more = peak_mb("extract", name, times) - base
            title = f"{name}: peak of extraction − bare forward, {times} × {SENTENCES:,} sentences"
            bars.append(Bar(title, more, 200, "MB", note=f"bare {base:.0f} MB"))
    return bars
