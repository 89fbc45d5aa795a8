"""What every analysis must keep to, as checks that tests and `actlas plugins check` run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..api import seed_everything
from ..core import (
    Activations,
    ActlasError,
    AnalysisError,
    Factors,
    InputError,
    Labels,
    Layers,
    Others,
    Result,
    Runs,
    Weights,
)
from ..registry import ANY, Analysis, registry

ROWS, WIDTH, CLASSES = 240, 12, 4
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Check:
    """One check of one analysis; call it, and it raises AssertionError where it fails."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Run the check."""
        self.run()

    def __repr__(self) -> str:
        return self.name


def checks(
    analysis: Analysis, *, inputs: Mapping[str, Any] | None = None, **parameters: Any
) -> list[Check]:
    """Return the conformance checks of an analysis.

    inputs: by name (acts, labels, …), in place of the synthetic ones: four Gaussian clusters
        of 60 rows, 12 wide. An analysis of `model` must be given one.
    parameters: in place of the defaults.

    Use it in a test: `@pytest.mark.parametrize("check", checks(my_analysis), ids=repr)`.
    """
    wanted = analysis.wanted(analysis.settings(parameters))
    given = dict(inputs or {})
    if not set(wanted) <= set(given):
        given = {n: v for n, v in synthetic(analysis).items() if n in wanted} | given
    kit = _Kit(analysis, given, parameters)
    return [
        Check("runs and returns what it declares", kit.declared),
        Check("is repeatable", kit.repeatable),
        Check("gives the same for any chunk size", kit.chunking),
        Check("leaves its inputs as they were", kit.pure),
        Check("refuses missing inputs", kit.missing),
        Check("refuses unknown parameters", kit.unknown),
        Check("documents itself", kit.documented),
        Check("draws its figures", kit.figures),
    ]


def outcomes(analysis: Analysis) -> list[dict[str, str]]:
    """Run all checks and say of each whether it passed, failed or could not be run."""
    found = []
    for check in checks(analysis):
        try:
            check()
        except AssertionError as error:
            outcome, why = "failed", str(error)
        except _NotRun as error:
            outcome, why = "not run", str(error)
        except Exception as error:  # whatever an analysis raises is its failure, not ours
            outcome, why = "failed", f"{type(error).__name__}: {error}"
        else:
            outcome, why = "passed", ""
        found.append({"check": check.name, "outcome": outcome, "why": why})
    return found


class _NotRun(Exception):
    """A check that needs what is not there, such as a model or the drawing library."""


def synthetic(analysis: Analysis) -> dict[str, Any]:
    """Make inputs for an analysis: clusters that a probe tells apart, aligned second site."""
    rng = np.random.default_rng(0)
    codes = np.arange(ROWS) % CLASSES
    centres = rng.normal(size=(CLASSES, WIDTH)) * 2
    X = (centres[codes] + rng.normal(size=(ROWS, WIDTH))).astype(np.float32)
    Y = (X @ rng.normal(size=(WIDTH, WIDTH))).astype(np.float32)
    groups = np.arange(ROWS) // 3
    names = [f"class {code}" for code in codes]
    made: dict[str, Any] = {
        "acts": Activations.of(X, site="layers.0"),
        "other": Activations.of(Y, site="layers.1"),
        "layers": Layers.of(Activations.of(X, site="layers.0"), Activations.of(Y, site="layers.1")),
        "labels": Labels.of(names, groups=groups),
        "factors": Factors.of(
            Labels.of(names, groups=groups, name="class"),
            Labels.of((X[:, 0] > 0).tolist(), groups=groups, name="side"),
        ),
    }
    if "weights" in analysis.needs:
        import torch

        made["weights"] = Weights({"layer.weight": torch.from_numpy(X[:32].copy())})
    if "others" in analysis.needs:
        made["others"] = Others.of(Activations.of(Y, site="layers.1"))
    if analysis.bases:
        _build(made, analysis)
    return {name: made[name] for name in analysis.needs if name in made}


def _build(made: dict[str, Any], analysis: Analysis) -> None:
    """Add the results that are built on, where what they need can be made up."""
    found = [registry().get("ica" if name == ANY else name) for name in analysis.bases]
    if any(name not in made for one in found for name in one.wanted(one.settings({}))):
        for name in ("layers", "others"):
            made.pop(name, None)
        return

    def base(acts: Activations) -> Result:
        given = made | {"acts": acts}
        return analysis.joined(
            [one(**{n: given[n] for n in one.wanted(one.settings({}))}) for one in found]
        )

    if "base" in analysis.needs:
        made["base"] = base(made["acts"])
    if "layers" in analysis.needs:
        made["layers"] = Layers.of(*made["layers"], bases=[base(acts) for acts in made["layers"]])
    if "runs" in analysis.needs:
        results = [base(acts) for acts in (made["acts"], made["other"])]
        made["runs"] = Runs.of(*results, models=["model a", "model b"])
    if "others" in made:
        sites = made["others"].sites
        made["others"] = Others.of(*sites, bases=[base(acts) for acts in sites])


class _Kit:
    def __init__(self, analysis: Analysis, inputs: dict[str, Any], parameters: dict[str, Any]):
        self.analysis, self.inputs, self.parameters = analysis, inputs, parameters
        # Before any check: a change that is made again shows no difference.
        self.before = {n: [a.copy() for a in _arrays(v)] for n, v in inputs.items()}

    def _run(self, inputs: Mapping[str, Any] | None = None) -> Result:
        lacking = [n for n in self._wanted() if n not in self.inputs]
        if lacking:
            raise _NotRun(f"give checks() its inputs {lacking}: they cannot be made up")
        seed_everything(0)  # as the host does
        return self.analysis(**(inputs or self.inputs), **self.parameters)

    def _wanted(self) -> tuple[str, ...]:
        return self.analysis.wanted(self.analysis.settings(self.parameters))

    def declared(self) -> None:
        try:
            result = self._run()
        except AnalysisError as error:
            raise AssertionError(str(error)) from error
        for name, array in result.arrays.items():
            bad = array.dtype.kind == "f" and not np.isfinite(array).all()
            assert not bad, f"array {name!r} holds NaN or infinity"

    def repeatable(self) -> None:
        _assert_equal(self._run(), self._run(), "a second run on the same input gives another")

    def chunking(self) -> None:
        whole = self._run()
        for size in (1, 7, ROWS):
            small = {name: _chunked(value, size) for name, value in self.inputs.items()}
            _assert_equal(whole, self._run(small), f"chunks of {size} rows give another")

    def pure(self) -> None:
        copies = {n: [a.copy() for a in _arrays(v)] for n, v in self.inputs.items()}
        self._run()
        for before in (self.before, copies):
            for name, value in self.inputs.items():
                for now, then in zip(_arrays(value), before[name], strict=True):
                    same = np.array_equal(now, then, equal_nan=now.dtype.kind == "f")
                    assert same, f"it changed its input {name!r}"

    def missing(self) -> None:
        for name in self._wanted():
            rest = {n: v for n, v in self.inputs.items() if n != name}
            try:
                self.analysis(**rest, **self.parameters)
            except ActlasError:
                continue
            raise AssertionError(f"without {name!r} it ran all the same")

    def unknown(self) -> None:
        try:
            self.analysis(**self.inputs, **self.parameters, no_such_parameter=1)
        except InputError:
            return
        raise AssertionError("it took a parameter that it does not have")

    def documented(self) -> None:
        assert self.analysis.summary.endswith("."), (
            "the docstring's first line is no sentence; write what it measures, with a full stop"
        )
        for spec in self.analysis.tables.values():
            assert spec.doc, f"table {spec.name!r} has no docstring; say what one row is"

    def figures(self) -> None:
        result = self._run()
        if result.figures:
            try:
                import altair  # noqa: F401
            except ImportError as error:
                raise _NotRun("drawing needs altair; pip install 'actlas[plots]'") from error
        for name in result.figures:
            chart = result.figures[name]
            assert hasattr(chart, "to_dict"), f"figure {name!r} is {type(chart).__name__}, no chart"
            chart.to_dict()


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, Activations):
        return [value.numpy()]
    if isinstance(value, Layers):
        return [acts.numpy() for acts in value]
    if isinstance(value, Others):
        return [acts.numpy() for acts in value.sites]
    if isinstance(value, Result):
        return list(value.arrays.values())
    if isinstance(value, Runs):
        return [c for run in value for t in run.tables.values() for c in t.columns.values()]
    if isinstance(value, Factors):
        return [array for labels in value for array in _arrays(labels)]
    return [value.codes, value.groups] if isinstance(value, Labels) else []


def _chunked(value: Any, size: int) -> Any:
    if isinstance(value, Activations):
        return value.chunked(size)
    if isinstance(value, Layers):
        return replace(value, sites=tuple(acts.chunked(size) for acts in value))
    if isinstance(value, Others):
        return replace(value, sites=tuple(acts.chunked(size) for acts in value.sites))
    return value


def _assert_equal(a: Result, b: Result, said: str) -> None:
    for name, table in a.tables.items():
        other = b.tables[name]
        assert len(table) == len(other), f"{said} number of rows in table {name!r}"
        for column in table.columns:
            where = f"{said} {name}.{column}"
            assert _close(table[column], other[column]), where
    for name in a.arrays:
        assert _close(a.arrays[name], b.arrays[name]), f"{said} array {name!r}"


def _close(a: Any, b: Any) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind == "f":
        scale = float(np.max(np.abs(a[np.isfinite(a)]), initial=1e-300))
        return bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
    return bool(np.array_equal(a, b))
