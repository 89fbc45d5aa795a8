"""Choosing a torch device."""

from .errors import ModelError


def pick_device(device: str) -> str:
    """Return the torch device that `auto` stands for, or the one named, if it is there."""
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"no device {device!r} here; use --device auto or cpu") from error
    return device
