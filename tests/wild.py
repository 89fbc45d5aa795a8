"""Tiny models far from how they start: biases and gains at random, wide matrices, a large ε.

What starts at 0 or 1 hides what is left out: an error of 0.3 in a bias shows only here.
"""

from typing import Any

import torch
import transformers

from actlas import LoadedModel, TextFeed

from .branches import CONFIGS
from .tiny import tokenizer

EPSILON = 1e-2
GROUPS = {"num_attention_heads": 4, "num_key_value_heads": 2}
# name → the entry of CONFIGS, what is other, and whether its norms are LayerNorms
MODELS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "bert": ("bert", {}, True),
    "roberta": ("roberta", {}, True),
    "distilbert": ("distilbert", {}, True),
    "electra": ("electra", {}, True),
    "gpt2": ("gpt2", {}, True),
    "opt": ("opt", {}, True),
    "opt, post-norm": ("opt", {"do_layer_norm_before": False, "word_embed_proj_dim": 8}, True),
    "llama": ("llama", {**GROUPS, "attention_bias": True, "mlp_bias": True}, False),
    "mistral": ("mistral", GROUPS, False),
    "qwen2": ("qwen2", GROUPS, False),
    "qwen3": ("qwen3", GROUPS, False),
    "gemma": ("gemma", GROUPS, False),
    "gemma2": ("gemma2", {**GROUPS, "final_logit_softcapping": 5.0}, False),
    "gpt_neox": ("gpt_neox", {}, True),
    "gpt_neox, serial": ("gpt_neox/serial", {}, True),
    "olmo2": ("olmo2", {**GROUPS, "attention_bias": True}, False),
    "granite": ("granite", {**GROUPS, "attention_bias": True, "logits_scaling": 3.0}, False),
    "phi3": ("phi3", GROUPS, False),
    "t5": ("t5", {}, False),
    "t5, gated": ("t5", {"feed_forward_proj": "gated-gelu"}, False),
    "bart": ("bart", {}, True),
    "marian": ("marian", {}, True),
    "mbart": ("mbart", {}, True),
}
PADDED = [[5, 9, 3, 7, 11, 4, 8], [6, 12, 13]]


def wild(
    name: str, dtype: torch.dtype = torch.float64, kind: str = "AutoModel", **settings: Any
) -> LoadedModel:
    """Make one of MODELS, or of CONFIGS; kind: the class, as in AutoModelForCausalLM."""
    entry, more, _ = MODELS.get(name, (name, {}, True))
    config_class, values = CONFIGS[entry]
    torch.manual_seed(0)
    config = getattr(transformers, config_class)(**{**values, **more, **settings})
    return LoadedModel(
        f"wild:{name}",
        made_wild(getattr(transformers, kind).from_config(config)).to(dtype).eval(),
        TextFeed(tokenizer(wrapped=False), config, 30),
        name,
    )


def made_wild(module: Any) -> Any:
    """Randomise what has one dimension, widen what has two, and set every ε."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
            else:
                parameter *= 3
        for name, buffer in module.named_buffers():
            if name == "final_logits_bias":
                buffer += torch.randn(buffer.shape, generator=generator)
    for part in module.modules():
        for name in ("eps", "variance_epsilon"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, EPSILON)
    return module


def sides(model: LoadedModel) -> list[str]:
    """The stacks of a model."""
    return ["encoder", "decoder"] if model.two_sided else [""]


def padded(model: LoadedModel) -> Any:
    """Two samples of unlike lengths, the second padded on the right."""
    longest = max(map(len, PADDED))
    ids = torch.tensor([some + [0] * (longest - len(some)) for some in PADDED])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in PADDED])
    decoder = (ids.roll(1, 1), mask) if model.two_sided else None
    assert isinstance(model.feed, TextFeed)
    return model.feed.batch(ids, mask, decoder=decoder)


def valid(tensor: torch.Tensor) -> torch.Tensor:
    """The rows (n, width) that are no padding."""
    return torch.cat([rows[: len(some)] for rows, some in zip(tensor, PADDED, strict=True)])
