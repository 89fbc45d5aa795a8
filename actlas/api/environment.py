"""What a run was made with: versions, host, seeds."""

import os
import platform
import random
import sys
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, actlas and some packages that are installed."""
    found = {"python": platform.python_version()}
    for package in ("actlas", "numpy", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def host() -> str:
    """Name of this machine and its processors."""
    return f"{platform.node()} ({platform.machine()}, {os.cpu_count()} cores)"


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and (where loaded) torch."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
