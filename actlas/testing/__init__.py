"""Conformance kits that we and the authors of plugins run."""

from .analyses import Check, checks, outcomes
from .scaffold import scaffold

__all__ = ["Check", "checks", "outcomes", "scaffold"]
