"""Models in, activations out; what an analysis reads and returns. Imports nothing else of ours."""

from .activations import Activations, ArraySource, Layers, Source
from .datasets import Dataset, LabelSet, labels_for
from .devices import pick_device
from .errors import (
    ActlasError,
    AnalysisError,
    CorruptError,
    DatasetError,
    InputError,
    LabelError,
    ModelError,
    NonFiniteError,
    PluginError,
    ProofError,
    ReadOnlyError,
    SchemaError,
    SiteError,
    StoreError,
)
from .extraction import STORAGE_DTYPES, Estimate, ExtractOptions, Extractor, Window
from .generation import generate_targets
from .labels import Labels
from .models import LoadedModel, Weights, array_bytes, describe_sites, load_model
from .proof import Proof, check_sites, check_table, prove
from .readers import read_dataset
from .results import (
    Column,
    Figures,
    Result,
    ResultTable,
    TableSpec,
    checked_tables,
    column_array,
)
from .rows import MISSING, Row, Rows
from .sites import Site, select_sites
from .text import canonical_json, count, digest, human_bytes, human_seconds, listing, nearest
from .tokens import POOLINGS

__all__ = [
    "MISSING",
    "POOLINGS",
    "STORAGE_DTYPES",
    "Activations",
    "ActlasError",
    "AnalysisError",
    "ArraySource",
    "Column",
    "CorruptError",
    "Dataset",
    "DatasetError",
    "Estimate",
    "ExtractOptions",
    "Extractor",
    "Figures",
    "InputError",
    "LabelError",
    "LabelSet",
    "Labels",
    "Layers",
    "LoadedModel",
    "ModelError",
    "NonFiniteError",
    "PluginError",
    "Proof",
    "ProofError",
    "ReadOnlyError",
    "Result",
    "ResultTable",
    "Row",
    "Rows",
    "SchemaError",
    "Site",
    "SiteError",
    "Source",
    "StoreError",
    "TableSpec",
    "Weights",
    "Window",
    "array_bytes",
    "canonical_json",
    "check_sites",
    "check_table",
    "checked_tables",
    "column_array",
    "count",
    "describe_sites",
    "digest",
    "generate_targets",
    "human_bytes",
    "human_seconds",
    "labels_for",
    "listing",
    "load_model",
    "nearest",
    "pick_device",
    "prove",
    "read_dataset",
    "select_sites",
]
