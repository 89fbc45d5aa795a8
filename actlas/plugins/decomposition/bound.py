"""A layout bound to a model: its sub-layers in order, with the parameters that terms need."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from actlas import InputError, LoadedModel

from .layouts import LAYOUTS, SITES, Head, Kind, Layout, Stack, SubLayer, layout_for
from .norms import Norm, bind_norm

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "float64"]
PRECISION = "in which terms are summed; auto: float64 for a model of it, else float32"


@dataclass(frozen=True, eq=False)
class Heads:
    """The linear part of attention, a head at a time; query heads, however values are grouped.

    value: W_V (heads, head size, width read); value_bias: b_V (heads, head size) or None.
    output: W_O (heads, head size, width), so that head h adds z_h @ output[h].
    """

    value: "torch.Tensor"
    value_bias: "torch.Tensor | None"
    output: "torch.Tensor"

    def parts(self, z: "torch.Tensor") -> "torch.Tensor":
        """Return what each head adds (heads, n, width), its value bias taken off.

        z: (n, heads · head size), what the output projection reads. Rows of attention sum to
        one, so b_V is in z as it is.
        """
        heads, size, _ = self.output.shape
        split = z.reshape(len(z), heads, size)
        if self.value_bias is not None:
            split = split - self.value_bias
        return split.transpose(0, 1) @ self.output


@dataclass(frozen=True, eq=False)
class Branch:
    """One sub-layer: what is added to the stream, and how.

    site: where what its last projection gives is found. layer: its block, counted from 1.
    bias: (width,) the constant part of that, b_O + W_O b_V or b_2; None: none.
    scale: what it is multiplied by on its way. out_norm: before it is added; post_norm: after;
    pre_norm: what the branch reads the stream through.
    heads: of attention and cross-attention. spec: its entry in the layout; block: its path.
    """

    site: str
    layer: int
    kind: Kind
    bias: "torch.Tensor | None"
    scale: float
    pre_norm: Norm | None
    out_norm: Norm | None
    post_norm: Norm | None
    heads: Heads | None
    spec: SubLayer
    block: str

    @property
    def name(self) -> str:
        """The site without what says that it is the raw output: layers.3.attn."""
        return self.site.removesuffix(".out")

    @property
    def heads_site(self) -> str:
        """Where what its output projection reads is found."""
        return self.name.removesuffix(".attn") + ".heads"


@dataclass(frozen=True, eq=False)
class Bound:
    """One stack of a model, ready to be decomposed.

    side: "", "encoder" or "decoder". start: the site of x_0, the embedding before any norm.
    dtype: in which terms are summed. device: where. inputs: the terms that the embedding is.
    """

    architecture: str
    side: str
    start: str
    embed_norm: Norm | None
    branches: tuple[Branch, ...]
    final_norm: Norm | None
    layers: int
    stack: Stack
    head: Head
    dtype: "torch.dtype"
    device: str
    inputs: tuple[str, ...] = ("input",)

    @property
    def prefix(self) -> str:
        """What its sites' names begin with."""
        return f"{self.side}." if self.side else ""

    @property
    def depths(self) -> tuple[str, ...]:
        """The residual stream: embedding, blocks, and what the final norm gives."""
        blocks = [f"layers.{i}" for i in range(self.layers)]
        final = ["final"] if self.final_norm is not None else []
        return tuple(f"{self.prefix}{name}" for name in ["embed", *blocks, *final])

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the terms, in order."""
        kinds = dict.fromkeys(branch.kind for branch in self.branches)
        return (*self.inputs, *kinds, "correction")

    @property
    def post(self) -> bool:
        """Whether the stream itself is normed in every block."""
        return any(branch.post_norm is not None for branch in self.branches)

    def sites(self, *, heads: bool = False) -> list[str]:
        """The sites that are read, in order."""
        found = [*self.depths, *(branch.site for branch in self.branches)]
        if heads:
            found += [branch.heads_site for branch in self.branches if branch.heads]
        return list(dict.fromkeys([self.start, *found]))

    def of_layer(self, layer: int) -> Iterator[Branch]:
        """The branches of a block, counted from 1."""
        return (branch for branch in self.branches if branch.layer == layer)


def known() -> str:
    """The architectures that have a layout, in words."""
    return ", ".join(sorted(LAYOUTS))


def base_of(model: LoadedModel) -> Any:
    """The network of transformers without its head."""
    return getattr(model.module, "base_model", model.module)


def bind(model: LoadedModel, side: str = "", precision: Precision = "auto") -> Bound:
    """Read the parameters of one stack of a model.

    side: of an encoder–decoder "encoder" or "decoder". precision: in which terms are summed; auto:
    float64 for a model of it, else float32. Raises InputError for an architecture
    without a layout, a network in training mode, and weights that are no floating-point numbers.
    """
    module = base_of(model)
    refuse(model)
    layout = _layout(model)
    stack = layout.stacks[side]
    dtype = summed_in(model, precision)
    prefix = f"{side}." if side else ""
    count = len(module.get_submodule(stack.blocks))
    config = module.config
    scale = float(getattr(config, stack.multiplier)) if stack.multiplier else 1.0
    binder = _Binder(module, stack, dtype, prefix, scale, _heads(config, side))
    return Bound(
        str(config.model_type), side, prefix + ("embed.norm" if stack.embed_norm else "embed"),
        binder.norm(stack.embed_norm),
        tuple(b for i in range(count) for b in binder.block(i)),
        binder.norm(stack.final_norm), count, stack, layout.head, dtype, model.device,
    )  # fmt: skip


def summed_in(model: LoadedModel, precision: Precision) -> "torch.dtype":
    """Return the dtype in which terms are summed."""
    import torch

    double = precision == "float64" or (precision == "auto" and model.dtype == "float64")
    return torch.float64 if double else torch.float32


def refuse(model: LoadedModel) -> None:
    """Raise InputError for a network whose terms would not be those of its outputs."""
    module = model.module
    if any(sub.training for sub in module.modules()):
        raise InputError(
            f"decomposition: {model.spec} is in training mode, in which dropout changes every "
            f"pass; call model.module.eval()"
        )
    config = getattr(module, "config", None)
    whole = [name for name, p in module.named_parameters() if not p.is_floating_point()]
    packed = any(callable(getattr(sub, "weight", None)) for sub in module.modules())  # of torch.ao
    if whole or packed or getattr(config, "quantization_config", None):
        raise InputError(
            f"decomposition: the weights of {model.spec} are quantised, so that its branches are "
            f"not linear in them; load it in float32, bfloat16 or float16"
        )


def _layout(model: LoadedModel) -> Layout:
    config = getattr(base_of(model), "config", None)
    found = layout_for(config)
    if found is not None:
        return found
    kind = getattr(config, "model_type", type(model.module).__name__)
    raise InputError(
        f"decomposition: nothing is known of how {kind} is put together; there is {known()}; "
        f"`actlas run decomposition --method blocks` splits a pre-norm stack into what blocks add"
    )


def _heads(config: Any, side: str) -> tuple[int, int]:
    """Numbers of heads of queries and of values."""
    named = getattr(config, f"{side}_attention_heads", None) if side else None
    heads = int(named or config.num_attention_heads)
    return heads, int(getattr(config, "num_key_value_heads", None) or heads)


@dataclass(frozen=True)
class _Binder:
    module: Any
    stack: Stack
    dtype: "torch.dtype"
    prefix: str
    scale: float
    counts: tuple[int, int]

    def norm(self, path: str) -> Norm | None:
        if not path:
            return None
        return bind_norm(self.module, path, self.stack.gain_offset, self.dtype)

    def block(self, layer: int) -> Iterator[Branch]:
        path = f"{self.stack.blocks}.{layer}"
        raw = any(sub.out_norm for sub in self.stack.sublayers) or self.stack.multiplier
        for sub in self.stack.sublayers:
            name = f"{self.prefix}layers.{layer}.{SITES[sub.kind]}"
            pre, out, post = (
                self.norm(norm and f"{path}.{norm}")
                for norm in (sub.pre_norm, sub.out_norm, sub.post_norm)
            )
            heads, bias = self.linear(path, sub)
            yield Branch(
                f"{name}.out" if raw else name, layer + 1, sub.kind, bias, self.scale,
                pre, out, post, heads, sub, path,
            )  # fmt: skip

    def linear(self, path: str, sub: SubLayer) -> tuple[Heads | None, "torch.Tensor | None"]:
        """Return the heads of an attention, and what a branch adds whatever it reads."""
        if sub.value is None:
            return None, self.bias(f"{path}.{sub.output}")
        weight, bias = self.projection(f"{path}.{sub.output}")
        heads, groups = self.counts
        output = weight.T.reshape(heads, -1, weight.shape[0])
        value, value_bias = self.values(f"{path}.{sub.value.path}", sub, output.shape[1])
        value = self.by_query(value.reshape(groups, -1, value.shape[1]))
        if value_bias is None:
            return Heads(value, None, output), bias
        value_bias = self.by_query(value_bias.reshape(groups, -1))
        constant = (value_bias[:, None] @ output).sum(0)[0]
        return Heads(value, value_bias, output), constant if bias is None else bias + constant

    def by_query(self, values: "torch.Tensor") -> "torch.Tensor":
        """Give every query head its values: head q reads those of head q // (heads a group)."""
        heads, groups = self.counts
        return values if heads == groups else values.repeat_interleave(heads // groups, 0)

    def values(
        self, path: str, sub: SubLayer, size: int
    ) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Return W_V (groups · size, width read) and b_V, cut out of a fused projection."""
        weight, bias = self.projection(path)
        form = sub.value.form if sub.value else "own"
        if form == "own":
            return weight, bias
        heads, groups = self.counts
        if form == "last":
            rows = groups * size
            return weight[-rows:], None if bias is None else bias[-rows:]
        weight = weight.reshape(heads, 3, size, -1)[:, 2].reshape(heads * size, -1)
        return weight, None if bias is None else bias.reshape(heads, 3, size)[:, 2].reshape(-1)

    def projection(self, path: str) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Return a projection's weight (outputs, inputs) and bias, as they are summed with."""
        found = self.module.get_submodule(path)
        weight = found.weight.detach()
        if type(found).__name__ == "Conv1D":  # of transformers: it keeps (inputs, outputs)
            weight = weight.T
        return weight.to(self.dtype), self.bias(path)

    def bias(self, path: str) -> "torch.Tensor | None":
        found = getattr(self.module.get_submodule(path), "bias", None)
        return None if found is None else found.detach().to(self.dtype)
