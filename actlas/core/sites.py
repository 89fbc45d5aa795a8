"""Sites: the places in a model that yield a matrix, found by tracing one forward pass."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from .adapters import BRANCHES, Branches
from .errors import SiteError
from .text import nearest

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Site:
    """One place in a model: the input or output of a submodule at its n-th call in a forward.

    stack: "encoder" or "decoder" in an encoder–decoder, else "".
    residual: whether it is the residual stream (embed, layers.i, final) and not a branch.
    """

    name: str
    path: str
    width: int
    port: Literal["input", "output"] = "output"
    call: int = 0
    stack: str = ""
    residual: bool = False


@dataclass(frozen=True)
class Call:
    """One call of a submodule in the traced forward pass, in order of completion."""

    path: str
    kind: str
    index: int
    input: "torch.Tensor | None"
    output: "torch.Tensor | None"


def output_tensor(output: Any) -> "torch.Tensor | None":
    """Return the tensor of a module's output: itself, or the first of a tuple or mapping."""
    import torch

    if isinstance(output, dict):
        output = next(iter(output.values()), None)
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def input_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> "torch.Tensor | None":
    """Return the hidden states a module was given."""
    import torch

    given = [*args, kwargs.get("hidden_states"), *kwargs.values()]
    return next((value for value in given if isinstance(value, torch.Tensor)), None)


@contextmanager
def hooked(handles: "Sequence[torch.utils.hooks.RemovableHandle]") -> Iterator[None]:
    """Remove forward hooks at the end, whatever happens."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace(module: "nn.Module", forward: Callable[[], Any]) -> list[Call]:
    """Run one forward pass and record every submodule call."""
    calls: list[Call] = []
    counts: dict[str, int] = {}

    def recorder(path: str) -> Callable[..., None]:
        def hook(sub: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            index = counts.get(path, 0)
            counts[path] = index + 1
            given, result = input_tensor(args, kwargs), output_tensor(output)
            calls.append(Call(path, type(sub).__name__, index, given, result))

        return hook

    handles = [
        sub.register_forward_hook(recorder(path), with_kwargs=True)
        for path, sub in module.named_modules()
        if path
    ]
    with hooked(handles):
        forward()
    return calls


def find_sites(module: "nn.Module", calls: list[Call], shape: tuple[int, int]) -> dict[str, Site]:
    """Name the sites of a traced model, in the order of the forward pass.

    shape: (batch, length) of the traced forward; a site yields (batch, length, width).

    A stack of blocks is a ModuleList whose members' calls form a chain: the output of one
    is, bit for bit, the input of the next. So `layers.i` is the residual stream by
    observation, not by name.
    """
    config: Any = module.config
    branches = BRANCHES.get(str(config.model_type), Branches())
    found: dict[str, Site] = {}
    stacks = _stacks(module, calls, shape)
    if getattr(config, "is_encoder_decoder", False):
        for side in ("encoder", "decoder"):
            blocks = max((s for s in stacks if s[0].path.startswith(side)), key=len, default=[])
            found |= _stack_sites(calls, blocks, branches, side)
    else:
        found |= _stack_sites(calls, max(stacks, key=len, default=[]), branches, "")
    return found


def module_site(calls: list[Call], name: str, shape: tuple[int, int]) -> Site:
    """Return the site `module:PATH`, or raise SiteError where it yields no matrix of tokens."""
    path = name.removeprefix("module:")
    known = {call.path: call for call in reversed(calls)}
    if path not in known:
        raise SiteError(f"the forward pass runs no submodule {path!r}; {nearest(path, known)}")
    output = known[path].output
    if output is None or not _is_stream(output, shape):
        given = "no tensor" if output is None else f"shape {tuple(output.shape)}"
        raise SiteError(
            f"{name} yields {given}, not (batch, length, width) = ({shape[0]}, {shape[1]}, …); "
            f"choose a submodule whose output has one vector a token"
        )
    return Site(name, path, output.shape[-1])


def _is_stream(tensor: "torch.Tensor", shape: tuple[int, int]) -> bool:
    return tensor.ndim == 3 and tuple(tensor.shape[:2]) == shape and tensor.is_floating_point()


def _stacks(module: "nn.Module", calls: list[Call], shape: tuple[int, int]) -> list[list[Call]]:
    """Return the calls of every outermost list of blocks that forms a residual chain."""
    from torch import nn

    lists = [path for path, sub in module.named_modules() if isinstance(sub, nn.ModuleList)]
    outer = [p for p in lists if not any(p.startswith(f"{q}.") for q in lists)]
    member = {p: re.compile(re.escape(p) + r"\.\d+") for p in outer}
    stacks = ([c for c in calls if member[p].fullmatch(c.path)] for p in outer)
    return [stack for stack in stacks if stack and _is_chain(stack, shape)]


def _is_chain(stack: list[Call], shape: tuple[int, int]) -> bool:
    import torch

    for call in stack:
        for tensor in (call.input, call.output):
            if tensor is None or not _is_stream(tensor, shape):
                return False
    return all(torch.equal(a.output, b.input) for a, b in pairwise(stack))  # type: ignore[arg-type]


def _stack_sites(
    calls: list[Call], blocks: list[Call], branches: Branches, side: str
) -> dict[str, Site]:
    if not blocks or blocks[0].input is None:
        return {}
    prefix = f"{side}." if side else ""
    width = blocks[0].input.shape[-1]
    outputs = {(c.path, c.index): c.output for c in calls}
    sites = [Site(f"{prefix}embed", blocks[0].path, width, "input", 0, side, True)]
    for i, block in enumerate(blocks):
        for branch in ("attn", "cross", "mlp"):
            for relative in getattr(branches, branch):
                path = f"{block.path}.{relative}"
                output = outputs.get((path, block.index))
                if output is not None:
                    name = f"{prefix}layers.{i}.{branch}"
                    sites.append(Site(name, path, output.shape[-1], "output", block.index, side))
                    break
        sites.append(
            Site(f"{prefix}layers.{i}", block.path, width, "output", block.index, side, True)
        )
    final = _final_norm(calls, blocks)
    if final is not None:
        sites.append(Site(f"{prefix}final", final.path, width, "output", final.index, side, True))
    return {site.name: site for site in sites}


def _final_norm(calls: list[Call], blocks: list[Call]) -> Call | None:
    """Return the norm beside the blocks that is fed with the last block's output, if any."""
    import torch

    last = blocks[-1]
    beside = last.path.rsplit(".", 2)[0] if last.path.count(".") > 1 else ""
    for call in calls[calls.index(last) + 1 :]:
        parent = call.path.rpartition(".")[0]
        is_norm = "norm" in call.kind.lower() and parent == beside and call.input is not None
        if is_norm and torch.equal(call.input, last.output):  # type: ignore[arg-type]
            return call
    return None


def select_sites(patterns: str | Iterable[str], sites: dict[str, Site]) -> list[str]:
    """Return the names that patterns stand for, each once, in the order of the forward pass.

    A pattern is a name, a glob in which `*` does not cross a dot (`layers.*`), a negative
    index (`layers.-1`), or `residual` for the residual stream at every depth (of the encoder
    in an encoder–decoder). Several are separated by commas. Raises SiteError with the
    nearest names where nothing matches.
    """
    given = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    chosen: set[str] = set()
    for pattern in (p.strip() for p in given):
        matches = _matches(pattern, sites)
        if not matches:
            raise SiteError(f"no site {pattern!r}; {nearest(pattern, sites)}")
        chosen |= matches
    return [name for name in sites if name in chosen]


def _matches(pattern: str, sites: dict[str, Site]) -> set[str]:
    if pattern in sites:
        return {pattern}
    if pattern == "residual":
        return {n for n, site in sites.items() if site.residual and site.stack != "decoder"}
    negative = re.fullmatch(r"((?:encoder\.|decoder\.)?layers\.)(-\d+)(\..+)?", pattern)
    if negative:
        prefix, index, rest = negative[1], int(negative[2]), negative[3] or ""
        numbers = (re.fullmatch(re.escape(prefix) + r"(\d+)", name) for name in sites)
        deepest = max((int(match[1]) for match in numbers if match), default=-1)
        return {f"{prefix}{deepest + 1 + index}{rest}"} & set(sites)
    if "*" not in pattern:
        return set()
    glob = re.compile(re.escape(pattern).replace(r"\*", r"[^.]*"))
    return {name for name in sites if glob.fullmatch(name)}
