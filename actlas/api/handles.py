"""What a store gives out: extractions and runs, opened for reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

from ..core import (
    Activations,
    Figures,
    InputError,
    LabelError,
    Labels,
    LabelSet,
    Layers,
    PluginError,
    Result,
    Rows,
    count,
    labels_for,
)
from ..registry import Analysis, registry
from ..storage import (
    Activation,
    Database,
    Extraction,
    Run,
    activation_records,
    has_targets,
    label_sets,
    read_activations,
    read_labels,
    read_result,
    read_rows,
    read_texts,
)


@final
@dataclass(frozen=True)
class StoredExtraction:
    """An extraction in a store: `.activations(site)`, `.layers()`, `.labels(name)`."""

    database: Database
    record: Extraction

    @property
    def id(self) -> int:
        """Number in the store."""
        return self.record.id

    @property
    def sites(self) -> Sequence[Activation]:
        """Records of the sites, in the order of the forward pass."""
        return activation_records(self.database, self.id)

    def activations(self, site: str) -> Activations:
        """Open the matrix at one site; SiteError where it is not stored."""
        layers = read_activations(self.database, self.record, site)
        if len(layers) != 1:
            raise InputError(f"{site!r} names {count(len(layers), 'site')}; use .layers({site!r})")
        return layers[0]

    def layers(self, sites: str | Sequence[str] = "residual") -> Layers:
        """Open several sites (names, globs, negative indices), by default all."""
        return read_activations(self.database, self.record, sites)

    @property
    def rows(self) -> Rows:
        """Provenance of every row."""
        return read_rows(self.database, self.id)

    @property
    def label_sets(self) -> dict[str, str]:
        """Names of the data set's label sets with their levels (sample or word)."""
        return label_sets(self.database, self.record.dataset_id)

    def labels(self, name: str, *, groups: str | None = None) -> Labels:
        """Align a label set to the rows; LabelError where there is none of that name."""
        grouping = None if groups is None else self.label_set(groups)
        return labels_for(self.label_set(name), self.rows, grouping)

    def label_set(self, name: str) -> LabelSet:
        """Read a label set; LabelError where there is none, or it labels words of other texts."""
        found = read_labels(self.database, self.record.dataset_id, name)
        decoded = self.record.options.get("stack") == "decoder"
        if found.level == "word" and decoded and has_targets(self.database, self.record.dataset_id):
            raise LabelError(
                f"label set {name!r} labels words of the texts, and these rows are tokens of the "
                f"decoder's own texts; choose labels per sample, or sites of the encoder"
            )
        return found

    def texts(self, samples: Sequence[int]) -> dict[int, str]:
        """Texts of some samples."""
        return read_texts(self.database, self.record.dataset_id, samples)

    @property
    def warnings(self) -> list[str]:
        """What the reader of these activations must know."""
        found = []
        for a in self.sites:
            if a.nonfinite:
                over = f", {a.overflow:,} of them overflow in {self.record.dtype}" * bool(
                    a.overflow
                )
                advice = "; extract with --dtype float32" * bool(a.overflow)
                found.append(f"{a.site}: {a.nonfinite:,} rows hold NaN or infinity{over}{advice}")
        if self.record.truncated:
            found.append(f"{count(self.record.truncated, 'text')} longer than the limit, truncated")
        return found


@final
@dataclass(frozen=True)
class StoredRun:
    """A run in a store: `.result` has its tables, arrays and figures."""

    database: Database
    record: Run
    reused: bool = False
    given: Analysis | None = None

    @property
    def id(self) -> int:
        """Number in the store."""
        return self.record.id

    @property
    def site(self) -> str | None:
        """The site it read, where it read one."""
        return self.record.site

    @cached_property
    def analysis(self) -> Analysis | None:
        """The analysis as it is installed now; None where its plugin is not."""
        known = registry()
        name = self.record.analysis
        if self.given is not None or name not in known.names:
            return self.given
        try:
            return known.get(name)
        except PluginError:
            return None

    @cached_property
    def result(self) -> Result:
        """Tables, arrays and figures, read back; StoreError where the run failed."""
        stored = read_result(self.database, self.record)
        warnings = tuple(self.record.warnings)
        if self.analysis is None:  # without its plugin a result has no figures
            return Result(stored.tables, stored.arrays, warnings, parameters=self.record.parameters)
        declared = [*self.analysis.tables, *stored.tables]
        tables = {name: stored.tables[name] for name in declared if name in stored.tables}
        figures = Figures(self.analysis.figures, tables)
        return Result(tables, stored.arrays, warnings, figures, self.record.parameters)
