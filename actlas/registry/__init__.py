"""What can be plugged in: @analysis and @loader, and finding what is installed."""

from .analysis import ANY, INPUTS, Analysis, Parameter, analysis, refuse_nonfinite
from .discovery import GROUP, LOADERS, Plugin, Registry, registry
from .loading import Loader, loader

__all__ = [
    "ANY",
    "GROUP",
    "INPUTS",
    "LOADERS",
    "Analysis",
    "Loader",
    "Parameter",
    "Plugin",
    "Registry",
    "analysis",
    "loader",
    "refuse_nonfinite",
    "registry",
]
