"""Smooth InfoMax: speech encoders trained module by module, and their loader.

Denoodt, de Boer, Oramas 2024 (arXiv 2408.12936), with Greedy InfoMax (Löwe et al. 2019, arXiv
1905.11786), CPC and a supervised twin beside it.
"""

from .config import GIM_MODULES, RECIPES, SIM_MODULES, SimConfig, recipe
from .geometry import Geometry, geometries
from .loading import sim
from .network import Scaling, build, save_model
from .waves import WaveFeed

__all__ = [
    "GIM_MODULES",
    "RECIPES",
    "SIM_MODULES",
    "Geometry",
    "Scaling",
    "SimConfig",
    "WaveFeed",
    "build",
    "geometries",
    "recipe",
    "save_model",
    "sim",
]
