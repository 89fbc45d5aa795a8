"""ICA: independent axes of embeddings (Yamagiwa, Oyama & Shimodaira 2023)."""

from .align import ica_align
from .axes import ica
from .cosine import ica_cosine
from .interpret import ica_interpret
from .labels import ica_labels
from .match import ica_match
from .project import Axes, restore, transform
from .reconstruct import ica_reconstruct
from .reduction import reduce
from .stability import ica_stability

__all__ = [
    "Axes",
    "ica",
    "ica_align",
    "ica_cosine",
    "ica_interpret",
    "ica_labels",
    "ica_match",
    "ica_reconstruct",
    "ica_stability",
    "reduce",
    "restore",
    "transform",
]
