"""The analysis `array_capacity`: directions that a run has stored."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Result, analysis

from . import figures
from .features import Features, Norm, prepared
from .measured import Settings, measure, remarks, tables
from .nulls import Null
from .tables import TABLES
from .weights import Axis

# By name: along which axis the directions of arrays of our own analyses lie.
KNOWN: dict[str, Axis] = {"writing": "columns", "reading": "rows", "coef": "rows"}
PRINCIPAL = ("principal", "components", "eigenvectors")
ORTHONORMAL = 1e-6  # share of a norm by which orthonormal directions may miss


@analysis(
    version=1,
    base="*",
    tables=TABLES,
    figures={k: figures.ALL[k] for k in ("histogram", "ordered", "norm", "gram")},
    headline="total",
)
def array_capacity(
    acts: Activations,
    base: Result,
    *,
    array: Annotated[
        str | None, "array of the run; none: writing (of ica), coef (of probe), or the only matrix"
    ] = None,
    axis: Annotated[
        Axis | None, "what of the matrix features are; none: known, or the other axis than width"
    ] = None,
    centre: Annotated[bool, "subtract the mean of the directions"] = False,
    norm: Annotated[Norm, "unit: divide directions by their norm"] = "none",
    null: Annotated[
        Null, "chance: gaussian rows, or random directions of the features' own norms"
    ] = "gaussian",
    threshold: Annotated[
        float | None, "|cos| that joins two features in a block; none: 1e-6 if exact, else 0.2"
    ] = None,
    block_limit: Annotated[int, "most features among which blocks are looked for"] = 4096,
) -> Result:
    """Capacity of directions that a run stored: ICA axes, probes, any matrix of its arrays.

    The run is named by --base. Of a run of `ica` features are the writing directions (columns
    of the mixing matrix): how axes are embedded. Reading directions (unmixing, probes) are their
    duals, and answer another question; do not compare the two. Principal directions are refused:
    they are orthogonal by construction, so that every capacity is 1. See `capacity` for what is
    measured.
    """
    settings = Settings(threshold, block_limit, null, norm == "unit")
    settings.check("array_capacity")
    name = _chosen(base, array)
    rows = _rows(base.arrays[name], name, axis, acts.width)
    made = prepared(rows, f"{name} at {acts.site}", centre=centre, norm=norm)
    found = measure(made, settings)
    return Result(tables([found]), {}, remarks([found]) + _orthonormal(made))


def _chosen(base: Result, array: str | None) -> str:
    matrices = [name for name, held in base.arrays.items() if np.ndim(held) == 2]
    said = f"the run has {', '.join(base.arrays) or 'no arrays'}"
    if array is None:
        usual = [n for n in ("writing", "coef") if n in matrices] or matrices
        if len(usual) != 1:
            raise InputError(f"array_capacity: name a matrix with --array; {said}")
        array = usual[0]
    if array in PRINCIPAL:
        raise InputError(
            f"array_capacity: {array} are principal directions, orthogonal by construction: every "
            f"capacity would be 1 and say nothing; use --array writing of a run of ica"
        )
    if array not in matrices:
        raise InputError(f"array_capacity: no matrix {array!r}; {said}")
    return array


def _rows(
    held: NDArray[np.float64], name: str, axis: Axis | None, width: int
) -> NDArray[np.float64]:
    """Return the directions as rows (N, width)."""
    if axis is None:
        axis = KNOWN.get(name) or ("rows" if held.shape[1] == width else "columns")
    rows = held if axis == "rows" else held.T
    if rows.shape[1] != width:
        raise InputError(
            f"array_capacity: {axis} of {name} {held.shape} are no directions of a site of width "
            f"{width}; use --axis {'columns' if axis == 'rows' else 'rows'}, or another array"
        )
    return rows


def _orthonormal(features: Features) -> list[str]:
    rows = features.whole()
    if len(rows) > rows.shape[1] or np.abs(rows @ rows.T - np.eye(len(rows))).max() > ORTHONORMAL:
        return []
    return ["the directions are orthonormal, so every capacity is 1 by construction"]
