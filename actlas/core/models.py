"""A loaded network, and its forward pass read at sites."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from .attention import eager, named_weights
from .errors import ModelError, SiteError
from .feeds import Batch, Feed, TextFeed
from .named import merged, named_sites
from .replacing import Replacing, Rerun, Value
from .selection import matching_paths, select_sites
from .sites import (
    Frame,
    Site,
    find_sites,
    main_frame,
    module_site,
    stack_of,
)
from .text import listing, nearest
from .tracing import Call, hooked, input_tensor, output_tensor, trace
from .weights import Weights

if TYPE_CHECKING:
    import torch
    from torch import nn

Sink = Callable[[str, "torch.Tensor"], None]
ONE_ROW = ("mean", "first", "last")  # the poolings that make one row of a sample


class _AllCaptured(Exception):
    """Every wanted site has been read: the rest of the forward pass is not needed."""


@final
@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network and how it is given samples, ready to be read at sites.

    A loader plugin makes one: `LoadedModel(spec, module, feed, digest, device)`, the module in
    evaluation mode on its device.

    spec: by which it can be loaded again, scheme included.
    feed: how it is given samples: TextFeed, ImageFeed, AudioFeed, TorchFeed, or another Feed.
    digest: of all that its numbers depend on: weights, configuration, tokenizer or processor.
        Two models of equal digest are one in the store.
    names: sites beside those that are found: name → path of the submodule whose output it is,
        `{"context": "gru", "layers.0.logvar": "layers.0.spread"}`. A submodule in which nothing
        says which dimension has the channels is laid out as the site its name stands below.
    """

    spec: str
    module: "nn.Module"
    feed: Feed
    digest: str
    device: str = "cpu"
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_meta(self.spec, self.module)

    @property
    def config(self) -> Any:
        """The network's own configuration, None where it has none."""
        return getattr(self.module, "config", None)

    @property
    def configuration(self) -> dict[str, Any]:
        """The network's configuration as JSON has it, {} where it has none."""
        import json

        if not hasattr(self.config, "to_json_string"):
            return {}
        loaded: dict[str, Any] = json.loads(self.config.to_json_string(use_diff=False))
        return loaded

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of a model of texts, else None."""
        return getattr(self.feed, "tokenizer", None)

    @property
    def two_sided(self) -> bool:
        """Whether it is an encoder–decoder of texts."""
        return isinstance(self.feed, TextFeed) and self.feed.two_sided

    @property
    def max_length(self) -> int:
        """Most positions a sample may have, special tokens included."""
        return self.feed.max_length

    @property
    def architecture(self) -> str:
        """Class name of the network."""
        return type(self.module).__name__

    @cached_property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.module.parameters())

    @cached_property
    def _dtype(self) -> "torch.dtype":
        import torch

        floats = (p.dtype for p in self.module.parameters() if p.is_floating_point())
        return next(floats, torch.float32)

    @property
    def dtype(self) -> str:
        """Compute dtype, as in float32."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def weights(self) -> Weights:
        """The parameters by name; rows of embeddings are called by their tokens."""
        state = self.module.state_dict()
        return Weights(state, dict.fromkeys(self._embeddings(state), self._tokens))

    def _embeddings(self, state: Mapping[str, Any]) -> list[str]:
        """Parameters that hold one row a token, at the input or the output."""
        if self.tokenizer is None:
            return []
        held = []
        for side in ("get_input_embeddings", "get_output_embeddings"):
            try:
                weight = getattr(getattr(self.module, side)(), "weight", None)
            except (AttributeError, NotImplementedError):  # a network that has none
                continue
            held += [weight] if weight is not None else []
        return [
            name for name, tensor in state.items()
            if any(0 != tensor.data_ptr() == w.data_ptr() and tensor.shape == w.shape for w in held)
        ]  # fmt: skip

    def _tokens(self) -> list[str]:
        tokens: list[str] = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
        return tokens

    @cached_property
    def _traced(self) -> tuple[list[Call], tuple[int, int]]:
        """Every submodule call of one small forward pass, and its (batch, length)."""
        example = self.feed.example()
        try:
            return trace(self.module, lambda: self._forward(example)), example.shape
        except Exception as error:  # whatever a stranger's network raises
            said = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{self.spec}: the forward pass fails on a small example of what it reads "
                f"({self.feed.modality}): {type(error).__name__}: {said}"
            ) from error

    @property
    def calls(self) -> list[Call]:
        """Every submodule call of one small forward pass."""
        return self._traced[0]

    @cached_property
    def sites(self) -> dict[str, Site]:
        """The named sites, in the order of the forward pass."""
        if not self.names:
            return self._found
        named = named_sites(self.module, *self._traced, self.names, self._found)
        placed = {name: self._stacked(site) for name, site in named.items()}
        return merged(self.calls, self._found, placed)

    @cached_property
    def _found(self) -> dict[str, Site]:
        return find_sites(self.module, *self._traced, two_sided=self.two_sided)

    @cached_property
    def _main(self) -> Frame | None:
        return main_frame(self._found.values(), self._traced[1])

    def select(self, patterns: str | Sequence[str], pooling: str = "token") -> list[Site]:
        """Return the sites that patterns stand for (see `select_sites`), `module:PATH` last.

        pooling: mean, first and last let sites of different positions share an extraction.
        """
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
                chosen += self._submodules(pattern)
        chosen = list({site.name: site for site in chosen}.values())
        if pooling in ONE_ROW:
            chosen = [_reduced(site, pooling) for site in chosen]
        _check_together(chosen)
        return chosen

    def _submodules(self, pattern: str) -> list[Site]:
        if "*" not in pattern:
            return [self.submodule(pattern)]
        paths = matching_paths(pattern.removeprefix("module:"), self.calls)
        if not paths:
            known = dict.fromkeys(f"module:{call.path}" for call in self.calls)
            raise SiteError(f"no submodule {pattern!r}; {nearest(pattern, known)}")
        found = []
        for path in paths:
            try:
                found.append(self.submodule(f"module:{path}"))
            except SiteError:
                if path == paths[-1] and not found:
                    raise
        return found

    def submodule(self, name: str) -> Site:
        """Return the site `module:PATH`, or raise SiteError where it yields no matrix."""
        return self._stacked(module_site(self.module, *self._traced, name))

    def _stacked(self, site: Site) -> Site:
        if self.two_sided:
            side = "decoder" if site.path.startswith("decoder") else "encoder"
            site = replace(site, stack="" if site.whole else side)
        return replace(site, stack=stack_of(site, self._main))

    def _forward(self, batch: Batch, **more: Any) -> Any:
        import torch

        named = {name: self._placed(tensor) for name, tensor in batch.arguments.items()}
        with torch.inference_mode():
            given = map(self._placed, batch.positional)
            return self.module(*given, **named, **self._no_cache, **more)

    def _placed(self, value: Any) -> Any:
        import torch

        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, dtype=self._dtype if value.is_floating_point() else None)

    def hidden_states(self, batch: Batch, side: str = "") -> "tuple[torch.Tensor, ...]":
        """Return the states that transformers gives by itself for a batch, without hooks.

        side: "encoder" or "decoder" of an encoder–decoder. Empty where the network is not of
        transformers, or gives none.
        """
        from transformers import PreTrainedModel

        if not isinstance(self.module, PreTrainedModel):
            return ()
        output = self._forward(batch, output_hidden_states=True)
        return getattr(output, f"{side}_hidden_states" if side else "hidden_states", None) or ()

    def attentions(self, batch: Batch) -> "dict[str, torch.Tensor]":
        """Run a batch and return the attention weights (batch, heads, queries, keys) by site.

        The names are those of the branches: `layers.0.attn`, `decoder.layers.0.cross`. Fused
        attention gives no weights, so that of matrices is used, and what was set is put back.
        Raises ModelError where the network gives none.
        """
        return named_weights(self.spec, self._attending(batch))

    def _attending(self, batch: Batch) -> Any:
        from transformers import PreTrainedModel

        if not isinstance(self.module, PreTrainedModel):
            return None
        with eager(self.module):
            return self._forward(batch, output_attentions=True)

    @cached_property
    def _no_cache(self) -> dict[str, bool]:
        return {"use_cache": False} if hasattr(self.config, "use_cache") and self._caches else {}

    @property
    def _caches(self) -> bool:
        import inspect

        return "use_cache" in inspect.signature(self.module.forward).parameters

    def capture(self, batch: Batch, sites: Sequence[Site]) -> "dict[str, torch.Tensor]":
        """Run a batch and return (batch, positions, width) for each site.

        The forward pass stops after the last of the sites; hooks sit on the real modules, so
        each tensor is the module's own.
        """
        captured: dict[str, torch.Tensor] = {}

        def keep(name: str, tensor: "torch.Tensor") -> None:
            captured[name] = tensor.clone()  # a later module may write into it

        with self.reading(sites) as read:
            read(batch, keep)
        return captured

    @contextmanager
    def reading(self, sites: Sequence[Site]) -> "Iterator[Callable[[Batch, Sink], None]]":
        """Install hooks once for many forward passes of the function it gives (see `capture`).

        It takes a batch, and a sink that is handed each site's name and tensor (batch, positions,
        width) the moment it is there; it must copy what it keeps, as a later module may write
        into it. Passes in several threads at once do not meet.
        """
        here = threading.local()

        def meet(site: Site, tensor: "torch.Tensor | None") -> None:
            here.reader.meet(site, tensor)

        def run(batch: Batch, sink: Sink) -> None:
            here.reader = _Reader(sites, batch.shape, sink)
            try:
                self._forward(batch)
            except _AllCaptured:
                return
            here.reader.refuse_missed()

        with hooked([_attach(self.module, site, meet) for site in sites]):
            yield run

    def rerun(
        self, batch: Batch, replace: Mapping[Site, Value], read: Sequence[Site] = (),
        *, attention: bool = False,
    ) -> Rerun:  # fmt: skip
        """Run a batch to its end with what some sites give replaced by other numbers.

        replace: of a site a tensor (n, positions, width), or a function that is handed the
            module's own, of that shape, and returns what takes its place. n is that of the batch;
            of a batch of one sample it may be any: what comes before is then run once for all.
        read: sites to read too, replaced ones as they then are.
        attention: also keep the attention weights, as `attentions` gives them.

        Where a module gives a tuple, its other members stay. Not for several threads at once.
        Raises SiteError for a site that is not reached, or a tensor of another shape.
        """
        replacing = Replacing(replace, read, batch.shape)
        with hooked(replacing.hooks(self.module)):
            output = self._attending(batch) if attention else self._forward(batch)
        weights = named_weights(self.spec, output) if attention else {}
        return replacing.finished(output, weights)


class _Reader:
    """Reads the sites of one forward pass."""

    def __init__(self, sites: Sequence[Site], shape: tuple[int, int], sink: Sink):
        self._sites, self._shape, self._sink = sites, shape, sink
        self._counts: dict[str, int] = {}
        self._done = 0

    def meet(self, site: Site, tensor: "torch.Tensor | None") -> None:
        count = self._counts.get(site.name, 0)
        self._counts[site.name] = count + 1
        if count != site.call or tensor is None:
            return
        self._sink(site.name, site.read(tensor, self._shape))
        self._done += 1
        if self._done == len(self._sites):
            raise _AllCaptured

    def refuse_missed(self) -> None:
        missed = [s.name for s in self._sites if self._counts.get(s.name, 0) <= s.call]
        raise SiteError(f"the forward pass did not reach {listing(missed)}")


def refuse_meta(spec: str, module: "nn.Module") -> None:
    """Raise ModelError for a network whose weights are not loaded."""
    if hasattr(module, "hf_device_map"):
        return  # offloaded weights are on the meta device until they are needed
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            raise ModelError(
                f"{spec}: the weights are not loaded ({name} is on the meta device); load a "
                f"checkpoint into the module first"
            )


def _reduced(site: Site, pooling: str) -> Site:
    """Read a site of other positions than the model's as one vector a sample."""
    if site.stack in ("", "encoder", "decoder", "sample"):
        return site
    return replace(site, stack="sample", reduce=pooling)


def _check_together(sites: Sequence[Site]) -> None:
    """Refuse sites whose rows are not the same places of a sample."""
    first: dict[str, str] = {}
    for site in sites:
        first.setdefault(site.stack, site.name)
    if len(first) < 2:
        return
    if "decoder" in first:
        raise SiteError(
            "encoder and decoder read different tokens, so they cannot share one extraction; "
            "extract encoder.* and decoder.* one after the other"
        )
    said = listing([f"{name} ({stack or 'token'})" for stack, name in first.items()], 4)
    raise SiteError(
        f"these sites have rows of different places: {said}; extract those of one kind at a time, "
        f"or try --pooling mean"
    )


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
    """List a model's sites with their widths and modules; `every`: all submodules too.

    Models of images and recordings also say how many positions a site has.
    """
    frames = model.feed.modality != "text"
    return [_described(site, frames=frames) for site in listed_sites(model, every=every).values()]


def listed_sites(model: LoadedModel, *, every: bool = False) -> dict[str, Site]:
    """Return the named sites; with `every`, or where there are none, all submodules too."""
    found = dict(model.sites)
    if every or not found:
        for call in model.calls:
            name = f"module:{call.path}"
            try:
                found.setdefault(name, model.submodule(name))
            except SiteError:
                continue
    return found


def _described(site: Site, *, frames: bool) -> dict[str, Any]:
    row = {"site": site.name, "width": site.width, "module": site.path, "of": site.port}
    if frames:
        row["positions"] = "x".join(map(str, site.frame)) or "sample"
    return row


def array_bytes(tensor: "torch.Tensor") -> NDArray[np.uint8]:
    """View a CPU tensor's memory as bytes (bfloat16 included)."""
    import torch

    return tensor.contiguous().view(torch.uint8).numpy()
