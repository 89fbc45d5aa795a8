"""The analysis `capacity`: how a weight matrix shares dimensions among its features."""

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from numpy.typing import NDArray

from actlas import InputError, Result, Weights, analysis

from . import figures
from .features import Norm, prepared
from .measured import Settings, measure, remarks, tables
from .nulls import Null
from .tables import TABLES

Axis = Literal["rows", "columns"]


@analysis(version=2, tables=TABLES, figures=figures.ALL, headline="total")
def capacity(
    weights: Weights,
    *,
    parameter: Annotated[
        str | None, "name of a weight, or of several with * for a part; none: that with most rows"
    ] = None,
    axis: Annotated[Axis, "what of the matrix features are: its rows, or its columns"] = "rows",
    centre: Annotated[bool, "subtract the mean of the features"] = False,
    norm: Annotated[Norm, "unit: divide features by their norm; only angles count then"] = "none",
    null: Annotated[
        Null, "chance: gaussian rows, or random directions of the features' own norms"
    ] = "gaussian",
    threshold: Annotated[
        float | None, "|cos| that joins two features in a block; none: 1e-6 if exact, else 0.2"
    ] = None,
    block_limit: Annotated[int, "most features of a set among which blocks are looked for"] = 4096,
) -> Result:
    """Capacity of the features in a weight matrix: the share of a dimension that each has.

    C_i = (w_i·w_i)² / Σ_j (w_i·w_j)² (Scherlis et al. 2022, "Polysemanticity and Capacity in
    Neural Networks"), which is the feature dimensionality of Elhage et al. 2022 ("Toy Models of
    Superposition"). 1: no other feature interferes; 0: ignored. The total cannot exceed the rank.
    Computed from the d × d frame operator F = Σ w wᵀ, never features × features; single
    precision weights with single precision products where that is exact to 1e-5.

    Features are the rows of the matrix: token embeddings (tokens × d), called by their tokens;
    output directions of MLP neurons, or of attention's values (its output projection), with
    --axis columns (torch keeps them as d × neurons). Of tensors with more axes a row is all that
    belongs to one index of the first (the kernel of a channel, not its mean).
    A capacity depends on which other features are in the set, on norms and on centring, not on
    the basis: it says nothing about single neurons; see `superposition` for these.
    """
    settings = Settings(threshold, block_limit, null, norm == "unit")
    settings.check("capacity")
    found = [
        measure(
            prepared(
                matrix, name, _called(weights, name, axis, len(matrix)), centre=centre, norm=norm
            ),
            settings,
        )
        for name, matrix in _matrices(weights, parameter, axis)
    ]
    return Result(tables(found), {}, remarks(found))


def _matrices(
    weights: Weights, parameter: str | None, axis: Axis
) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in _named(weights, parameter):
        array = weights[name]
        if array.ndim < 2:
            raise InputError(
                f"capacity: {name} has shape {array.shape}, so no features; name a matrix"
            )
        if array.dtype.kind in "iu":
            raise InputError(
                f"capacity: {name} holds {array.dtype}, codes of quantised numbers; load the model "
                f"without quantisation"
            )
        if axis == "columns":
            array = array.swapaxes(0, 1)
        yield name, array.reshape(len(array), math.prod(array.shape[1:]))


def _called(weights: Weights, name: str, axis: Axis, count: int) -> list[str] | None:
    """Return the tokens of embeddings; rows beyond the vocabulary have their number."""
    tokens = weights.row_names(name) if axis == "rows" else None
    if tokens is None:
        return None
    return [str(t) for t in tokens[:count]] + [str(i) for i in range(len(tokens), count)]


def _named(weights: Weights, parameter: str | None) -> list[str]:
    if parameter is None:
        matrices = [name for name in weights if weights[name].ndim > 1]
        if not matrices:
            raise InputError("capacity: the model has no matrix among its parameters")
        return [max(matrices, key=lambda name: len(weights[name]))]
    found = [name for name in weights if _fits(name, parameter)]
    if not found and any(sign in parameter for sign in "*?["):
        raise InputError(
            f"capacity: no parameter fits {parameter!r}; one is called {next(iter(weights), None)}"
        )
    return found or [parameter]  # which Weights refuses with the nearest name


def _fits(name: str, pattern: str) -> bool:
    """Match part by part, so that * stands for one name between dots."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
