"""Run all benchmarks, or those named: `python -m benchmarks extraction reading`.

Options at the end are those of the one that is named: `python -m benchmarks audit --kills 50`.
"""

import importlib
import sys

import torch

NAMES = (
    "startup", "reading", "lookups", "extraction", "memory", "postgres", "concurrency", "kills",
    "ica", "ica_interpret", "ica_match", "convexity", "capacity", "toy", "decomposition", "sim",
    "sim_probe", "similarity", "audit",
)  # fmt: skip

if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    split = next((i for i, a in enumerate(sys.argv) if a.startswith("-")), len(sys.argv))
    for name in sys.argv[1:split] or NAMES:
        given = [sys.argv[split:]] * (split < len(sys.argv))
        for bar in importlib.import_module(f"benchmarks.{name}").run(*given):
            print(bar, flush=True)
