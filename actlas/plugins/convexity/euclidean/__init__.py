"""Euclidean convexity: segments between rows of a class, judged by a decision function."""

from .segments import convexity_euclidean

__all__ = ["convexity_euclidean"]
