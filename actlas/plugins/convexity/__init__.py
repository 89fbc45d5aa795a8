"""Convexity of concept regions (Tětková et al. 2025, On convex decision regions)."""

from .across import convexity_change, convexity_layers, convexity_recall
from .graph import convexity

__all__ = ["convexity", "convexity_change", "convexity_layers", "convexity_recall"]
