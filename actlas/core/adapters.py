"""Where the branches of a block are, per architecture: data, not classes.

A branch's site is the submodule whose output is added to the residual stream. Paths are
relative to the block; of several, the first that the block calls counts (T5's encoder and
decoder blocks differ). Blocks, embeddings and norms need no entry: they are found by tracing
one forward pass. An architecture without an entry has no `.attn`, `.heads` and `.mlp` sites,
but every submodule is still reachable as `module:PATH`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Branches:
    """Paths of submodules in a block.

    attn, cross, mlp: those whose outputs are added to the residual stream.
    heads: the projection that mixes the heads, whose input is `.heads`; None: the one of attn.
    hidden: the last projection of the MLP, whose input is `.mlp.hidden`; None: the one of mlp.
    attn_out, mlp_out: projections whose outputs are normed or scaled on their way into the
        stream; they are `.attn.out` and `.mlp.out`.
    """

    attn: tuple[str, ...] = ()
    cross: tuple[str, ...] = ()
    mlp: tuple[str, ...] = ()
    heads: tuple[str, ...] | None = None
    hidden: tuple[str, ...] | None = None
    attn_out: tuple[str, ...] = ()
    mlp_out: tuple[str, ...] = ()

    def ports(self) -> tuple[tuple[str, tuple[str, ...], bool], ...]:
        """Each site's suffix, its paths, and whether it is what the submodule reads."""
        return (
            ("heads", self.attn if self.heads is None else self.heads, True),
            ("attn.out", self.attn_out, False),
            ("attn", self.attn, False),
            ("cross.heads", self.cross, True),
            ("cross", self.cross, False),
            ("mlp.hidden", self.mlp if self.hidden is None else self.hidden, True),
            ("mlp.out", self.mlp_out, False),
            ("mlp", self.mlp, False),
        )


_AUDIO = Branches(attn=("attention.out_proj",), mlp=("feed_forward.output_dense",))
_BART = Branches(attn=("self_attn.out_proj",), cross=("encoder_attn.out_proj",), mlp=("fc2",))
_BERT = Branches(attn=("attention.output.dense",), mlp=("output.dense",))
_BLOOM = Branches(attn=("self_attention.dense",), mlp=("mlp.dense_4h_to_h",))
_CLIP = Branches(attn=("self_attn.out_proj",), mlp=("mlp.fc2",))
_DINO = Branches(
    attn=("layer_scale1",), mlp=("layer_scale2",), heads=("attention.o_proj",),
    hidden=("mlp.fc2", "mlp.down_proj"),
)  # fmt: skip
_GEMMA = Branches(
    attn=("post_attention_layernorm",), mlp=("post_feedforward_layernorm",),
    heads=("self_attn.o_proj",), hidden=("mlp.down_proj",),
    attn_out=("self_attn.o_proj",), mlp_out=("mlp.down_proj",),
)  # fmt: skip
_GPT2 = Branches(attn=("attn.c_proj",), mlp=("mlp.c_proj",))
_GPT_J = Branches(attn=("attn.out_proj",), mlp=("mlp.fc_out",))
_GPT_NEOX = Branches(attn=("attention.dense",), mlp=("mlp.dense_4h_to_h",))
_LLAMA = Branches(attn=("self_attn.o_proj",), mlp=("mlp.down_proj",))
# What the experts hold inside is not one vector a token, so a mixture has no `.mlp.hidden`.
_MIXTURE = Branches(attn=("self_attn.o_proj",), mlp=("mlp",), hidden=("mlp.down_proj",))
# Branches are scaled on their way into the stream, so no submodule gives what is added.
_SCALED = Branches(
    heads=("self_attn.o_proj",), hidden=("mlp.down_proj",),
    attn_out=("self_attn.o_proj",), mlp_out=("mlp.down_proj",),
)  # fmt: skip
_T5 = Branches(
    attn=("layer.0.SelfAttention.o",),
    cross=("layer.1.EncDecAttention.o",),
    mlp=("layer.2.DenseReluDense.wo", "layer.1.DenseReluDense.wo"),
)
_VIT = Branches(attn=("attention.o_proj",), mlp=("mlp.fc2",))

BRANCHES: dict[str, Branches] = {
    "albert": Branches(
        attn=("albert_layers.0.attention.dense",), mlp=("albert_layers.0.ffn_output",)
    ),
    "apertus": _LLAMA,
    "arcee": _LLAMA,
    "bart": _BART,
    "bert": _BERT,
    "biogpt": _BART,
    "bloom": _BLOOM,
    "camembert": _BERT,
    "clip_text_model": _CLIP,
    "clip_vision_model": _CLIP,
    "codegen": _GPT_J,
    "cohere": _LLAMA,
    "cohere2": _LLAMA,
    "data2vec-audio": _AUDIO,
    "deberta": _BERT,
    "deberta-v2": _BERT,
    "deepseek_v3": _MIXTURE,
    "deit": _VIT,
    "dinov2": _DINO,
    "dinov2_with_registers": _DINO,
    "distilbert": Branches(attn=("attention.out_lin",), mlp=("ffn.lin2",)),
    "electra": _BERT,
    "ernie": _BERT,
    "ernie4_5": _LLAMA,
    "esm": _BERT,
    "eurobert": _LLAMA,
    "exaone4": _GEMMA,
    "falcon": _BLOOM,
    "gemma": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "glm": _LLAMA,
    "glm4": Branches(
        attn=("post_self_attn_layernorm",), mlp=("post_mlp_layernorm",),
        heads=("self_attn.o_proj",), hidden=("mlp.down_proj",),
        attn_out=("self_attn.o_proj",), mlp_out=("mlp.down_proj",),
    ),
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": Branches(attn=("attn.attention.out_proj",), mlp=("mlp.c_proj",)),
    "gpt_neox": _GPT_NEOX,
    "gpt_oss": _MIXTURE,
    "gptj": _GPT_J,
    "granite": _SCALED,
    "helium": _LLAMA,
    "hubert": _AUDIO,
    "llama": _LLAMA,
    "m2m_100": _BART,
    "marian": _BART,
    "mbart": _BART,
    "megatron-bert": _BERT,
    "mistral": _LLAMA,
    "mixtral": _MIXTURE,
    "modernbert": Branches(attn=("attn.Wo",), mlp=("mlp.Wo",)),
    "mpnet": Branches(attn=("attention.attn.o",), mlp=("output.dense",)),
    "mpt": Branches(attn=("attn.out_proj",), mlp=("ffn.down_proj",)),
    "mt5": _T5,
    "nemotron": _LLAMA,
    "nomic_bert": _LLAMA,
    "olmo": _LLAMA,
    "olmo2": _GEMMA,
    "olmo3": _GEMMA,
    "olmoe": _MIXTURE,
    "openai-gpt": _GPT2,
    "opt": _BART,
    "pegasus": _BART,
    "persimmon": Branches(attn=("self_attn.dense",), mlp=("mlp.dense_4h_to_h",)),
    "phi": Branches(attn=("self_attn.dense",), mlp=("mlp.fc2",)),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen2_moe": _MIXTURE,
    "qwen3": _LLAMA,
    "qwen3_moe": _MIXTURE,
    "roberta": _BERT,
    "roberta-prelayernorm": _BERT,
    "siglip_vision_model": _CLIP,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "starcoder2": Branches(attn=("self_attn.o_proj",), mlp=("mlp.c_proj",)),
    "t5": _T5,
    "umt5": _T5,
    "vit": _VIT,
    "wav2vec2": _AUDIO,
    # Its attention runs in one fused function, which no submodule reads the heads from.
    "wavlm": Branches(attn=("attention",), mlp=("feed_forward.output_dense",), heads=()),
    "whisper": _BART,
    "xglm": _BART,
    "xlm-roberta": _BERT,
    "xlm-roberta-xl": _BERT,
}  # fmt: skip
