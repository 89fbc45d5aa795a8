"""Method 2: a state as a sum over the tokens that were read (Oh & Schuler 2023)."""

from .analysis import decomposition_tokens
from .attribution import decomposition_token_logits

__all__ = ["decomposition_token_logits", "decomposition_tokens"]
