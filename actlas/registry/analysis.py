"""The @analysis decorator: one function becomes a described, checked, callable analysis."""

import inspect
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    final,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from ..core import (
    Activations,
    AnalysisError,
    Factors,
    Figures,
    InputError,
    Labels,
    Layers,
    LoadedModel,
    NonFiniteError,
    Others,
    Result,
    Runs,
    Samples,
    TableSpec,
    Tags,
    Weights,
    checked_tables,
    digest,
    nearest,
)

INPUTS: dict[str, tuple[type, str]] = {
    "acts": (Activations, "rows × width of one site"),
    "layers": (Layers, "all sites of the extraction, in order"),
    "other": (Activations, "a second site with rows aligned to acts"),
    "others": (Others, "further sites, of this or other extractions"),
    "labels": (Labels, "one label a row, with names"),
    "factors": (Factors, "several label sets of the same rows"),
    "weights": (Weights, "the model's parameters by name"),
    "model": (LoadedModel, "the network itself"),
    "samples": (Samples, "what the rows were made of, to be given to the network again"),
    "base": (Result, "the result for acts of what this analysis builds on"),
    "runs": (Runs, "stored results of what this analysis builds on, over many models"),
    "tags": (Tags, "what is known of the model of each of the runs"),
}
PARAMETER_TYPES = (int, float, str, bool)
ANY = "*"  # as a base: the run of any analysis, which the user names
# Names that the host's own options and arguments have.
HOSTS = (
    "analysis", "as_json", "data", "device", "extraction", "force", "groups", "help", "json",
    "nonfinite", "plugin", "progress", "site", "sites", "store",
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """What the user may set: type, meaning and default come from the signature."""

    name: str
    type: type
    choices: tuple[Any, ...]
    optional: bool
    default: Any
    help: str
    file: bool = False

    @property
    def option(self) -> str:
        """The command-line option: n_components becomes --n-components."""
        return "--" + self.name.replace("_", "-")

    def check(self, who: str, value: Any) -> Any:
        """Return the value in the parameter's type, or raise InputError saying what fits."""
        if value is None and self.optional:
            return None
        if isinstance(value, np.generic):
            value = value.item()
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        fits = type(value) is self.type and (not self.choices or value in self.choices)
        fits = fits and (self.type is not float or math.isfinite(value))
        if not fits:
            wanted = " or ".join(map(repr, self.choices)) or f"of type {self.type.__name__}"
            if self.type is float and isinstance(value, float):
                wanted = "a finite number"
            raise InputError(f"{who}: {self.name}={value!r} does not fit; it is {wanted}")
        return value


@final
@dataclass(frozen=True, eq=False)
class Analysis:
    """An analysis: call it on activations, or let a store run it and keep the result."""

    name: str
    version: int
    function: Callable[..., Result]
    needs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    tables: Mapping[str, TableSpec]
    arrays: Mapping[str, str]
    figures: Mapping[str, Callable[..., Any]] = field(repr=False)
    headline: str | None = None
    allow_nonfinite: bool = False
    aligned: bool = False
    bases: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    optional: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.partition("\n")[0]

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every parameter's value, defaults filled in; InputError for unknown ones."""
        known = {p.name: p for p in self.parameters}
        for name in given:
            if name not in known:
                hint = nearest(name, known) if known else "it has no parameters"
                raise InputError(f"{self.name} has no parameter {name!r}; {hint}")
        return {p.name: p.check(self.name, given.get(p.name, p.default)) for p in self.parameters}

    def wanted(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the inputs that these settings need; others that are optional may be left out."""
        return tuple(
            name
            for name in self.needs
            if (when := self.optional.get(name)) is None
            or (when and all(settings[key] == value for key, value in when.items()))
        )

    def __call__(self, *inputs: Any, **named: Any) -> Result:
        """Run on inputs in the order of `needs` (or by name) and check what comes back."""
        bound = dict(zip(self.needs, inputs, strict=False))
        if len(inputs) > len(self.needs):
            raise InputError(f"{self.name} takes {', '.join(self.needs)}, not {len(inputs)} inputs")
        twice = [name for name in bound if name in named]
        if twice:
            raise InputError(f"{self.name} is given {twice[0]} twice; give it once")
        bound |= {name: named.pop(name) for name in self.needs if name in named}
        settings = self.settings(named)
        bound = {name: value for name, value in bound.items() if value is not None}
        self._check_inputs(bound, self.wanted(settings))
        result = self.function(**(dict.fromkeys(self.optional) | bound), **settings)
        if not isinstance(result, Result):
            raise AnalysisError(f"analysis {self.name!r} returned no actlas.Result")
        return self._checked(result, settings)

    def _check_inputs(self, bound: Mapping[str, Any], wanted: tuple[str, ...]) -> None:
        for name in wanted:
            if name not in bound:
                raise InputError(f"{self.name} needs {name}: {INPUTS[name][1]}")
        for name in bound:
            kind = INPUTS[name][0]
            if not isinstance(bound[name], kind):
                raise InputError(
                    f"{self.name}: {name} is {type(bound[name]).__name__}, not "
                    f"actlas.{kind.__name__}; wrap it with actlas.{kind.__name__}.of(…)"
                )
        for name in ("layers", "others"):
            if self.bases and name in bound and not bound[name].bases:
                raise InputError(
                    f"{self.name} builds on {' and '.join(self.bases)}: give the results too, "
                    f"{INPUTS[name][0].__name__}.of(…, bases=[{self._asked_base()}, …])"
                )
        rows = {n: len(bound[n]) for n in ("acts", "other", "labels", "factors") if n in bound}
        if len(set(rows.values())) > 1:
            said = ", ".join(f"{name} has {n}" for name, n in rows.items())
            raise InputError(f"{self.name} needs inputs with the same rows: {said}")
        if 0 in rows.values() or 0 in map(len, getattr(bound.get("others"), "sites", ())):
            raise InputError(f"{self.name} needs at least one row")

    def _asked_base(self) -> str:
        if len(self.bases) == 1:
            return f"{self.bases[0]}(…)"
        return f"Result.joined({{{', '.join(f'{name!r}: {name}(…)' for name in self.bases)}}})"

    def joined(
        self, results: Sequence[Result], beside: Mapping[str, Result] | None = None
    ) -> Result:
        """Make what is built on at a site of the results of each of `bases`, and those beside."""
        named = dict(zip(self.bases, results, strict=True))
        built = results[0] if len(results) == 1 else Result.joined(named)
        if not beside:
            return built
        more = Result.joined(beside)
        return Result(
            {**built.tables, **more.tables},
            {**built.arrays, **more.arrays},
            built.warnings,
            parameters={**built.parameters, **more.parameters},
        )

    def _checked(self, result: Result, settings: Mapping[str, Any]) -> Result:
        tables = checked_tables(self.name, self.tables, result.tables)
        if set(result.arrays) != set(self.arrays):
            raise AnalysisError(
                f"analysis {self.name!r} declares the arrays {sorted(self.arrays)} but returned "
                f"{sorted(result.arrays)}"
            )
        arrays = {name: np.asarray(array) for name, array in result.arrays.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in "biufcSU":
                raise AnalysisError(
                    f"analysis {self.name!r}, array {name!r}: {array.dtype} is no number or text"
                )
        figures = Figures(self.figures, tables)
        return Result(tables, arrays, tuple(result.warnings), figures, settings)

    def key(self, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
        """Digest that decides whether a run is already done.

        Of a parameter that names files their content counts, so that one that was changed is read
        again.
        """
        files = {p.name: _contents(settings[p.name]) for p in self.parameters if p.file}
        parts = [dict(settings), dict(inputs), *([files] if files else [])]
        return digest("run", self.name, self.version, *parts)


def _contents(paths: str | None) -> list[str]:
    """Digests of files, parted by commas; the analysis itself refuses those that are not there."""
    found = [Path(path.strip()) for path in (paths or "").split(",") if path.strip()]
    return [digest(path.read_bytes().hex()) for path in found if path.is_file()]


def refuse_nonfinite(analysis: Analysis, acts: Activations, bad: int) -> None:
    """Raise NonFiniteError for an analysis that needs numbers in every row."""
    if bad and not analysis.allow_nonfinite:
        raise NonFiniteError(
            f"{acts.site}: {bad:,} of {len(acts):,} rows hold NaN or infinity; leave them out "
            f"with --nonfinite drop, or extract again with --dtype float32 if they overflowed"
        )


def analysis(
    *,
    version: int,
    tables: Mapping[str, type] | None = None,
    arrays: Mapping[str, str] | None = None,
    figures: Mapping[str, Callable[..., Any]] | None = None,
    headline: str | None = None,
    name: str | None = None,
    allow_nonfinite: bool = False,
    aligned: bool = False,
    base: str | tuple[str, ...] = (),
    beside: str | tuple[str, ...] = (),
    when: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[Callable[..., Result]], Analysis]:
    """Turn a function into an analysis.

    Before the `*` of its signature stands what it needs (see `INPUTS`), after it what the
    user may set, each as `name: Annotated[type, "help"] = default`. A text that names files
    (several parted by commas) is `Annotated[str, "help", "file"]`: a run is another when they
    change.

    version: raise it when the same input gives another result.
    tables: name → frozen dataclass whose fields are Annotated with meaning and unit.
    arrays: name → what it holds, with its shape.
    figures: name → function from the tables to a chart.
    headline: column of the first table to draw over the layers; columns low and high beside
        it are its band, a column null_HEADLINE or chance its level of chance.
    name: how it is called (default: the function's name).
    allow_nonfinite: whether it can take rows with NaN or infinity.
    aligned: whether the rows of `others` pair with the own, one by one; a row that is left out at
        one site is then left out at all.
    aligned: whether the rows of `others` pair with those of `acts` or `layers`, one by one; a row
        that is left out at one site is then left out at all.
    base: the analysis that it builds on: its result for the same site is `base: Result`, and
        `layers` and `others` come with theirs. Of several the results are put into one (see
        `Result.joined`); "*": of any analysis, the run that the user names. With `runs: Runs`,
        which stands alone (or before `tags: Tags`), the results of many runs of it.
    beside: analyses whose results are put into the base, called as in SQL, at sites where there
        are any. Without a base `base: Result | None` holds them, None where there are none.
    when: input → the settings that need it, {"model": {"how": "network"}}. An input annotated
        `X | None` is optional: None unless its settings are chosen, or the user gives it.

    Raises AnalysisError where the signature or a table is not as described.
    """

    def decorate(function: Callable[..., Result]) -> Analysis:
        called = name or function.__name__
        if not re.fullmatch(r"[a-z][a-z0-9_]*", called):
            raise AnalysisError(f"{called!r} is no analysis name; use lower case, digits and _")
        if not (function.__doc__ or "").strip():
            raise AnalysisError(
                f"analysis {called!r} has no docstring; say in a line what it gives"
            )
        if type(version) is not int or version < 1:
            raise AnalysisError(f"analysis {called!r}: version is a whole number from 1")
        needs, parameters, optional = _signature(called, function, when or {})
        bases = (base,) if isinstance(base, str) else base
        also = (beside,) if isinstance(beside, str) else beside
        if also and not bases and ("acts" not in needs or "base" not in optional):
            raise AnalysisError(
                f"analysis {called!r}: beside goes with base; name one, or take `base: Result | "
                f"None` beside `acts`"
            )
        _check_base(called, needs, bases or also)
        specs = {n: TableSpec.of(n, row) for n, row in (tables or {}).items()}
        return Analysis(
            called,
            version,
            function,
            needs,
            parameters,
            specs,
            dict(arrays or {}),
            dict(figures or {}),
            _headline(called, specs, headline),
            allow_nonfinite,
            aligned,
            bases,
            also,
            optional,
        )

    return decorate


def _check_base(who: str, needs: tuple[str, ...], bases: tuple[str, ...]) -> None:
    if "runs" in needs:
        if needs not in (("runs",), ("runs", "tags")) or len(bases) != 1:
            raise AnalysisError(
                f"analysis {who!r}: `runs: Runs` stands alone, or before `tags: Tags`, with "
                f'@analysis(base="NAME"), the one analysis whose runs they are'
            )
        return
    if "tags" in needs:
        raise AnalysisError(f"analysis {who!r}: `tags: Tags` goes with `runs: Runs`")
    taken = {"acts", "base"} <= set(needs) or ("layers" in needs and "base" not in needs)
    if not taken if bases else "base" in needs:
        raise AnalysisError(
            f"analysis {who!r}: `base: Result` beside `acts` (or `layers` alone) and "
            f'@analysis(base="NAME"), the analysis that makes it, go together'
        )


def _headline(who: str, specs: Mapping[str, TableSpec], headline: str | None) -> str | None:
    first = [c.name for c in next(iter(specs.values())).columns] if specs else []
    if headline is not None and headline not in first:
        raise AnalysisError(f"analysis {who!r}: headline {headline!r} is no column of {first}")
    return headline


def _signature(
    who: str, function: Callable[..., Any], when: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[str, ...], tuple[Parameter, ...], dict[str, Mapping[str, Any]]]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise AnalysisError(f"analysis {who!r}: {error} in its signature; import it") from error
    needs, parameters, optional = [], [], {}
    for name, given in inspect.signature(function).parameters.items():
        if given.kind is inspect.Parameter.KEYWORD_ONLY:
            parameters.append(_parameter(who, name, hints.get(name), given.default))
            continue
        kind, missing = _without_none(hints.get(name))
        if name not in INPUTS or kind is not INPUTS[name][0]:
            known = "; ".join(f"{n}: {kind.__name__} ({doc})" for n, (kind, doc) in INPUTS.items())
            raise AnalysisError(
                f"analysis {who!r}: input {name!r} is unknown or of another type; known inputs "
                f"are {known}; parameters go after the *"
            )
        needs.append(name)
        if missing:
            optional[name] = when.get(name, {})
    _check_when(who, when, optional, parameters)
    if {"labels", "factors"} <= set(needs):
        raise AnalysisError(
            f"analysis {who!r} takes labels and factors, and both are named by --labels; take one"
        )
    if not needs:
        raise AnalysisError(f"analysis {who!r} needs no input; put one of {list(INPUTS)} first")
    if hints.get("return") is not Result:
        raise AnalysisError(f"analysis {who!r} must be annotated to return Result")
    return tuple(needs), tuple(parameters), optional


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return the type in `X | None` and whether there is a None beside it."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    kinds = [k for k in get_args(hint) if k is not types.NoneType]
    return (kinds[0] if len(kinds) == 1 else None), len(kinds) < len(get_args(hint))


def _check_when(
    who: str,
    when: Mapping[str, Mapping[str, Any]],
    optional: Mapping[str, Any],
    parameters: list[Parameter],
) -> None:
    known = {p.name: p for p in parameters}
    for name, settings in when.items():
        if name not in optional or not set(settings) <= set(known):
            raise AnalysisError(
                f"analysis {who!r}: when names {name!r}: {dict(settings)}; name an input annotated "
                f"`| None`, and parameters"
            )
        for key, value in settings.items():
            known[key].check(who, value)


def _parameter(who: str, name: str, hint: Any, default: Any) -> Parameter:
    text, notes = "", []
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        text = next((n for n in notes if isinstance(n, str)), "")
    hint, optional = _without_none(hint)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kind = type(choices[0]) if choices else hint
    if name in HOSTS or name in INPUTS:
        raise AnalysisError(
            f"analysis {who!r}: the name {name!r} is the host's own; rename the parameter"
        )
    if kind not in PARAMETER_TYPES or not text or default is inspect.Parameter.empty:
        raise AnalysisError(
            f'analysis {who!r}: write parameter {name!r} as `{name}: Annotated[int, "help"] = '
            f"default`, with int, float, str, bool or Literal[…], `| None` where it may be left out"
        )
    found = Parameter(name, kind, choices, optional, default, text, "file" in notes[1:])
    try:
        found.check(who, default)
    except InputError as error:
        raise AnalysisError(f"the default does not fit: {error}") from error
    return found
