"""Toy models of superposition: trained, loaded like any model, and solved where they can be.

The quadratic model of Scherlis et al. 2022 (arXiv 2210.01892) and the ReLU-output model of Elhage
et al. 2022, with what theory says of each, so that analyses can be tried where the truth is known.
"""

from .loading import toy
from .network import KINDS, Kind, ToyConfig
from .optimum import (
    Optimum,
    feature_loss,
    marginal_benefit,
    norms2,
    optimum,
    pair_boundary,
    pair_capacity,
)
from .phases import PHASES, TRIPLE, Phase, relu_boundaries, relu_losses, relu_phase
from .quadratic import quadratic_gradient, quadratic_loss, train_quadratic
from .recipes import FAST, LONG, RECIPES, TMS, WIDE, Recipe
from .sampled import train_relu, train_sampled
from .samples import MOMENTS, VALUES, Values, density_for, draw, draw_evenly, kurtosis_of
from .trained import Trained
from .training import ToyTask, TrainedToy, importance_list, keep_toy, settle, train_toy
from .vectors import VectorFeed, sample_vectors, vector_of, vector_text

__all__ = [
    "FAST",
    "KINDS",
    "LONG",
    "MOMENTS",
    "PHASES",
    "RECIPES",
    "TMS",
    "TRIPLE",
    "VALUES",
    "WIDE",
    "Kind",
    "Optimum",
    "Phase",
    "Recipe",
    "ToyConfig",
    "ToyTask",
    "Trained",
    "TrainedToy",
    "Values",
    "VectorFeed",
    "density_for",
    "draw",
    "draw_evenly",
    "feature_loss",
    "importance_list",
    "keep_toy",
    "kurtosis_of",
    "marginal_benefit",
    "norms2",
    "optimum",
    "pair_boundary",
    "pair_capacity",
    "quadratic_gradient",
    "quadratic_loss",
    "relu_boundaries",
    "relu_losses",
    "relu_phase",
    "sample_vectors",
    "settle",
    "toy",
    "train_quadratic",
    "train_relu",
    "train_sampled",
    "train_toy",
    "vector_of",
    "vector_text",
]
