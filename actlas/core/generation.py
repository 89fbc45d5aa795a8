"""Texts that an encoder–decoder writes itself, for its decoder to read."""

from dataclasses import replace
from typing import Any

from .datasets import Dataset
from .errors import DatasetError, InputError
from .loading import load_generator
from .models import LoadedModel

SAMPLES_AT_ONCE = 16


def generate_targets(model: LoadedModel, dataset: Dataset, tokens: int) -> Dataset:
    """Return the data set with the model's own greedy output as the targets.

    tokens: most tokens that are generated for a sample. Special tokens are left out of the
        texts; a sample for which the model writes nothing has an empty target.

    Samples go through one batch size in the data set's order, so the texts are the same every
    time. Raises InputError where a sample is too long, or the data set has targets already;
    ModelError where the checkpoint cannot generate.
    """
    if tokens < 1:
        raise InputError(f"--generate {tokens} leaves no token; use 1 or more")
    if dataset.targets is not None:
        raise DatasetError(
            f"{dataset.name} has texts for the decoder already; leave out --generate or "
            f"--decoder-text"
        )
    generator = load_generator(model)
    targets: list[str] = []
    for start in range(0, len(dataset), SAMPLES_AT_ONCE):
        texts = list(dataset.texts[start : start + SAMPLES_AT_ONCE])
        targets += _generated(model, generator, texts, min(tokens, model.max_length))
    return replace(dataset, name=f"{dataset.name}+generated", targets=targets)


def _generated(model: LoadedModel, generator: Any, texts: list[str], tokens: int) -> list[str]:
    import torch

    limit = {"truncation": True, "max_length": model.max_length}
    given = model.tokenizer(
        texts, padding=True, return_tensors="pt", return_token_type_ids=False, **limit
    )
    with torch.inference_mode():
        ids: torch.Tensor = generator.generate(
            **given.to(model.device), do_sample=False, num_beams=1, max_new_tokens=tokens,
        )  # fmt: skip
    written: list[str] = model.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.replace("\x00", "").strip() for text in written]
