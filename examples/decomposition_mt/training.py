"""Translation models, trained by transformers' Trainer and kept along the way."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from .corpus import Corpus, Pair

RECIPE = 1  # raise it when training gives other weights: those kept in the folder are then old
PAD, END, UNKNOWN = 0, 1, 2
ONE, MIXED = "kelen", "mixed"
CONDITIONS = (ONE, MIXED)
WHOLE = "whole"  # a file that says that a checkpoint is written to its end
STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth")  # only the last checkpoint needs it


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    pairs: int = 30_000
    tests: int = 400
    vocabulary: int = 800
    width: int = 64
    encoder_layers: int = 2
    decoder_layers: int = 3
    steps: int = 1560
    every: int = 130  # steps from one checkpoint to the next
    batch: int = 32
    rate: float = 4e-3
    seeds: int = 3
    read: int = 100  # test sentences whose states are read
    token_steps: int = 6  # of each training run, at which tokens are kept
    draws: int = 1000  # of bootstraps and permutations

    def of_training(self) -> dict[str, Any]:
        """All that weights depend on."""
        later = ("seeds", "read", "token_steps", "draws")
        return {name: value for name, value in asdict(self).items() if name not in later}


FULL = Size()
QUICK = Size(pairs=10_000, tests=80, decoder_layers=2, steps=400, every=50, seeds=2, read=20)


@dataclass(frozen=True)
class Checkpoint:
    """A model at one step of a training run."""

    condition: str
    seed: int
    step: int
    folder: Path

    @property
    def series(self) -> str:
        """The training run it is of."""
        return f"{self.condition} {self.seed}"

    @property
    def model(self) -> str:
        """The end of its path, by which a file of qualities names it."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def make_tokenizer(corpus: Corpus, size: int) -> Any:
    """Learn one tokenizer for all languages: BPE within words, and the end of a text marked.

    All runs share it, so that their tokens can be compared.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False
    )
    pairs = [*corpus.kelen, *corpus.orua]
    core.train_from_iterator((text for p in pairs for text in (p.source, p.english)), trainer)
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def make_model(size: Size, seed: int) -> Any:
    """Make a model as Marian's are, post-norm, whose random weights the seed alone decides."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=size.vocabulary, d_model=size.width, scale_embedding=True, dropout=0.1,
        encoder_layers=size.encoder_layers, decoder_layers=size.decoder_layers,
        encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=4 * size.width, decoder_ffn_dim=4 * size.width,
        max_position_embeddings=128, pad_token_id=PAD, eos_token_id=END,
        decoder_start_token_id=PAD, forced_eos_token_id=END,
        init_std=size.width**-0.5,  # as Glorot's; words are then as large as their positions
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MarianMTModel(config)


@dataclass(frozen=True)
class School:
    """Trains models in a folder; what is there already goes on from its last checkpoint."""

    folder: Path
    corpus: Corpus
    size: Size
    say: Callable[[str], None]

    def run(self, condition: str, seed: int) -> list[Checkpoint]:
        """Train one model to the end and return its checkpoints, the first first."""
        text = json.dumps([RECIPE, condition, seed, self.size.of_training(), self.corpus.digest()])
        place = self.folder / f"{condition}-{seed}-{sha256(text.encode()).hexdigest()[:12]}"
        steps = range(self.size.every, self.size.steps + 1, self.size.every)
        found = _whole(place)
        if self.size.steps not in found:
            last = max(found, default=0)
            self.say(f"training {condition} {seed}" + f" on from step {last}" * (last > 0))
            self._train(condition, seed, place, found.get(last))
        return [Checkpoint(condition, seed, n, place / f"checkpoint-{n}") for n in steps]

    def _train(self, condition: str, seed: int, place: Path, last: Path | None) -> None:
        from transformers import PrinterCallback, Trainer, TrainingArguments

        pairs = self.corpus.kelen if condition == ONE else self.corpus.mixed()
        tokenizer = make_tokenizer(self.corpus, self.size.vocabulary)
        settings = TrainingArguments(
            str(place), max_steps=self.size.steps, learning_rate=self.size.rate, adam_beta2=0.98,
            weight_decay=0.01, warmup_steps=self.size.steps // 8,
            per_device_train_batch_size=self.size.batch, seed=seed, data_seed=seed,
            save_strategy="steps",
            save_steps=self.size.every, logging_strategy="no", disable_tqdm=True, use_cpu=True,
            report_to=[], remove_unused_columns=False, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            model=make_model(self.size, seed), args=settings, train_dataset=items(pairs, tokenizer),
            data_collator=collated, processing_class=tokenizer, callbacks=[_keeper()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))


def items(pairs: Sequence[Pair], tokenizer: Any) -> list[dict[str, list[int]]]:
    """Token ids of pairs."""
    sources = tokenizer([pair.source for pair in pairs])["input_ids"]
    targets = tokenizer([pair.english for pair in pairs])["input_ids"]
    return [{"input_ids": s, "labels": t} for s, t in zip(sources, targets, strict=True)]


def collated(batch: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """Pad a batch on the right; what is padding is neither read nor asked for."""
    import torch

    def padded(name: str, filler: int) -> torch.Tensor:
        lists = [one[name] for one in batch]
        longest = max(map(len, lists))
        return torch.tensor([ids + [filler] * (longest - len(ids)) for ids in lists])

    ids = padded("input_ids", PAD)
    return {
        "input_ids": ids,
        "attention_mask": (ids != PAD).long(),
        "labels": padded("labels", -100),
    }


def _whole(place: Path) -> dict[int, Path]:
    """Whole checkpoints by step; those that a kill has cut short are removed."""
    found = {}
    for path in place.glob("checkpoint-*"):
        if (path / WHOLE).is_file():
            found[int(path.name.split("-")[1])] = path
        else:
            shutil.rmtree(path)
    return found


def _keeper() -> Any:
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):  # type: ignore[misc]
        """Marks checkpoints as whole and drops what only the newest needs."""

        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            for path in Path(args.output_dir).glob("checkpoint-*"):
                if path.name == f"checkpoint-{state.global_step}":
                    (path / WHOLE).touch()
            for path in Path(args.output_dir).glob("checkpoint-*"):
                if path.name != f"checkpoint-{state.global_step}":
                    for name in STATE:
                        (path / name).unlink(missing_ok=True)

    return Keeper()
