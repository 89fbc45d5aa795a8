"""Extracting: compute in this thread, write in another, both at once."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ..core import (
    Dataset,
    Estimate,
    ExtractOptions,
    Extractor,
    LoadedModel,
    StoreError,
    Window,
    check_fit,
    count,
    human_bytes,
    read_dataset,
)
from ..storage import (
    Activation,
    Database,
    Extraction,
    add_dataset,
    add_model,
    begin_extraction,
    extraction_key,
    finish_extraction,
    options_json,
    write_window,
)
from .environment import versions
from .loading import load_model
from .progress import bar

SPARE_BYTES = 64 << 20


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


@dataclass(frozen=True)
class Work:
    """An extraction as asked for, and what of it is still to do."""

    extraction: Extraction
    sites: list[Activation]
    todo: list[Activation]
    estimate: Estimate | None


def extract(
    database: Database,
    model: str | LoadedModel,
    dataset: str | Path | Dataset,
    *,
    sites: str | list[str],
    options: ExtractOptions,
    progress: bool,
    on_plan: Callable[[Work], None] | None,
    loading: dict[str, Any],
) -> Extraction:
    """Do what of an extraction is missing and return its record."""
    texts = dataset if isinstance(dataset, Dataset) else read_dataset(dataset)
    network = (
        model
        if isinstance(model, LoadedModel)
        else load_model(model, modality=texts.modality, **loading)
    )
    check_fit(network, texts, options.pooling)
    chosen = network.select(sites, options.pooling)
    extraction, activations = _begin(database, network, texts, chosen, options)
    todo = [a for a in activations if not a.complete]
    if not todo and on_plan:
        on_plan(Work(extraction, activations, [], None))
    while todo:
        wanted = {a.site for a in todo}
        missing = [site for site in chosen if site.name in wanted]
        extractor = Extractor(network, texts, missing, options)
        estimate = extractor.estimate(timed=on_plan is not None)
        first = min(a.samples_done for a in todo)
        _check_space(database, estimate, len(texts), first)
        if on_plan:
            on_plan(Work(extraction, activations, todo, estimate))
        _write_all(database, extraction, extractor, first, progress)
        todo = finish_extraction(database, extraction, sorted(wanted), len(texts))
    return extraction


def _begin(
    database: Database,
    network: LoadedModel,
    texts: Dataset,
    chosen: list[Any],
    options: ExtractOptions,
) -> tuple[Extraction, list[Activation]]:
    model, data = add_model(database, network), add_dataset(database, texts)
    stack = chosen[0].stack
    wanted = Extraction(
        key=extraction_key(model, data, options, network.dtype, stack),
        model_id=model.id,
        dataset_id=data.id,
        pooling=options.pooling,
        dtype=options.dtype,
        options=options_json(options, {"compute_dtype": network.dtype, "stack": stack}),
        versions=versions("torch", "transformers", "tokenizers"),
        device=network.device,
        seconds=0.0,
    )
    return begin_extraction(database, wanted, chosen, list(network.sites))


def _check_space(database: Database, estimate: Estimate, samples: int, first: int) -> None:
    needed = estimate.bytes * (samples - first) / samples * 1.02 + estimate.rows * 100
    free = database.backend.free_bytes()
    if free is not None and free < needed + SPARE_BYTES:
        raise StoreError(
            f"the disk is too small: {human_bytes(needed)} to write, {human_bytes(free)} free at "
            f"{database.backend.name}; free space, choose fewer --sites, or --pooling mean"
        )


def _write_all(
    database: Database, extraction: Extraction, extractor: Extractor, first: int, progress: bool
) -> None:
    clock = time.perf_counter()

    def write(window: Window) -> None:
        nonlocal clock
        now = time.perf_counter()
        write_window(database, extraction, window, now - clock)
        clock = now

    title = f"extracting {count(len(extractor.sites), 'site')}"
    with (
        bar(title, len(extractor.dataset), "rows", done=first, shown=progress) as advance,
        BackgroundWriter(write) as writer,
    ):
        for window in extractor.windows(first, advance):
            writer.put(window)
