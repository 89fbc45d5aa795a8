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

QUERY_KEY_NORM = re.compile(r"(q|k|v|kv|query|key|value)_")


@dataclass(frozen=True)
class Site:
    """One place in a model: the input or output of a submodule at its n-th call in a forward.

    stack: "encoder" or "decoder" in an encoder–decoder, else "".
    residual: whether it is the residual stream (embed, layers.i, final) and not a branch.
    heads: of a site with one vector a head, how many: a row reshapes to (heads, head size).
    """

    name: str
    path: str
    width: int
    port: Literal["input", "output"] = "output"
    call: int = 0
    stack: str = ""
    residual: bool = False
    heads: int | None = None


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
            found |= _stack_sites(calls, blocks, branches, side, _heads(config, side))
    else:
        blocks = max(stacks, key=len, default=[])
        found |= _stack_sites(calls, blocks, branches, "", _heads(config, ""))
    return found


def _heads(config: Any, side: str) -> int | None:
    value = getattr(config, f"{side}_attention_heads", None) if side else None
    value = value or getattr(config, "num_attention_heads", None)
    return value if isinstance(value, int) else None


def module_site(calls: list[Call], name: str, shape: tuple[int, int]) -> Site:
    """Return the site `module:PATH`, or raise SiteError where it yields no matrix of tokens."""
    path = name.removeprefix("module:")
    known = _first_calls(calls)
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


def module_sites(calls: list[Call], pattern: str, shape: tuple[int, int]) -> list[Site]:
    """Return the sites that `module:PATH` stands for; a `*` in it does not cross a dot.

    Submodules that a glob meets but that yield no matrix of tokens are left out, unless
    there is no other.
    """
    if "*" not in pattern:
        return [module_site(calls, pattern, shape)]
    known = _first_calls(calls)
    glob = _glob(pattern.removeprefix("module:"))
    matches = [path for path in known if glob.fullmatch(path)]
    if not matches:
        raise SiteError(f"no submodule {pattern!r}; {nearest(pattern[len('module:') :], known)}")
    found = []
    for path in matches:
        try:
            found.append(module_site(calls, f"module:{path}", shape))
        except SiteError:
            if path == matches[-1] and not found:
                raise
    return found


def _first_calls(calls: list[Call]) -> dict[str, Call]:
    """The first call of every submodule by path, in the order of the forward pass."""
    first: dict[str, Call] = {}
    for call in calls:
        first.setdefault(call.path, call)
    return first


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", r"[^.]*"))


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
    calls: list[Call], blocks: list[Call], branches: Branches, side: str, heads: int | None
) -> dict[str, Site]:
    if not blocks or blocks[0].input is None:
        return {}
    prefix = f"{side}." if side else ""
    width = blocks[0].input.shape[-1]
    sites = [Site(f"{prefix}embed", blocks[0].path, width, "input", 0, side, True)]
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
        tensor = None if at is None else inside[at].input if reads else inside[at].output
        if at is None or tensor is None:
            continue
        split = heads if suffix.endswith("heads") else None
        port: Literal["input", "output"] = "input" if reads else "output"
        found.append((at, _inner(f"{layer}.{suffix}", inside[at], tensor, port, side, split)))
    norms = [at for at, call in enumerate(inside) if _is_block_norm(call, block)]
    for number, at in enumerate(norms, 1):
        call = inside[at]
        assert call.input is not None  # by _is_block_norm
        found.append((at, _inner(f"{layer}.norm{number}", call, call.input, "input", side)))
    return [site for _, site in sorted(found, key=lambda pair: pair[0])]


def _inner(
    name: str, call: Call, tensor: "torch.Tensor", port: Literal["input", "output"], side: str,
    heads: int | None = None,
) -> Site:  # fmt: skip
    width = tensor.shape[-1]
    divides = heads is not None and width % heads == 0
    return Site(name, call.path, width, port, call.index, side, False, heads if divides else None)


def _is_block_norm(call: Call, block: Call) -> bool:
    """Whether a call is a norm that reads the stream, or what is to be added to it.

    A norm of queries and keys may be as wide as the stream, so it is known by its name.
    """
    name = call.path.rpartition(".")[2].lower()
    if call.input is None or block.input is None or QUERY_KEY_NORM.match(name):
        return False
    same = call.input.shape[-1] == block.input.shape[-1]
    is_norm = "norm" in name or "norm" in call.kind.lower()
    return is_norm and same and call.input.numel() == block.input.numel()


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
    glob = _glob(pattern)
    return {name for name in sites if glob.fullmatch(name)}
