"""Peak memory of an extraction over n and 4 n sentences, each in a process of its own."""

import subprocess
import sys
import tempfile

from .common import Bar

EXTRACT = """
import resource, sys
import actlas
from benchmarks.common import sentences
n, folder = int(sys.argv[1]), sys.argv[2]
with actlas.open(f"sqlite:///{folder}/{n}.db") as store:
    store.extract("actlas:demo", sentences(n), device="cpu")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak_mb(n: int) -> float:
    """Peak resident memory of extracting n sentences, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", EXTRACT, str(n), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def run() -> list[Bar]:
    """Measure."""
    once, four = peak_mb(2000), peak_mb(8000)
    note = f"{once:.0f} MiB and {four:.0f} MiB"
    return [Bar("peak memory, 8,000 / 2,000 sentences", four / once, 1.05, note=note)]
