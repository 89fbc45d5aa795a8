"""How indicators of a decomposition go with quality, and vary between training runs."""

from .study import decomposition_study

__all__ = ["decomposition_study"]
