"""How alike the representations of sites are, of one model or several."""

from .alignment import cka
from .angles import subspace
from .dissimilarity import rsa
from .overlap import neighbours
from .rotation import procrustes

__all__ = ["cka", "neighbours", "procrustes", "rsa", "subspace"]
