"""Smooth InfoMax: speech encoders trained module by module, and their loader.

Denoodt, de Boer, Oramas 2024 (arXiv 2408.12936), with Greedy InfoMax (Löwe et al. 2019, arXiv
1905.11786), CPC and a supervised twin beside it.
"""

from .clips import Clips, read_clips
from .config import GIM_MODULES, RECIPES, SIM_MODULES, SimConfig, recipe
from .geometry import Geometry, geometries
from .loading import sim
from .metrics import Metrics, read_metrics
from .network import Scaling, build, save_model
from .training import Hooks, TrainedSim, train_sim
from .waves import WaveFeed

__all__ = [
    "GIM_MODULES",
    "RECIPES",
    "SIM_MODULES",
    "Clips",
    "Geometry",
    "Hooks",
    "Metrics",
    "Scaling",
    "SimConfig",
    "TrainedSim",
    "WaveFeed",
    "build",
    "geometries",
    "read_clips",
    "read_metrics",
    "recipe",
    "save_model",
    "sim",
    "train_sim",
]
