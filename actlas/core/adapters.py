"""Where the branches of a block are, per architecture: data, not classes.

A branch's site is the submodule whose output is added to the residual stream. Paths are
relative to the block; of several, the first that exists in the block counts (T5's encoder and
decoder blocks differ). Blocks, embeddings and final norms need no entry: they are found by
tracing one forward pass. An architecture without an entry has no `.attn` and `.mlp` sites,
but every submodule is still reachable as `module:PATH`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Branches:
    """Paths of the submodules whose outputs are added to the residual stream."""

    attn: tuple[str, ...] = ()
    cross: tuple[str, ...] = ()
    mlp: tuple[str, ...] = ()


_BERT = Branches(attn=("attention.output.dense",), mlp=("output.dense",))
_LLAMA = Branches(attn=("self_attn.o_proj",), mlp=("mlp.down_proj",))
_GEMMA = Branches(attn=("post_attention_layernorm",), mlp=("post_feedforward_layernorm",))
_BART = Branches(attn=("self_attn.out_proj",), cross=("encoder_attn.out_proj",), mlp=("fc2",))
_T5 = Branches(
    attn=("layer.0.SelfAttention.o",),
    cross=("layer.1.EncDecAttention.o",),
    mlp=("layer.2.DenseReluDense.wo", "layer.1.DenseReluDense.wo"),
)

BRANCHES: dict[str, Branches] = {
    "albert": Branches(
        attn=("albert_layers.0.attention.dense",), mlp=("albert_layers.0.ffn_output",)
    ),
    "bart": _BART,
    "bert": _BERT,
    "camembert": _BERT,
    "distilbert": Branches(attn=("attention.out_lin",), mlp=("ffn.lin2",)),
    "electra": _BERT,
    "gemma": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gpt2": Branches(attn=("attn.c_proj",), mlp=("mlp.c_proj",)),
    "gpt_neo": Branches(attn=("attn.attention.out_proj",), mlp=("mlp.c_proj",)),
    "gpt_neox": Branches(attn=("attention.dense",), mlp=("mlp.dense_4h_to_h",)),
    "llama": _LLAMA,
    "m2m_100": _BART,
    "marian": _BART,
    "mbart": _BART,
    "mistral": _LLAMA,
    "mpnet": Branches(attn=("attention.attn.o",), mlp=("output.dense",)),
    "mt5": _T5,
    "olmo": _LLAMA,
    "olmo2": _GEMMA,
    "opt": _BART,
    "pegasus": _BART,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "roberta": _BERT,
    "t5": _T5,
    "umt5": _T5,
    "xlm-roberta": _BERT,
}
