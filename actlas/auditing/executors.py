"""Where jobs are done: in this process, in processes of this machine, or on a Dask cluster.

What differs is only who gives the `concurrent.futures.Executor` of a slot.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import types
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, final

from ..core import InputError
from .memory import bound_memory
from .work import Outcome, Task, do, forget

THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
CONNECT_SECONDS = 10


class Slot(ABC):
    """A place where one job is done at a time.

    host: the machine, whose memory it shares with others. last_model: the model of its last job.
    """

    host = ""
    last_model = ""

    @property
    def started(self) -> bool:
        """Whether its process is up, so that the time of its job counts."""
        return True

    @abstractmethod
    def submit(self, task: Task) -> "Future[Outcome]":
        """Begin a job; whatever its future raises, the worker and not the job has failed."""

    def kill(self) -> bool:
        """End what is done here, and be ready for the next; False where that cannot be done."""
        return False


class Crew(ABC):
    """All slots."""

    @abstractmethod
    def slots(self) -> Sequence[Slot]:
        """Those that there are now."""

    @abstractmethod
    def close(self) -> bool:
        """Let go of them; whether what was being done there is given up by that."""


@final
class Here(Crew, Slot):
    """This process: one job after the other, where a debugger can look on."""

    def slots(self) -> Sequence[Slot]:
        """Return the only one."""
        return [self]

    def submit(self, task: Task) -> "Future[Outcome]":
        """Do a job at once."""
        done: Future[Outcome] = Future()
        done.set_result(do(task))
        return done

    def close(self) -> bool:
        """Let go of the store, the model and the data sets."""
        forget()
        return True


@final
class Processes(Crew):
    """Processes of this machine."""

    def __init__(self, workers: int, threads: int, memory: int | None):
        self._slots = [_Process(threads, memory) for _ in range(workers)]

    def slots(self) -> Sequence[Slot]:
        """Return one a process."""
        return self._slots

    def close(self) -> bool:
        """End all processes."""
        for slot in self._slots:
            slot.kill()
        return True


@final
class _Process(Slot):
    """A pool of one process, so that one that dies or is ended takes no other along."""

    def __init__(self, threads: int, memory: int | None):
        self._threads, self._memory = threads, memory
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None

    @property
    def started(self) -> bool:
        return self._pid is not None and self._pid.done()

    def submit(self, task: Task) -> "Future[Outcome]":
        try:
            return self._open().submit(do, task)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.kill()
            return self._open().submit(do, task)

    def _open(self) -> Executor:
        if self._pool is None:
            with _for_children(self._threads):
                self._pool = ProcessPoolExecutor(
                    1, get_context("spawn"), initializer=_begin, initargs=(self._memory,)
                )
                self._pid = self._pool.submit(os.getpid)
        return self._pool

    def kill(self) -> bool:
        if self._pool is None or self._pid is None:
            return True
        with contextlib.suppress(BrokenProcessPool, ProcessLookupError):
            os.kill(self._pid.result(), signal.SIGKILL)
        self._pool.shutdown(cancel_futures=True)
        self._pool, self.last_model = None, ""
        return True


def _begin(memory: int | None) -> None:
    """Prepare a worker: Ctrl-C is for who gives it work, without whom it has nothing to do."""
    import torch  # takes seconds, which are not the first job's

    torch.set_num_interop_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory is not None and not torch.cuda.is_available():  # whose driver maps far more
        bound_memory(memory)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, name="actlas-follow", daemon=True).start()


@contextlib.contextmanager
def _for_children(threads: int) -> Iterator[None]:
    """What a process that is spawned meanwhile inherits.

    Its numbers of threads, which count from the first import of numpy and torch; that it takes no
    heed of Ctrl-C; and no main module, which it would import, and so begin the audit again where a
    script does so without `if __name__ == "__main__"`.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    main = sys.modules["__main__"]
    first = threading.current_thread() is threading.main_thread()
    handler: Any = signal.signal(signal.SIGINT, signal.SIG_IGN) if first else None
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if first:
            signal.signal(signal.SIGINT, handler)


@final
class Cluster(Crew):
    """The workers of a Dask cluster, of which every process is a slot."""

    def __init__(self, address: str, workers: int, threads: int):
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise InputError("--scheduler needs Dask; pip install 'actlas[distributed]'") from error
        self._own: Any = None
        if address == "local":
            with _for_children(threads):
                self._own = LocalCluster(
                    n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None
                )
        try:
            self._client: Any = Client(self._own or address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler at {address} ({type(error).__name__}); start one with `dask "
                f"scheduler`, and workers with `dask worker {address} --nworkers 2 --nthreads 1`"
            ) from error
        self._known: dict[str, _Remote] = {}

    def slots(self) -> Sequence[Slot]:
        """Return one a worker that there is now."""
        there = self._client.nthreads()
        for address in there.keys() - self._known.keys():
            self._known[address] = _Remote(self._client, address)
        for address in self._known.keys() - there.keys():
            self._known.pop(address).vanish()
        return [self._known[address] for address in sorted(self._known)]

    def close(self) -> bool:
        """Leave the cluster; what its workers have begun they end, and record."""
        for slot in self._known.values():
            slot.rest()
        self._client.close()
        if self._own is not None:
            self._own.close()
        return self._own is not None


@final
class _Remote(Slot):
    """One process of a Dask cluster; its threads would share generators and memory."""

    def __init__(self, client: Any, address: str):
        self._client, self._address = client, address
        self.host = address.rpartition("//")[2].rpartition(":")[0] or socket.gethostname()
        self._executor = client.get_executor(workers=[address], pure=False, retries=0)
        self._current: Future[Outcome] | None = None

    def submit(self, task: Task) -> "Future[Outcome]":
        self._current = self._executor.submit(do, task)
        return self._current

    def kill(self) -> bool:
        self.last_model = ""
        try:
            said = self._client.restart_workers([self._address], raise_for_error=False)
        except KeyError:  # it is no more
            return True
        return bool(said.get(self._address) == "OK")

    def rest(self) -> None:
        """Let the worker forget what it keeps, if it has nothing to do."""
        if self._current is not None and self._current.done():
            self._executor.submit(forget)

    def vanish(self) -> None:
        """Give up what was to be done by a worker that is no more."""
        if self._current is not None:
            self._current.cancel()
