"""What activations say of factors, how concentrated and how disentangled; how near N(0, I)."""

from .analysis import sim_probe

__all__ = ["sim_probe"]
