"""Training by transformers' Trainer, and what is kept of it."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

SEED = 0
RECIPE = 1  # raise it when training gives other weights: those kept in the folder are then old
Items = Sequence[dict[str, Any]]
Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """How long and how fast a network is trained (AdamW, warm-up, then linear to 0)."""

    epochs: int
    rate: float
    batch: int = 32


def fit(model: "nn.Module", items: Items, collate: Collate, plan: Plan) -> None:
    """Train a network in place; its forward pass must return a loss."""
    with TemporaryDirectory() as folder:
        _trainer(model, collate, plan, folder, items).train()
    model.eval()


def predicted(model: "nn.Module", items: Items, collate: Collate) -> NDArray[np.int64]:
    """Return the class (n,) that a classifier gives each item."""
    with TemporaryDirectory() as folder:
        found = _trainer(model, collate, Plan(0, 0.0), folder, None).predict(items)
    codes: NDArray[np.int64] = np.asarray(found.predictions).argmax(axis=1)
    return codes


def _trainer(
    model: "nn.Module", collate: Collate, plan: Plan, folder: str, items: Items | None
) -> Any:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    steps = plan.epochs * -(-len(items or ()) // plan.batch)
    settings = TrainingArguments(
        folder, num_train_epochs=plan.epochs, learning_rate=plan.rate, weight_decay=0.01,
        per_device_train_batch_size=plan.batch, per_device_eval_batch_size=64,
        warmup_steps=steps // 10, seed=SEED, data_seed=SEED, use_cpu=True, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(model=model, args=settings, train_dataset=items, data_collator=collate)
    trainer.remove_callback(PrinterCallback)
    return trainer


def seeded(make: Callable[[], "nn.Module"], seed: int = SEED) -> "nn.Module":
    """Make a network whose random weights the seed alone decides."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@dataclass(frozen=True)
class Shelf:
    """Checkpoints in a folder, under the digest of all they depend on."""

    folder: Path
    say: Callable[[str], None]

    def kept(self, name: str, inputs: Any, make: Callable[[Path], None]) -> Path:
        """Return the folder of a checkpoint; `make` fills it where it is not there."""
        text = json.dumps([RECIPE, name, inputs], default=str)
        path = self.folder / f"{name}-{sha256(text.encode()).hexdigest()[:12]}"
        if not path.is_dir():
            self.say(f"training {name}")
            part = path.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            make(part)
            part.rename(path)
        return path
