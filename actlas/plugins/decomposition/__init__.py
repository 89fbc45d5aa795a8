"""Exact linear decomposition of the states of a Transformer (arXiv 2310.06977, 2305.10614)."""

from .analysis import decomposition
from .attribution import decomposition_logits
from .flow import decomposition_sources
from .states import captured
from .tokenwise import decomposition_token_logits, decomposition_tokens

__all__ = [
    "captured",
    "decomposition",
    "decomposition_logits",
    "decomposition_sources",
    "decomposition_token_logits",
    "decomposition_tokens",
]
