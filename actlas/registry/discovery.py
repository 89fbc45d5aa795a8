"""Finding plugins: names are known before anything is imported; asking for one imports one."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, TypeVar

from ..core import PluginError, nearest
from .analysis import Analysis
from .loading import Loader

GROUP = "actlas"
LOADERS = "actlas.loaders"
OWN = "actlas"
Offer = TypeVar("Offer", bound=Analysis | Loader)


@dataclass(frozen=True)
class Plugin:
    """A named analysis or loader and where it comes from; `error` says why it cannot be used."""

    name: str
    source: str
    analysis: Analysis | None = None
    error: str | None = None
    loader: Loader | None = None


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _wanted(entry: EntryPoint) -> bool:
    """ACTLAS_PLUGINS=a,b admits only those plugins or distributions; empty: only our own."""
    only = os.environ.get("ACTLAS_PLUGINS")
    if only is None or _owner(entry) == OWN:
        return True
    names = {name.strip() for name in only.split(",")}
    return entry.name in names or _owner(entry) in names


class _Offers(Generic[Offer]):
    """What plugins offer of one kind, by name: of entry points, and of files."""

    def __init__(self, kind: type[Offer], noun: str, group: str):
        self._kind, self._noun = kind, noun
        self._entries: dict[str, EntryPoint] = {}
        self._loaded: dict[str, Offer] = {}
        self._broken: dict[str, str] = {}
        self._from_file: dict[str, str] = {}
        for entry in sorted(entry_points(group=group), key=lambda e: (_owner(e) != OWN, e.name)):
            self._claim(entry)

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

    def take(self, one: Offer, path: Path) -> None:
        """Take what a file offers; PluginError where its name is taken."""
        taken = self._from_file.get(one.name) or self._entry_owner(one.name)
        if taken and taken != str(path):
            raise PluginError(
                f"{self._noun} {one.name!r} of {path} is already given by {taken}; rename one"
            )
        self._loaded[one.name] = one
        self._from_file[one.name] = str(path)

    def _entry_owner(self, name: str) -> str | None:
        return _owner(self._entries[name]) if name in self._entries else None

    @property
    def names(self) -> list[str]:
        return sorted({*self._entries, *self._from_file})

    def get(self, name: str) -> Offer:
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._entries:
            raise PluginError(f"no {self._noun} {name!r}; {nearest(name, self.names)}")
        entry = self._entries[name]
        try:
            loaded = entry.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {name!r} of {_owner(entry)} fails: {_said(error)}"
            ) from error
        if not isinstance(loaded, self._kind) or loaded.name != name:
            said = f"no {self._noun}"
            if isinstance(loaded, self._kind):
                said = f"the {self._noun} {loaded.name!r}"
            raise PluginError(
                f"entry point {name!r} of {_owner(entry)} gives {said}; it must agree"
            )
        self._loaded[name] = loaded
        return loaded

    def listed(self) -> Iterator[tuple[str, str, Offer | None, str | None]]:
        """Yield name, source, and what is offered or the error of what does not load."""
        for name in self.names:
            source = self._from_file.get(name) or self._entry_owner(name) or ""
            try:
                yield name, source, self.get(name), None
            except PluginError as error:
                yield name, source, None, str(error)
        for name, error_text in self._broken.items():
            yield name, "", None, error_text


class Registry:
    """Analyses and loaders at hand: entry points of installed distributions, and files by path."""

    def __init__(self, files: tuple[str | Path, ...] = ()):
        self._analyses = _Offers(Analysis, "analysis", GROUP)
        self._loaders = _Offers(Loader, "loader", LOADERS)
        for file in files:
            self.add_file(file)

    def add_file(self, file: str | Path) -> None:
        """Import a Python file and take its analyses and loaders; PluginError names the file."""
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
            if isinstance(value, Analysis | Loader) and value.function.__module__ == spec.name
        ]
        if not found:
            raise PluginError(
                f"plugin file {path} has no @analysis; decorate a function (or a @loader)"
            )
        for one in found:
            if isinstance(one, Analysis):
                self._analyses.take(one, path)
            else:
                self._loaders.take(one, path)

    @property
    def names(self) -> list[str]:
        """Names of all analyses, nothing imported."""
        return self._analyses.names

    @property
    def loader_names(self) -> list[str]:
        """Schemes of all loaders, nothing imported."""
        return self._loaders.names

    def get(self, name: str) -> Analysis:
        """Return an analysis, importing only it; PluginError where there is none or it fails."""
        return self._analyses.get(name)

    def loader(self, scheme: str) -> Loader:
        """Return a loader, importing only it; PluginError where there is none or it fails."""
        return self._loaders.get(scheme)

    def plugins(self) -> Iterator[Plugin]:
        """Yield every analysis, loaded, with the error of those that do not load."""
        for name, source, offer, error in self._analyses.listed():
            yield Plugin(name, source, offer, error)

    def loader_plugins(self) -> Iterator[Plugin]:
        """Yield every loader, loaded, with the error of those that do not load."""
        for name, source, offer, error in self._loaders.listed():
            yield Plugin(name, source, error=error, loader=offer)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@cache
def registry(files: tuple[str, ...] = ()) -> Registry:
    """Return the registry of this process for some plugin files."""
    return Registry(files)
