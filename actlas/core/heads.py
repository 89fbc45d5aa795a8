"""Checkpoints with the head by which they tell classes apart, or predict tokens."""

from typing import Any

from .datasets import Modality
from .devices import SPLIT
from .errors import ModelError
from .loading import load_transformers, resolve_model, split_spec
from .models import LoadedModel
from .text import listing

HEADS: dict[Modality, tuple[str, str]] = {  # how its class is called, and what loads it
    "text": ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    "image": ("ForImageClassification", "AutoModelForImageClassification"),
    "audio": ("ForSequenceClassification", "AutoModelForAudioClassification"),
}


def load_classifier(model: LoadedModel) -> LoadedModel:
    """Load a checkpoint again with the head by which it tells classes apart.

    What `load_model` gives ends before any head, so that names and numbers of sites do not depend
    on it; here the same sites lie in the network that the configuration names
    (BertForSequenceClassification, …). A network of a factory is its own and returned as it is.

    Raises ModelError where the checkpoint has no such head, or not all of its weights, and for an
    encoder–decoder.
    """
    if split_spec(model.spec)[0] not in ("hf", "actlas"):
        return model
    if model.two_sided:
        raise ModelError(
            f"{model.spec} is an encoder–decoder, whose heads are not run; name a checkpoint of an "
            f"encoder or a decoder, or let a stored probe read a later site (--other "
            f"encoder.layers.-1)"
        )
    ending, kind = HEADS[model.feed.modality]
    named = getattr(model.config, "architectures", None) or []
    if not any(str(name).endswith(ending) for name in named):
        raise ModelError(
            f"{model.spec} has no head that tells classes apart ({listing(named) or 'none named'} "
            f"in config.json, not …{ending}); name a fine-tuned checkpoint"
        )
    folder, device = resolve_model(model.spec), model.device
    split = SPLIT if hasattr(model.module, "hf_device_map") else device
    module = load_transformers(model.spec, folder, model.dtype, False, split, kind)
    if split != SPLIT:
        module = module.to(device)
    return LoadedModel(model.spec, module, model.feed, model.digest, device)


def load_language_model(model: LoadedModel) -> LoadedModel:
    """Load a checkpoint again with the head by which it predicts tokens.

    The decoder's of an encoder–decoder, that of masked tokens where the architecture has one, else
    that of the next token. A network that has one already is returned as it is.

    Raises ModelError where the architecture has no such head, or the checkpoint not all of its
    weights.
    """
    from transformers.models.auto import modeling_auto

    if _predicts(model.module):
        return model
    kind = str(getattr(model.config, "model_type", ""))
    names = {
        "AutoModelForSeq2SeqLM": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        "AutoModelForMaskedLM": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        "AutoModelForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    loader = next((loader for loader, known in names.items() if kind in known), None)
    if loader is None or split_spec(model.spec)[0] not in ("hf", "actlas"):
        raise ModelError(f"{model.spec} ({model.architecture}) has no head that predicts tokens")
    folder, device = resolve_model(model.spec), model.device
    split = SPLIT if hasattr(model.module, "hf_device_map") else device
    module = load_transformers(model.spec, folder, model.dtype, False, split, loader)
    if split != SPLIT:
        module = module.to(device)
    return LoadedModel(model.spec, module, model.feed, model.digest, device)


def _predicts(module: Any) -> bool:
    get = getattr(module, "get_output_embeddings", None)
    return get is not None and get() is not None
