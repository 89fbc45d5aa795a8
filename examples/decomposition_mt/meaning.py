"""What sentences say, before any language: drawn by chance, with sense enough to disambiguate."""

import random
from dataclasses import dataclass, replace
from typing import TypeVar

from .lexicon import RARER, Lexicon, Noun, Verb

Word = TypeVar("Word", str, Verb)
LIVE = ("person", "animal")
ANY = ("person", "animal", "thing", "food", "text")


@dataclass(frozen=True)
class Pronoun:
    """Who speaks, is spoken to, or is known: person 1 to 3."""

    person: int
    plural: bool


@dataclass(frozen=True)
class Phrase:
    """A noun with all that belongs to it. count: 0 where there is no numeral."""

    noun: Noun
    plural: bool
    definite: bool
    adjective: tuple[str, str] | None = None  # its meaning, and the English word for it
    count: int = 0
    owner: "Phrase | None" = None
    place: "Phrase | None" = None
    relative: "Relative | None" = None


@dataclass(frozen=True)
class Relative:
    """A clause about a noun: the noun is its subject, or its object where `subject` is given."""

    verb: Verb
    meaning: str
    past: bool
    subject: Phrase | None = None
    object: Phrase | None = None


@dataclass(frozen=True)
class Clause:
    """Who does what. tense: present, past or future."""

    verb: Verb
    meaning: str  # of the verb: the usual word of those that mean the same
    subject: "Phrase | Pronoun"
    tense: str
    negative: bool = False
    question: bool = False
    object: Phrase | None = None
    recipient: Phrase | None = None
    adverb: tuple[str, str] | None = None
    time: tuple[str, str] | None = None
    said: "Clause | None" = None
    because: "Clause | None" = None


@dataclass
class Mind:
    """Draws meanings."""

    lexicon: Lexicon
    rng: random.Random

    def sentence(self) -> Clause:
        """Draw a sentence: a clause, of which one in eight is a question."""
        rng, kind = self.rng, self.rng.random()
        clause = self._clause(depth=0)
        if kind < 0.12:
            verb, meaning = self._verb(self.lexicon.saying)
            said = replace(self._clause(depth=1), time=None)
            return Clause(verb, meaning, self._who(1), rng.choice(("present", "past")), said=said)
        if kind < 0.22:
            return replace(clause, because=replace(self._clause(depth=1), time=None))
        return replace(clause, question=kind < 0.34)

    def _clause(self, depth: int) -> Clause:
        rng, kind = self.rng, self.rng.random()
        tense = rng.choices(("present", "past", "future"), (3, 4, 2))[0]
        object_ = recipient = None
        if kind < 0.25:
            verb, meaning = self._verb(self.lexicon.intransitive)
        elif kind < 0.40:
            verb, meaning = self._verb(self.lexicon.giving)
            object_ = self._phrase(rng.choice((("thing",), ("food",), ("text",))), depth + 1)
            recipient = self._phrase(("person",), 2, known=True)
        else:
            verb, meaning = self._verb(self.lexicon.transitive)
            object_ = self._phrase(kinds_of(verb), depth)
        return Clause(
            verb, meaning, self._who(depth), tense, negative=rng.random() < 0.15, object=object_,
            recipient=recipient, adverb=self._maybe(self.lexicon.adverbs, 0.2),
            time=self._maybe(self.lexicon.times, 0.25),
        )  # fmt: skip

    def _who(self, depth: int) -> Phrase | Pronoun:
        if self.rng.random() < 0.25:
            return Pronoun(self.rng.choice((1, 2, 3)), self.rng.random() < 0.4)
        return self._phrase(LIVE if self.rng.random() < 0.3 else ("person",), depth)

    def _phrase(self, kinds: tuple[str, ...], depth: int, known: bool = False) -> Phrase:
        """Draw a phrase, definite where it is `known`; the deeper, the plainer."""
        rng = self.rng
        noun = self._noun(kinds)
        count = rng.randint(2, 99) if rng.random() < 0.08 else 0
        less = 0.5**depth
        owner = place = relative = None
        kind = rng.random()
        if kind < 0.12 * less:
            owner = self._phrase(("person",), depth + 2, known=True)
        elif kind < 0.24 * less and noun.kind != "place":
            place = Phrase(self._noun(("place",)), False, True)
        elif kind < 0.46 * less:
            relative = self._relative(noun, depth + 2)
        plural = count > 0 or rng.random() < 0.3
        definite = known or owner is not None or (not count and rng.random() < 0.6)
        adjective = self._maybe(self.lexicon.adjectives, 0.3)
        return Phrase(noun, plural, definite, adjective, count, owner, place, relative)

    def _relative(self, noun: Noun, depth: int) -> Relative:
        past, verbs = self.rng.random() < 0.6, self.lexicon.transitive
        if noun.kind in LIVE and self.rng.random() < 0.6:
            verb, meaning = self._verb(verbs)
            return Relative(verb, meaning, past, object=self._phrase(kinds_of(verb), depth))
        fitting = [words for words in verbs if noun.kind in kinds_of(words[0])]
        verb, meaning = self._verb(fitting)
        return Relative(verb, meaning, past, subject=self._phrase(("person",), depth, known=True))

    def _noun(self, kinds: tuple[str, ...]) -> Noun:
        """Draw a noun; those at the front of the list are more frequent."""
        found = self.lexicon.nouns[self.rng.choice(kinds)]
        return found[int(len(found) * self.rng.random() ** 1.5)]

    def _verb(self, verbs: list[tuple[Verb, ...]]) -> tuple[Verb, str]:
        words = self.rng.choice(verbs)
        return self._either(words), words[0].name

    def _maybe(self, words: list[tuple[str, ...]], share: float) -> tuple[str, str] | None:
        if self.rng.random() >= share:
            return None
        found = self.rng.choice(words)
        return found[0], self._either(found)

    def _either(self, words: tuple[Word, ...]) -> Word:
        return words[1] if len(words) > 1 and self.rng.random() < RARER else words[0]


def kinds_of(verb: Verb) -> tuple[str, ...]:
    """Kinds of nouns that a verb takes as its object."""
    return {"live": LIVE, "any": ANY}.get(verb.takes, (verb.takes,))
