"""Memory that malloc keeps for itself."""

import ctypes
import mmap
import platform
from pathlib import Path
from typing import final

SLACK_BYTES = 32 << 20
STATM = Path("/proc/self/statm")


@final
class Heap:
    """Gives memory back to the system when a process has come to hold more and more of it.

    The tensors of every forward pass are of other sizes than those before, and between them glibc
    leaves gaps that it keeps. Elsewhere than on Linux with glibc nothing is done.
    """

    def __init__(self) -> None:
        here = platform.libc_ver()[0] == "glibc" and STATM.exists()
        self._libc = ctypes.CDLL(None) if here else None
        self._most = self._held() + SLACK_BYTES

    def trim(self) -> None:
        """Give back what is free, if the process holds more than at first, and some slack."""
        if self._libc and self._held() > self._most:
            self._libc.malloc_trim(0)
            self._most = max(self._most, self._held() + SLACK_BYTES // 4)

    def _held(self) -> int:
        """Bytes of memory of its own, files and what is shared not counted."""
        if self._libc is None:
            return 0
        _, resident, shared, *_ = map(int, STATM.read_text().split())
        return (resident - shared) * mmap.PAGESIZE
