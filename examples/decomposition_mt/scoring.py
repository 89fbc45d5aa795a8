"""What the models write, and how good it is by BLEU and chrF."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .corpus import Pair
from .training import Checkpoint

MOST_TOKENS = 40
RECIPE = 1  # raise it when scores change: those kept are then old


@dataclass(frozen=True)
class Score:
    """Translations of the test sentences, and their quality by sacreBLEU (0 to 100)."""

    written: list[str]
    bleu: float
    chrf: float
    sentence_chrf: list[float]


def scored(checkpoint: Checkpoint, test: Sequence[Pair]) -> Score:
    """Translate greedily and score, or read what an earlier call has kept beside the checkpoint."""
    path = checkpoint.folder / f"score-{RECIPE}.json"
    if not path.is_file():
        score = score_of(translated(checkpoint.folder, [p.source for p in test]), test)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(score)), "utf-8")
        part.replace(path)
    return Score(**json.loads(path.read_text("utf-8")))


def translated(folder: Path, sources: Sequence[str]) -> list[str]:
    """Translate sentences by a checkpoint, greedily."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    given = tokenizer(list(sources), padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        ids = model.generate(**given, do_sample=False, num_beams=1, max_new_tokens=MOST_TOKENS)
    texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.strip() for text in texts]


def score_of(written: Sequence[str], test: Sequence[Pair]) -> Score:
    """Score translations: words are apart already, so BLEU's own tokenizer is switched off."""
    from sacrebleu.metrics import BLEU, CHRF

    references = [pair.english for pair in test]
    bleu = BLEU(tokenize="none", force=True).corpus_score(list(written), [references]).score
    chrf = CHRF()
    by_sentence = [
        chrf.sentence_score(one, [reference]).score
        for one, reference in zip(written, references, strict=True)
    ]
    whole = chrf.corpus_score(list(written), [references]).score
    return Score(list(written), bleu, whole, by_sentence)
