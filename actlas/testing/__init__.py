"""Conformance kits that we and the authors of plugins run."""

from .analyses import Check, checks, outcomes
from .models import model_checks
from .scaffold import scaffold
from .stores import StoreTests

__all__ = ["Check", "StoreTests", "checks", "model_checks", "outcomes", "scaffold"]
