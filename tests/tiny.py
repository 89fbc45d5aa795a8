"""Tiny checkpoints of real architectures with random weights, saved as a user's would be."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from actlas import Rows

TEXTS = [
    "The cat sat on the mat and looked at the moon.",
    "Don't ask me why, but naïve cafés serve the best 🍰 in town!",
    "One",
    "Activations are read at sites of a network, row by row.",
    "A longer sentence has more tokens than a short one, and is padded less in its own batch.",
]
VOCABULARY = 320
PAD, START, END = 0, 1, 2
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "pad_token_id": PAD,
}  # fmt: skip
SPECIAL = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
SEQ2SEQ = {
    "vocab_size": VOCABULARY, "d_model": 16, "encoder_layers": 3, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24, "decoder_start_token_id": END, "max_position_embeddings": 64,
    "forced_eos_token_id": END, **SPECIAL,
}  # fmt: skip
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("AlbertConfig", {**COMMON, "embedding_size": 8}),
    "bert": ("BertConfig", COMMON),
    "roberta": ("RobertaConfig", {**COMMON, "max_position_embeddings": 40}),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": VOCABULARY, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24,
         "pad_token_id": PAD},
    ),
    "gpt2": (
        "GPT2Config",
        {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": 2, **SPECIAL},
    ),
    "llama": ("LlamaConfig", {**COMMON, **SPECIAL}),
    "qwen2": ("Qwen2Config", {**COMMON, **SPECIAL, "num_key_value_heads": 1}),
    "gemma2": ("Gemma2Config", {**COMMON, **SPECIAL, "num_key_value_heads": 1, "head_dim": 8}),
    "opt": (
        "OPTConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 3,
         "num_attention_heads": 2, "ffn_dim": 24, "word_embed_proj_dim": 16, **SPECIAL},
    ),
    "gpt_neox": ("GPTNeoXConfig", {**COMMON, **SPECIAL}),
    "t5": (
        "T5Config",
        {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 3,
         "num_decoder_layers": 2, "num_heads": 2, "decoder_start_token_id": PAD,
         "pad_token_id": PAD, "eos_token_id": END},
    ),
    "bart": ("BartConfig", SEQ2SEQ),
    "marian": ("MarianConfig", {**SEQ2SEQ, "decoder_start_token_id": PAD}),
}  # fmt: skip
ENCODERS = ["albert", "bert", "roberta", "distilbert"]
DECODERS = ["gpt2", "llama", "qwen2", "gemma2", "opt", "gpt_neox"]
ENCODER_DECODERS = ["t5", "bart", "marian"]
ARCHITECTURES = [*ENCODERS, *DECODERS, *ENCODER_DECODERS]


def tokenizer(*, wrapped: bool) -> Any:
    """A byte-level BPE tokenizer trained on the texts; `wrapped` adds <s> … </s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    if wrapped:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def config(kind: str) -> Any:
    """The configuration of a tiny model."""
    name, values = CONFIGS[kind]
    return getattr(transformers, name)(**values)


def save_tiny(kind: str, folder: Path) -> Path:
    """Save a tiny checkpoint with safetensors weights and a fast tokenizer."""
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config(kind)).eval()
    model.save_pretrained(folder)
    tokenizer(wrapped=kind not in DECODERS).save_pretrained(folder)
    return folder


def joined_rows(parts: list[Rows]) -> Rows:
    """Rows of several windows end to end."""
    tokens = [token for part in parts for token in part.token]
    names = [f.name for f in dataclasses.fields(Rows) if f.name != "token"]
    return Rows(token=tokens, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
