"""Which rows of two sites are compared, and how much each pair of rows weighs."""

import csv
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Rows

Pairs = Literal["rows", "tokens", "dictionary"]
Weigh = Literal["words", "occurrences"]
MARKS = ("##", "Ġ", "▁")  # of a word's continuation (WordPiece) or beginning (BPE, SentencePiece)


@dataclass(frozen=True, eq=False)
class Units:
    """What observations of one side are made of: single rows, or all rows of a word.

    rows (m,) numbers of the rows used, ascending; unit (m,) to which unit each belongs.
    lines (units,) in how many observations each unit stands, or what these weigh.
    """

    rows: NDArray[np.int64]
    unit: NDArray[np.int64]
    lines: NDArray[Any]

    @classmethod
    def of(cls, unit_of_row: NDArray[np.int64], lines: NDArray[Any]) -> "Units":
        """Keep the rows that belong to a unit; unit_of_row (rows,) is −1 for the others."""
        rows = np.flatnonzero(unit_of_row >= 0)
        return cls(rows, unit_of_row[rows], lines)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(units,) rows of each unit."""
        return np.bincount(self.unit, minlength=len(self.lines))

    @property
    def weights(self) -> NDArray[np.float64]:
        """(m,) weight of each row: the observations of its unit over the rows of its unit."""
        found: NDArray[np.float64] = (self.lines / self.counts)[self.unit]
        return found


@dataclass(frozen=True, eq=False)
class Pairing:
    """N observations; the k-th pairs all rows of unit left[k] with all of unit right[k].

    Within an observation every pair of rows weighs 1 / (rows left · rows right), so that an
    observation weighs 1 in all, or what `each` (N,) says. dropped: dictionary lines that are left
    out.
    """

    source: Units
    target: Units
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    dropped: int = 0
    unlike: int = 0
    each: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.left)

    @property
    def effective(self) -> float:
        """Observations of equal weight that would tell as much: (Σ w)² / Σ w²."""
        if self.each is None:
            return float(len(self))
        return float(self.each.sum() ** 2 / (self.each**2).sum())

    def by_occurrence(self) -> "Pairing":
        """Let every pair of rows weigh 1."""
        each = (self.source.counts[self.left] * self.target.counts[self.right]).astype(float)
        source, target = (
            replace(side, lines=np.bincount(of_line, each, len(side.lines)))
            for side, of_line in ((self.source, self.left), (self.target, self.right))
        )
        return replace(self, source=source, target=target, each=each)

    @property
    def row_pairs(self) -> int:
        """Pairs of rows in all observations."""
        return int((self.source.counts[self.left] * self.target.counts[self.right]).sum())


@dataclass(frozen=True)
class How:
    """How rows are paired: by what, by which file, folded or not, and what a word weighs."""

    pairs: Pairs = "rows"
    dictionary: str | None = None
    fold: bool = False
    weigh: Weigh = "words"


def dictionaries(who: str, given: str | None, pairs: Pairs, others: int) -> list[str | None]:
    """One dictionary for each other site; InputError where there are more, or fewer than one."""
    if (pairs == "dictionary") != (given is not None):
        raise InputError(f"{who}: pairs=dictionary and dictionary=FILE go together")
    paths = [None] if given is None else [path.strip() for path in given.split(",")]
    if len(paths) not in (1, others):
        raise InputError(
            f"{who}: {len(paths)} dictionaries for {others} other sites; give one for all or one "
            f"for each, in order, parted by commas"
        )
    return [*paths] * others if len(paths) == 1 else [*paths]


def pair(source: Activations, target: Activations, how: How) -> Pairing:
    """Pair the rows of two sites; InputError where rows are not of the kind that is asked for."""
    if how.pairs == "rows":
        return _by_place(source.rows, target.rows)
    found = _by_words(source, target, how.pairs, how.dictionary, how.fold)
    return found.by_occurrence() if how.weigh == "occurrences" else found


def _by_words(
    source: Activations, target: Activations, pairs: Pairs, dictionary: str | None, fold: bool
) -> Pairing:
    left, right = _words(source, pairs, fold), _words(target, pairs, fold)
    if pairs == "tokens":
        known = set(right)
        shared = [(word, word) for word in dict.fromkeys(left) if word in known]
        return _by_word(left, right, shared)
    assert dictionary is not None
    return _by_word(left, right, read_dictionary(dictionary, fold))


def folded(word: str) -> str:
    """Strip the marks that tokenizers put on words, lower the case, write accents one way (NFC)."""
    for mark in MARKS:
        word = word.removeprefix(mark)
    return normalize("NFC", word.lower())


def _words(acts: Activations, pairs: str, fold: bool) -> list[str]:
    found: list[str] = []
    for row, token in enumerate(acts.rows.token):
        if token is None:
            raise InputError(
                f"pairs={pairs} needs rows that are tokens or words; row {row} of {acts.site} is "
                f"a whole sample: use pairs=rows"
            )
        found.append(folded(token) if fold else token)
    return found


def _by_word(
    left: Sequence[str], right: Sequence[str], lines: Iterable[tuple[str, str]]
) -> Pairing:
    here, there = set(left), set(right)
    given = list(lines)
    kept = [line for line in given if line[0] in here and line[1] in there]
    source, a = _units(left, [word for word, _ in kept])
    target, b = _units(right, [word for _, word in kept])
    return Pairing(source, target, a, b, dropped=len(given) - len(kept))


def _units(words: Sequence[str], wanted: Sequence[str]) -> tuple[Units, NDArray[np.int64]]:
    """One unit for every word that is wanted; and the unit of each of those given."""
    numbers = {word: i for i, word in enumerate(dict.fromkeys(wanted))}
    lines = np.array([numbers[word] for word in wanted], np.int64)
    of_row = np.array([numbers.get(word, -1) for word in words], np.int64)
    return Units.of(of_row, np.bincount(lines, minlength=len(numbers))), lines


def read_dictionary(path: str, fold: bool) -> list[tuple[str, str]]:
    """Read word pairs, one a line, parted by comma (.csv), tab (.tsv) or white space; once each.

    Raises InputError for a file that cannot be read and a line that is no pair.
    """
    kind = Path(path).suffix.lower()
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            if kind in (".csv", ".tsv"):
                lines = list(csv.reader(file, delimiter="," if kind == ".csv" else "\t"))
            else:
                lines = [line.split() for line in file]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read dictionary {path}: {error}") from error
    found: dict[tuple[str, str], None] = {}
    for number, line in enumerate(lines, 1):
        words = [word.strip() for word in line]
        if not any(words):
            continue
        if len(words) != 2 or not all(words):
            raise InputError(
                f"{path}, line {number}: write a source word and a target word, parted "
                f"by comma (.csv), tab (.tsv) or white space, and nothing else"
            )
        one, other = (folded(word) if fold else word for word in words)
        found[one, other] = None
    return list(found)


def _by_place(source: Rows, target: Rows) -> Pairing:
    """Join rows by sample and span; by sample and position where one side has no spans."""
    if source.same_places(target):
        n = np.arange(len(source))
        return _of_rows(source, target, n, n)
    spans = bool((source.start >= 0).any() and (target.start >= 0).any())
    names = ("sample", "start", "end") if spans else ("sample", "position")
    keys = [_keys(rows, names) for rows in (source, target)]
    for key in keys:
        if len(set(key.values())) < len(key):
            raise InputError(
                "several rows stand at the same place of a sample, so that rows cannot "
                "be paired one to one; use pairs=tokens"
            )
    place = {key: row for row, key in keys[1].items()}
    met = [(row, place[key]) for row, key in keys[0].items() if key in place]
    a, b = np.array(met, np.int64).reshape(-1, 2).T
    return _of_rows(source, target, a, b)


def _keys(rows: Rows, names: Sequence[str]) -> dict[int, Hashable]:
    """Row → place; rows without a span, where spans are asked for, are left out."""
    columns = [getattr(rows, name).tolist() for name in names]
    lacking = -1 if "start" in names else None
    return {
        i: key for i, key in enumerate(zip(*columns, strict=True)) if key[1] != lacking
    }  # fmt: skip


def _of_rows(source: Rows, target: Rows, a: NDArray[np.int64], b: NDArray[np.int64]) -> Pairing:
    """Every row is a unit; those of the target are read in ascending order."""
    once, n = np.ones(len(a), np.int64), np.arange(len(a))
    order = np.argsort(b, kind="stable")
    right = np.empty(len(b), np.int64)
    right[order] = n
    tokens = ((source.token[i], target.token[j]) for i, j in zip(a, b, strict=True))
    unlike = sum(
        s != t and s is not None and t is not None and folded(s) != folded(t) for s, t in tokens
    )
    return Pairing(Units(a, n, once), Units(b[order], n, once), n, right, unlike=unlike)


def vocabulary(acts: Activations, units: Units, how: How, most: int) -> NDArray[np.int64]:
    """Return the unit of every row (rows,), with units for what is not paired; −1: left out.

    The units of the pairing come first, then other words (rows where rows are paired) as they
    appear, until there are `most`.
    """
    code = np.full(len(acts), -1)
    code[units.rows] = units.unit
    rest, used = np.flatnonzero(code < 0), len(units.lines)
    if how.pairs == "rows":
        code[rest[: max(0, most - used)]] = used + np.arange(len(rest))[: max(0, most - used)]
        return code
    words = _words(acts, how.pairs, how.fold)
    numbers: dict[str, int] = {}
    for row in rest.tolist():
        number = used + numbers.setdefault(words[row], len(numbers))
        code[row] = number if number < most else -1
    return code
