"""Conformance kits that we and the authors of plugins run."""

from .analyses import Check, checks, outcomes
from .scaffold import scaffold
from .stores import StoreTests

__all__ = ["Check", "StoreTests", "checks", "outcomes", "scaffold"]
