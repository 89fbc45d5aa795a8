"""How each architecture is put together: data, from which `bound` reads a model's parameters.

Paths of sub-layers are relative to their block, all others to the network without its head. An
entry is a claim, not a proof: `check` holds each against the model before it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["attention", "cross_attention", "feed_forward", "blocks"]
SITES = {"attention": "attn", "cross_attention": "cross", "feed_forward": "mlp"}
Form = Literal["own", "last", "interleaved"]


@dataclass(frozen=True)
class Value:
    """Where the values of attention are computed.

    form: own: a projection of its own; last: the last rows of a fused one (the last columns of
        GPT-2's Conv1D); interleaved: the last third of each head's rows (GPT-NeoX).
    """

    path: str
    form: Form = "own"


@dataclass(frozen=True)
class SubLayer:
    """One branch of a block.

    output: the projection whose output is the branch.
    pre_norm: reads the stream and gives what the branch reads; out_norm: reads what the branch
        gives, before it is added; post_norm: reads the stream with the branch added. "": none.
    up, gate: the projections into a feed-forward network; where both are one, `gate` is it and
        its first half is the gate.
    """

    kind: Kind
    output: str
    pre_norm: str = ""
    out_norm: str = ""
    post_norm: str = ""
    value: Value | None = None
    up: str = ""
    gate: str = ""


@dataclass(frozen=True)
class Stack:
    """A stack of like blocks between an embedding and a head.

    blocks: the list of blocks. embed_norm, final_norm: norms before and after it; "": none.
    multiplier: the name in the configuration of what branches are multiplied by.
    gain_offset: what is added to a stored gain (Gemma's norms multiply by 1 + weight).
    parallel: whether all branches of a block read the stream that enters it.
    """

    blocks: str
    sublayers: tuple[SubLayer, ...]
    embed_norm: str = ""
    final_norm: str = ""
    multiplier: str = ""
    gain_offset: float = 0.0
    parallel: bool = False


@dataclass(frozen=True)
class Head:
    """How logits come from the last state, beside the unembedding itself.

    projection: of the network without its head, between state and unembedding (OPT-350m).
    transform: of the head, dense, activation and norm before the unembedding (BERT).
    divisor, factor: names in the configuration of what logits are divided, multiplied by.
    width_scaled: name of the flag by which states are divided by the root of the width (T5).
    cap: name of the bound that a tanh puts on logits (Gemma-2); the logit before it is explained.
    """

    projection: str = ""
    transform: tuple[str, str] = ("", "")
    divisor: str = ""
    factor: str = ""
    width_scaled: str = ""
    cap: str = ""


@dataclass(frozen=True)
class Layout:
    """An architecture: its stacks by side ("", or "encoder" and "decoder"), and its head.

    when: what stands in the configuration of a model that is put together so.
    """

    stacks: Mapping[str, Stack]
    head: Head = Head()
    when: Mapping[str, Any] | None = None

    def fits(self, config: Any) -> bool:
        """Whether a configuration is of a model that is put together so."""
        wanted = (self.when or {}).items()
        return all(getattr(config, name, value) == value for name, value in wanted)


def _one(stack: Stack, head: Head = Head(), **when: Any) -> tuple[Layout, ...]:
    return (Layout({"": stack}, head, when or None),)


def _bert(head: Head) -> tuple[Layout, ...]:
    inner = (
        SubLayer(
            "attention", "attention.output.dense", post_norm="attention.output.LayerNorm",
            value=Value("attention.self.value"),
        ),
        SubLayer(
            "feed_forward", "output.dense", post_norm="output.LayerNorm", up="intermediate.dense"
        ),
    )  # fmt: skip
    return _one(Stack("encoder.layer", inner, embed_norm="embeddings.LayerNorm"), head)


def _mlm(path: str, dense: str, norm: str) -> Head:
    return Head(transform=(path + dense, path + norm))


_BERT = _bert(_mlm("cls.predictions.transform.", "dense", "LayerNorm"))
_ROBERTA = _bert(_mlm("lm_head.", "dense", "layer_norm"))
_ELECTRA_STACK = replace(_BERT[0].stacks[""], embed_norm="")  # a projection may follow its norm
_ELECTRA = _one(_ELECTRA_STACK, _mlm("generator_predictions.", "dense", "LayerNorm"))
_DISTILBERT = _one(
    Stack(
        "transformer.layer",
        (
            SubLayer(
                "attention", "attention.out_lin", post_norm="sa_layer_norm",
                value=Value("attention.v_lin"),
            ),
            SubLayer(
                "feed_forward", "ffn.lin2", post_norm="output_layer_norm", up="ffn.lin1"
            ),
        ),
        embed_norm="embeddings.LayerNorm",
    ),
    Head(transform=("vocab_transform", "vocab_layer_norm")),
)  # fmt: skip
_GPT2 = _one(
    Stack(
        "h",
        (
            SubLayer(
                "attention", "attn.c_proj", pre_norm="ln_1", value=Value("attn.c_attn", "last")
            ),
            SubLayer("feed_forward", "mlp.c_proj", pre_norm="ln_2", up="mlp.c_fc"),
        ),
        final_norm="ln_f",
    )
)


def _pre_or_post(sub: SubLayer, norm: str, pre: bool) -> SubLayer:
    return replace(sub, pre_norm=norm) if pre else replace(sub, post_norm=norm)


def _fairseq(*, cross: bool, pre: bool) -> tuple[SubLayer, ...]:
    """Blocks of BART's kin, their norms before or after the branches."""
    own = SubLayer("attention", "self_attn.out_proj", value=Value("self_attn.v_proj"))
    other = SubLayer("cross_attention", "encoder_attn.out_proj", value=Value("encoder_attn.v_proj"))
    inner = SubLayer("feed_forward", "fc2", up="fc1")
    found = [_pre_or_post(own, "self_attn_layer_norm", pre)]
    if cross:
        found.append(_pre_or_post(other, "encoder_attn_layer_norm", pre))
    return (*found, _pre_or_post(inner, "final_layer_norm", pre))


def _two_fairseq(*, pre: bool, embed_norm: str = "", final_norm: str = "") -> tuple[Layout, ...]:
    return (
        Layout(
            {
                side: Stack(
                    f"{side}.layers",
                    _fairseq(cross=side == "decoder", pre=pre),
                    embed_norm=embed_norm and f"{side}.{embed_norm}",
                    final_norm=final_norm and f"{side}.{final_norm}",
                )
                for side in ("encoder", "decoder")
            }
        ),
    )


def _opt(*, pre: bool, final: bool) -> tuple[Layout, ...]:
    norm = "decoder.final_layer_norm" if final else ""
    stack = Stack("decoder.layers", _fairseq(cross=False, pre=pre), final_norm=norm)
    head = Head(projection="decoder.project_out")
    return _one(stack, head, do_layer_norm_before=pre, _remove_final_layer_norm=pre and not final)


def _llama(
    attn: Mapping[str, Any], mlp: Mapping[str, Any], head: Head = Head(),
    *, value: Value = Value("self_attn.v_proj"),
    gate: str = "mlp.gate_proj", up: str = "mlp.up_proj", **more: Any,
) -> tuple[Layout, ...]:  # fmt: skip
    """Blocks of LLaMA's kin; attn, mlp: where their norms stand, and what they are called."""
    inner = (
        replace(SubLayer("attention", "self_attn.o_proj", value=value), **attn),
        replace(SubLayer("feed_forward", "mlp.down_proj", up=up, gate=gate), **mlp),
    )
    return _one(Stack("layers", inner, final_norm="norm", **more), head)


_PRE = {"pre_norm": "input_layernorm"}, {"pre_norm": "post_attention_layernorm"}
_OUT = {"out_norm": "post_attention_layernorm"}, {"out_norm": "post_feedforward_layernorm"}
_SANDWICH = (
    {"pre_norm": "input_layernorm", **_OUT[0]},
    {"pre_norm": "pre_feedforward_layernorm", **_OUT[1]},
)
_LLAMA = _llama(*_PRE)


def _neox(*, parallel: bool) -> tuple[Layout, ...]:
    inner = (
        SubLayer(
            "attention", "attention.dense", pre_norm="input_layernorm",
            value=Value("attention.query_key_value", "interleaved"),
        ),
        SubLayer(
            "feed_forward", "mlp.dense_4h_to_h", pre_norm="post_attention_layernorm",
            up="mlp.dense_h_to_4h",
        ),
    )  # fmt: skip
    stack = Stack("layers", inner, final_norm="final_layer_norm", parallel=parallel)
    return _one(stack, use_parallel_residual=parallel)


def _t5_stack(side: str, *, gated: bool) -> Stack:
    attention = SubLayer(
        "attention", "layer.0.SelfAttention.o", pre_norm="layer.0.layer_norm",
        value=Value("layer.0.SelfAttention.v"),
    )  # fmt: skip
    cross = SubLayer(
        "cross_attention", "layer.1.EncDecAttention.o", pre_norm="layer.1.layer_norm",
        value=Value("layer.1.EncDecAttention.v"),
    )  # fmt: skip
    at = "layer.2" if side == "decoder" else "layer.1"
    inner = f"{at}.DenseReluDense"
    forward = SubLayer(
        "feed_forward", f"{inner}.wo", pre_norm=f"{at}.layer_norm",
        up=f"{inner}.wi_1" if gated else f"{inner}.wi", gate=f"{inner}.wi_0" if gated else "",
    )  # fmt: skip
    subs = (attention, cross, forward) if side == "decoder" else (attention, forward)
    return Stack(f"{side}.block", subs, final_norm=f"{side}.final_layer_norm")


def _t5(*, gated: bool) -> tuple[Layout, ...]:
    stacks = {side: _t5_stack(side, gated=gated) for side in ("encoder", "decoder")}
    return (Layout(stacks, Head(width_scaled="scale_decoder_outputs"), {"is_gated_act": gated}),)


_T5 = (*_t5(gated=False), *_t5(gated=True))
_PHI3 = _llama(
    *_PRE, value=Value("self_attn.qkv_proj", "last"), gate="mlp.gate_up_proj", up=""
)  # fmt: skip

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "arcee": _llama(*_PRE, gate=""),
    "bart": _two_fairseq(pre=False, embed_norm="layernorm_embedding"),
    "bert": _BERT,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "electra": _ELECTRA,
    "ernie": _BERT,
    "ernie4_5": _LLAMA,
    "exaone4": _llama(*_OUT),
    "gemma": _llama(*_PRE, gain_offset=1.0),
    "gemma2": _llama(*_SANDWICH, Head(cap="final_logit_softcapping"), gain_offset=1.0),
    "gemma3_text": _llama(*_SANDWICH, Head(cap="final_logit_softcapping"), gain_offset=1.0),
    "gpt2": _GPT2,
    "gpt_neox": (*_neox(parallel=True), *_neox(parallel=False)),
    "granite": _llama(*_PRE, Head(divisor="logits_scaling"), multiplier="residual_multiplier"),
    "llama": _LLAMA,
    "m2m_100": _two_fairseq(pre=True, final_norm="layer_norm"),
    "marian": _two_fairseq(pre=False),
    "mbart": _two_fairseq(pre=True, embed_norm="layernorm_embedding", final_norm="layer_norm"),
    "mistral": _LLAMA,
    "mt5": _T5,
    "olmo2": _llama(*_OUT),
    "olmo3": _llama(*_OUT),
    "opt": (
        *_opt(pre=True, final=True), *_opt(pre=True, final=False), *_opt(pre=False, final=False),
    ),
    "pegasus": _two_fairseq(pre=True, final_norm="layer_norm"),
    "phi3": _PHI3,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "roberta": _ROBERTA,
    "smollm3": _LLAMA,
    "t5": _T5,
    "umt5": _T5,
    "xlm-roberta": _ROBERTA,
}  # fmt: skip


def layout_for(config: Any) -> Layout | None:
    """Return how a model of a configuration is put together, None where nothing is known."""
    candidates = LAYOUTS.get(str(getattr(config, "model_type", "")), ())
    return next((layout for layout in candidates if layout.fits(config)), None)
