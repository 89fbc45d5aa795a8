"""Convexity of concept regions (Tětková et al. 2025, On convex decision regions)."""

from .graph import convexity

__all__ = ["convexity"]
