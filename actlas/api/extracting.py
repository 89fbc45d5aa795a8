"""Extracting: compute in this thread, write in another, both at once."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..core import (
    Dataset,
    Estimate,
    ExtractOptions,
    Extractor,
    InputError,
    LoadedModel,
    ProofError,
    Site,
    StoreError,
    Window,
    count,
    human_bytes,
    prove,
)
from ..storage import (
    Activation,
    Database,
    Extraction,
    Packed,
    Part,
    Place,
    Shard,
    add_dataset,
    add_model,
    begin_extraction,
    claim,
    extraction_key,
    finish_shard,
    forget_empty,
    held,
    missing_parts,
    options_json,
    owner_name,
    pack_window,
    patiently,
    record_proofs,
    reread,
    shards_of,
    smaller_extraction,
    write_window,
)
from ..storage import Dataset as StoredDataset
from .environment import versions
from .progress import bar
from .tops import Tops

SPARE_BYTES = 64 << 20
WAIT_SECONDS = 0.5


@final
class BackgroundWriter:
    """Writes windows in the order given; an error in it is raised at the next call."""

    def __init__(self, write: Callable[[Window], None]):
        self._write = write
        self._queue: queue.Queue[Window | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="actlas-writer")

    def __enter__(self) -> "BackgroundWriter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def put(self, window: Window) -> None:
        """Hand over a window; waits while the one before the last is still being written."""
        self._raise()
        self._queue.put(window)

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        failed = False
        while (window := self._queue.get()) is not None:
            if failed:
                continue  # keep taking, so that the other side never waits for ever
            try:
                self._write(window)
            except BaseException as error:
                self._error, failed = error, True


@final
class DirectWriter:
    """Writes windows as they come: where the model takes every core, nothing is hidden."""

    def __init__(self, write: Callable[[Window], None]):
        self.put = write

    def __enter__(self) -> "DirectWriter":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Work:
    """An extraction as asked for, and what of one shard of it is still to do."""

    extraction: Extraction
    shard: Shard | None
    sites: list[Activation]
    todo: list[Part]
    estimate: Estimate | None


@dataclass(frozen=True)
class Request:
    """What is asked for; shard is (number from 1, of how many)."""

    model: LoadedModel
    texts: Dataset
    sites: list[Site]
    options: ExtractOptions
    shard: tuple[int, int] | None = None
    progress: bool = False
    on_plan: Callable[[Work], None] | None = None
    on_wait: Callable[[str], None] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the sites."""
        return [site.name for site in self.sites]


def extract(database: Database, request: Request) -> Extraction:
    """Do what of an extraction is missing and return its record."""
    _check_shard(request)
    extraction, activations = _begin(database, request)
    shards = _wanted(database, extraction, request)
    if not _missing(database, extraction, shards, request.names):
        if request.on_plan:
            request.on_plan(Work(extraction, None, activations, [], None))
        return extraction
    owner, told = owner_name(), request.on_wait is None
    while missing := _missing(
        database, extraction, _wanted(database, extraction, request), request.names
    ):
        for shard in missing:
            busy = claim(database, extraction.id, shard.shard, owner)
            if busy is None:
                try:
                    _extract_shard(database, Place(extraction, shard.shard, owner), request)
                except ProofError:
                    forget_empty(database, extraction)
                    raise
                break
        else:  # others are at work on all that is missing
            if request.on_wait and busy and not told:
                request.on_wait(busy)
                told = True
            time.sleep(WAIT_SECONDS)
    return extraction


def _check_shard(request: Request) -> None:
    if request.shard is None:
        return
    part, shards = request.shard
    if not 1 <= part <= shards:
        raise InputError(f"no shard {part}/{shards}; use K/N with K from 1 to N, as in 3/16")


def _wanted(database: Database, extraction: Extraction, request: Request) -> list[Shard]:
    shards = list(shards_of(database, extraction.id))
    if request.shard is None:
        return shards
    if len(shards) != request.shard[1]:
        raise InputError(
            f"extraction {extraction.id} has meanwhile been cut into {count(len(shards), 'shard')}"
        )
    return [shards[request.shard[0] - 1]]


def _missing(
    database: Database, extraction: Extraction, shards: list[Shard], sites: list[str]
) -> list[Shard]:
    return [s for s in shards if missing_parts(database, extraction.id, s.shard, sites)]


def _begin(database: Database, request: Request) -> tuple[Extraction, list[Activation]]:
    network, options = request.model, request.options
    model, data = add_model(database, network), add_dataset(database, request.texts)
    stack = request.sites[0].stack

    def key(dataset: StoredDataset) -> str:
        return extraction_key(model, dataset, options, network.dtype, stack)

    wanted = Extraction(
        key=key(data),
        model_id=model.id,
        dataset_id=data.id,
        pooling=options.pooling,
        dtype=options.dtype,
        options=options_json(options, {"compute_dtype": network.dtype, "stack": stack}),
        versions=versions("torch", "transformers", "tokenizers"),
        device=network.device,
        seconds=0.0,
    )
    return begin_extraction(
        database,
        wanted,
        request.sites,
        list(network.sites),
        samples=len(request.texts),
        shards=request.shard and request.shard[1],
        smaller=lambda session: smaller_extraction(session, data, request.texts.prefix_digest, key),
    )


def _extract_shard(database: Database, place: Place, request: Request) -> None:
    """Extract what one shard lacks, its claim held."""
    extraction = place.extraction
    with held(database, extraction.id, place.shard, place.owner):
        while todo := missing_parts(database, extraction.id, place.shard, request.names):
            shard = shards_of(database, extraction.id)[place.shard]
            wanted = {a.site for a, _ in todo}
            chosen = [site for site in request.sites if site.name in wanted]
            width = sum(site.width for site in request.sites)
            extractor = Extractor(request.model, request.texts, chosen, request.options, width)
            estimate = extractor.estimate(timed=request.on_plan is not None)
            first = min(part.samples_done for _, part in todo)
            _check_space(database, estimate, len(request.texts), first, shard.stop_sample)
            if request.on_plan:
                parts = [part for _, part in todo]
                request.on_plan(Work(extraction, shard, [a for a, _ in todo], parts, estimate))
            _write_all(database, place, shard, extractor, todo, request.progress)


def _check_space(
    database: Database, estimate: Estimate, samples: int, first: int, stop: int
) -> None:
    share = (stop - first) / samples
    needed = (estimate.bytes * 1.02 + estimate.rows * 100) * share
    free = database.backend.free_bytes()
    if free is not None and free < needed + SPARE_BYTES:
        raise StoreError(
            f"the disk is too small: {human_bytes(needed)} to write, {human_bytes(free)} free at "
            f"{database.backend.name}; free space, choose fewer --sites, or --pooling mean"
        )


def _write_all(
    database: Database,
    place: Place,
    shard: Shard,
    extractor: Extractor,
    todo: list[tuple[Activation, Part]],
    progress: bool,
) -> None:
    """Run the windows that are missing and write them; then the indexes."""
    clock = time.perf_counter()
    tops = Tops(database, todo)
    first = min(part.samples_done for _, part in todo)
    proven: dict[int, dict[str, list[Packed]]] = {}  # packed for it already, by first sample
    holds = False

    def write(window: Window) -> None:
        nonlocal clock
        now = time.perf_counter()
        packed = proven.pop(window.first_sample, None)
        packed = packed or pack_window(window, place.extraction.dtype)
        patiently(lambda: write_window(database, place, window, packed, now - clock))
        clock = now
        tops.update(window, packed)

    title = f"extracting {count(len(extractor.sites), 'site')}"
    samples = shard.stop_sample - shard.first_sample
    direct = extractor.model.device == "cpu"
    with (
        bar(title, samples, "rows", done=first - shard.first_sample, shown=progress) as advance,
        (DirectWriter if direct else BackgroundWriter)(write) as writer,
    ):
        # Windows end where the rows, or a site, begin to be missing: widths may have differed.
        met = {shard.samples_done, shard.stop_sample, *(part.samples_done for _, part in todo)}
        for start, stop in pairwise([first, *sorted(m for m in met if m > first)]):
            for window in extractor.windows(start, stop, advance, reuse=direct):
                if not holds and window.witnesses:
                    proven[window.first_sample] = _prove(database, place, extractor, window)
                    holds = True
                writer.put(window)
    indexes = tops.packed(shard.stop_sample)
    patiently(lambda: finish_shard(database, place, indexes))


def _prove(
    database: Database, place: Place, extractor: Extractor, window: Window
) -> dict[str, list[Packed]]:
    """Pack a window, and compare what it will be read back as with the model's own output.

    Raises ProofError before any of its rows is written; records the differences.
    """
    import torch

    packed = pack_window(window, place.extraction.dtype)

    def stored(site: str, rows: NDArray[np.int64]) -> tuple[torch.Tensor, float, bool]:
        found, step, halves = reread(packed[site], window.data[site].shape[1], rows)
        return torch.from_numpy(found), step, halves

    record_proofs(database, place.extraction, prove(extractor, window, stored))
    return packed
