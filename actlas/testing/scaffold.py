"""Writing a new plugin distribution for an author to start from."""

import re
from keyword import iskeyword
from pathlib import Path
from string import Template

from ..core import InputError
from ..registry import registry

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "actlas-$dashed"
version = "0.1.0"
description = "An actlas analysis"
requires-python = ">=3.11"
dependencies = ["actlas"]

[project.entry-points.actlas]
$name = "actlas_$name:$name"

[tool.hatch.build.targets.wheel]
packages = ["actlas_$name.py"]
"""

MODULE = '''\
"""An actlas analysis."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import Activations, Result, analysis


@dataclass(frozen=True)
class Summary:
    """Lengths of the rows of a site."""

    mean_norm: Annotated[float, "mean length of a row, activation units"]


@analysis(version=1, tables={"summary": Summary}, headline="mean_norm")
def $name(acts: Activations, *, power: Annotated[float, "which norm"] = 2.0) -> Result:
    """Mean length of the rows."""
    norms = [np.linalg.norm(chunk.astype(np.float64), power, axis=1) for chunk in acts]
    return Result({"summary": Summary(float(np.concatenate(norms).mean()))})
'''

TEST = """\
import pytest
from actlas.testing import checks

from actlas_$name import $name


@pytest.mark.parametrize("check", checks($name), ids=repr)
def test_conforms(check):
    check()
"""

README = """\
# actlas-$dashed

    pip install -e .
    actlas plugins check $name
    actlas run $name
"""

FILES = {
    "pyproject.toml": PYPROJECT,
    "actlas_$name.py": MODULE,
    "tests/test_$name.py": TEST,
    "README.md": README,
}


def scaffold(name: str, folder: Path) -> Path:
    """Write a distribution with one analysis, its conformance test and a README; return it.

    Raises InputError for a name that is none, or a folder that is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or iskeyword(name) or name == "np":
        raise InputError(f"{name!r} is no analysis name; use lower case, digits and _")
    if name in registry().names:
        raise InputError(f"there is an analysis {name!r} already; choose another name")
    if folder.exists():
        raise InputError(f"{folder} is there already; name another with --folder")
    names = {"name": name, "dashed": name.replace("_", "-")}
    for path, content in FILES.items():
        target = folder / Template(path).substitute(names)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(content).substitute(names), "utf-8")
    return folder
