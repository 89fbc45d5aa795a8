"""`actlas train`: models that actlas trains itself."""

from pathlib import Path
from typing import Any

import click

from . import train_sim
from .common import json_option, print_record


@click.group()
def train() -> None:
    """Train speech encoders, and toy models whose truth is known."""


@train.command()
@click.option("-o", "--out", "folder", required=True, type=click.Path(path_type=Path),
              metavar="FOLDER", help="Where the models go; toy:FOLDER loads the best.")  # fmt: skip
@click.option("--kind", required=True, type=click.Choice(["quadratic", "relu", "linear"]),
              help="What the output is made of.")  # fmt: skip
@click.option("--features", required=True, type=click.IntRange(1), help="Features, N.")
@click.option("--dims", required=True, type=click.IntRange(1), help="Hidden dimensions, D.")
@click.option("--importance", default="1", show_default=True, metavar="A|A,B,…",
              help="A for importances A^i, i from 0; or one number a feature.")  # fmt: skip
@click.option("--density", type=float, help="Chance that a feature is there (1 - sparsity).")
@click.option("--kurtosis", type=float, help="Pearson kurtosis of a feature, of a quadratic model.")
@click.option("--values", type=click.Choice(["uniform", "gaussian", "sign", "positive"]),
              help="What is drawn (default: uniform; relu and linear: positive).")  # fmt: skip
@click.option("--bias/--no-bias", default=True, show_default=True,
              help="Whether a quadratic model has an output bias.")  # fmt: skip
@click.option("--recipe", type=click.Choice(["closed", "fast", "long", "wide", "tms"]),
              help="closed: without samples (default of quadratic); others: Adam on drawn samples "
              "(default of relu and linear: fast).")  # fmt: skip
@click.option("--instances", default=8, show_default=True, type=click.IntRange(1),
              help="Random starts, trained together.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of starts and samples.")
@click.option("--samples", default=2000, show_default=True, type=click.IntRange(0),
              help="Feature vectors to draw into FOLDER/samples.jsonl.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a model that is there.")
@json_option
def toy(folder: Path, as_json: bool, **options: Any) -> None:
    """Train toy models of superposition: N features in D dimensions.

    quadratic: ‖Wᵀx‖² + c learns Σ v x²; its optimum is known. relu: ReLU(WᵀWx + b) learns x.
    linear: the same without ReLU. `actlas extract toy:FOLDER FOLDER/samples.jsonl` reads the
    best: embed is what goes in, layers.0 the hidden layer, layers.1 the output.
    """
    from ..api.training import train_toy

    print_record(train_toy(folder, **options), as_json)


for command in train_sim.COMMANDS:
    train.add_command(command)
