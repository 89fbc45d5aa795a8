"""Every error that actlas raises on purpose.

ActlasError
├── InputError            what was asked for does not fit what is there
│   ├── ModelError        a model that cannot be loaded, or is not what it says
│   ├── SiteError         a place in the model that does not exist or yields no matrix
│   ├── DatasetError      a data set that cannot be read
│   ├── ProofError        rows that are not what the model computes for the sample alone
│   ├── LackingError      an extraction without what an analysis reads
│   ├── LabelError        a label set that is missing or does not fit the rows
│   └── NonFiniteError    NaN or infinity where an analysis needs numbers
├── AnalysisError         an analysis that is wrong in itself: signature, tables, result
│   └── PluginError       a plugin that cannot be found or imported
└── StoreError            a store that cannot be opened, read or written
    ├── SchemaError       a store of another schema version
    ├── ReadOnlyError     a statement that writes where only reading is allowed
    ├── CorruptError      stored bytes that no longer match their checksum
    └── UnavailableError  a store that is locked or away, and may be back in a moment

The command line shows such an error as one line and exits with 1; anything else is a bug.
"""


class ActlasError(Exception):
    """Base of all errors raised on purpose; the message says what to type next."""


class InputError(ActlasError):
    """What was asked for does not fit what is there."""


class ModelError(InputError):
    """A model cannot be loaded, or is not what it says."""


class SiteError(InputError):
    """A site does not exist in the model, or yields no matrix."""


class DatasetError(InputError):
    """A data set cannot be read."""


class ProofError(InputError):
    """Rows are not what the model computes for the sample alone; nothing was stored."""


class LackingError(InputError):
    """An extraction lacks sites, or rows of a kind; the message is the command that stores them.

    said: what lacks. options: those of `actlas extract` that store it. A store knows itself and
    the data set, so it says the whole (`stored`).
    """

    def __init__(self, said: str, model: str, options: str, ending: str = ""):
        super().__init__(f"{said}: actlas extract {model} DATA {options}{ending}")
        self.said, self.model, self.options = said, model, options

    def stored(self, data: str, store: str) -> "LackingError":
        """Return the same of a data set in a store."""
        ending = f" --store '{store}', DATA being the file or name of {data}"
        return LackingError(self.said, self.model, self.options, ending)


class LabelError(InputError):
    """A label set is missing or does not fit the rows."""


class NonFiniteError(InputError):
    """NaN or infinity where an analysis needs numbers."""


class AnalysisError(ActlasError):
    """An analysis is wrong in itself: its signature, its tables or its result."""


class PluginError(AnalysisError):
    """A plugin cannot be found or imported."""


class StoreError(ActlasError):
    """A store cannot be opened, read or written."""


class SchemaError(StoreError):
    """The store has another schema version than this actlas."""


class ReadOnlyError(StoreError):
    """A statement writes where only reading is allowed."""


class CorruptError(StoreError):
    """Stored bytes no longer match their checksum."""


class UnavailableError(StoreError):
    """The store is locked or its server is away; it may be back in a moment."""
