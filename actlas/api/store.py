"""The store as users hold it: extract, run, look up, query."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, final

import numpy as np

from ..core import Dataset, ExtractOptions, InputError, LoadedModel, check_fit, read_dataset
from ..registry import Analysis, registry
from ..storage import Database, Extraction, Run, newest_extraction
from . import comparing, exporting, extracting, importing, lookups, neighbours, running
from .handles import StoredExtraction, StoredRun
from .loading import load_model
from .rowtables import rows_beside

DEFAULT_STORE = "sqlite:///actlas.db"


def store_url(url: str | None = None) -> str:
    """Return the store asked for, else ACTLAS_STORE, else sqlite:///actlas.db.

    A bare file name stands for a SQLite store in that file.
    """
    chosen = url or os.environ.get("ACTLAS_STORE") or DEFAULT_STORE
    return chosen if "://" in chosen else f"sqlite:///{Path(chosen).expanduser()}"


@final
class Store:
    """An open store. Use it as a context manager, or close it when done."""

    def __init__(self, database: Database):
        self.database = database

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self.database.backend.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def extract(
        self,
        model: str | LoadedModel,
        dataset: str | Path | Dataset,
        sites: str | Sequence[str] = "residual",
        *,
        pooling: Literal["token", "word", "mean", "first", "last"] = "token",
        dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float16",
        max_length: int | None = None,
        on_long: Literal["truncate", "error"] = "truncate",
        batch_tokens: int = 2048,
        device: str = "auto",
        compute_dtype: str = "float32",
        trust_remote_code: bool = False,
        shard: tuple[int, int] | None = None,
        progress: bool = False,
        on_plan: Callable[[extracting.Work], None] | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> StoredExtraction:
        """Extract activations; what is there already is not computed again.

        model: a model spec (`hf:NAME-OR-PATH[@REVISION]`, `actlas:demo`) or a loaded model.
        dataset: what `read_dataset` takes, or a `Dataset`.
        sites: names, globs (`layers.*`), negative indices (`layers.-1`), `module:PATH`, or
            `residual` for the residual stream at every depth.
        pooling: what one row stands for: token, word, or one row a sample: mean, first, last.
        dtype: how numbers are stored.
        max_length: tokens after which a text is cut (default: the model's limit).
        on_long: cut longer texts (counted), or raise DatasetError.
        batch_tokens: padded tokens in one forward pass.
        shard: (number from 1, of how many): extract only that part of the samples; the parts
            join by themselves when the last is there.
        on_plan: called with what is to be done before it starts.
        on_wait: called with the name of the process that is at work on what is asked for.

        Raises ModelError, DatasetError, SiteError, StoreError. A run that is killed keeps
        what it has committed, and the same call goes on from there.
        """
        texts = dataset if isinstance(dataset, Dataset) else read_dataset(dataset)
        network = model
        if not isinstance(network, LoadedModel):
            network = load_model(
                network,
                device=device,
                compute_dtype=compute_dtype,
                trust_remote_code=trust_remote_code,
                modality=texts.modality,
            )
        check_fit(network, texts, pooling)
        request = extracting.Request(
            network,
            texts,
            network.select(sites if isinstance(sites, str) else list(sites), pooling),
            ExtractOptions(pooling, dtype, max_length, on_long, batch_tokens),
            shard,
            progress,
            on_plan,
            on_wait,
        )
        return self.extraction(extracting.extract(self.database, request).id)

    def run(
        self,
        analysis: str | Analysis,
        extraction: "int | str | StoredExtraction | None" = None,
        sites: str | Sequence[str] = "residual",
        *,
        runs: comparing.RunChoice = (),
        labels: str | Sequence[str] | None = None,
        groups: str | None = None,
        other: str | Sequence[str] = (),
        base: int | str | Sequence[int | str] = (),
        seed: int = 0,
        nonfinite: running.Nonfinite = "error",
        device: str = "auto",
        force: bool = False,
        progress: bool = False,
        data: str | None = None,
        **parameters: Any,
    ) -> list[StoredRun]:
        """Run an analysis on an extraction (default: the newest) and store its results.

        One run a site for an analysis of one site; one in all for an analysis of layers.
        A run that is done already (same analysis, version, parameters and inputs) is
        returned, not computed, unless `force`.

        runs: of an analysis of `runs`, those it is over: their numbers, `3,5-9`, `all` (the newest
            at every site of every extraction), or a SELECT that gives numbers. It reads no site.
        labels: name of the label set that `labels` is, and that runs built on were made with; of
            an analysis of `factors` several, or their names parted by commas.
        groups: label set whose equal values belong together in splits (default: the sample).
        other: the second site, `SITE` or `EXTRACTION:SITE`; several for an analysis of `others`.
        base: runs to build on (default: at each site the newest of the analysis that is built on,
            all of the same labels: those named, else those of the first).
        nonfinite: refuse rows with NaN or infinity (error), drop them, or keep them.
        data: folder of the images or recordings, for an analysis of `samples`.
        parameters: the analysis's own.

        Raises InputError for a missing or wrong input or parameter; whatever an analysis
        raises is recorded with the failed run.
        """
        known = analysis if isinstance(analysis, Analysis) else registry().get(analysis)
        if any(p.name == "seed" for p in known.parameters):
            parameters.setdefault("seed", seed)
        over = self._over(known, extraction, runs)
        chosen = over[0].extraction_id if over else extraction
        request = running.Request(
            known,
            chosen if isinstance(chosen, StoredExtraction) else self.extraction(chosen),
            known.settings(parameters),
            sites,
            labels if labels is None or isinstance(labels, str) else ",".join(labels),
            groups,
            [other] if isinstance(other, str) else list(other),
            [base] if isinstance(base, int | str) else list(base),
            int(parameters.get("seed", seed)),
            nonfinite,
            device,
            force,
            data,
            over,
        )
        return running.run(self.database, request, progress=progress)

    def _over(
        self,
        known: Analysis,
        extraction: "int | str | StoredExtraction | None",
        runs: comparing.RunChoice,
    ) -> list[Run]:
        """The runs that an analysis of `runs` is over; of another none."""
        if "runs" not in known.needs:
            if runs != ():
                raise InputError(f"{known.name} is not over runs; leave --runs out")
            return []
        if extraction is not None:
            raise InputError(f"{known.name} is over runs, not an extraction; name them with --runs")
        return comparing.chosen_runs(self.database, known, runs)

    def top(
        self,
        site: str,
        unit: int | Sequence[int],
        k: int | None = None,
        *,
        extraction: "int | str | StoredExtraction | None" = None,
        end: Literal["high", "low"] = "high",
        threshold: float | None = None,
        directions: Any = None,
    ) -> lookups.Found:
        """Find the rows with the highest (or lowest) values of one unit or several.

        The answer is exact on the stored values, equal ones in the order of their rows. It
        comes from the site's index (64 rows at each end) without a scan, and from a scan
        where more is asked for or there is no index; `.source` says which.

        k: how many rows a unit (default 20; with a threshold, all that reach it).
        threshold: only values of at least (with end="low": at most) this.
        directions: an array (directions, width): a row's value is its dot product with
            direction `unit`, in float64; always a scan.

        NaN is passed over, and so is −∞ among the highest and +∞ among the lowest. Raises
        InputError for a unit that is not there or a site that is not complete, SiteError for
        an unknown site.
        """
        return lookups.top(
            self.database, site, unit, k, extraction=_number(extraction), end=end,
            threshold=threshold,
            directions=None if directions is None else np.atleast_2d(np.asarray(directions)),
        )  # fmt: skip

    def near(
        self,
        row: Any = None,
        site: str = "layers.-1",
        k: int = 10,
        metric: Literal["cosine", "euclidean"] = "cosine",
        *,
        rows: Sequence[int] | None = None,
        extraction: "int | str | StoredExtraction | None" = None,
        other: str | None = None,
        keep_self: bool = False,
        other_samples: bool = False,
    ) -> lookups.Found:
        """Find the rows nearest to a row, or to a vector; exact, in bounded memory.

        row: a row's number, or a vector (width,), or several vectors (queries, width).
        rows: several rows' numbers, instead.
        metric: by falling cosine similarity, or by rising Euclidean distance, in float64;
            equal ones in the order of their rows.
        other: look in this site instead: `SITE` or `EXTRACTION:SITE`.
        keep_self: do not leave out the row itself.
        other_samples: leave out all rows of its sample.

        Rows with NaN or infinity, and under cosine zero rows, are left out; `.notes` counts
        them. Raises InputError where the query is such a row, is not there, or has another
        width.
        """
        number = isinstance(row, int | np.integer)
        wanted = neighbours.Wanted(
            [int(row)] if number else rows or (), None if number else row, k, metric,
            keep_self, other_samples,
        )  # fmt: skip
        return neighbours.near(
            self.database, wanted, site, extraction=_number(extraction), other=other
        )

    def export(
        self,
        extraction: "int | str | StoredExtraction | None",
        path: str | Path,
        format: Literal["npz", "safetensors", "parquet", "zarr", "anndata", "hf"] | None = None,
        sites: str | Sequence[str] = "residual",
        *,
        labels: Sequence[str] | None = None,
        dtype: Literal["float32", "float16"] | None = None,
        texts: bool = False,
        force: bool = False,
        progress: bool = False,
    ) -> exporting.Exported:
        """Write sites of an extraction to a file of another tool's format, in bounded memory.

        format: default by the end of the name: .npz, .safetensors, .parquet, .zarr, .h5ad;
            `hf` is a folder that `datasets.load_from_disk` takes.
        labels: label sets that go along, a column each (default: all that these rows have).
        dtype: of the numbers (default: as stored; bfloat16 and int8 as float32).
        texts: also the text of each sample.

        Provenance of the rows goes along (for safetensors in NAME.rows.jsonl), and what the
        activations are. The file is there only when it is whole; InputError where it is there
        already, unless `force`.
        """
        opened = extraction
        if not isinstance(opened, StoredExtraction):
            opened = self.extraction(opened)
        request = exporting.ExportRequest(
            Path(path), format, sites, labels, dtype, texts, force, progress
        )
        return exporting.export(opened, request)

    def import_matrix(
        self,
        path: str | Path,
        sites: str | Sequence[str] = (),
        *,
        rows: str | Path | None = None,
        labels: Sequence[str] | None = None,
        dtype: Literal["float32", "float16", "bfloat16", "int8"] | None = None,
        model_name: str | None = None,
        dataset_name: str | None = None,
        progress: bool = False,
        on_note: Callable[[str], None] | None = None,
    ) -> StoredExtraction:
        """Import activations that another tool made, as an extraction like any other.

        path: a file .npy, .npz, .safetensors or .h5/.hdf5 (NeuroX's layout included), of
            matrices (rows, width).
        sites: `SITE` for the only array, or `SITE=ARRAY`, … (default: every array, under its
            own name).
        rows: a table (.csv, .tsv, .jsonl, .parquet) with one line a row: sample, position,
            token, token_id, start, end, special, text; all other columns are label sets.
            Without one each row is a sample of its own (an npz of `export` brings its own).
        labels: which columns to take as label sets (default: all others).
        dtype: how numbers are stored (default: as in the file; other kinds as float32).
        on_note: called with each line that the user should know.

        The same content is imported once; an import that was killed goes on where it
        stopped. Raises InputError, DatasetError or LabelError for what does not fit.
        """
        request = importing.ImportRequest(
            Path(path),
            [sites] if isinstance(sites, str) else list(sites),
            rows_beside(Path(path)) if rows is None else Path(rows),
            labels, dtype, model_name, dataset_name, progress,
        )  # fmt: skip
        done = importing.import_matrix(self.database, request)
        if on_note:
            for note in done.notes:
                on_note(note)
        return StoredExtraction(self.database, done.record)

    def extraction(self, ident: int | str | None = None) -> StoredExtraction:
        """Open an extraction by its number, by default the newest that has a complete site."""
        if ident is None:
            ident = newest_extraction(self.database)
        if ident is None:
            raise InputError("the store has no extraction; make one with `actlas extract`")
        return StoredExtraction(self.database, self.database.find(Extraction, ident))

    def result(self, run: int | str) -> StoredRun:
        """Open a run by its number."""
        return StoredRun(self.database, self.database.find(Run, run))

    def records(self, noun: Literal["models", "datasets", "extractions", "runs"]) -> Sequence[Any]:
        """All records of a kind, oldest first."""
        return self.database.records(noun)

    def sql(self, query: str) -> Any:
        """Run one SELECT; a pandas DataFrame where pandas is installed, else a list of dicts.

        The database itself refuses anything that writes (ReadOnlyError).
        """
        names, rows = self.database.select(query)
        try:
            import pandas
        except ImportError:
            return [dict(zip(names, row, strict=True)) for row in rows]
        return pandas.DataFrame(rows, columns=names)


def _number(extraction: "int | str | StoredExtraction | None") -> int | str | None:
    return extraction.id if isinstance(extraction, StoredExtraction) else extraction


def open(url: str | None = None, *, create: bool = True) -> Store:
    """Open a store (default: ACTLAS_STORE, else sqlite:///actlas.db), made where it is missing.

    Raises StoreError where it cannot be opened, SchemaError where it is older or newer.
    """
    return Store(Database.open(store_url(url), create=create))


def upgrade(url: str | None = None) -> dict[str, str]:
    """Bring a store to this actlas's schema and say where it stands."""
    chosen = store_url(url)
    return {"store": chosen, "schema": Database.upgrade_at(chosen)}


def extract(
    model: str | LoadedModel, dataset: str | Path | Dataset, **options: Any
) -> StoredExtraction:
    """Extract into the default store; see `Store.extract`."""
    return open().extract(model, dataset, **options)


def run(analysis: str | Analysis, **options: Any) -> list[StoredRun]:
    """Run on the newest extraction of the default store; see `Store.run`."""
    return open().run(analysis, **options)


def get(name: str) -> Analysis:
    """Return an analysis by name, importing only it; PluginError where there is none."""
    return registry().get(name)
