"""How alike the representations of sites are, of one model or several."""

from .alignment import cka

__all__ = ["cka"]
