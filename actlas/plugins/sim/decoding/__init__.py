"""Decoders of frozen activations, and what they show of the space that they decode."""

from .analysis import sim_decode

__all__ = ["sim_decode"]
