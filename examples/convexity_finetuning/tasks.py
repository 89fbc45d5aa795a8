"""The labelled tasks: what there is to train on, and what is held out."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .speech import RATE, SAMPLES, WORDS, Speaker, speak

Modality = Literal["text", "image", "audio"]
SNR = 6.0  # dB


@dataclass(frozen=True)
class Examples:
    """Samples with their classes.

    inputs: texts; pictures (n, height, width), 0 … 255; or waves (n, samples), −1 … 1.
    codes: (n,) places in the classes of the task.
    """

    inputs: Any
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Task:
    """Something to be told apart; nothing that is held out is seen in training."""

    name: str
    title: str
    modality: Modality
    about: str
    classes: tuple[str, ...]
    train: Examples
    held: Examples

    def digest(self) -> str:
        """Digest of all samples and classes."""
        found = sha256(json.dumps([self.name, self.classes]).encode())
        for part in (self.train, self.held):
            given = part.inputs
            texts = given if isinstance(given, list) else None
            found.update(json.dumps(texts).encode() if texts else np.ascontiguousarray(given).data)
            found.update(part.codes.tobytes())
        return found.hexdigest()[:16]


@dataclass(frozen=True)
class Size:
    """How much there is of everything; epochs: of pretraining and of fine-tuning."""

    concepts: int  # classes
    intents: int
    digits: int  # pictures, in both halves
    words: int  # classes
    takes: int  # of each word: twice as many for training as held out
    text_epochs: int
    image_epochs: tuple[int, int]
    audio_epochs: tuple[int, int]
    halves: int  # half-samples a comparison
    layers: int = 4  # of the two small networks
    draws: int = 2000


FULL = Size(
    concepts=24, intents=50, digits=1797, words=18, takes=40, text_epochs=4,
    image_epochs=(40, 20), audio_epochs=(15, 15), halves=10,
)  # fmt: skip
QUICK = Size(
    concepts=8, intents=8, digits=900, words=8, takes=20, text_epochs=2,
    image_epochs=(30, 25), audio_epochs=(15, 20), halves=4,
)  # fmt: skip


def tasks(size: Size, data: Path | None) -> list[Callable[[], Task]]:
    """Give the tasks to be made; those of a data folder where it has them."""
    found: list[Callable[[], Task]] = [
        lambda: concepts(size), lambda: digits(size), lambda: words(size)
    ]  # fmt: skip
    if data is not None and (data / "clinc150" / "train.jsonl").is_file():
        found.append(lambda: intents(size, data / "clinc150"))
    if data is not None and (data / "fsdd" / "recordings").is_dir():
        found.append(lambda: spoken_digits(size, data / "fsdd" / "recordings"))
    return found


def concepts(size: Size) -> Task:
    """Sentences of the shipped data set by the category of their target word, half held out."""
    with resources.files("actlas.data").joinpath("concepts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = tuple(sorted({row["category"] for row in rows}))[: size.concepts]
    by_class = [[row["text"] for row in rows if row["category"] == name] for name in names]
    return Task(
        "concepts", "Sentences by concept", "text",
        f"actlas:concepts: sentences by the category of the thing they are about, {len(names)} "
        f"classes. Its words differ from sentence to sentence, so those held out are mostly new.",
        names, _texts([texts[0::2] for texts in by_class]), _texts([t[1::2] for t in by_class]),
    )  # fmt: skip


def intents(size: Size, folder: Path) -> Task:
    """CLINC150: requests by intent; official test split held out."""
    splits = {}
    for split in ("train", "test"):
        lines = (folder / f"{split}.jsonl").read_text("utf-8").splitlines()
        splits[split] = [json.loads(line) for line in lines]
    every = sorted({row["intent"] for row in splits["test"]})
    names = tuple(every[:: max(1, len(every) // size.intents)][: size.intents])

    def part(split: str, most: int) -> Examples:
        rows = splits[split]
        return _texts([[r["text"] for r in rows if r["intent"] == n][:most] for n in names])

    return Task(
        "intents", "Requests by intent", "text",
        f"CLINC150 (Larson et al. 2019), {len(names)} of its {len(every)} intents: 25 requests of "
        f"each to train on, 30 of the official test split held out.",
        names, part("train", 25), part("test", 30),
    )  # fmt: skip


def _texts(by_class: Sequence[Sequence[str]]) -> Examples:
    codes = np.repeat(np.arange(len(by_class)), [len(texts) for texts in by_class])
    return Examples([text for texts in by_class for text in texts], codes)


def digits(size: Size) -> Task:
    """Handwritten digits of scikit-learn, 8 × 8, half held out."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    pictures = (found.images * 255 / 16).round().astype(np.uint8)
    chosen = np.arange(len(pictures))[: size.digits]
    train, held = train_test_split(
        chosen, test_size=0.5, random_state=0, stratify=found.target[chosen]
    )
    parts = [Examples(pictures[rows], found.target[rows]) for rows in map(np.sort, (train, held))]
    return Task(
        "digits", "Handwritten digits", "image",
        f"scikit-learn's digits, {len(chosen):,} pictures of 8 × 8, half of them held out.",
        tuple(map(str, range(10))), *parts,
    )  # fmt: skip


def words(size: Size) -> Task:
    """Synthesised words; the speakers held out are others."""
    names = WORDS[: size.words]
    rng = np.random.default_rng(0)
    parts = [_spoken(names, count, rng) for count in (2 * size.takes, size.takes)]
    return Task(
        "words", "Synthesised words", "audio",
        f"{len(names)} invented words of a formant synthesiser (harmonics of a gliding pitch under "
        f"moving resonances, noise for consonants), {len(parts[0]):,} utterances to train on and "
        f"{len(parts[1]):,} held out, every one by a voice of its own, in white noise of {SNR:.0f} "
        f"dB. No human speech.",
        names, *parts,
    )  # fmt: skip


def _spoken(names: Sequence[str], takes: int, rng: np.random.Generator) -> Examples:
    codes = np.repeat(np.arange(len(names)), takes)
    voices = [Speaker.drawn(rng) for _ in codes]
    return Examples(speak([names[c] for c in codes.tolist()], voices, rng, SNR), codes)


def spoken_digits(size: Size, folder: Path) -> Task:
    """Free Spoken Digit Dataset: takes 0 … 9 of each speaker held out."""
    import soundfile

    parts: dict[bool, list[tuple[int, NDArray[np.float32]]]] = {True: [], False: []}
    for path in sorted(folder.glob("*.wav")):
        digit, _, take = path.stem.split("_")
        if int(take) < 10 + size.takes // 3:
            wave, rate = soundfile.read(path, dtype="float32")
            if rate != RATE:
                continue
            parts[int(take) < 10].append((int(digit), _fitted(wave)))
    train, held = (
        Examples(np.stack([w for _, w in parts[p]]), np.array([d for d, _ in parts[p]]))
        for p in (False, True)
    )
    return Task(
        "spoken", "Spoken digits", "audio",
        f"Free Spoken Digit Dataset, six speakers: {len(train):,} recordings to train on, takes 0 "
        f"to 9 of each ({len(held):,}) held out; cut or filled to {SAMPLES / RATE:.1f} s.",
        tuple(map(str, range(10))), train, held,
    )  # fmt: skip


def _fitted(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut or fill to SAMPLES, in the middle."""
    spare = SAMPLES - len(wave)
    if spare < 0:
        return wave[-spare // 2 :][:SAMPLES]
    return np.pad(wave, (spare // 2, spare - spare // 2))
