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
    open as open,
)
from .api import (
    run as run,
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
    CorruptError as CorruptError,
)
from .core import (
    Dataset as Dataset,
)
from .core import (
    DatasetError as DatasetError,
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
    Layers as Layers,
)
from .core import (
    LoadedModel as LoadedModel,
)
from .core import (
    ModelError as ModelError,
)
from .core import (
    NonFiniteError as NonFiniteError,
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
    SchemaError as SchemaError,
)
from .core import (
    SiteError as SiteError,
)
from .core import (
    StoreError as StoreError,
)
from .core import (
    Weights as Weights,
)
from .core import (
    load_model as load_model,
)
from .core import (
    read_dataset as read_dataset,
)
from .registry import (
    Analysis as Analysis,
)
from .registry import (
    analysis as analysis,
)

__version__: str
