"""Fingerprints: what jobs depend on outside the store, told by looks at files, none read whole."""

import os
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from ..core import digest, local_model, model_files, split_spec
from .spec import DataEntry, ModelEntry

Stat = list[Any]  # name, bytes, time of the last change in ns


@final
class Fingerprints:
    """Looks at each file once; equal digests mean that nothing has changed since."""

    def __init__(self, plugins: Iterable[str] = ()):
        self._plugins = [stat(Path(plugin)) for plugin in plugins]
        self.model = cache(self._model)
        self.data = cache(self._data)

    def _model(self, spec: str) -> str:
        folder = local_model(spec)
        if folder is None and split_spec(spec)[0] == "torch":
            folder = factory_file(split_spec(spec)[1])
        if folder is None:
            return digest("model", "nowhere", self._plugins)
        files = model_files(folder) or [folder] if folder.is_dir() else [folder]
        return digest("model", [stat(file) for file in files], self._plugins)

    def _data(self, path: str) -> str:
        if path.startswith("actlas:"):
            from .. import __version__

            return digest("data", path, __version__)
        found = Path(path.removeprefix("hf:"))
        if not found.exists():
            return digest("data", path)
        files = sorted(walk(found)) if found.is_dir() else [stat(found)]
        return digest("data", path, files)

    def files(self, names: str | None) -> list[Stat]:
        """Return the stats of files parted by commas."""
        return [stat(Path(name.strip())) for name in (names or "").split(",") if name.strip()]

    def extraction(self, model: ModelEntry, data: DataEntry) -> str:
        """Return the fingerprint of an extraction."""
        return digest(self.model(model.spec), self.data(data.path))

    def analysis(self, version: int, *more: Any) -> str:
        """Return the fingerprint of a run: version, plugin files, and what it is made of."""
        return digest(version, self._plugins, *more)


def stat(path: Path) -> Stat:
    """Return name, bytes and time of change of a file; of one that is not there the name."""
    try:
        found = path.stat()
    except OSError:
        return [path.name]
    return [path.name, found.st_size, found.st_mtime_ns]


def walk(folder: Path) -> Iterable[Stat]:
    """Yield the stats of all files below a folder, named from there."""
    for inner, _, names in os.walk(folder):
        for name in names:
            path = Path(inner, name)
            yield [str(path.relative_to(folder)), *stat(path)[1:]]


def factory_file(rest: str) -> Path | None:
    """Return the file of `package.module:factory`, where it is found without importing it."""
    module = rest.partition(":")[0]
    here = Path(*module.split(".")).with_suffix(".py")
    if here.is_file():
        return here
    try:
        found = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(found.origin) if found and found.origin else None
