"""Whether what an analysis finds in models goes with what is known of them."""

from .analysis import association

__all__ = ["association"]
