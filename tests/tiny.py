"""Tiny checkpoints of real architectures with random weights, saved as a user's would be."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from actlas import Dataset, Media, Rows

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


PIXELS = 32
BLOCKS = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip
PATCHES = {**BLOCKS, "image_size": PIXELS, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 12, 16], "depths": [1, 2, 1], "num_stages": 3}
SPEECH = {
    **BLOCKS, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "vocab_size": 32,
}  # fmt: skip
SPEECH_BY_LAYER = {**SPEECH, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
TEXT_TOWER = {**BLOCKS, "vocab_size": VOCABULARY, "max_position_embeddings": 48, **SPECIAL}
SQUARE = {"height": PIXELS, "width": PIXELS}
NORMAL = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CROPPED = {"size": {"shortest_edge": 36}, "crop_size": SQUARE, **NORMAL}
CONVOLVED = {
    "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64},
    "crop_pct": 1.0, **NORMAL,
}  # fmt: skip
WAVEFORM = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "do_normalize": True,
    "sampling_rate": 16000, "padding_value": 0.0,
}  # fmt: skip
MASKED = {**WAVEFORM, "return_attention_mask": True}
# kind → configuration class, its values, and what stands in preprocessor_config.json
MEDIA: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "vit": (
        "ViTConfig", PATCHES,
        {"image_processor_type": "ViTImageProcessor", "size": SQUARE, **NORMAL},
    ),
    "dinov2": ("Dinov2Config", PATCHES, {"image_processor_type": "BitImageProcessor", **CROPPED}),
    "dinov2_registers": (
        "Dinov2WithRegistersConfig", {**PATCHES, "num_register_tokens": 2},
        {"image_processor_type": "BitImageProcessor", **CROPPED},
    ),
    "clip": (
        "CLIPConfig",
        {"vision_config": PATCHES, "text_config": TEXT_TOWER, "projection_dim": 8},
        {"image_processor_type": "CLIPImageProcessor", **CROPPED},
    ),
    "resnet": ("ResNetConfig", {**STAGES, "embedding_size": 8, "layer_type": "basic"}, CONVOLVED),
    "convnext": ("ConvNextConfig", {**STAGES, "patch_size": 4}, CONVOLVED),
    "wav2vec2": ("Wav2Vec2Config", SPEECH, WAVEFORM),
    "wav2vec2_layer": ("Wav2Vec2Config", SPEECH_BY_LAYER, MASKED),
    "hubert": ("HubertConfig", SPEECH_BY_LAYER, MASKED),
    "wavlm": ("WavLMConfig", SPEECH, WAVEFORM),
    "wavlm_layer": ("WavLMConfig", SPEECH_BY_LAYER, MASKED),
    "whisper": (
        "WhisperConfig",
        {**SEQ2SEQ, "max_source_positions": 50, "num_mel_bins": 8, "max_target_positions": 32},
        {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 8,
         "chunk_length": 1, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400},
    ),
}  # fmt: skip
VISION = ["vit", "dinov2", "dinov2_registers", "clip"]
STAGED = ["resnet", "convnext"]
MASKED_SPEECH = ["wav2vec2_layer", "hubert"]
SPEECHES = ["wav2vec2", "wavlm", "wavlm_layer", *MASKED_SPEECH]


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
    """Save a tiny checkpoint with safetensors weights and a fast tokenizer or a processor."""
    torch.manual_seed(0)
    if kind in MEDIA:
        return save_tiny_media(kind, folder)
    model = transformers.AutoModel.from_config(config(kind)).eval()
    model.save_pretrained(folder)
    tokenizer(wrapped=kind not in DECODERS).save_pretrained(folder)
    return folder


HEADS = {"image": "AutoModelForImageClassification", "audio": "AutoModelForAudioClassification"}


def save_classifier(kind: str, folder: Path, labels: Sequence[str] = ("a", "b", "c")) -> Path:
    """Save a tiny checkpoint with a head that tells labels apart, its weights far from zero."""
    torch.manual_seed(0)
    name, values, processor = MEDIA[kind] if kind in MEDIA else (*CONFIGS[kind], None)
    made = getattr(transformers, name)(**values, id2label=dict(enumerate(labels)))
    data = "text" if processor is None else "audio" if kind in SPEECHES else "image"
    auto = getattr(transformers, HEADS.get(data, "AutoModelForSequenceClassification"))
    model = auto.from_config(made).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    if processor is None:
        tokenizer(wrapped=kind not in DECODERS).save_pretrained(folder)
    else:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def save_tiny_media(kind: str, folder: Path) -> Path:
    """Save a tiny checkpoint of a model of images or recordings, its weights far from zero."""
    name, values, processor = MEDIA[kind]
    model = transformers.AutoModel.from_config(getattr(transformers, name)(**values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    if kind == "clip":
        tokenizer(wrapped=True).save_pretrained(folder)
    return folder


def pictures(
    folder: Path, sizes: Sequence[tuple[int, int]] = ((40, 30), (32, 48), (64, 64))
) -> Dataset:
    """Save pictures of noise as PNG and make a data set of them."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    media = []
    for i, (width, height) in enumerate(sizes):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
        media.append(Media(str(path), "image"))
    return media_set(media)


def recordings(
    folder: Path, lengths: Sequence[int] = (8000, 5000, 8000, 12345), rate: int = 16000
) -> Dataset:
    """Save recordings of noise as WAV and make a data set of them."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    media = []
    for i, length in enumerate(lengths):
        path = folder / f"{i}.wav"
        soundfile.write(path, rng.standard_normal(length) / 10, rate)
        media.append(Media(str(path), "audio"))
    return media_set(media)


def media_set(media: Sequence[Media]) -> Dataset:
    """A data set of some files."""
    names = [Path(one.path).name for one in media]
    return Dataset("files", names, modality=media[0].kind, media=media)


def joined_rows(parts: list[Rows]) -> Rows:
    """Rows of several windows end to end."""
    tokens = [token for part in parts for token in part.token]
    names = [f.name for f in dataclasses.fields(Rows) if f.name != "token"]
    return Rows(token=tokens, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
