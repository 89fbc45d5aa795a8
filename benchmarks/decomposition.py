"""Linear decomposition: how exact it is on every architecture, and what it costs."""

from collections.abc import Iterator
from typing import Any

from tests.wild import MODELS, padded, sides, valid, wild

from .common import Bar, interleaved, ratio

LENGTH = 128
ROUNDS = 9


def exactness() -> Iterator[Bar]:
    """The greatest relative error of sums of terms, over rows and depths."""
    import torch

    for name, (_, _, layer_norm) in MODELS.items():
        for dtype, limit in ((torch.float64, 1e-10 if layer_norm else 1e-6), (torch.float32, 1e-5)):
            worst = max(_error(wild(name, dtype), side) for side in sides(wild(name, dtype)))
            said = str(dtype).removeprefix("torch.")
            yield Bar(
                f"terms sum to states: {name}, {said}", worst / limit, 1.0, note=f"{worst:.1e}"
            )


def _error(model: Any, side: str) -> float:
    from actlas.plugins.decomposition.bound import bind
    from actlas.plugins.decomposition.check import relative_error
    from actlas.plugins.decomposition.terms import running

    bound = bind(model, side)
    sites = [model.sites[name] for name in bound.sites()]
    states = {name: valid(t) for name, t in model.capture(padded(model), sites).items()}
    return max(relative_error(d.terms.sum(0), d.state) for d in running(bound, states))


def network(kind: str) -> Any:
    """A model of 12 blocks of width 768 with random weights."""
    import torch
    import transformers

    from actlas import LoadedModel, TextFeed

    torch.manual_seed(0)
    config = {
        "bert": lambda: transformers.BertConfig(vocab_size=1000),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=1000, bos_token_id=1, eos_token_id=2),
    }[kind]()
    module = transformers.AutoModel.from_config(config).eval()
    return LoadedModel(kind, module, TextFeed(None, config, 128), kind)


def cost(kind: str) -> Iterator[Bar]:
    """Terms, heads and stored terms beside a forward pass of one sequence."""
    import torch

    from actlas.plugins.decomposition.bound import bind
    from actlas.plugins.decomposition.indicators import indicators
    from actlas.plugins.decomposition.parts import parts
    from actlas.plugins.decomposition.terms import Seen, running
    from actlas.plugins.decomposition.tokenwise.groups import split_start
    from actlas.plugins.decomposition.tokenwise.passes import plan_of
    from actlas.plugins.decomposition.tokenwise.passes import run as run_frozen
    from actlas.plugins.decomposition.tokenwise.propagate import Propagation

    model = network(kind)
    bound = bind(model)
    plan = plan_of(model, bound, "default", centring_to_bias=False)
    ids = torch.randint(5, 1000, (1, LENGTH))
    batch = model.feed.batch(ids)
    sites = [model.sites[name] for name in bound.sites()]
    with_heads = [model.sites[name] for name in bound.sites(heads=True)]
    arguments = dict(batch.arguments, **({"use_cache": False} if kind == "gpt2" else {}))

    @torch.inference_mode()
    def plain() -> None:
        model.module(**arguments)

    def captured(chosen: Any) -> Any:
        return {name: t.flatten(0, 1) for name, t in model.capture(batch, chosen).items()}

    @torch.inference_mode()
    def terms() -> None:
        for _ in running(bound, captured(sites)):
            pass

    @torch.inference_mode()
    def heads() -> None:
        states, seen = captured(with_heads), Seen()
        for _ in running(bound, states, seen):
            pass
        for _ in parts(bound, states, seen, bound.depths[-1], heads=True):
            pass

    held = captured(sites)

    @torch.inference_mode()
    def stored() -> None:
        for depth in running(bound, held):
            indicators(depth.terms, depth.state)

    @torch.inference_mode()
    def pooled() -> None:
        frozen = run_frozen(model, plan, batch)
        for _ in Propagation(frozen, split_start(frozen, torch.zeros_like(ids), 1)).steps():
            pass

    tasks = {"plain": plain, "terms": terms, "heads": heads, "stored": stored, "pooled": pooled}
    interleaved(1, **tasks)
    seconds = interleaved(ROUNDS, **tasks)
    forward = min(seconds["plain"])
    name = f"decomposition, {kind} 12 × 768, {LENGTH} tokens"
    for task, said, limit in (
        ("terms", "forward and terms", 1.15),
        ("heads", "forward, terms and heads", 1.6),
        ("stored", "terms and indicators", 0.5),
        ("pooled", "forward and terms by pooled tokens", 3.0),
    ):
        took = ratio(seconds, task, "plain")
        yield Bar(f"{name}: {said} / forward", took, limit, note=f"{forward:.3f} s")


def run() -> Iterator[Bar]:
    """Measure."""
    yield from exactness()
    for kind in ("bert", "gpt2"):
        yield from cost(kind)


if __name__ == "__main__":
    for bar in run():
        print(bar, flush=True)
