"""Exact linear decomposition of the states of a Transformer (arXiv 2310.06977)."""

from .analysis import decomposition

__all__ = ["decomposition"]
