"""The two made-up languages translated from: Kelen and Orua. Neither has articles.

Kelen puts the verb last and everything that describes a noun before it; endings obey vowel
harmony and mark case, number, tense, person, negation; subjects that are pronouns are left out.
Orua puts the verb first and what describes a noun after it; it has particles and prepositions
instead of endings, says a noun twice for the plural, and its adjectives agree in gender.
"""

import random
from dataclasses import dataclass

from .lexicon import DIGITS, TEENS, TENS, Noun, Vocabulary
from .meaning import Clause, Phrase, Pronoun, Relative

# Letters that a syllable is drawn from, in turn.
KELEN = (list("ptkbdgmnslrvzj"), list("aeiou"), ["", "", *"nlrsk"])
ORUA = (["", *"hmnwtkpyfqc"], ["a", "e", "i", "o", "u", "ua", "ia", "oi"])
BACK = "aou"
PERSONS = {
    (1, False): "m", (2, False): "s", (3, False): "", (1, True): "mEn", (2, True): "sEn",
    (3, True): "lEr",
}  # fmt: skip
TENSES = {"present": "It", "past": "dI", "future": "EjEk"}


def kelen_syllable(rng: random.Random) -> str:
    """A syllable of Kelen, such as `tor` or `ke`."""
    return "".join(rng.choice(letters) for letters in KELEN)


def orua_syllable(rng: random.Random) -> str:
    """A syllable of Orua, such as `hua` or `mi`."""
    return "".join(rng.choice(letters) for letters in ORUA)


def harmonic(word: str, ending: str) -> str:
    """Add an ending: its E is a or e, its I is u or i, as the word's last vowel is back or front.

    Where the word ends in a vowel, an ending's first vowel is dropped.
    """
    last = next((letter for letter in reversed(word) if letter in "aeiou"), "e")
    back = last in BACK
    if ending and ending[0] in "EI" and word[-1] in "aeiou":
        ending = ending[1:]
    return word + ending.replace("E", "a" if back else "e").replace("I", "u" if back else "i")


def ended(word: str, *endings: str) -> str:
    """Add endings one after the other."""
    for ending in endings:
        word = harmonic(word, ending)
    return word


@dataclass(frozen=True)
class Kelen:
    """Says meanings in Kelen."""

    vocabulary: Vocabulary
    rng: random.Random

    def say(self, clause: Clause) -> str:
        """Say it: reason, subject, time, recipient, object, adverb, verb.

        A subject that is not known (an indefinite one) stands right before the verb.
        """
        words = self._clause(clause)
        if clause.because:
            words = [*self._clause(clause.because), "nedir", *words]
        return " ".join([*words, "mi", "?"] if clause.question else [*words, "."])

    def _clause(self, clause: Clause) -> list[str]:
        subject, known = clause.subject, True
        words: list[str] = []
        if isinstance(subject, Phrase):
            known, words = subject.definite, self._phrase(subject, "")
        last = [] if known else words
        words = words if known else []
        words += [self._word(clause.time[0])] if clause.time else []
        if clause.said:
            words += [*self._clause(clause.said), "dek"]
        if clause.recipient:
            words += self._phrase(clause.recipient, "gE")
        if clause.object:
            words += self._phrase(clause.object, "In" if clause.object.definite else "")
        words += [self._word(clause.adverb[0])] if clause.adverb else []
        return [*words, *last, self._verb(clause)]

    def _verb(self, clause: Clause) -> str:
        subject = clause.subject
        person = PERSONS[subject.person if isinstance(subject, Pronoun) else 3, subject.plural]
        denied = "mE" if clause.negative else ""
        return ended(self._word(clause.meaning), denied, TENSES[clause.tense], person)

    def _phrase(self, phrase: Phrase, case: str) -> list[str]:
        words = self._relative(phrase.relative) if phrase.relative else []
        if phrase.place:
            *before, last = self._phrase(phrase.place, "dE")
            words += [*before, ended(last, "ki")]
        words += self._phrase(phrase.owner, "nIn") if phrase.owner else []
        words += [self._numeral(phrase.count)] if phrase.count else []
        words += [self._word(phrase.adjective[0])] if phrase.adjective else []
        plural = "lEr" if phrase.plural and not phrase.count else ""
        return [*words, ended(self._word(phrase.noun.name), plural, case)]

    def _relative(self, clause: Relative) -> list[str]:
        verb = self._word(clause.meaning)
        if clause.subject:
            ending = "dIk" if clause.past else "rIk"
            return [*self._phrase(clause.subject, "nIn"), ended(verb, ending)]
        words = []
        if clause.object:
            words = self._phrase(clause.object, "In" if clause.object.definite else "")
        return [*words, ended(verb, "mIsh" if clause.past else "En")]

    def _numeral(self, count: int) -> str:
        """One word, digits before tens: five-and-twenty."""
        ten, one = divmod(count, 10)
        unit = self._word(DIGITS[one - 1]) if one else ""
        if ten == 0:
            return unit
        if ten == 1:
            return self._word(TEENS[0]) + ("u" + unit if unit else "")
        return (unit + "u" if unit else "") + self._word(TENS[ten - 2])

    def _word(self, meaning: str) -> str:
        return self.vocabulary.word(meaning, self.rng)


ORUA_PERSONS = {
    (1, False): "na", (2, False): "ko", (3, False): "ia", (1, True): "namu", (2, True): "komu",
    (3, True): "iamu",
}  # fmt: skip
ORUA_TENSES = {"present": "e", "past": "ua", "future": "ka"}


@dataclass(frozen=True)
class Orua:
    """Says meanings in Orua."""

    vocabulary: Vocabulary
    rng: random.Random

    def say(self, clause: Clause) -> str:
        """Say it: time, tense, verb, adverb, subject, object, recipient; the reason comes last."""
        words = [*(["ai"] if clause.question else []), *self._clause(clause)]
        if clause.because:
            words += ["no", "te", *self._clause(clause.because)]
        return " ".join([*words, "?" if clause.question else "."])

    def _clause(self, clause: Clause) -> list[str]:
        words = [self._word(clause.time[0])] if clause.time else []
        words += ["aole"] if clause.negative else []
        words += [ORUA_TENSES[clause.tense], self._word(clause.meaning)]
        words += [self._word(clause.adverb[0])] if clause.adverb else []
        subject = clause.subject
        if isinstance(subject, Pronoun):
            words += [ORUA_PERSONS[subject.person, subject.plural]]
        else:
            words += self._phrase(subject)
        words += ["i", *self._phrase(clause.object)] if clause.object else []
        words += ["kia", *self._phrase(clause.recipient)] if clause.recipient else []
        return words + (["oko", *self._clause(clause.said)] if clause.said else [])

    def _phrase(self, phrase: Phrase) -> list[str]:
        word = self._word(phrase.noun.name)
        words = [word, word] if phrase.plural and not phrase.count else [word]
        words = [*(["ta"] if phrase.definite and not phrase.owner else []), *words]
        words += self._numeral(phrase.count) if phrase.count else []
        if phrase.adjective:
            words += [self._word(phrase.adjective[0]) + _gender(phrase.noun)]
        words += ["o", *self._phrase(phrase.owner)] if phrase.owner else []
        words += ["ro", *self._phrase(phrase.place)] if phrase.place else []
        return words + (self._relative(phrase.relative) if phrase.relative else [])

    def _relative(self, clause: Relative) -> list[str]:
        words = ["ya", ORUA_TENSES["past" if clause.past else "present"]]
        words += [self._word(clause.meaning)]
        if clause.subject:
            return [*words, *self._phrase(clause.subject), "nei"]
        return [*words, *(["i", *self._phrase(clause.object)] if clause.object else [])]

    def _numeral(self, count: int) -> list[str]:
        """Tens and digits as separate words, after the noun."""
        ten, one = divmod(count, 10)
        tens = [self._word(TEENS[0] if ten == 1 else TENS[ten - 2])] if ten else []
        return [
            *tens,
            *(["ma"] if ten and one else []),
            *([self._word(DIGITS[one - 1])] if one else []),
        ]

    def _word(self, meaning: str) -> str:
        return self.vocabulary.word(meaning, self.rng)


def _gender(noun: Noun) -> str:
    """What an adjective ends in beside a noun."""
    return "na" if noun.kind in ("person", "animal") else "ro"
