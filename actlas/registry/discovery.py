"""Finding analyses: names are known before anything is imported; asking for one imports one."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ..core import PluginError, nearest
from .analysis import Analysis

GROUP = "actlas"
OWN = "actlas"


@dataclass(frozen=True)
class Plugin:
    """A named analysis and where it comes from; `error` says why it cannot be used."""

    name: str
    source: str
    analysis: Analysis | None = None
    error: str | None = None


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _wanted(entry: EntryPoint) -> bool:
    """ACTLAS_PLUGINS=a,b admits only those plugins or distributions; empty: only our own."""
    only = os.environ.get("ACTLAS_PLUGINS")
    if only is None or _owner(entry) == OWN:
        return True
    names = {name.strip() for name in only.split(",")}
    return entry.name in names or _owner(entry) in names


class Registry:
    """The analyses at hand: entry points of installed distributions, and files given by path."""

    def __init__(self, files: tuple[str | Path, ...] = ()):
        self._entries: dict[str, EntryPoint] = {}
        self._loaded: dict[str, Analysis] = {}
        self._broken: dict[str, str] = {}
        for entry in sorted(entry_points(group=GROUP), key=lambda e: (_owner(e) != OWN, e.name)):
            self._claim(entry)
        self._from_file: dict[str, str] = {}
        for file in files:
            self.add_file(file)

    def _claim(self, entry: EntryPoint) -> None:
        known = self._entries.get(entry.name)
        if known is None and _wanted(entry):
            self._entries[entry.name] = entry
        elif (
            known is not None
            and _wanted(entry)
            and (known.value, _owner(known)) != (entry.value, _owner(entry))
        ):
            self._broken[f"{entry.name} ({_owner(entry)})"] = (
                f"the name {entry.name!r} is taken by {_owner(known)}; {_owner(entry)} must rename"
            )

    def add_file(self, file: str | Path) -> None:
        """Import a Python file and take its analyses; PluginError names the file."""
        path = Path(file)
        if not path.is_file():
            raise PluginError(f"no plugin file {path}; --plugin takes a Python file")
        spec = importlib.util.spec_from_file_location(f"actlas_plugin_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} is no Python file; --plugin takes FILE.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # get_type_hints looks names up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise PluginError(f"plugin file {path} fails on import: {_said(error)}") from error
        found = [
            value
            for value in vars(module).values()
            if isinstance(value, Analysis) and value.function.__module__ == spec.name
        ]
        if not found:
            raise PluginError(f"plugin file {path} has no @analysis; decorate a function")
        for one in found:
            taken = self._from_file.get(one.name) or self._entry_owner(one.name)
            if taken and taken != str(path):
                raise PluginError(
                    f"analysis {one.name!r} of {path} is already given by {taken}; rename one"
                )
            self._loaded[one.name] = one
            self._from_file[one.name] = str(path)

    def _entry_owner(self, name: str) -> str | None:
        return _owner(self._entries[name]) if name in self._entries else None

    @property
    def names(self) -> list[str]:
        """Names of all analyses, nothing imported."""
        return sorted({*self._entries, *self._from_file})

    def get(self, name: str) -> Analysis:
        """Return an analysis, importing only it; PluginError where there is none or it fails."""
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._entries:
            raise PluginError(f"no analysis {name!r}; {nearest(name, self.names)}")
        entry = self._entries[name]
        try:
            loaded = entry.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {name!r} of {_owner(entry)} fails: {_said(error)}"
            ) from error
        if not isinstance(loaded, Analysis) or loaded.name != name:
            said = (
                f"the analysis {loaded.name!r}" if isinstance(loaded, Analysis) else "no analysis"
            )
            raise PluginError(
                f"entry point {name!r} of {_owner(entry)} gives {said}; it must agree"
            )
        self._loaded[name] = loaded
        return loaded

    def plugins(self) -> Iterator[Plugin]:
        """Yield every plugin, loaded, with the error of those that do not load."""
        for name in self.names:
            source = self._from_file.get(name) or self._entry_owner(name) or ""
            try:
                yield Plugin(name, source, self.get(name))
            except PluginError as error:
                yield Plugin(name, source, error=str(error))
        for name, error_text in self._broken.items():
            yield Plugin(name, "", error=error_text)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@cache
def registry(files: tuple[str, ...] = ()) -> Registry:
    """Return the registry of this process for some plugin files."""
    return Registry(files)
