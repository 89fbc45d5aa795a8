"""Run all benchmarks, or those named: `python -m benchmarks extraction reading`."""

import importlib
import sys

import torch

NAMES = (
    "startup", "reading", "lookups", "extraction", "memory", "postgres", "concurrency", "kills",
    "ica", "ica_interpret", "ica_match", "convexity", "capacity", "toy", "decomposition", "sim",
    "sim_probe", "similarity",
)  # fmt: skip

if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in sys.argv[1:] or NAMES:
        for bar in importlib.import_module(f"benchmarks.{name}").run():
            print(bar, flush=True)
