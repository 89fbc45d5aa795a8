"""`actlas train sim`, gim, cpc and supervised: speech encoders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .common import json_option, print_record, store_option

READING = ("media", "name_labels", "split", "limit", "skip_bad")
WHOLE, SHARE = click.IntRange(0), click.FloatRange(0, 1, max_open=True)
# Of each setting its type, and what it is; its default is the recipe's.
SETTINGS: dict[str, tuple[Any, str]] = {
    "channels": (WHOLE, "Channels of every convolution."),
    "modules": (str, "Modules as JSON: lists of convolutions [kernel, stride, padding]."),
    "gru": (WHOLE, "Width of a GRU after the last module; 0 for none."),
    "steps": (WHOLE, "Future frames that are predicted, K."),
    "negatives": (WHOLE, "Negatives of each prediction, N."),
    "negative_mode": (click.Choice(["shared", "per_step", "sequence"]),
                      "Drawn once from the batch, for each k anew, or from the clip."),
    "window": (WHOLE, "Most frames of a clip that are scored."),
    "learning_rate": (float, "Of Adam."),
    "batch": (WHOLE, "Clips of a step."),
    "epochs": (WHOLE, "Passes over the clips; 0 gives the network before training."),
    "rate": (WHOLE, "Hz that recordings are resampled to."),
    "crop": (WHOLE, "Samples of a clip, from its start."),
    "short": (click.Choice(["error", "pad", "skip"]), "Recordings shorter than the crop."),
    "normalise": (click.Choice(["data", "clip", "none"]),
                  "By mean and standard deviation of all recordings, or of each clip."),
    "held_out": (SHARE, "Share of the clips that is only measured."),
    "seed": (int, "Of start, order and draws."),
    "dtype": (click.Choice(["float32", "bfloat16"]), "Of products in training."),
    "train_layer": (WHOLE, "The only module to train; see --from."),
}  # fmt: skip
FLAGS = {
    "random_crop": "Crops at random places rather than at the start.",
    "batch_norm": "Batch normalization after every convolution.",
    "remove_bptt": "No gradient from frame to frame in the GRU.",
    "isolated": "No gradient from a module to the one before.",
}
OF_SIM: dict[str, tuple[Any, str]] = {
    "beta": (float, "Weight of the KL term."),
    "kl_reduction": (click.Choice(["per_vector", "paper_compat"]),
                     "Sum over channels and mean over frames, or the reverse, as published."),
    "warmup": (WHOLE, "Epochs over which beta rises from 0."),
    "free_bits": (float, "Nats per vector that cost nothing."),
    "capacity": (float, "Nats per vector that the rate is held at."),
    "logvar_bias": (float, "Log-variance at the start."),
    "logvar_clamp": (float, "Largest size of a log-variance."),
}  # fmt: skip


def _settings(*tables: dict[str, tuple[Any, str]]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for name, text in reversed(FLAGS.items()):
            flag = name.replace("_", "-")
            command = click.option(f"--{flag}/--no-{flag}", name, default=None, help=text)(command)
        for table in reversed(tables):
            for name, (kind, text) in reversed(table.items()):
                flag = f"--{name.replace('_', '-')}"
                command = click.option(flag, name, type=kind, help=text)(command)
        return command

    return add


def _common(command: Any) -> Any:
    for option in (
        json_option,
        click.option("--force", is_flag=True, help="Begin again where the folder has a training."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, …"),
        click.option("--skip-bad", is_flag=True, help="Leave out silent and unreadable files."),
        click.option("--limit", type=click.IntRange(1), help="Take only the first recordings."),
        click.option("--split", default="train", show_default=True, help="Of a hub data set."),
        click.option("--name-labels", metavar="PATTERN",
                     help="Labels in file names: '{digit}_{speaker}_{take}'."),
        click.option("--media", metavar="COLUMN", help="Column of audio files."),
        click.option("--from", "start", type=click.Path(path_type=Path), metavar="FOLDER",
                     help="A trained network of the same layers to begin with."),
        click.option("--recipe", "recipe_name", default="small", show_default=True,
                     type=click.Choice(["small", "paper", "gim-original"]),
                     help="small: minutes on two cores; paper: the published configuration."),
        click.option("-o", "--out", "folder", required=True, metavar="FOLDER",
                     type=click.Path(path_type=Path), help="Where the model goes; sim:FOLDER."),
        click.option("--no-store", "keep", flag_value=False, default=True,
                     help="Do not extract what was trained on, nor keep the metrics there."),
        store_option,
        click.option("--site", help="Train on its rows instead of recordings; see --extraction."),
        click.option("--extraction", type=int, metavar="N",
                     help="Of --site, pooled by token; sim:FOLDER is then its model and on top the "
                     "encoder."),
        click.argument("data", required=False),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@_common
@_settings(SETTINGS, OF_SIM)
def sim(**options: Any) -> None:
    """Train a speech encoder by Smooth InfoMax on the recordings of DATA.

    DATA is a folder of audio files, a table with a column of them, or hf:NAME; with --extraction
    and --site each sample's rows are the sequence. Modules have losses
    of their own (InfoNCE, and β times the KL of their posteriors to N(0, I)). Each epoch leaves a
    checkpoint: a training that was stopped goes on with the same command. Settings not given are
    those of the recipe.
    """
    _train("sim", **options)


@click.command()
@_common
@_settings(SETTINGS)
def gim(**options: Any) -> None:
    """Train a speech encoder by Greedy InfoMax: as sim, with means only.

    With the same seed it begins as its twin of `actlas train sim` does.
    """
    _train("gim", **options)


@click.command()
@_common
@_settings(SETTINGS)
def cpc(**options: Any) -> None:
    """Train a speech encoder by CPC: all layers by one loss at the end, from a GRU's context."""
    _train("cpc", **options)


@click.command()
@_common
@click.option("--labels", required=True, metavar="NAME", help="Label set of the classes.")
@_settings(SETTINGS)
def supervised(**options: Any) -> None:
    """Train the same speech encoder on the labels of DATA, for comparison."""
    _train("supervised", **options)


def _train(kind: Any, *, folder: Path, data: str | None, as_json: bool, **options: Any) -> None:
    from ..api.sequences import train_encoder

    names = [*SETTINGS, *OF_SIM, *FLAGS]
    settings = {n: v for n in names if (v := options.pop(n, None)) is not None}
    if "modules" in settings:
        settings["modules"] = _modules(settings["modules"])
    reading = {name: options.pop(name) for name in READING}
    record = train_encoder(
        kind, data, folder, settings=settings, reading=reading, progress=True,
        say=lambda text: click.echo(text, err=True), **options,
    )  # fmt: skip
    print_record(record, as_json)


def _modules(text: str) -> Any:
    """Read modules, or raise BadParameter."""
    try:
        return tuple(tuple(tuple(map(int, layer)) for layer in m) for m in json.loads(text))
    except (ValueError, TypeError) as error:
        raise click.BadParameter(
            f"{text!r} is no list of modules, such as [[[10,5,2],[8,4,2]],[[4,2,2]]]",
            param_hint="--modules",
        ) from error


COMMANDS = (sim, gim, cpc, supervised)
