"""Start-up: `actlas --help` and `import actlas`."""

import statistics
import subprocess
import sys
import time

from .common import Bar

ROUNDS = 9
IMPORT = "import time; t = time.process_time(); import actlas; print(time.process_time() - t)"


def help_seconds() -> float:
    """Wall time of `actlas --help`, interpreter included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "actlas", "--help"], check=True, capture_output=True)
    return time.perf_counter() - start


def import_seconds() -> float:
    """CPU time of `import actlas` alone."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def run() -> list[Bar]:
    """Measure."""
    shown = statistics.median(help_seconds() for _ in range(ROUNDS))
    imported = statistics.median(import_seconds() for _ in range(ROUNDS))
    return [
        Bar("actlas --help", shown, 0.4, "s"),
        Bar("import actlas, CPU", imported, 0.15, "s"),
    ]
