"""Models in, activations out; what an analysis reads and returns. Imports nothing else of ours."""

from .activations import Activations, ArraySource, Layers, Source
from .datasets import Dataset
from .depths import relative_depth
from .devices import free_memory, out_of_memory, pick_device
from .errors import (
    ActlasError,
    AnalysisError,
    CorruptError,
    DatasetError,
    InputError,
    LabelError,
    LackingError,
    ModelError,
    NonFiniteError,
    PluginError,
    ProofError,
    ReadOnlyError,
    SchemaError,
    SiteError,
    StoreError,
    UnavailableError,
)
from .extraction import STORAGE_DTYPES, Estimate, ExtractOptions, Extractor, Window, check_fit
from .factors import Factors
from .feeds import AudioFeed, Batch, Encoded, Feed, ImageFeed, TextFeed, TorchFeed
from .generation import generate_targets
from .heads import load_classifier, load_language_model
from .label_sets import LabelSet, labels_for
from .labels import Labels
from .loading import SCHEMES, load_model, local_model, model_files, split_spec, unknown_scheme
from .media import Media
from .models import LoadedModel, array_bytes, describe_sites
from .others import Other, Others
from .permuting import permute_groups
from .proof import Proof, check_sites, check_table, prove
from .readers import SHIPPED, read_dataset
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
from .runs import RunResult, Runs, Tags, check_parameters
from .samples import Samples
from .selection import presets, select_sites
from .sites import Site
from .sounds import write_sounds
from .telling import listening, tell
from .text import canonical_json, count, digest, human_bytes, human_seconds, listing, nearest
from .tokens import POOLINGS
from .tops import TOP_K, TopKeeper
from .weights import Weights

__all__ = [
    "MISSING",
    "POOLINGS",
    "SCHEMES",
    "SHIPPED",
    "STORAGE_DTYPES",
    "TOP_K",
    "Activations",
    "ActlasError",
    "AnalysisError",
    "ArraySource",
    "AudioFeed",
    "Batch",
    "Column",
    "CorruptError",
    "Dataset",
    "DatasetError",
    "Encoded",
    "Estimate",
    "ExtractOptions",
    "Extractor",
    "Factors",
    "Feed",
    "Figures",
    "ImageFeed",
    "InputError",
    "LabelError",
    "LabelSet",
    "Labels",
    "LackingError",
    "Layers",
    "LoadedModel",
    "Media",
    "ModelError",
    "NonFiniteError",
    "Other",
    "Others",
    "PluginError",
    "Proof",
    "ProofError",
    "ReadOnlyError",
    "Result",
    "ResultTable",
    "Row",
    "Rows",
    "RunResult",
    "Runs",
    "Samples",
    "SchemaError",
    "Site",
    "SiteError",
    "Source",
    "StoreError",
    "TableSpec",
    "Tags",
    "TextFeed",
    "TopKeeper",
    "TorchFeed",
    "UnavailableError",
    "Weights",
    "Window",
    "array_bytes",
    "canonical_json",
    "check_fit",
    "check_parameters",
    "check_sites",
    "check_table",
    "checked_tables",
    "column_array",
    "count",
    "describe_sites",
    "digest",
    "free_memory",
    "generate_targets",
    "human_bytes",
    "human_seconds",
    "labels_for",
    "listening",
    "listing",
    "load_classifier",
    "load_language_model",
    "load_model",
    "local_model",
    "model_files",
    "nearest",
    "out_of_memory",
    "permute_groups",
    "pick_device",
    "presets",
    "prove",
    "read_dataset",
    "relative_depth",
    "select_sites",
    "split_spec",
    "tell",
    "unknown_scheme",
    "write_sounds",
]
