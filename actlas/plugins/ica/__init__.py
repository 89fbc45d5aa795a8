"""ICA: independent axes of embeddings (Yamagiwa, Oyama & Shimodaira 2023)."""

from .axes import ica
from .project import Axes, restore, transform
from .stability import ica_stability

__all__ = ["Axes", "ica", "ica_stability", "restore", "transform"]
