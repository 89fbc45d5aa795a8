"""Training one setting from a user's words, and keeping it in a folder."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actlas import InputError

from .network import CONFIG, KINDS, Kind, ToyConfig, make_folder, saving
from .optimum import check_kurtosis, importances
from .quadratic import train_quadratic
from .recipes import recipe_named
from .sampled import train_relu, train_sampled
from .samples import VALUES, Values, check_density, density_for, kurtosis_of
from .trained import Trained
from .vectors import sample_vectors, write_vectors

CLOSED = "closed"  # the recipe of a quadratic model that needs no samples
SAMPLES = "samples.jsonl"
SCALE = 1e6  # how far the largest importance may lie from 1
SPARSEST = 1e6  # kurtosis up to which training is known to reach the optimum


@dataclass(frozen=True)
class ToyTask:
    """One setting to train; see `train_toy`."""

    kind: Kind
    features: int
    dims: int
    importance: str = "1"
    kurtosis: float | None = None
    density: float | None = None
    values: Values | None = None
    bias: bool = True
    recipe: str | None = None
    instances: int = 8
    seed: int = 0
    samples: int = 2000


@dataclass(frozen=True)
class TrainedToy:
    """What a training made: where it is, its configuration, and the weights, best first."""

    folder: Path
    config: ToyConfig
    weights: NDArray[np.float64]  # (instances, features, dims)


def train_toy(task: ToyTask, folder: Path, *, force: bool = False) -> TrainedToy:
    """Train instances of a toy model and write them to a folder that `toy:FOLDER` loads.

    The folder gets config.json, model.safetensors (all instances, best first) and samples.jsonl, a
    data set of feature vectors drawn as in training, with labels. Raises InputError.
    """
    settled = settle(task)
    if (folder / CONFIG).exists() and not force:
        raise InputError(f"{folder} holds a model already; choose another, or say --force")
    make_folder(folder)  # before training, which may take minutes
    return keep_toy(settled, _trained(settled, task.instances), folder, samples=task.samples)


def keep_toy(config: ToyConfig, trained: Trained, folder: Path, *, samples: int) -> TrainedToy:
    """Write the instances of the only cell as `train_toy` does, in place of what is there.

    config: of `settle`; what it says of losses is filled in. samples: feature vectors to draw, if
    the features' density is known. Raises InputError, also where training has diverged.
    """
    if not np.isfinite(trained.loss).all() or not np.isfinite(trained.weights).all():
        raise InputError("training has diverged to infinity; use importances near 1")
    order = np.argsort(trained.loss[0], kind="stable")
    config = replace(config, loss=trained.loss[0][order].tolist())
    drawn = None
    if samples and config.density:
        drawn = sample_vectors(
            config.features, config.values, config.density, samples, config.seed + 1
        )
    with saving(config, trained, folder):
        if drawn is None:
            (folder / SAMPLES).unlink(missing_ok=True)  # of a model that was here before
        else:
            write_vectors(folder / SAMPLES, drawn)
    return TrainedToy(folder, config, trained.weights[0][order])


def settle(task: ToyTask) -> ToyConfig:
    """Fill in what a task leaves open, or raise InputError where its parts do not go together."""
    if task.kind not in KINDS:
        raise InputError(f"no kind {task.kind!r}; there is {', '.join(KINDS)}")
    if task.instances < 1 or task.features < 1 or task.dims < 1:
        raise InputError("a training has at least 1 feature, 1 dimension and 1 instance")
    if not 0 <= task.seed < 2**32:
        raise InputError(f"seed {task.seed} must lie between 0 and 2³² − 1")
    quadratic = task.kind == "quadratic"
    values: Values = task.values or ("uniform" if quadratic else "positive")
    if values not in VALUES or (values == "positive") == quadratic:
        fit = "uniform, gaussian or sign" if quadratic else "positive"
        raise InputError(f"features of a {task.kind} model are {fit}, not {values!r}")
    kurtosis, density = _moments(task, values)
    recipe = task.recipe or (CLOSED if quadratic else "fast")
    if recipe != CLOSED:
        recipe_named(recipe)
    elif not quadratic:
        raise InputError(f"a {task.kind} model has no loss in closed form; take recipe fast or tms")
    if not task.bias and not quadratic:
        raise InputError(f"a {task.kind} model is trained with its bias; leave --no-bias out")
    return ToyConfig(
        task.kind, task.features, task.dims, importance_list(task.importance, task.features),
        kurtosis, density, values, task.bias, recipe, task.seed, [],
    )  # fmt: skip


def _moments(task: ToyTask, values: Values) -> tuple[float | None, float | None]:
    """Return kurtosis and density: of a quadratic model one gives the other."""
    if task.kind != "quadratic":
        if task.kurtosis is not None or task.density is None:
            raise InputError(f"a {task.kind} model is trained at a --density, not at a kurtosis")
        check_density(task.density)
        return None, task.density
    if (task.kurtosis is None) == (task.density is None):
        raise InputError("give a quadratic model a --kurtosis or a --density: one gives the other")
    if task.density is not None:
        check_density(task.density)
        found = kurtosis_of(values, task.density)
        check_kurtosis(found, SPARSEST)
        return found, task.density
    assert task.kurtosis is not None
    check_kurtosis(task.kurtosis, SPARSEST)
    drawn = task.samples or (task.recipe or CLOSED) != CLOSED
    return task.kurtosis, density_for(values, task.kurtosis) if drawn else None


def importance_list(given: str, features: int) -> list[float]:
    """Read importances: a decay a for a^i, or a number a feature separated by commas."""
    try:
        numbers = [float(part) for part in given.split(",")]
    except ValueError:
        raise InputError(
            f"importance {given!r} is no number and no list; write 0.8 for 0.8^i, or 1,0.5,0.2"
        ) from None
    if len(numbers) == 1:
        with np.errstate(over="ignore"):
            numbers = (numbers[0] ** np.arange(features)).tolist()
    if len(numbers) != features:
        raise InputError(f"{len(numbers)} importances for {features} features; give one each")
    found = importances(numbers)
    if not 1 / SCALE <= found.max() <= SCALE:
        raise InputError(
            f"the largest importance is {found.max():g}; training needs one near 1, so divide all "
            f"by it"
        )
    return [float(v) for v in found]


def _trained(config: ToyConfig, instances: int) -> Trained:
    """Train what a configuration says."""
    common = {"starts": instances, "seed": config.seed}
    if config.recipe == CLOSED:
        assert config.kurtosis is not None
        return train_quadratic(
            config.importance, config.kurtosis, config.dims, bias=config.bias, **common
        )
    assert config.density is not None
    recipe = recipe_named(config.recipe)
    if config.kind == "quadratic":
        return train_sampled(
            config.importance, config.density, config.dims, values=config.values,
            bias=config.bias, recipe=recipe, **common,
        )  # fmt: skip
    return train_relu(
        config.importance, config.density, config.dims, linear=config.kind == "linear",
        recipe=recipe, **common,
    )  # fmt: skip
