"""Forward passes, two at once where a CPU is the better used for it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, final

from .heap import Heap
from .models import LoadedModel

T = TypeVar("T")
GROWING_ROPE = ("dynamic", "longrope")  # rewrite their frequencies within a forward pass


def passes_at_once(model: LoadedModel) -> int:
    """How many forward passes of a model run side by side: 2 on a CPU of several cores.

    Each has half the threads, so that fewer wait for each other at the end of every small
    operation: 7 to 9 % less time on two cores. Not where passes may share a state: networks
    that are not of transformers itself, offloaded weights, frequencies that grow.
    """
    import torch

    network = type(model.module).__module__.startswith("transformers.models.")
    rope: Any = getattr(model.config, "rope_parameters", None) or {}
    grows = any(kind in str(rope) for kind in GROWING_ROPE)
    alone = hasattr(model.module, "hf_device_map") or grows or not network
    return 1 if model.device != "cpu" or alone or torch.get_num_threads() < 2 else 2


@final
class Passes:
    """Runs forward passes; as a context it holds the threads they run in."""

    def __init__(self, model: LoadedModel):
        self.heap = Heap()
        self._at_once = passes_at_once(model)
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Passes":
        import torch

        if self._at_once > 1:
            every = torch.get_num_threads()
            self._threads = ThreadPoolExecutor(
                self._at_once, "actlas-pass", _take, (every // self._at_once,)
            )
            list(self._threads.map(_nothing, range(self._at_once)))
            torch.set_num_threads(every)  # what threads begin with that come later
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self._threads.shutdown(cancel_futures=True)

    def map(self, run: Callable[[T], None], batches: Sequence[T]) -> Iterator[T]:
        """Run every batch, and yield it when it and those before it are done."""
        ran = (self._threads.map if self._threads else map)(run, batches)
        for batch, _ in zip(batches, ran, strict=True):
            yield batch


def _take(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.get_num_threads()  # torch takes a thread's number when it first asks


def _nothing(_: int) -> None:
    """Make a thread start."""
