from .api import (
    Store as Store,
)
from .api import (
    StoredExtraction as StoredExtraction,
)
from .api import (
    StoredRun as StoredRun,
)
from .api import (
    extract as extract,
)
from .api import (
    get as get,
)
from .api import (
    load_model as load_model,
)
from .api import (
    open as open,
)
from .api import (
    run as run,
)
from .auditing import (
    Audited as Audited,
)
from .auditing import (
    audit as audit,
)
from .auditing.report import (
    report as report,
)
from .core import (
    Activations as Activations,
)
from .core import (
    ActlasError as ActlasError,
)
from .core import (
    AnalysisError as AnalysisError,
)
from .core import (
    AudioFeed as AudioFeed,
)
from .core import (
    Batch as Batch,
)
from .core import (
    CorruptError as CorruptError,
)
from .core import (
    Dataset as Dataset,
)
from .core import (
    DatasetError as DatasetError,
)
from .core import (
    Encoded as Encoded,
)
from .core import (
    Factors as Factors,
)
from .core import (
    Feed as Feed,
)
from .core import (
    ImageFeed as ImageFeed,
)
from .core import (
    InputError as InputError,
)
from .core import (
    LabelError as LabelError,
)
from .core import (
    Labels as Labels,
)
from .core import (
    LackingError as LackingError,
)
from .core import (
    Layers as Layers,
)
from .core import (
    LoadedModel as LoadedModel,
)
from .core import (
    Media as Media,
)
from .core import (
    ModelError as ModelError,
)
from .core import (
    NonFiniteError as NonFiniteError,
)
from .core import (
    Other as Other,
)
from .core import (
    Others as Others,
)
from .core import (
    PluginError as PluginError,
)
from .core import (
    ProofError as ProofError,
)
from .core import (
    ReadOnlyError as ReadOnlyError,
)
from .core import (
    Result as Result,
)
from .core import (
    ResultTable as ResultTable,
)
from .core import (
    Rows as Rows,
)
from .core import (
    RunResult as RunResult,
)
from .core import (
    Runs as Runs,
)
from .core import (
    Samples as Samples,
)
from .core import (
    SchemaError as SchemaError,
)
from .core import (
    Site as Site,
)
from .core import (
    SiteError as SiteError,
)
from .core import (
    StoreError as StoreError,
)
from .core import (
    Tags as Tags,
)
from .core import (
    TextFeed as TextFeed,
)
from .core import (
    TorchFeed as TorchFeed,
)
from .core import (
    Weights as Weights,
)
from .core import (
    load_classifier as load_classifier,
)
from .core import (
    load_language_model as load_language_model,
)
from .core import (
    permute_groups as permute_groups,
)
from .core import (
    pick_device as pick_device,
)
from .core import (
    read_dataset as read_dataset,
)
from .core import (
    tell as tell,
)
from .core import (
    write_sounds as write_sounds,
)
from .registry import (
    Analysis as Analysis,
)
from .registry import (
    Loader as Loader,
)
from .registry import (
    analysis as analysis,
)
from .registry import (
    loader as loader,
)

__version__: str
