"""What can be plugged in: the @analysis decorator, and finding what is installed."""

from .analysis import INPUTS, Analysis, Parameter, analysis, refuse_nonfinite
from .discovery import GROUP, Plugin, Registry, registry

__all__ = [
    "GROUP",
    "INPUTS",
    "Analysis",
    "Parameter",
    "Plugin",
    "Registry",
    "analysis",
    "refuse_nonfinite",
    "registry",
]
