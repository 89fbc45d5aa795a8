"""What results of `convexity` say of layers, of two models, and of recall."""

from .change import convexity_change
from .layers import convexity_layers
from .recall import convexity_recall

__all__ = ["convexity_change", "convexity_layers", "convexity_recall"]
