"""`sim:FOLDER`: a network of `actlas train sim` as a model like any other."""

from pathlib import Path

from actlas import LoadedModel, loader, pick_device

from .config import SimConfig
from .network import build, read_config, read_weights
from .on_site import on_site, read_base
from .waves import WaveFeed


@loader("sim")
def sim(rest: str, *, device: str, compute_dtype: str, trust_remote_code: bool) -> LoadedModel:
    """A speech encoder of `actlas train sim`, gim, cpc or supervised: sim:FOLDER."""
    import torch
    import xxhash

    folder = Path(rest).expanduser()
    config, scaling = read_config(folder)
    network = build(config)
    read_weights(folder, network)
    hasher = xxhash.xxh3_128(f"{config.to_json_string()} {scaling}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        hasher.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        hasher.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    if compute_dtype != "auto":
        network = network.to(getattr(torch, compute_dtype))
    device = pick_device(device)
    network = network.eval().requires_grad_(False).to(device)
    feed = WaveFeed(config, scaling)
    spec, digest = f"sim:{folder.resolve()}", hasher.hexdigest()
    model = LoadedModel(spec, network, feed, digest, device, names=further_sites(config))
    base = read_base(folder)
    if base is None:
        return model
    return on_site(model, base, config, device=device, compute_dtype=compute_dtype)


def further_sites(config: SimConfig) -> dict[str, str]:
    """Return the sites beside the modules' means: name → submodule."""
    parts = ("logvar", "sample") if config.gaussian else ()
    names = [f"layers.{i}.{part}" for i in range(len(config.modules)) for part in parts]
    if config.gru:
        names.append("context")
    if config.classes:
        names.append("classifier")
    return {name: name for name in names}
