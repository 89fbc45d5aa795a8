"""A third party's analysis, as its module would be installed."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import Activations, Result, analysis


@dataclass(frozen=True)
class Norm:
    """Length of one row."""

    row: Annotated[int, "index of the row"]
    norm: Annotated[float, "length, activation units"]


@analysis(version=2, tables={"norms": Norm}, headline="norm")
def fake_norms(
    acts: Activations, *, power: Annotated[float, "which norm: 1, 2, …"] = 2.0
) -> Result:
    """Length of every row."""
    norms = [np.linalg.norm(chunk.astype(np.float64), power, axis=1) for chunk in acts]
    return Result({"norms": {"row": np.arange(len(acts)), "norm": np.concatenate(norms)}})


NO_ANALYSIS = 3
