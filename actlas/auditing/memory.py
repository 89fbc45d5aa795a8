"""Memory: what a machine has, what a process takes, and what it may take at most."""

import contextlib
import os
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # of a container, where there is one
SHARE = 0.8  # of what is free: others need some, too


def spare_memory() -> int | None:
    """Bytes that jobs may take on this machine, None where it does not say."""
    found = []
    with contextlib.suppress(OSError, StopIteration):
        line = next(s for s in MEMINFO.read_text().splitlines() if s.startswith("MemAvailable"))
        found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        most, taken = (int((GROUP / f"memory.{n}").read_text()) for n in ("max", "current"))
        found.append(most - taken)
    return int(SHARE * min(found)) if found else None


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def forget_peak() -> None:
    """Let `peak_memory` count from now; elsewhere than on Linux it counts from the start."""
    with contextlib.suppress(OSError):
        RESET.write_text("5")


def peak_memory() -> int:
    """Most bytes that this process has held."""
    with contextlib.suppress(OSError, StopIteration):
        line = next(s for s in STATUS.read_text().splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def bound_memory(most: int) -> None:
    """Let this process ask for no more: it is told so, instead of being killed by the system."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
