"""A trained toy model as a network: features in, hidden layer, output."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from actlas import InputError, ModelError

from .samples import VALUES, Values
from .trained import Trained

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["quadratic", "relu", "linear"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class ToyConfig:
    """What a folder of trained toy models holds, as config.json has it.

    importance: of each feature. kurtosis: of a feature, of the quadratic model; None of others.
    density: chance that a feature is there; None where only the kurtosis is given and no
        density of these values has it. values: what it is drawn from then.
    bias: whether there is an output bias. recipe: how it was trained. seed: of the training.
    loss: of each instance, lowest first.
    """

    kind: Kind
    features: int
    dims: int
    importance: list[float]
    kurtosis: float | None
    density: float | None
    values: Values
    bias: bool
    recipe: str
    seed: int
    loss: list[float]
    model_type: str = "actlas-toy"

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return JSON, as the configurations of transformers do."""
        return json.dumps(asdict(self), indent=1) + "\n"


def make_folder(folder: Path) -> None:
    """Make the folder of a model, or raise InputError where none can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name a folder") from error


@contextmanager
def saving(config: ToyConfig, trained: Trained, folder: Path) -> Iterator[None]:
    """Write model.safetensors, the instances of the only cell, best first; at the end config.json.

    A folder without config.json holds no model: who is stopped in between leaves none, and not
    the weights of one with the configuration of another.
    """
    from safetensors.numpy import save_file

    order = np.argsort(trained.loss[0], kind="stable")
    arrays = {"weight": np.ascontiguousarray(trained.weights[0][order])}
    if trained.bias is not None:
        arrays["bias"] = np.ascontiguousarray(trained.bias[0][order])
    make_folder(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    save_file(arrays, folder / WEIGHTS)
    yield
    unfinished = folder / f"{CONFIG}.part"
    unfinished.write_text(config.to_json_string(), "utf-8")
    unfinished.replace(folder / CONFIG)


def read_config(folder: Path) -> ToyConfig:
    """Read config.json, or raise ModelError."""
    path = folder / CONFIG
    if not path.is_file():
        raise ModelError(f"{folder} has no {CONFIG}; `actlas train toy -o {folder}` makes one")
    try:
        config = ToyConfig(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        known = ", ".join(field.name for field in fields(ToyConfig))
        raise ModelError(f"{path} is no toy model's; it has {known} ({error})") from error
    if config.kind not in KINDS or config.values not in VALUES:
        raise ModelError(f"{path}: kind {config.kind!r} of {config.values!r} values is unknown")
    lists = isinstance(config.importance, list) and isinstance(config.loss, list)
    if not lists or len(config.importance) != config.features or not config.loss:
        raise ModelError(f"{path}: importance is of each feature, loss of each instance")
    return config


def read_weights(folder: Path, config: ToyConfig) -> "dict[str, Tensor]":
    """Read the instances: weight (instances, features, dims) and bias; or raise ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        arrays = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder / WEIGHTS} cannot be read: {error}; train it again") from error
    outputs = 1 if config.kind == "quadratic" else config.features
    want: dict[str, tuple[int, ...]] = {"weight": (len(config.loss), config.features, config.dims)}
    if config.bias:
        want["bias"] = (len(config.loss), outputs)
    found = {name: tuple(t.shape) for name, t in arrays.items()}
    if found != want:
        raise ModelError(
            f"{folder / WEIGHTS} holds {found}, its configuration is of {want}; train it again"
        )
    if not all(t.is_floating_point() and t.isfinite().all() for t in arrays.values()):
        raise ModelError(f"{folder / WEIGHTS} holds what are no finite numbers; train it again")
    return arrays


def network(config: ToyConfig, weight: "Tensor", bias: "Tensor | None") -> "nn.Module":
    """Make the network of one instance: layers.0 gives h = Wx, layers.1 the output.

    weight: (features, dims), `layers.0.weight`: a row is where its feature is written. The
        second layer reads with the same weights and has only its bias.
    """
    import torch
    from torch import nn

    class Write(nn.Module):
        """Features (batch, features) to the hidden layer (batch, dims)."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(weight, requires_grad=False)

        def forward(self, x: "Tensor") -> "Tensor":
            return x @ self.weight

    class Read(nn.Module):
        """The hidden layer to the output: (batch, 1) of a quadratic model, else as features."""

        def __init__(self, written: Write) -> None:
            super().__init__()
            self._written = [written]  # in a list: its weights are not ours
            self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

        def forward(self, h: "Tensor") -> "Tensor":
            if config.kind == "quadratic":
                out = h.square().sum(1, keepdim=True)
            else:
                out = h @ self._written[0].weight.T
            out = out if self.bias is None else out + self.bias
            return torch.relu(out) if config.kind == "relu" else out

    class ToyModel(nn.Module):
        """A toy model of superposition."""

        def __init__(self) -> None:
            super().__init__()
            self.config: Any = config
            write = Write()
            self.layers = nn.ModuleList([write, Read(write)])

        def forward(self, x: "Tensor") -> "Tensor":
            for layer in self.layers:
                x = layer(x)
            return x

    return ToyModel()
