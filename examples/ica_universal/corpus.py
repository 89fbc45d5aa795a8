"""A corpus that is there offline: the docstrings of the installed Python packages, in two halves.

It is real English, of one kind: people explaining software. Source is parsed, never imported.
"""

import ast
import os
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

STANDARD = "stdlib"
PACKAGES = (
    STANDARD, "numpy", "scipy", "sklearn", "torch", "transformers", "sympy", "networkx",
    "sqlalchemy", "huggingface_hub", "altair", "pandas", "pip", "mpmath", "click", "jinja2",
)  # fmt: skip
SKIPPED = {"tests", "test", "testing", "site-packages", "idlelib", "lib2to3"}
LEAST_WORDS, LEAST_SHARE = 5, 0.7  # of a sentence, and of plain words in it
FEW_FILES = 500
TOKEN = re.compile(r"[\w.]*\w")
SENTENCE_END = re.compile(r"\n\s*\n|(?<=[.!?:])\s+")
CODE = (">>>", "...", "$", "http", ".. ")

Sentence = list[str]


@dataclass(frozen=True)
class Corpus:
    """Sentences of lower-case words in two halves that share no file and no sentence."""

    halves: tuple[list[Sentence], list[Sentence]]

    @property
    def words(self) -> tuple[int, int]:
        """Words of each half."""
        first, second = (sum(map(len, half)) for half in self.halves)
        return first, second

    def vocabulary(self, least: int, most: int) -> list[str]:
        """The most frequent words that both halves have `least` times, by falling frequency."""
        counts = [Counter(word for sentence in half for word in sentence) for half in self.halves]
        both = {w: n + counts[1][w] for w, n in counts[0].items() if min(n, counts[1][w]) >= least}
        return sorted((w for w in both if len(w) > 1), key=lambda w: (-both[w], w))[:most]


def read_corpus(folder: Path, packages: Sequence[str] = PACKAGES) -> Corpus:
    """Read the docstrings of packages, or what an earlier call has kept in `folder`.

    Packages that are not installed are passed over. Files go to the halves by turns of their
    names' digests; a sentence that occurs again, in whatever file, is left out.
    """
    kept = [folder / f"corpus-{half}.txt" for half in "AB"]
    if not all(path.is_file() for path in kept):
        folder.mkdir(parents=True, exist_ok=True)
        halves = _gathered(source_files(packages))
        for path, half in zip(kept, halves, strict=True):
            part = path.with_suffix(".part")
            part.write_text("".join(f"{' '.join(s)}\n" for s in half), "utf-8")
            part.replace(path)
    first, second = ([line.split() for line in p.read_text("utf-8").splitlines()] for p in kept)
    return Corpus((first, second))


def source_files(packages: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield every source file with its name from the package on, in a fixed order."""
    for package in packages:
        for root in _roots(package):
            for folder, inner, names in os.walk(root):
                inner[:] = sorted(set(inner) - SKIPPED)
                for path in (Path(folder, n) for n in sorted(names) if n.endswith(".py")):
                    yield f"{package}/{path.relative_to(root).as_posix()}", path


def _roots(package: str) -> list[str]:
    if package == STANDARD:
        return [sysconfig.get_paths()["stdlib"]]
    spec = find_spec(package)  # of a package at the top: nothing is imported
    return list(spec.submodule_search_locations or ()) if spec else []


def _gathered(files: Iterable[tuple[str, Path]]) -> tuple[list[Sentence], list[Sentence]]:
    halves: tuple[list[Sentence], list[Sentence]] = ([], [])
    seen: set[str] = set()
    for name, found in _parsed(list(files)):
        half = halves[sha256(name.encode()).digest()[0] % 2]
        for sentence in found:
            text = " ".join(sentence)
            if text not in seen:
                seen.add(text)
                half.append(sentence)
    return halves


def _parsed(files: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, list[Sentence]]]:
    """Names of files with their sentences, in the order given; many files by two processes."""
    names, paths = [name for name, _ in files], [path for _, path in files]
    if len(files) < FEW_FILES:
        yield from zip(names, map(_sentences_of, paths), strict=True)
        return
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield from zip(names, pool.map(_sentences_of, paths, chunksize=64), strict=True)


def _sentences_of(path: Path) -> list[Sentence]:
    """Sentences of a file's docstrings; none where it cannot be parsed."""
    try:
        source = path.read_text("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # others' invalid escapes are not ours to mend
            tree = ast.parse(source) if '"""' in source else ast.Module([], [])
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return [sentence for text in docstrings(tree) for sentence in sentences(text)]


def docstrings(node: Any) -> Iterator[str]:
    """Yield docstrings of a module, its classes and functions, in their order."""
    if text := ast.get_docstring(node):
        yield text
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from docstrings(inner)


def sentences(text: str) -> Iterator[Sentence]:
    """Cut a docstring into sentences of plain words; code, and what is mostly names, is left out.

    A plain word is of letters only, small but for the first: no `n_components`, no `DataFrame`.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(CODE)]
    for piece in SENTENCE_END.split("\n".join(lines)):
        tokens = TOKEN.findall(piece)
        words = [t.lower() for t in tokens if _plain(t)]
        if len(words) >= max(LEAST_WORDS, LEAST_SHARE * len(tokens)):
            yield words


def _plain(token: str) -> bool:
    return token.isascii() and token.isalpha() and (token.islower() or token.istitle())
