"""Reading an audit file: TOML in, a checked `AuditSpec` out, or all that is wrong in it."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core import SHIPPED, InputError, PluginError, listing, nearest, split_spec
from ..registry import Registry, registry
from .entries import Reading, analysis_entry, check_bases
from .faults import AuditError, Faults
from .keys import AUDIT, DATASETS, EXTRACT, LIMITS, MODELS, ONE, SEVERAL, Key
from .positions import Place, positions
from .spec import AuditSpec, DataEntry, ExtractEntry, Limits, ModelEntry, matches

AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet", ".txt", ".conllu")
TAG_NAME = re.compile(r"\S(.*\S)?")


def parse(path: str | Path) -> AuditSpec:
    """Read and check an audit file; relative paths in it start at its folder.

    Raises AuditError (an InputError) with one line for each thing that is wrong:
    FILE:LINE: key: what is wrong, what would be right.
    """
    path = Path(path)
    text = _text(path)
    return _File(path, text, _tables(path, text)).spec()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode().replace("\r\n", "\n")
    except OSError as error:
        raise InputError(
            f"no audit file {path} ({error.strerror}); `actlas audit new {path}` writes one"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise AuditError([f"{path}:{line}: not UTF-8; save the file as UTF-8"]) from error


def _tables(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = AT_LINE.search(said)
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        said = AT_LINE.sub("", said)
        wrong = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
        shown = f" in {wrong[:60]!r}" if wrong else ""
        raise AuditError([f"{path}:{line}: no TOML{shown}: {said}"]) from error


class _File:
    """One file while it is read."""

    def __init__(self, path: Path, text: str, given: dict[str, Any]):
        self.path, self.text, self.given = path, text, given
        self.folder = path.resolve().parent
        self.faults = Faults(path, positions(text))

    def spec(self) -> AuditSpec:
        self._sections()
        audit = self.table(("audit",), AUDIT)
        plugins = tuple(str(self._located(name)) for name in audit.get("plugins", ()))
        known = self._registry(plugins)
        models = self._models(known)
        data = self._datasets()
        names = {"models": [m.name for m in models], "datasets": [d.name for d in data]}
        extractions = self._extractions(names)
        reading = Reading(self, known, self.folder, names)
        analyses = [
            analysis_entry(reading, place, compare=False) for place in self._each("analyses")
        ]
        compares = [analysis_entry(reading, place, compare=True) for place in self._each("compare")]
        own = tuple(entry for entry in analyses if entry)
        compared = tuple(entry for entry in compares if entry)
        check_bases(reading, own, compared)
        limits = self.table(("limits",), LIMITS)
        self.faults.settle()
        return AuditSpec(
            audit["name"], self.path.resolve(), self.text, tuple(models), tuple(data),
            tuple(extractions) or (ExtractEntry(),), own, compared, plugins, Limits(**limits),
        )  # fmt: skip

    def _sections(self) -> None:
        """Check that the tables are those there are, and lists where they are."""
        for name in list(self.given):
            value, place = self.given[name], (name,)
            if name not in ONE and name not in SEVERAL:
                self.faults.add(place, f"no such table; {nearest(name, [*ONE, *SEVERAL])}")
            elif name in ONE and not isinstance(value, dict):
                self.faults.add(place, f"it is one table; write [{name}]")
                self.given[name] = {}
            elif name in SEVERAL and not _is_tables(value):
                self.faults.add(place, f"it is a list of tables; write [[{name}]] before each")
                self.given[name] = []
        for name, said in (("audit", '[audit] with name = "…"'),
                           ("models", '[[models]] with spec = "…"'),
                           ("datasets", '[[datasets]] with path = "…"')):  # fmt: skip
            if name not in self.given:
                self.faults.add((name,), f"is missing; write {said}")
            elif not self.given[name] and name not in ONE:
                self.faults.add((name,), f"is empty; write {said}")

    def _each(self, name: str) -> list[Place]:
        return [(name, index) for index in range(len(self.given.get(name, ())))]

    def at(self, place: Place) -> Any:
        """Return what stands at a place; of a table that is not there an empty one."""
        value: Any = self.given
        for name in place:
            value = value[name] if isinstance(name, int) else value.get(name, {})
        return value

    def table(self, place: Place, keys: Sequence[Key], *, others: bool = False) -> dict[str, Any]:
        """Read the keys of a table that are right; others: let unknown ones stand."""
        given, known = self.at(place), {key.name: key for key in keys}
        found = {}
        for name, value in given.items():
            if name not in known:
                if not others:
                    self.faults.add((*place, name), f"no such key; {nearest(name, known)}")
                continue
            value = self._value((*place, name), known[name], value)
            if value is not None:
                found[name] = value
        there = given or place[:1] != ("audit",) or "audit" in self.given
        for key in keys:
            if key.required and key.name not in given and there:
                self.faults.add((*place, key.name), f"is missing; it is {key.text}")
        return found

    def _value(self, place: Place, key: Key, value: Any) -> Any:
        try:
            read = key.kind.read(value)
        except (TypeError, ValueError, OverflowError):
            several = isinstance(value, list) and value and "list" not in key.kind.said
            grid = "; only labels and parameters take a list" if several else ""
            self.faults.add(place, f"{_shown(value)} does not fit; it is {key.kind.said}{grid}")
            return None
        for one in (read if isinstance(read, tuple) else (read,)) if key.choices else ():
            if one not in key.choices:
                self.faults.add(place, f"{one!r} does not fit; it is {' or '.join(key.choices)}")
                return None
        return read

    def _located(self, name: str) -> Path:
        found = Path(name).expanduser()
        return found if found.is_absolute() else self.folder / found

    def _registry(self, plugins: tuple[str, ...]) -> Registry:
        try:
            return registry(plugins)
        except PluginError as error:
            self.faults.add(("audit", "plugins"), str(error))
            return registry()

    def _models(self, known: Registry) -> list[ModelEntry]:
        found = []
        for place in self._each("models"):
            got = self.table(place, MODELS)
            tags, quality = self._tags(place, got), self._quality(place, got)
            if "spec" not in got:
                continue
            spec = self._model_spec(place, got["spec"], known)
            found.append(ModelEntry(
                spec, got.get("name") or model_name(spec), tags, quality,
                got.get("trust_remote_code", False), self.faults.line(place),
            ))  # fmt: skip
        self._distinct("models", found)
        return found

    def _model_spec(self, place: Place, spec: str, known: Registry) -> str:
        """Check the scheme, and let a folder start at the file's."""
        scheme, rest = split_spec(spec)
        schemes = ["hf", "actlas", "torch", *known.loader_names]
        if scheme not in schemes:
            self.faults.add(
                (*place, "spec"),
                f"unknown scheme {scheme!r} in {spec!r}; there is {listing(schemes)}",
            )
        here = self._located(rest.partition("#")[0])
        if scheme in ("actlas", "torch") or not (here.exists() or rest.startswith((".", "~"))):
            return spec
        mark = rest[len(rest.partition("#")[0]) :]
        return f"{spec.removesuffix(rest)}{here}{mark}"

    def _tags(self, place: Place, got: Mapping[str, Any]) -> dict[str, Any]:
        tags = got.get("tags", {})
        for name, value in tags.items():
            at = (*place, "tags", name)
            if not isinstance(value, str | int | float | bool) or value != value:
                self.faults.add(at, f"{_shown(value)} does not fit; a tag is a text or a number")
            if name in got.get("quality", {}):
                self.faults.add(at, "is a quality too; give it once")
            if not TAG_NAME.fullmatch(name):
                self.faults.add(at, "a tag has a name without blanks about it")
        return dict(tags)

    def _quality(self, place: Place, got: Mapping[str, Any]) -> dict[str, float]:
        quality = got.get("quality", {})
        for name, value in quality.items():
            if type(value) not in (int, float) or abs(value) == float("inf") or value != value:
                said = f"{_shown(value)} does not fit; a quality is a finite number"
                self.faults.add((*place, "quality", name), said)
        return dict(quality)

    def _datasets(self) -> list[DataEntry]:
        found = []
        for place in self._each("datasets"):
            got = self.table(place, DATASETS)
            if "path" not in got:
                continue
            path = got.pop("path")
            name = got.pop("name", None) or data_name(path)
            path = self._data_path((*place, "path"), path)
            if "labels" in got:
                got["labels"] = list(got["labels"])
            found.append(DataEntry(path, name, got, self.faults.line(place)))
        self._distinct("datasets", found)
        return found

    def _data_path(self, place: Place, path: str) -> str:
        """Check that a data set is there; a file is found from the folder of this one."""
        shipped = [f"actlas:{name}" for name in SHIPPED]
        if path.startswith("actlas:"):
            if path not in shipped:
                said = f"no shipped data set {path!r}; there is {listing(shipped)}"
                self.faults.add(place, said)
            return path
        hub = path.startswith("hf:")
        found = self._located(path.removeprefix("hf:"))
        if not found.exists() and not hub:
            said = f"no file {found}; relative paths start at {self.folder}"
            self.faults.add(place, said)
        return path if hub and not found.exists() else f"{'hf:' * hub}{found}"

    def _distinct(self, table: str, found: Sequence[ModelEntry | DataEntry]) -> None:
        seen: dict[str, int] = {}
        for entry in found:
            if entry.name in seen:
                index = next(
                    i for i, place in enumerate(self._each(table))
                    if self.faults.line(place) == entry.line
                )  # fmt: skip
                self.faults.add(
                    (table, index, "name"),
                    f"{entry.name!r} is on line {seen[entry.name]} too; give one another name",
                )
            seen.setdefault(entry.name, entry.line)

    def _extractions(self, names: Mapping[str, list[str]]) -> list[ExtractEntry]:
        found = []
        for place in self._each("extract"):
            got = self.table(place, EXTRACT)
            chosen = self.chosen(place, got, names)
            sites, poolings = got.pop("sites", ("residual",)), got.pop("pooling", ("mean",))
            line = self.faults.line(place)
            found += [ExtractEntry(sites, one, got, *chosen, line) for one in poolings]
        return found

    def chosen(
        self, place: Place, got: dict[str, Any], names: Mapping[str, list[str]]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take which models and data sets are meant out of a table; a glob must match some."""
        found = []
        for table, known in names.items():
            patterns = got.pop(table, ("*",))
            for pattern in patterns:
                if known and not any(matches(name, (pattern,)) for name in known):
                    self.faults.add(
                        (*place, table), f"{pattern!r} matches no name; {nearest(pattern, known)}"
                    )
            found.append(tuple(patterns))
        return found[0], found[1]


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _shown(value: Any) -> str:
    text = "{…}" if isinstance(value, dict) else repr(value)
    return text if len(text) < 50 else f"{text[:48]}…"


def model_name(spec: str) -> str:
    """Return what a model is called by default: its folder, or its spec."""
    scheme, rest = split_spec(spec)
    path = Path(rest).expanduser()
    name = path.name if path.exists() else rest if scheme in ("hf", "actlas") else spec
    return re.sub(r"\s+", "-", name)


def data_name(path: str) -> str:
    """Return what a data set is called by default: its file, or its name."""
    scheme, colon, rest = path.partition(":")
    if colon and scheme in ("actlas", "hf"):
        return re.sub(r"\s+", "-", rest)
    found = Path(path)
    return re.sub(r"\s+", "-", found.stem if found.suffix in ENDINGS else found.name)
