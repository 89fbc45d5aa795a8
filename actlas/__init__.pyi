from .api import Store, StoredExtraction, StoredRun, extract, get, open, run
from .core import (
    Activations,
    ActlasError,
    AnalysisError,
    CorruptError,
    Dataset,
    DatasetError,
    InputError,
    Labels,
    LabelError,
    Layers,
    LoadedModel,
    ModelError,
    NonFiniteError,
    PluginError,
    ReadOnlyError,
    Result,
    ResultTable,
    Rows,
    SchemaError,
    SiteError,
    StoreError,
    Weights,
    load_model,
    read_dataset,
)
from .registry import Analysis, analysis

__version__: str
