"""The representations that are compared, each put into the store once."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actlas import LoadedModel, Store, StoredExtraction

from .corpus import PACKAGES, Corpus, read_corpus
from .embeddings import Counts, cooccurrences, mapped, ppmi_svd, skip_gram
from .scenes import learnt_features, make_scenes

RECIPE = 1  # raise it when training gives other vectors: those kept in the folder are then old
MINILM, TABLE = "actlas:demo", "embeddings.word_embeddings.weight"
SITE = "vectors"
MISNAMED_SEED = 4647


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    words: int  # at most, in the vocabulary
    least: int  # times that a word stands in each half
    dims: int
    components: int
    epochs: int
    layer_sentences: int
    layer_components: int
    pieces: int  # whole-word pieces of MiniLM, the most frequent first
    scenes: int
    scene_components: int
    picture_epochs: int
    packages: Sequence[str] = PACKAGES


FULL = Size(
    words=6000, least=8, dims=100, components=100, epochs=30, layer_sentences=1500,
    layer_components=64, pieces=12000, scenes=4000, scene_components=24, picture_epochs=15,
)  # fmt: skip
QUICK = Size(
    words=1500, least=8, dims=50, components=50, epochs=80, layer_sentences=300,
    layer_components=24, pieces=3000, scenes=1000, scene_components=16, picture_epochs=6,
    packages=("numpy", "scipy", "sklearn", "sqlalchemy", "click", "jinja2"),
)  # fmt: skip


@dataclass(frozen=True)
class Workshop:
    """Makes representations in a folder and puts them into its store.

    What is there already is neither made nor stored again: vectors are kept by the digest of
    all they depend on, and the store knows its contents.
    """

    folder: Path
    store: Store
    size: Size
    say: Callable[[str], None]

    @cached_property
    def corpus(self) -> Corpus:
        """The docstrings, in two halves."""
        self.say("reading the docstrings of the installed packages")
        return read_corpus(self.folder, self.size.packages)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Words that both halves have."""
        return self.corpus.vocabulary(self.size.least, self.size.words)

    @cached_property
    def minilm(self) -> LoadedModel:
        """The pretrained model."""
        from actlas import load_model

        return load_model(MINILM, device="cpu")

    @cached_property
    def _counts(self) -> list[Counts]:
        self.say("counting which words stand near each other")
        return [cooccurrences(half, self.vocabulary) for half in self.corpus.halves]

    @cached_property
    def _text(self) -> str:
        """Digest of what word vectors are learnt from."""
        found = sha256("\n".join(self.vocabulary).encode())
        for half in self.corpus.halves:
            found.update("\n".join(map(" ".join, half)).encode())
        return found.hexdigest()

    def ppmi(self, half: int) -> StoredExtraction:
        """Word vectors by PPMI and SVD from one half of the text."""
        return self._words(f"ppmi-{'AB'[half]}", self._ppmi(half))

    def linear(self) -> StoredExtraction:
        """The vectors of `ppmi(0)` under a random linear map."""
        return self._words("ppmi-A-mapped", mapped(self._ppmi(0)))

    def misnamed(self) -> StoredExtraction:
        """The vectors of `ppmi(1)`, each under the name of another word: a negative control."""
        # Not the seed of ica_match: one of its own shuffles would put every name back.
        order = np.random.default_rng(MISNAMED_SEED).permutation(len(self.vocabulary))
        names = [self.vocabulary[i] for i in order]
        return self._stored("ppmi-B-shuffled", self._ppmi(1), names)

    def _ppmi(self, half: int) -> NDArray[np.float32]:
        dims = self.size.dims
        return self._kept(
            f"ppmi-{'AB'[half]}",
            f"{self._text} {dims}",
            lambda: ppmi_svd(self._counts[half], dims),
        )

    def skip_gram(self, half: int, seed: int) -> StoredExtraction:
        """Word vectors by skip-gram from one half of the text."""
        name, dims, epochs = f"skipgram-{'AB'[half]}-{seed}", self.size.dims, self.size.epochs
        vectors = self._kept(
            name,
            f"{self._text} {dims} {epochs}",
            lambda: skip_gram(self._counts[half], dims, seed, epochs),
        )
        return self._words(name, vectors)

    def pieces(self) -> StoredExtraction:
        """Token embeddings of MiniLM: the pieces of its vocabulary that are whole words."""
        found = self.minilm.tokenizer.get_vocab()
        plain = [piece for piece in found if piece.isascii() and piece.isalpha() and piece[1:]]
        kept = sorted(plain, key=lambda piece: found[piece])[: self.size.pieces]
        table = self.minilm.weights[TABLE]
        return self._stored("minilm-tokens", table[[found[piece] for piece in kept]], kept)

    def layers(self) -> StoredExtraction:
        """Every layer of MiniLM over sentences of the corpus, one row a word."""
        path = self.folder / "sentences.txt"
        every = self.corpus.halves[0]
        step = max(1, len(every) // self.size.layer_sentences)
        chosen = every[::step][: self.size.layer_sentences]
        path.write_text("".join(f"{' '.join(sentence)}\n" for sentence in chosen), "utf-8")
        return self.store.extract(self.minilm, path, pooling="word")

    def scenes(self) -> tuple[StoredExtraction, StoredExtraction]:
        """Captions as MiniLM has them, and pictures as the autoencoder has them, scene by scene."""
        scenes = make_scenes(self.size.scenes)
        path = self.folder / "captions.txt"
        path.write_text("\n".join(scenes.captions) + "\n", "utf-8")
        captions = self.store.extract(self.minilm, path, "layers.-1", pooling="mean")
        features = self._kept(
            "pictures",
            f"{sha256(scenes.pictures.tobytes()).hexdigest()} {self.size.picture_epochs}",
            lambda: learnt_features(scenes.pictures, epochs=self.size.picture_epochs),
        )
        return captions, self._stored("pictures", features, None)

    def _kept(
        self, name: str, inputs: str, make: Callable[[], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Vectors of that name and inputs, from the folder or made now."""
        digest = sha256(f"{RECIPE} {name} {inputs}".encode()).hexdigest()[:16]
        path = self.folder / f"{name}-{digest}.npy"
        if not path.is_file():
            self.say(f"training {name}")
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, make())
            part.replace(path)
        vectors: NDArray[np.float32] = np.load(path)
        return vectors

    def _words(self, name: str, vectors: NDArray[np.float32]) -> StoredExtraction:
        return self._stored(name, vectors, self.vocabulary)

    def _stored(
        self, name: str, vectors: NDArray[np.float32], words: Sequence[str] | None
    ) -> StoredExtraction:
        """Import a matrix, one row a word (None: a whole sample)."""
        path, table = self.folder / f"{name}.npy", self.folder / f"{name}.rows.csv"
        np.save(path, vectors)
        if words is not None:
            with table.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([["token"], *([word] for word in words)])
        return self.store.import_matrix(
            path, SITE, rows=table if words is not None else None, model_name=name,
            dataset_name=f"words of {name}" if words is not None else "scenes",
        )  # fmt: skip
