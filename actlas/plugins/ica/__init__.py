"""ICA: independent axes of embeddings (Yamagiwa, Oyama & Shimodaira 2023)."""

from .axes import ica
from .match import ica_match
from .project import Axes, restore, transform

__all__ = ["Axes", "ica", "ica_match", "restore", "transform"]
