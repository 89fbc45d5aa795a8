"""The keys of an audit file: name, kind and meaning, from which it is read and documented."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core import POOLINGS, STORAGE_DTYPES

SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B\s*")
TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*")
SECONDS = {"s": 1, "min": 60, "h": 3600}
POWER = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True)
class Kind:
    """What a value may be; read: returns it, or raises ValueError or TypeError."""

    said: str
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class Key:
    """A key of a table of the file."""

    name: str
    kind: Kind
    text: str
    required: bool = False
    choices: tuple[str, ...] = ()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _word(value: Any) -> str:
    if re.search(r"\s", _text(value)):
        raise ValueError
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    found = tuple(map(_text, [value] if isinstance(value, str) else _filled(value)))
    if len(set(found)) < len(found):
        raise ValueError
    return found


def _sites(value: Any) -> tuple[str, ...]:
    patterns = (pattern.strip() for text in _texts(value) for pattern in text.split(","))
    return _texts(list(patterns))


def _columns(value: Any) -> tuple[str, ...]:
    return () if value == [] else _texts(value)


def _filled(value: Any) -> Sequence[Any]:
    if not isinstance(value, list) or not value:
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _some(value: Any) -> int:
    if _whole(value) < 1:
        raise ValueError
    return int(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _bytes(value: Any) -> int:
    if type(value) is int and value > 0:
        return value
    found = SIZE.fullmatch(_text(value))
    if found is None or not float(found[1]):
        raise ValueError
    return int(float(found[1]) * (1024 if found[3] else 1000) ** POWER[found[2]])


def _seconds(value: Any) -> float:
    if type(value) in (int, float) and value > 0:
        return float(value)
    found = TIME.fullmatch(_text(value))
    if found is None or not float(found[1]):
        raise ValueError
    return float(found[1]) * SECONDS[found[2]]


TEXT = Kind("a text", _text)
WORD = Kind("a text without blanks", _word)
TEXTS = Kind("a text, or a list of different texts", _texts)
SITES = Kind("a text, or a list of different texts", _sites)
COLUMNS = Kind("a text, or a list of different texts (may be empty)", _columns)
WHOLE = Kind("a whole number", _whole)
SOME = Kind("a whole number from 1", _some)
TRUTH = Kind("true or false", _truth)
TABLE = Kind("a table: {name = value}", _table)
SIZES = Kind('a size: "8 GB", "500 MiB", or a number of bytes', _bytes)
TIMES = Kind('a time: "30 s", "10 min", "2 h", or a number of seconds', _seconds)

_MODELS = Key("models", TEXTS, "which models, by name or glob (default: all)")
_DATASETS = Key("datasets", TEXTS, "which data sets, by name or glob (default: all)")

AUDIT = (
    Key("name", WORD, "what the audit is called in the store", required=True),
    Key("plugins", TEXTS, "Python files with more analyses and loaders"),
)
MODELS = (
    Key("spec", TEXT, "the model, as in `actlas extract`: hf:NAME, a folder, actlas:demo",
        required=True),
    Key("name", WORD, "what it is called here (default: the spec, or its folder)"),
    Key("tags", TABLE, "what is known of it: {family, size, step, seed, …}"),
    Key("quality", TABLE, "how good it is: {accuracy = 0.91}; tags that are numbers"),
    Key("trust_remote_code", TRUTH, "run Python code that comes with the checkpoint"),
)  # fmt: skip
DATASETS = (
    Key("path", TEXT, "the data set, as in `actlas extract`: a file, a folder, hf:NAME",
        required=True),
    Key("name", WORD, "what it is called here (default: the file's name without its ending)"),
    Key("labels", COLUMNS, "columns to take as label sets (default: all)"),
    Key("text", TEXT, "column of the texts"),
    Key("media", TEXT, "column of image or audio files"),
    Key("target", TEXT, "column that names one word of each text"),
    Key("decoder_text", TEXT, "column of the texts a decoder reads"),
    Key("name_labels", TEXT, "labels in file names: '{digit}_{speaker}_{take}'"),
    Key("split", TEXT, "split of a hub data set"),
    Key("limit", SOME, "take only the first samples"),
    Key("skip_bad", TRUTH, "leave out unreadable records and files, and empty texts"),
)  # fmt: skip
EXTRACT = (
    Key("sites", SITES, "sites, as in `actlas extract` (default: residual)"),
    Key("pooling", TEXTS, "what a row stands for; of a list each (default: mean)",
        choices=POOLINGS),
    Key("dtype", TEXT, "how numbers are stored (default: float16)", choices=(*STORAGE_DTYPES,)),
    Key("max_length", SOME, "tokens after which a text is cut"),
    Key("on_long", TEXT, "what to do with longer texts", choices=("truncate", "error")),
    Key("batch_tokens", SOME, "padded tokens in one forward pass (default: 2048)"),
    _MODELS,
    _DATASETS,
)  # fmt: skip
ANALYSES = (
    Key("name", TEXT, "the analysis; its parameters are further keys, a list makes a grid",
        required=True),
    Key("sites", SITES, "sites to read (default: those extracted)"),
    Key("labels", TEXTS, "label set; a list makes a grid (several at once: \"a,b\")"),
    Key("groups", TEXT, "label set whose equal values stay together in splits"),
    Key("other", SITES, "further sites of the same extraction"),
    Key("data", TEXT, "folder of the images or recordings"),
    Key("nonfinite", TEXT, "rows with NaN or infinity (default: error)",
        choices=("error", "drop", "keep")),
    Key("seed", WHOLE, "random seed (default: 0)"),
    Key("of", TEXT, "what it builds on, where that may be any analysis of this file"),
    Key("poolings", TEXTS, "of which extractions (default: all)", choices=POOLINGS),
    _MODELS,
    _DATASETS,
)  # fmt: skip
COMPARE = (
    *(key for key in ANALYSES if key.name != "other"),
    Key("other_sites", SITES, "sites of the other models (default: sites)"),
)
LIMITS = (
    Key("workers", SOME, "jobs at a time (default: as many as cores and memory allow)"),
    Key("threads", SOME, "threads of each (default: 1)"),
    Key("memory", SIZES, "of all jobs together (default: what is free)"),
    Key("device", TEXT, "auto, cpu, cuda, … (default: auto)"),
    Key("compute_dtype", TEXT, "dtype of the forward pass (default: float32)",
        choices=("float32", "bfloat16", "float16", "auto")),
    Key("timeout", TIMES, "of one job (default: none)"),
    Key("attempts", SOME, "how often a job is begun that died or may pass (default: 3)"),
)  # fmt: skip
# In the order of a file.
ONE = {"audit": AUDIT, "limits": LIMITS}
SEVERAL = {
    "models": MODELS, "datasets": DATASETS, "extract": EXTRACT, "analyses": ANALYSES,
    "compare": COMPARE,
}  # fmt: skip
