"""English sentences of a meaning: the language translated into."""

from .lexicon import DIGITS, TEENS, TENS, Verb, with_s
from .meaning import Clause, Phrase, Pronoun, Relative

PRONOUNS = {
    (1, False): ("I", "me"), (2, False): ("you", "you"), (3, False): ("she", "her"),
    (1, True): ("we", "us"), (2, True): ("you", "you"), (3, True): ("they", "them"),
}  # fmt: skip


def in_english(clause: Clause) -> str:
    """Say it: subject, verb, recipient's gift, adverb, time; articles, agreement, do-support."""
    words = _clause(clause)
    if clause.because:
        words += ["because", *_clause(clause.because)]
    return " ".join([*words, "?" if clause.question else "."])


def _clause(clause: Clause) -> list[str]:
    subject = _subject(clause.subject)
    helper, verb = _verb(clause)
    words = [*helper[:1], *subject, *helper[1:]] if clause.question else [*subject, *helper]
    words += [verb]
    if clause.object:
        words += _phrase(clause.object)
    if clause.recipient:
        words += ["to", *_phrase(clause.recipient)]
    words += clause.adverb[1].split() if clause.adverb else []
    words += clause.time[1].split() if clause.time else []
    return words + (["that", *_clause(clause.said)] if clause.said else [])


def _subject(subject: Phrase | Pronoun) -> list[str]:
    if isinstance(subject, Pronoun):
        return [PRONOUNS[subject.person, subject.plural][0]]
    return _phrase(subject)


def _third(subject: Phrase | Pronoun) -> bool:
    """Whether a verb in the present takes -s."""
    return not subject.plural and (isinstance(subject, Phrase) or subject.person == 3)


def _verb(clause: Clause) -> tuple[list[str], str]:
    """Auxiliaries with their negation, and the verb's own form."""
    verb, tense = clause.verb, clause.tense
    if tense != "future" and not (clause.negative or clause.question):
        return [], _finite(verb, tense == "past", _third(clause.subject))
    third = "does" if _third(clause.subject) else "do"
    helper = {"future": "will", "past": "did", "present": third}[tense]
    return [helper, "not"] if clause.negative else [helper], verb.name


def _finite(verb: Verb, past: bool, third: bool) -> str:
    return verb.past if past else with_s(verb.name) if third else verb.name


def _phrase(phrase: Phrase) -> list[str]:
    words = numeral(phrase.count)
    words += [phrase.adjective[1]] if phrase.adjective else []
    words += [phrase.noun.plural if phrase.plural else phrase.noun.name]
    words = _determined(phrase, words)
    words += ["in", *_phrase(phrase.place)] if phrase.place else []
    return words + (_relative(phrase, phrase.relative) if phrase.relative else [])


def _determined(phrase: Phrase, words: list[str]) -> list[str]:
    if phrase.owner:
        *others, last = _phrase(phrase.owner)
        return [*others, last + ("'" if last.endswith("s") else "'s"), *words]
    if phrase.definite:
        return ["the", *words]
    if phrase.plural:
        return words
    return ["an" if words[0][0] in "aeiou" else "a", *words]


def _relative(head: Phrase, clause: Relative) -> list[str]:
    if clause.subject:
        finite = _finite(clause.verb, clause.past, _third(clause.subject))
        return ["that", *_phrase(clause.subject), finite]
    finite = _finite(clause.verb, clause.past, _third(head))
    return ["who", finite, *(_phrase(clause.object) if clause.object else [])]


def numeral(count: int) -> list[str]:
    """English words of a number below 100; none for 0."""
    if count < 10:
        return [DIGITS[count - 1]] if count else []
    if count < 20:
        return [TEENS[count - 10]]
    return [TENS[count // 10 - 2], *([DIGITS[count % 10 - 1]] if count % 10 else [])]
