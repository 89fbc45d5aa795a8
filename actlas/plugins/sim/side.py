"""Modules whose losses are computed side by side. Imported with the loop: it imports torch."""

import ctypes
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from .config import SimConfig

T = TypeVar("T")
Start = Callable[[Callable[[], T]], Callable[[], T]]
NARROW = 64  # channels up to which a product is too small to be worth two threads
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MOST_MAPPED = 32 << 20  # to which glibc itself lets its threshold rise; trimming at twice that
KEPT_BYTES = 1 << 30


def at_once(work: Callable[[], T]) -> Callable[[], T]:
    """Do work now; what is returned gives its result."""
    found = work()
    return lambda: found


@contextmanager
def side_by_side(config: SimConfig, device: str) -> "Iterator[Start[Any]]":
    """Give what starts work beside the caller's, in as many threads as torch has.

    Only for narrow networks of isolated modules on a CPU: every product is then computed by one
    thread, so that the numbers are the same however many there are. Else work is done at once.
    What is started first runs first, so it may be waited for by what is started later.
    """
    threads = torch.get_num_threads()
    if device != "cpu" or config.channels > NARROW or not (config.local and config.isolated):
        yield at_once
        return
    try:
        torch.set_num_threads(1)
        with _memory_kept(), _pool(threads) as pool:
            yield lambda work: pool.submit(work).result
    finally:
        torch.set_num_threads(threads)


def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Let malloc keep what is freed, since the next step asks for the same again.

    Else the system clears every large tensor's pages anew, a fifth of a step's time.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    try:
        libc.mallopt(M_MMAP_THRESHOLD, MOST_MAPPED)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        yield
    finally:
        libc.mallopt(M_TRIM_THRESHOLD, 2 * MOST_MAPPED)
        libc.malloc_trim(0)
