"""The state of a training that goes on: written whole, read back bit for bit."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas import InputError

from .config import SimConfig, config_of, differing
from .network import STATE, write_whole

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from .blocks import SimNetwork

FREE = ("epochs",)  # may be raised for a training that is there


@dataclass(frozen=True)
class State:
    """Where a training is.

    epoch, step: of the next step. tensors: network, optimizer and the epoch's sums by name.
    """

    epoch: int
    step: int
    tensors: "dict[str, Tensor]"


def write_state(folder: Path, config: SimConfig, data: str, state: State) -> None:
    """Write state.safetensors; data: digest of what is trained on."""
    from safetensors.torch import save

    about = {"config": config.to_json_string(), "data": data, "epoch": str(state.epoch),
             "step": str(state.step)}  # fmt: skip
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.tensors.items()}
    write_whole(folder / STATE, save(tensors, about))


def read_state(folder: Path, config: SimConfig, data: str) -> State | None:
    """Read where a training in a folder is, None where there is none.

    Raises InputError where it is one of other settings, naming them, or of other data.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / STATE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as held:
            about: dict[str, Any] = held.metadata()
            tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
        stored = config_of(json.loads(about["config"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); use --force to begin again") from error
    unlike = [name for name in differing(stored, config) if name not in FREE]
    if config.epochs < stored.epochs and "epochs" in differing(stored, config):
        unlike.append("epochs")
    if unlike:
        said = ", ".join(
            f"{name} {getattr(stored, name)!r} (now {getattr(config, name)!r})" for name in unlike
        )
        raise InputError(
            f"{folder} holds a training with {said}; use another folder, the same settings to go "
            f"on, or --force to begin again"
        )
    if about["data"] != data:
        raise InputError(
            f"{folder} holds a training on other clips; use another folder, or --force to begin "
            f"again"
        )
    return State(int(about["epoch"]), int(about["step"]), tensors)


def gathered(network: "SimNetwork", optimizer: "Optimizer") -> "dict[str, Tensor]":
    """Return every tensor of a network and its optimizer by name."""
    import torch

    found = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
    return found


def restore(network: "SimNetwork", optimizer: "Optimizer", state: State) -> None:
    """Put a state back into a network and its optimizer."""
    parts = state.tensors
    network.load_state_dict(_below(parts, "network."))
    for key in {name.split(".")[1] for name in parts if name.startswith("optimizer.")}:
        held = _below(parts, f"optimizer.{key}.")
        for name, parameter in network.named_parameters():
            if name in held:
                optimizer.state[parameter][key] = held[name].to(
                    "cpu" if key == "step" else parameter.device
                )


def _below(tensors: "dict[str, Tensor]", prefix: str) -> "dict[str, Tensor]":
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
