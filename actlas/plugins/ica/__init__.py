"""ICA: independent axes of embeddings (Yamagiwa, Oyama & Shimodaira 2023)."""

from .axes import ica
from .project import restore, transform

__all__ = ["ica", "restore", "transform"]
