"""The network as a folder: settings, weights, and how it is made from them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas import InputError, ModelError

from .config import SimConfig, config_of

if TYPE_CHECKING:
    from torch import Tensor

    from .blocks import SimNetwork

CONFIG, WEIGHTS, STATE, METRICS = (
    "config.json", "model.safetensors", "state.safetensors", "metrics.jsonl",
)  # fmt: skip


@dataclass(frozen=True)
class Scaling:
    """What is subtracted from a waveform and what it is then divided by, of the training clips."""

    mean: float = 0.0
    std: float = 1.0


def build(config: SimConfig) -> "SimNetwork":
    """Make a network as it is before training; the same settings give the same numbers."""
    from .blocks import SimNetwork

    return SimNetwork(config)


def save_model(
    folder: Path, network: "SimNetwork", scaling: Scaling, trained: dict[str, Any]
) -> None:
    """Write model.safetensors and at the end config.json; who is stopped leaves no model.

    trained: what is known of the training: data, clips, epochs.
    """
    from safetensors.torch import save

    (folder / CONFIG).unlink(missing_ok=True)
    arrays = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_whole(folder / WEIGHTS, save(arrays))
    text = config_json(network.config, scaling, trained)
    write_whole(folder / CONFIG, text.encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that at any moment the old one or the new one is there, whole."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def config_json(config: SimConfig, scaling: Scaling, trained: dict[str, Any]) -> str:
    """Return what config.json holds: settings, scaling, and what is known of the training."""
    import actlas

    settings = json.loads(config.to_json_string())
    version = getattr(actlas, "__version__", "")
    more = {"mean": scaling.mean, "std": scaling.std, "actlas": version, **trained}
    return json.dumps({**settings, "trained": more}, indent=1, ensure_ascii=False) + "\n"


def read_config(folder: Path) -> tuple[SimConfig, Scaling]:
    """Read config.json, or raise ModelError."""
    path = folder / CONFIG
    if not path.is_file():
        raise ModelError(f"{folder} has no {CONFIG}; {_missing(folder)}")
    try:
        stored = json.loads(path.read_text("utf-8"))
        trained = stored.pop("trained")
        scaling = Scaling(float(trained["mean"]), float(trained["std"]))
        return config_of(stored), scaling
    except (ValueError, TypeError, KeyError, AttributeError, InputError) as error:
        raise ModelError(
            f"{path} is not of `actlas train sim` ({error}); train the model again"
        ) from error


def _missing(folder: Path) -> str:
    if (folder / STATE).exists():
        return "its training is not finished: give the same `actlas train` again to go on"
    return f"`actlas train sim DATA -o {folder}` makes one"


def read_weights(folder: Path, network: "SimNetwork") -> None:
    """Load model.safetensors into a network, or raise ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        arrays: dict[str, Tensor] = load_file(folder / WEIGHTS)
        network.load_state_dict(arrays)
    except (OSError, SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"{folder / WEIGHTS} cannot be read: {said}; train it again") from error
    finite = (t.isfinite().all() for t in arrays.values() if t.is_floating_point())
    if not all(finite):
        raise ModelError(f"{folder / WEIGHTS} holds what are no finite numbers; train it again")
