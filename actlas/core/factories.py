"""Any torch module: `torch:package.module:factory`."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import xxhash

from .datasets import Modality
from .errors import ModelError
from .feeds import TorchFeed
from .models import LoadedModel, array_bytes, refuse_meta

if TYPE_CHECKING:
    from torch import nn

MODALITIES = get_args(Modality)


def load_factory(spec: str, name: str, device: str, compute_dtype: str) -> LoadedModel:
    """Call a factory, `package.module:function`, and load the module it returns.

    The current directory can be imported from. The factory returns (module, collate), or
    (module, collate, modality); see `TorchFeed` for collate.
    """
    import torch

    factory = _imported(spec, name)
    try:
        made = factory()
    except Exception as error:  # whatever a stranger's function raises
        said = " ".join(str(error).split())
        raise ModelError(f"{spec} fails: {type(error).__name__}: {said}") from error
    module, collate, modality = _checked(spec, made)
    refuse_meta(spec, module)
    if compute_dtype != "auto":
        module = module.to(getattr(torch, compute_dtype))
    identity = digest_module(spec, module)
    module.eval().to(device)
    return LoadedModel(spec, module, TorchFeed(collate, modality, module.forward), identity, device)


def _imported(spec: str, name: str) -> Callable[[], Any]:
    path, colon, function = name.rpartition(":")
    if not colon or not path or not function.isidentifier():
        raise ModelError(f"{spec!r} names no factory; write torch:package.module:factory")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(path)
    except Exception as error:  # a stranger's module may raise anything
        said = " ".join(str(error).split())
        raise ModelError(
            f"{spec}: {path} cannot be imported from {here} or what is installed: "
            f"{type(error).__name__}: {said}"
        ) from error
    finally:
        sys.path.remove(here)
    factory = getattr(module, function, None)
    if not callable(factory):
        raise ModelError(f"{spec}: {path} has no function {function!r}; write one without inputs")
    found: Callable[[], Any] = factory
    return found


def _checked(spec: str, made: Any) -> "tuple[nn.Module, Callable[[list[Any]], Any], Modality]":
    from torch import nn

    parts = made if isinstance(made, tuple) else (made,)
    given: list[Any] = [*parts, None, None, None]
    module, collate = given[:2]
    modality: Any = given[2] or "text"
    good = isinstance(module, nn.Module) and callable(collate) and modality in MODALITIES
    if not good or len(parts) > 3:
        raise ModelError(
            f"{spec} returns ({', '.join(type(p).__name__ for p in parts)}); it must return "
            f"(module, collate) or (module, collate, 'text', 'image' or 'audio')"
        )
    return module, collate, modality


def digest_module(spec: str, module: "nn.Module") -> str:
    """Digest of a module: its spec and class, and its weights by name, shape and content."""
    hasher = xxhash.xxh3_128(f"{spec} {type(module).__qualname__}".encode())
    for name, value in module.state_dict().items():
        for tensor in value if isinstance(value, tuple) else (value,):  # tuple: packed, quantised
            if not hasattr(tensor, "shape"):
                hasher.update(f"{name} {tensor}".encode())
                continue
            hasher.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            plain = tensor.dequantize() if tensor.is_quantized else tensor
            hasher.update(array_bytes(plain.detach().cpu().reshape(-1)).data)
    return str(hasher.hexdigest())
