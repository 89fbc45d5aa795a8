"""What is known of data sets and models before anything is loaded: label sets, kinds, sizes."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, final

from ..core import InputError, digest, local_model, read_dataset
from ..storage import Database, dataset_facts
from .fingerprints import Fingerprints
from .spec import DataEntry


@dataclass(frozen=True)
class DataFacts:
    """A data set. label_sets: name → sample or word. fault: why it cannot be read.

    samples: None where nothing is known of it: it is on the hub, which is not asked.
    """

    samples: int | None = None
    modality: str = "text"
    label_sets: Mapping[str, str] = field(default_factory=dict)
    targets: bool = False
    fault: str | None = None


@dataclass(frozen=True)
class ModelFacts:
    """A model, by its files alone. reads: modalities it may read, empty where that is unknown.

    parameters: in its weights, None where they are not here. blocks, width: of its config.
    """

    reads: frozenset[str] = frozenset()
    parameters: int | None = None
    blocks: int | None = None
    width: int | None = None


@final
class Facts:
    """Looks at each data set and model once."""

    def __init__(self, database: Database | None, fingerprints: Fingerprints):
        self._fingerprints = fingerprints
        self._stored = dataset_facts(database) if database else {}
        self._data: dict[str, DataFacts] = {}
        self.model = cache(_model)

    def stamp(self, entry: DataEntry) -> str:
        """Return what the facts of a data set are known by: its files and how they are read."""
        return digest(self._fingerprints.data(entry.path), dict(entry.reading))

    def data(self, entry: DataEntry) -> DataFacts:
        """Return what is known of a data set: from the store, else it is read."""
        stamp = self.stamp(entry)
        if stamp not in self._data:
            known = self._stored.get(stamp)
            self._data[stamp] = DataFacts(*known) if known else _read(entry)
        return self._data[stamp]

    def stamped(self, stamp: str) -> DataFacts:
        """Return what is known of a data set that was asked for before."""
        return self._data[stamp]


def _read(entry: DataEntry) -> DataFacts:
    if entry.path.startswith("hf:") and not Path(entry.path.removeprefix("hf:")).exists():
        return DataFacts()
    try:
        found = read_dataset(entry.path, **entry.reading)
    except InputError as error:
        return DataFacts(fault=" ".join(str(error).split()))
    levels = {name: labels.level for name, labels in found.label_sets.items()}
    return DataFacts(len(found), found.modality, levels, found.targets is not None)


def _model(spec: str) -> ModelFacts:
    folder = local_model(spec)
    if folder is None or not folder.is_dir():
        return ModelFacts()
    config = _json(folder / "config.json")
    parts = (config.get(name) for name in ("text_config", "vision_config"))
    inner = next((part for part in parts if isinstance(part, dict)), {})
    both = {**inner, **config}
    return ModelFacts(
        _reads(folder, spec), _parameters(folder),
        _first(both, "num_hidden_layers", "n_layer", "num_layers", "encoder_layers", "n_layers"),
        _first(both, "hidden_size", "n_embd", "d_model", "dim"),
    )  # fmt: skip


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _reads(folder: Path, spec: str) -> frozenset[str]:
    """Say what a checkpoint may read by the processors that come with it."""
    mark = spec.rpartition("#")[2]
    if mark in ("text", "image", "audio"):
        return frozenset([mark])
    found = set()
    if any(folder.glob("tokenizer*.json")) or any(folder.glob("vocab*")):
        found.add("text")
    processor = _json(folder / "preprocessor_config.json")
    if "sampling_rate" in processor:
        found.add("audio")
    if processor.keys() & {"image_processor_type", "image_mean"}:
        found.add("image")
    return frozenset(found)


def _parameters(folder: Path) -> int | None:
    """Count the numbers in the weights by the headers of their files."""
    try:
        found = [sum(map(_size, header(file).items())) for file in folder.glob("*.safetensors")]
    except (OSError, ValueError, struct.error):
        return None
    return sum(found) or None


def _size(entry: tuple[str, Any]) -> int:
    name, described = entry
    return 0 if name == "__metadata__" else prod(described["shape"])


def header(file: Path) -> dict[str, Any]:
    """Read the header of a safetensors file: 8 bytes of length, then JSON."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        found: dict[str, Any] = json.loads(opened.read(length))
        return found
