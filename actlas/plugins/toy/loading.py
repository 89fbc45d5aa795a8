"""`toy:FOLDER[#INSTANCE]`: a trained toy model as a model like any other."""

from pathlib import Path

from actlas import LoadedModel, ModelError, loader, pick_device

from .network import CONFIG, network, read_config, read_weights
from .vectors import VectorFeed


@loader("toy")
def toy(rest: str, *, device: str, compute_dtype: str, trust_remote_code: bool) -> LoadedModel:
    """A toy model of superposition, of `actlas train toy`: toy:FOLDER[#INSTANCE]."""
    import torch
    import xxhash

    place, mark, number = rest.rpartition("#")
    if not mark or (Path(rest).expanduser() / CONFIG).is_file():  # a folder may have # in its name
        place, mark, number = rest, "", "0"
    folder = Path(place).expanduser()
    config = read_config(folder)
    if not number.isdecimal() or int(number) >= len(config.loss):
        raise ModelError(
            f"toy:{rest} names no instance; {place} has #0, the one of least loss, "
            f"to #{len(config.loss) - 1}"
        )
    arrays = {name: t[int(number)] for name, t in read_weights(folder, config).items()}
    hasher = xxhash.xxh3_128(f"{config.kind} {config.importance}".encode())
    for name, tensor in sorted(arrays.items()):
        hasher.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        hasher.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    if compute_dtype != "auto":
        arrays = {name: t.to(getattr(torch, compute_dtype)) for name, t in arrays.items()}
    device = pick_device(device)
    module = network(config, arrays["weight"], arrays.get("bias")).eval().to(device)
    spec = f"toy:{folder.resolve()}{mark}{number if mark else ''}"
    return LoadedModel(spec, module, VectorFeed(config.features), hasher.hexdigest(), device)
