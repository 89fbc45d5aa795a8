"""Tiny configurations of every architecture that `core.adapters` knows, and what they read."""

from typing import Any

import torch
import transformers

SIZE = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "pad_token_id": 0,
}  # fmt: skip
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
PLAIN = {**SIZE, **ENDS}
GROUPED = {**PLAIN, "num_key_value_heads": 1, "head_dim": 8}
MIXTURE = {**GROUPED, "moe_intermediate_size": 12, "num_experts": 4, "num_experts_per_tok": 2}
LOCAL_MIXTURE = {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}
GPT = {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, **ENDS}
SHORT = {**PLAIN, "max_position_embeddings": 40}
FAIRSEQ = {
    "vocab_size": 60, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 2, "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24, "decoder_start_token_id": 2, "max_position_embeddings": 40,
    "pad_token_id": 0, **ENDS,
}  # fmt: skip
T5 = {
    "vocab_size": 60, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
IMAGE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "image_size": 8, "patch_size": 4,
}  # fmt: skip
AUDIO = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 4),
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
LATENT = {
    **PLAIN, "moe_intermediate_size": 12, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 8,
    "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8, "num_key_value_heads": 2,
}  # fmt: skip
FALCON = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    **ENDS,
}  # fmt: skip

# name → (configuration class, its values); a name with / is another form of the same line
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("AlbertConfig", {**PLAIN, "embedding_size": 8}),
    "apertus": ("ApertusConfig", GROUPED),
    "arcee": ("ArceeConfig", GROUPED),
    "bart": ("BartConfig", FAIRSEQ),
    "bert": ("BertConfig", PLAIN),
    "biogpt": ("BioGptConfig", PLAIN),
    "bloom": ("BloomConfig", {"vocab_size": 60, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "camembert": ("CamembertConfig", SHORT),
    "clip_text_model": ("CLIPTextConfig", PLAIN),
    "clip_vision_model": ("CLIPVisionConfig", IMAGE),
    "codegen": ("CodeGenConfig", {**GPT, "n_head": 4, "rotary_dim": 4}),
    "cohere": ("CohereConfig", GROUPED),
    "cohere2": ("Cohere2Config", GROUPED),
    "data2vec-audio": ("Data2VecAudioConfig", AUDIO),
    "deberta": ("DebertaConfig", PLAIN),
    "deberta-v2": (
        "DebertaV2Config", {**PLAIN, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
    "deepseek_v3": ("DeepseekV3Config", LATENT),
    "deit": ("DeiTConfig", IMAGE),
    "dinov2": ("Dinov2Config", {**IMAGE, "mlp_ratio": 2}),
    "dinov2/swiglu": ("Dinov2Config", {**IMAGE, "use_swiglu_ffn": True}),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", IMAGE),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": 60, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    ),
    "electra": ("ElectraConfig", {**PLAIN, "embedding_size": 8}),
    "ernie": ("ErnieConfig", PLAIN),
    "ernie4_5": ("Ernie4_5Config", GROUPED),
    "esm": ("EsmConfig", {**SHORT, "position_embedding_type": "rotary"}),
    "eurobert": ("EuroBertConfig", {**PLAIN, "mask_token_id": 3}),
    "exaone4": ("Exaone4Config", GROUPED),
    "falcon": ("FalconConfig", FALCON),
    "falcon/serial": ("FalconConfig", {**FALCON, "parallel_attn": False}),
    "falcon/new": ("FalconConfig", {**FALCON, "new_decoder_architecture": True,
                                    "num_kv_heads": 2}),
    "gemma": ("GemmaConfig", GROUPED),
    "gemma2": ("Gemma2Config", GROUPED),
    "gemma3_text": ("Gemma3TextConfig", GROUPED),
    "glm": ("GlmConfig", GROUPED),
    "glm4": ("Glm4Config", GROUPED),
    "gpt2": ("GPT2Config", GPT),
    "gpt_bigcode": ("GPTBigCodeConfig", GPT),
    "gpt_neo": (
        "GPTNeoConfig",
        {"vocab_size": 60, "hidden_size": 16, "num_layers": 2, "num_heads": 2,
         "attention_types": [[["global", "local"], 1]], **ENDS},
    ),
    "gpt_neox": ("GPTNeoXConfig", PLAIN),
    "gpt_neox/serial": ("GPTNeoXConfig", {**PLAIN, "use_parallel_residual": False}),
    "gpt_oss": ("GptOssConfig", LOCAL_MIXTURE),
    "gptj": ("GPTJConfig", {**GPT, "rotary_dim": 4}),
    "granite": ("GraniteConfig", {**GROUPED, "residual_multiplier": 0.5}),
    "helium": ("HeliumConfig", GROUPED),
    "hubert": ("HubertConfig", AUDIO),
    "llama": ("LlamaConfig", GROUPED),
    "m2m_100": ("M2M100Config", FAIRSEQ),
    "marian": ("MarianConfig", FAIRSEQ),
    "mbart": ("MBartConfig", FAIRSEQ),
    "megatron-bert": ("MegatronBertConfig", PLAIN),
    "mistral": ("MistralConfig", GROUPED),
    "mixtral": ("MixtralConfig", LOCAL_MIXTURE),
    "modernbert": ("ModernBertConfig", {**PLAIN, "cls_token_id": 1, "sep_token_id": 2}),
    "mpnet": ("MPNetConfig", PLAIN),
    "mpt": ("MptConfig", {"vocab_size": 60, "d_model": 16, "n_layers": 2, "n_heads": 2}),
    "mt5": ("MT5Config", {**T5, "feed_forward_proj": "gated-gelu"}),
    "nemotron": ("NemotronConfig", GROUPED),
    "nomic_bert": ("NomicBertConfig", PLAIN),
    "olmo": ("OlmoConfig", PLAIN),
    "olmo2": ("Olmo2Config", PLAIN),
    "olmo3": ("Olmo3Config", PLAIN),
    "olmoe": ("OlmoeConfig", {**PLAIN, "num_experts": 4, "num_experts_per_tok": 2}),
    "openai-gpt": ("OpenAIGPTConfig", {k: v for k, v in GPT.items() if k not in ENDS}),
    "opt": (
        "OPTConfig",
        {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "ffn_dim": 24, "word_embed_proj_dim": 16},
    ),
    "pegasus": ("PegasusConfig", FAIRSEQ),
    "persimmon": ("PersimmonConfig", PLAIN),
    "phi": ("PhiConfig", PLAIN),
    "phi3": ("Phi3Config", PLAIN),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen2_moe": (
        "Qwen2MoeConfig",
        {**MIXTURE, "shared_expert_intermediate_size": 12, "mlp_only_layers": [0]},
    ),
    "qwen3": ("Qwen3Config", GROUPED),
    "qwen3_moe": ("Qwen3MoeConfig", MIXTURE),
    "roberta": ("RobertaConfig", SHORT),
    "roberta-prelayernorm": ("RobertaPreLayerNormConfig", SHORT),
    "siglip_vision_model": ("SiglipVisionConfig", {**IMAGE, "vision_use_head": False}),
    "smollm3": ("SmolLM3Config", GROUPED),
    "stablelm": ("StableLmConfig", GROUPED),
    "stablelm/parallel": ("StableLmConfig", {**GROUPED, "use_parallel_residual": True}),
    "starcoder2": ("Starcoder2Config", GROUPED),
    "t5": ("T5Config", T5),
    "umt5": ("UMT5Config", T5),
    "vit": ("ViTConfig", IMAGE),
    "wav2vec2": ("Wav2Vec2Config", AUDIO),
    "wav2vec2/stable": (
        "Wav2Vec2Config", {**AUDIO, "do_stable_layer_norm": True, "feat_extract_norm": "layer"},
    ),
    "wavlm": ("WavLMConfig", AUDIO),
    "wavlm/stable": (
        "WavLMConfig", {**AUDIO, "do_stable_layer_norm": True, "feat_extract_norm": "layer"},
    ),
    "whisper": (
        "WhisperConfig", {**FAIRSEQ, "num_mel_bins": 4, "max_source_positions": 5,
                          "max_target_positions": 40},
    ),
    "xglm": (
        "XGLMConfig",
        {"vocab_size": 60, "d_model": 16, "num_layers": 2, "attention_heads": 2, "ffn_dim": 24},
    ),
    "xlm-roberta": ("XLMRobertaConfig", SHORT),
    "xlm-roberta-xl": ("XLMRobertaXLConfig", SHORT),
}  # fmt: skip

# Norms after the branches: each norm reads the stream with a branch added to it.
POST_NORM = {
    "albert", "bart", "bert", "camembert", "data2vec-audio", "deberta", "deberta-v2", "distilbert",
    "electra", "ernie", "hubert", "marian", "mpnet", "nomic_bert", "openai-gpt", "roberta",
    "wav2vec2", "wavlm", "xlm-roberta",
}  # fmt: skip


def build(name: str) -> Any:
    """A tiny model of an architecture whose weights are far from their starting values."""
    kind, values = CONFIGS[name]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**values)
    module = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    return module


def inputs(module: Any) -> dict[str, torch.Tensor]:
    """Two samples for a network: token ids of five tokens, images, waves or spectrograms."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.arange(10).reshape(2, 5) + 3
    given = {
        "pixel_values": lambda: torch.randn(2, 3, 8, 8, generator=generator),
        "input_values": lambda: torch.randn(2, 400, generator=generator),
        "input_features": lambda: torch.randn(2, 4, 10, generator=generator),
        "input_ids": lambda: ids,
    }[module.main_input_name]()
    more = {"decoder_input_ids": ids + 20} if module.config.is_encoder_decoder else {}
    return {module.main_input_name: given, **more}
