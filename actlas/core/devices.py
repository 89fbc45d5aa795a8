"""Choosing a torch device."""

from .errors import ModelError

SPLIT = "split"  # over all devices there are


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


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of a device's memory."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory() -> None:
    """Give back what the allocators of accelerators keep for later."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
