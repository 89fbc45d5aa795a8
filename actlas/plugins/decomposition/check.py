"""A layout held against its model: one short batch, every sub-layer, before anything is said.

That terms sum to the state cannot show what goes to attention that belongs to the correction, so
attention is also recomputed from its weights: heads sum to what its projection gives (T2), and so
do the sources (T3).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from actlas import InputError, LoadedModel

from .bound import Bound, Branch, base_of
from .norms import Norm
from .sources import by_source, reads
from .terms import Running, Seen

if TYPE_CHECKING:
    import torch

# Greatest relative error, by the dtype of the model or of what is stored.
TOLERANCE = {"float64": 1e-6, "float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}


def relative_error(found: "torch.Tensor", wanted: "torch.Tensor") -> float:
    """Return the greatest ‖found − wanted‖ / ‖wanted‖ over the vectors of the last axis."""
    scale = wanted.norm(dim=-1)
    gap = (found - wanted).norm(dim=-1)
    return float((gap / scale.clamp_min(1e-30 if scale.max() > 0 else 1.0)).max())


def check(model: LoadedModel, bound: Bound) -> float:
    """Return the greatest relative error over the model's own short example.

    Raises InputError naming the first sub-layer after which terms and state differ, or whose
    heads or sources do not sum to what it gives.
    """
    return _Check(model, bound).run()


class _Check:
    def __init__(self, model: LoadedModel, bound: Bound):
        self.model, self.bound = model, bound
        self.batch = model.feed.example()
        self.tolerance = TOLERANCE[model.dtype]
        self.worst = 0.0
        lacking = [name for name in bound.sites(heads=True) if name not in model.sites]
        if lacking:
            raise InputError(
                f"decomposition: {model.spec} has no site {lacking[0]}, which its layout "
                f"({bound.architecture}) names; --method blocks needs none of them"
            )
        self.states = self.captured({name: model.sites[name] for name in bound.sites(heads=True)})
        self.norms = self.around_norms()
        self.weights = model.attentions(self.batch)
        self.memory = self.encoded()

    def captured(self, sites: Mapping[str, Any]) -> "dict[str, torch.Tensor]":
        found = self.model.capture(self.batch, list(sites.values()))
        return {name: tensor.to(self.bound.dtype) for name, tensor in found.items()}

    def around_norms(self) -> "dict[str, torch.Tensor]":
        """The model's own input and output of every norm that reads the stream, by its path."""
        whole = dict(self.model.module.named_modules())
        inside = next((f"{p}." for p, m in whole.items() if m is base_of(self.model) and p), "")
        stream = self.model.sites[self.bound.depths[0]]
        ports: list[tuple[Norm | None, Literal["input", "output"]]] = []
        for branch in self.bound.branches:
            ports.append((branch.pre_norm, "input"))
            ports += [(branch.post_norm, "input"), (branch.post_norm, "output")]
        return self.captured(
            {
                f"{norm.path} {port}": replace(
                    stream, name=f"{norm.path} {port}", path=inside + norm.path, port=port, call=0
                )
                for norm, port in ports
                if norm is not None
            }
        )

    def encoded(self) -> "torch.Tensor | None":
        """What cross-attention reads: the encoder's last state."""
        if self.bound.side != "decoder":
            return None
        last = [site for site in self.model.sites.values() if site.stack == "encoder"][-1]
        return self.captured({last.name: last})[last.name]

    def agree(self, found: "torch.Tensor", wanted: "torch.Tensor", where: str, what: str) -> None:
        self.hold(relative_error(found, wanted), where, what)

    def hold(self, error: float, where: str, what: str) -> None:
        """Raise InputError for an error beyond the tolerance, NaN included."""
        self.worst = max(self.worst, error)
        if not error <= self.tolerance:
            raise InputError(
                f"decomposition: {self.model.spec} is not put together as {self.bound.architecture}"
                f" is known to be: {what} {where} (relative error {error:.1e}, at most "
                f"{self.tolerance:.0e}); --method blocks needs no knowledge of it"
            )

    def run(self) -> float:
        run = Running(self.bound, self.states, Seen())
        depths = iter(self.bound.depths)
        if self.bound.embed_norm is not None:
            run.norm(self.bound.embed_norm)
        self.depth(run, next(depths), "the embedding", 0)
        for layer in range(1, self.bound.layers + 1):
            entered, name = run.stream, ""
            for branch in self.bound.of_layer(layer):
                self.branch(run, branch, entered, name)
                name = branch.name
            self.depth(run, next(depths), name, layer)
        if self.bound.final_norm is not None:
            run.norm(self.bound.final_norm)
            self.depth(run, next(depths), "the final norm", self.bound.layers + 1)
        return self.worst

    def depth(self, run: Running, site: str, where: str, layer: int) -> None:
        said = f"terms do not sum to {site} after"
        self.agree(run.terms.sum(0), self.states[site], where, said)
        run.depth(site, layer)

    def branch(self, run: Running, branch: Branch, entered: "torch.Tensor", before: str) -> None:
        said = "the stream is another after"
        stream = entered if self.bound.stack.parallel else run.stream
        if branch.pre_norm is not None:
            own = self.norms[f"{branch.pre_norm.path} input"]
            self.agree(stream, own.reshape(stream.shape), before or "the block before", said)
        if branch.heads is not None:
            self.attention(branch, stream)
        run.add(branch)
        if branch.post_norm is not None:
            norm = branch.post_norm
            own = self.norms[f"{norm.path} input"].reshape(stream.shape)
            self.agree(run.stream, own, branch.name, said)
            run.norm(norm)
            own = self.norms[f"{norm.path} output"].reshape(stream.shape)
            self.agree(run.stream, own, f"{branch.name} ({norm.path})", said)

    def attention(self, branch: Branch, stream: "torch.Tensor") -> None:
        assert branch.heads is not None
        given = self.states[branch.site]
        main = given if branch.bias is None else given - branch.bias
        z = self.states[branch.heads_site]
        heads = branch.heads.parts(z.flatten(0, 1)).sum(0).reshape(given.shape)
        self.agree(heads + (given - main), given, branch.name, "heads do not sum to")
        read = reads(branch, stream, self.memory)
        weights = self.weights[branch.name].to(self.bound.dtype)
        summed = [by_source(branch.heads, A, u).sum(1) for A, u in zip(weights, read, strict=True)]
        size = given.norm(dim=-1).mean()  # main itself may vanish
        gaps = [(a - b).norm(dim=-1).max() / size for a, b in zip(summed, main, strict=True)]
        self.hold(float(max(gaps)), branch.name, "sources do not sum to")
