"""Sites: the places in a model that yield a matrix, found by tracing one forward pass."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from .adapters import BRANCHES, Branches
from .errors import SiteError
from .text import nearest
from .tracing import Call, Seen

if TYPE_CHECKING:
    import torch
    from torch import nn

Layout = Literal["tokens", "channels_first", "channels_last", "vector"]
Port = Literal["input", "output"]
Frame = tuple[int, ...]
QUERY_KEY_NORM = re.compile(r"(q|k|v|kv|query|key|value)_")


@dataclass(frozen=True)
class Site:
    """One place in a model: the input or output of a submodule at its n-th call in a forward.

    stack: "encoder" or "decoder" in an encoder–decoder; in a model whose sites differ in their
        positions those of this one ("56x56", "sample"); else "".
    residual: whether it is the residual stream (embed, layers.i, final) and not a branch.
    layout: tokens (batch, length, width), channels_first (batch, width, height, breadth) or
        (batch, width, time), channels_last (batch, height, breadth, width), or vector
        (batch, width).
    frame: the positions of one sample in the traced forward pass: (length,), (height, breadth),
        or () of a vector.
    reduce: how each sample is read as one vector (mean, first, last), so that sites of different
        frames share one extraction; "" to read every position.
    heads: of a site with one vector a head, how many: a row reshapes to (heads, head size).
    """

    name: str
    path: str
    width: int
    port: Port = "output"
    call: int = 0
    stack: str = ""
    residual: bool = False
    layout: Layout = "tokens"
    frame: Frame = ()
    reduce: str = ""
    heads: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it yields one vector a sample."""
        return self.layout == "vector" or bool(self.reduce)

    def read(self, tensor: "torch.Tensor", shape: tuple[int, int]) -> "torch.Tensor":
        """Return what the submodule gave as (batch, positions, width).

        shape: (batch, positions) of the samples read; SiteError where the tensor has others.
        """
        if self.layout == "vector":
            rows = tensor.unsqueeze(1)
        elif self.layout == "channels_first":
            rows = tensor.flatten(2).transpose(1, 2)
        else:
            rows = tensor.reshape(shape[0], -1, self.width)  # OPT's are flat inside a block
        if self.reduce:
            rows = _reduced(rows, self.reduce)
        if not self.whole and shape[1] and tuple(rows.shape[:2]) != shape:
            raise SiteError(
                f"{self.name} gives {rows.shape[1]} positions a sample where {shape[1]} are read; "
                f"give every sample the same length, or an attention_mask with collate"
            )
        return rows.contiguous()


def _reduced(rows: "torch.Tensor", how: str) -> "torch.Tensor":
    if how == "mean":
        return rows.float().mean(dim=1, keepdim=True)
    return rows[:, :1] if how == "first" else rows[:, -1:]


def find_sites(
    module: "nn.Module", calls: list[Call], shape: tuple[int, int], *, two_sided: bool = False
) -> dict[str, Site]:
    """Name the sites of a traced model, in the order of the forward pass.

    shape: (batch, length) of the traced forward; length 0 where it is not known beforehand.
    two_sided: whether encoder and decoder each have a stack.

    A stack of blocks is a ModuleList or Sequential whose members' calls form a chain: the
    output of one is, bit for bit, the input of the next. So `layers.i` is the residual stream
    by observation, not by name.
    """
    config = getattr(module, "config", None)
    branches = BRANCHES.get(str(getattr(config, "model_type", "")), Branches())
    found: dict[str, Site] = {}
    stacks = _stacks(module, calls, shape)
    if two_sided:
        for side in ("encoder", "decoder"):
            blocks = max((s for s in stacks if s[0].path.startswith(side)), key=len, default=[])
            found |= _stack_sites(calls, blocks, branches, side, _heads(config, side))
    else:
        blocks = _best(module, stacks, shape)
        found |= _stack_sites(calls, blocks, branches, "", _heads(config, ""))
    settled = {name: settle(module, calls, site, shape) for name, site in found.items()}
    main = main_frame(settled.values(), shape)
    return {name: replace(site, stack=stack_of(site, main)) for name, site in settled.items()}


def _heads(config: Any, side: str) -> int | None:
    value = getattr(config, f"{side}_attention_heads", None) if side else None
    value = value or getattr(config, "num_attention_heads", None)
    return value if isinstance(value, int) else None


def _best(module: "nn.Module", stacks: list[list[Call]], shape: tuple[int, int]) -> list[Call]:
    """Return the longest chain, of tokens if there is one, before one of places or of vectors.

    So neither a convolutional stem before the blocks nor a head after them passes for the stack.
    """

    def standing(stack: list[Call]) -> tuple[int, int]:
        placed = place(stack[0].input, module.get_submodule(stack[0].path), shape)
        layout = placed[0] if placed else "vector"
        return ("vector", "channels_first", "channels_last", "tokens").index(layout), len(stack)

    return max(stacks, key=standing, default=[])


def settle(module: "nn.Module", calls: list[Call], site: Site, shape: tuple[int, int]) -> Site:
    """Return a site with the layout, frame and width that were seen."""
    seen = next(
        call.input if site.port == "input" else call.output
        for call in calls
        if (call.path, call.index) == (site.path, site.call)
    )
    placed = place(seen, module.get_submodule(site.path), shape)
    if seen is None or placed is None:  # a branch that is flat inside its block
        return replace(site, frame=(shape[1],) if shape[1] else ())
    layout, frame = placed
    ours = site.residual or layout != "tokens"
    width = seen.shape[1 if layout == "channels_first" else -1] if ours else site.width
    return replace(site, layout=layout, frame=frame, width=width)


def main_frame(sites: Iterable[Site], shape: tuple[int, int]) -> Frame | None:
    """Return the positions that a model's sites share, None where they have several."""
    if shape[1]:
        return (shape[1],)
    frames = {site.frame for site in sites if site.residual}
    return frames.pop() if len(frames) == 1 else None


def stack_of(site: Site, main: Frame | None) -> str:
    """Return what sets a site apart from those of other positions; see `Site.stack`."""
    if site.stack or site.frame == main:
        return site.stack
    return "x".join(map(str, site.frame)) or "sample"


def module_site(module: "nn.Module", calls: list[Call], shape: tuple[int, int], name: str) -> Site:
    """Return the site `module:PATH`, or raise SiteError where it yields no matrix."""
    path = name.removeprefix("module:")
    known = {call.path: call for call in reversed(calls)}
    if path not in known:
        raise SiteError(f"the forward pass runs no submodule {path!r}; {nearest(path, known)}")
    output = known[path].output
    placed = place(output, module.get_submodule(path), shape, strict=True)
    if output is None or placed is None:
        given = "no tensor" if output is None else f"shape {output.shape}"
        length = shape[1] or "length"
        raise SiteError(
            f"{name} yields {given}, not (batch, length, width) = ({shape[0]}, {length}, …); "
            f"choose a submodule whose output has one vector a token or sample"
        )
    layout, frame = placed
    width = output.shape[1 if layout == "channels_first" else -1]
    return Site(name, path, width, layout=layout, frame=frame)


def place(
    seen: Seen | None,
    module: "nn.Module",
    shape: tuple[int, int],
    *,
    strict: bool = False,
    above: Layout | None = None,
) -> tuple[Layout, Frame] | None:
    """Return how a tensor holds one vector a position, None where it does not or nobody can tell.

    strict: refuse four dimensions where nothing in the module says which are the channels.
    above: layout of a site that this one belongs to, for a module that says nothing.
    """
    batch, length = shape
    if seen is None or not seen.is_float or len(seen.shape) < 2 or seen.shape[0] != batch:
        return None
    if 0 in seen.shape:
        return None
    rest = seen.shape[1:]
    if len(rest) == 1:
        return "vector", ()
    if length:  # known beforehand: it says which dimension has the positions
        if len(rest) != 2 or length not in rest:
            return None
        return ("tokens" if rest[0] == length else "channels_first"), (length,)
    last = _channels_last(module)
    if last is None and above not in (None, "vector"):
        last = above != "channels_first"
    if len(rest) == 2:
        return ("channels_first", rest[1:]) if last is False else ("tokens", rest[:1])
    if len(rest) != 3 or (strict and last is None):
        return None
    return ("channels_last", rest[:2]) if last else ("channels_first", rest[1:])


def _channels_last(module: "nn.Module") -> bool | None:
    """Whether a module's channels come last, by what it is made of; None where that is silent."""
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd

    parts = list(module.modules())
    if any(isinstance(m, _ConvNd | _BatchNorm) or "Pool" in type(m).__name__ for m in parts):
        return False
    if any(getattr(m, "data_format", "") == "channels_first" for m in parts):
        return False  # ConvNeXt's norm
    return (
        True if any(isinstance(m, nn.Linear | nn.LayerNorm | nn.RNNBase) for m in parts) else None
    )


def _stacks(module: "nn.Module", calls: list[Call], shape: tuple[int, int]) -> list[list[Call]]:
    """Return the calls of every outermost list of blocks that forms a residual chain.

    A Sequential counts only where no ModuleList does: heads and stems are written so, too.
    """
    from torch import nn

    modules = dict(module.named_modules())
    lists = [path for path, sub in modules.items() if isinstance(sub, nn.ModuleList)]
    outer = [p for p in lists if not any(p.startswith(f"{q}.") for q in lists)]
    stacks = [_chain(module, calls, modules[p], p, shape) for p in outer]
    if not any(stacks):
        rows = [path for path, sub in modules.items() if isinstance(sub, nn.Sequential)]
        found = {p: _chain(module, calls, modules[p], p, shape) for p in rows}
        chains = [p for p in found if found[p]]
        outer = [p for p in chains if not any(_inside(p, q) for q in chains)]
        stacks = [found[p] for p in outer]
    return [stack for stack in stacks if stack]


def _inside(path: str, other: str) -> bool:
    return path != other and (not other or path.startswith(f"{other}."))


def _chain(
    module: "nn.Module", calls: list[Call], blocks: "nn.Module", path: str, shape: tuple[int, int]
) -> list[Call]:
    """Return the calls of a list's members if they form a chain, else nothing."""
    from torch import nn

    children = {f"{path}.{name}" if path else name for name, _ in blocks.named_children()}
    stack = [call for call in calls if call.path in children]

    def streams(seen: Seen | None, call: Call) -> bool:
        return place(seen, module.get_submodule(call.path), shape) is not None

    if isinstance(blocks, nn.Sequential):  # its first members may be what embeds token ids
        while stack and not streams(stack[0].input, stack[0]):
            stack = stack[1:]
    if len(stack) < 2 and isinstance(blocks, nn.Sequential):
        return []
    flows = all(streams(call.input, call) and streams(call.output, call) for call in stack)
    linked = all(a.output.same(b.input) for a, b in pairwise(stack) if a.output)
    return stack if flows and linked else []


def _stack_sites(
    calls: list[Call], blocks: list[Call], branches: Branches, side: str, heads: int | None
) -> dict[str, Site]:
    if not blocks or blocks[0].input is None:
        return {}
    prefix = f"{side}." if side else ""
    width = blocks[0].input.shape[-1]
    sites = [Site(f"{prefix}embed", blocks[0].path, width, "input", 0, side, True)]
    norm = _embedding_norm(calls, blocks[0])
    if norm is not None:
        path, index = norm.path, norm.index
        sites.insert(0, Site(f"{prefix}embed.norm", path, width, "input", index, side))
    start = 0
    for i, block in enumerate(blocks):
        stop = calls.index(block)
        inside = [c for c in calls[start:stop] if c.path.startswith(f"{block.path}.")]
        sites += _inner_sites(inside, block, branches, f"{prefix}layers.{i}", side, heads)
        sites.append(
            Site(f"{prefix}layers.{i}", block.path, width, "output", block.index, side, True)
        )
        start = stop
    final = _final_norm(calls, blocks)
    if final is not None:
        sites.append(Site(f"{prefix}final", final.path, width, "output", final.index, side, True))
    return {site.name: site for site in sites}


def _inner_sites(
    inside: list[Call], block: Call, branches: Branches, layer: str, side: str, heads: int | None
) -> list[Site]:
    """Return the sites inside a block, in the order of its calls."""
    found: list[tuple[int, Site]] = []
    places = {call.path.removeprefix(f"{block.path}."): at for at, call in enumerate(inside)}
    for suffix, paths, reads in branches.ports():
        at = next((places[path] for path in paths if path in places), None)
        seen = None if at is None else inside[at].input if reads else inside[at].output
        if at is None or seen is None:
            continue
        split = heads if suffix.endswith("heads") else None
        port: Port = "input" if reads else "output"
        found.append((at, _inner(f"{layer}.{suffix}", inside[at], seen, port, side, split)))
    norms = [at for at, call in enumerate(inside) if _is_block_norm(call, block)]
    for number, at in enumerate(norms, 1):
        call = inside[at]
        assert call.input is not None  # by _is_block_norm
        found.append((at, _inner(f"{layer}.norm{number}", call, call.input, "input", side)))
    return [site for _, site in sorted(found, key=lambda pair: pair[0])]


def _inner(
    name: str, call: Call, seen: Seen, port: Port, side: str, heads: int | None = None
) -> Site:
    width = seen.shape[-1]
    divides = heads is not None and width % heads == 0
    return Site(name, call.path, width, port, call.index, side, heads=heads if divides else None)


def _is_block_norm(call: Call, block: Call) -> bool:
    """Whether a call is a norm that reads the stream, or what is to be added to it.

    A norm of queries and keys may be as wide as the stream, so it is known by its name. The
    blocks of a network of convolutions are stages: their norms are not numbered.
    """
    name = call.path.rpartition(".")[2].lower()
    if call.input is None or block.input is None or QUERY_KEY_NORM.match(name):
        return False
    one, stream = call.input.shape, block.input.shape
    is_norm = "norm" in name or "norm" in call.kind.lower()
    same = one[-1:] == stream[-1:] and prod(one) == prod(stream)
    return is_norm and same and len(stream) == 3


def _embedding_norm(calls: list[Call], first: Call) -> Call | None:
    """Return the norm whose output is what the first block reads, if any.

    As with norms in blocks, the stem of a network of convolutions counts for none.
    """
    if first.input is None or len(first.input.shape) != 3:
        return None
    before = calls[: calls.index(first)]
    norms = (call for call in before if call.output and call.output.same(first.input))
    return next((call for call in norms if call.input and "norm" in call.kind.lower()), None)


def _final_norm(calls: list[Call], blocks: list[Call]) -> Call | None:
    """Return the norm beside or above the blocks that reads the last block's output, if any."""
    last = blocks[-1]
    for call in calls[calls.index(last) + 1 :]:
        parent = call.path.rpartition(".")[0]
        above = not parent or last.path.startswith(f"{parent}.")
        if "norm" in call.kind.lower() and above and call.input and call.input.same(last.output):
            return call
    return None
