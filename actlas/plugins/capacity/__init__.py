"""Feature capacity (Scherlis et al. 2022) and, apart from it, superposition in neurons."""

from .arrays import array_capacity
from .concepts import concept_capacity
from .frame import capacities
from .superposition import superposition
from .weights import capacity

__all__ = ["array_capacity", "capacities", "capacity", "concept_capacity", "superposition"]
