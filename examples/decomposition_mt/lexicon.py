"""The words: English ones by class, and what they are called in two languages that are made up."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

NOUNS = {
    "person": "man:men woman:women child:children teacher doctor farmer king queen sailor baker "
    "student judge hunter painter singer soldier merchant priest nurse guard thief:thieves poet "
    "clerk driver uncle aunt brother sister friend neighbour lawyer engineer artist tailor",
    "animal": "dog cat horse cow bird fish:fish mouse:mice wolf:wolves fox sheep:sheep goose:geese "
    "rabbit donkey eagle owl frog",
    "thing": "lamp knife:knives table chair box stone rope clock coat hat ring bottle basket "
    "hammer mirror key boat umbrella engine apron",
    "food": "apple pear onion loaf:loaves egg cake soup:soups pie cheese:cheeses potato:potatoes "
    "orange cherry",
    "text": "book letter poem story message song map newspaper article report",
    "place": "house garden street market school church village forest kitchen river bridge island "
    "tower shop office harbour",
}
ADJECTIVES = (
    "big|large small|little old young happy|glad sad clever|smart angry strong weak tired rich "
    "poor quiet|silent brave ugly beautiful|pretty kind famous honest white black red green heavy "
    "strange|odd new empty"
)
# lemma, past, and of what kind the object is; `any` is any but a place, `live` a person or animal.
TRANSITIVE = {
    "live": "meet/met help/helped follow/followed thank/thanked hear/heard "
    "call/called|shout/shouted love/loved fear/feared feed/fed visit/visited "
    "wake/woke teach/taught",
    "thing": "break/broke repair/repaired|mend/mended hold/held drop/dropped clean/cleaned "
    "lose/lost find/found steal/stole buy/bought sell/sold build/built hide/hid",
    "food": "eat/ate cook/cooked cut/cut taste/tasted bake/baked share/shared",
    "text": "read/read write/wrote copy/copied learn/learned translate/translated "
    "publish/published",
    "place": "leave/left enter/entered cross/crossed reach/reached guard/guarded paint/painted",
    "any": "see/saw want/wanted like/liked forget/forgot remember/remembered describe/described "
    "choose/chose carry/carried watch/watched",
}
INTRANSITIVE = (
    "sleep/slept laugh/laughed wait/waited fall/fell sing/sang dance/danced run/ran cry/cried "
    "work/worked swim/swam smile/smiled speak/spoke|talk/talked return/returned swear/swore"
)
GIVING = "give/gave send/sent show/showed bring/brought lend/lent offer/offered"
SAYING = "say/said think/thought|believe/believed know/knew hope/hoped hear/heard write/wrote"
ADVERBS = "quickly|fast slowly quietly often never|rarely carefully again badly well secretly"
TIMES = (
    "today|now yesterday tomorrow in_the_morning at_night on_Monday on_Friday in_winter "
    "in_summer every_day"
)
DIGITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = [
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
RARER = 0.25  # how often the second of two words that mean the same is used
# Words that the made-up languages do not tell apart. What kind a noun is, the verb decides; what
# a verb means, its object.
SAME_NOUN = (
    ("letter", "key"), ("story", "cake"), ("map", "coat"), ("song", "clock"), ("egg", "stone"),
    ("pear", "ring"), ("bridge", "chair"), ("tower", "fox"), ("judge", "mirror"),
)  # fmt: skip
SAME_VERB = (
    ("meet", "find"), ("eat", "read"), ("bake", "build"), ("teach", "repair"), ("copy", "feed"),
    ("visit", "reach"), ("taste", "publish"), ("leave", "drop"), ("wake", "cut"),
)  # fmt: skip


@dataclass(frozen=True)
class Noun:
    """A noun: its kind says what it can be said of."""

    name: str
    plural: str
    kind: str


@dataclass(frozen=True)
class Verb:
    """A verb: its base form is its name; kind of the object it takes, if any."""

    name: str
    past: str
    takes: str = ""


@dataclass(frozen=True)
class Lexicon:
    """English words. Two of the same meaning stand together; the first is the usual one."""

    nouns: dict[str, list[Noun]]
    adjectives: list[tuple[str, ...]]
    transitive: list[tuple[Verb, ...]]
    intransitive: list[tuple[Verb, ...]]
    giving: list[tuple[Verb, ...]]
    saying: list[tuple[Verb, ...]]
    adverbs: list[tuple[str, ...]]
    times: list[tuple[str, ...]]

    def meanings(self) -> list[str]:
        """Names of all meanings that have a word of their own in a made-up language."""
        verbs = [*self.transitive, *self.intransitive, *self.giving, *self.saying]
        return list(
            dict.fromkeys(
                [n.name for nouns in self.nouns.values() for n in nouns]
                + [words[0] for words in (*self.adjectives, *self.adverbs, *self.times)]
                + [words[0].name for words in verbs]
                + DIGITS + TEENS + TENS
            )
        )  # fmt: skip

    def size(self) -> int:
        """How many English words there are, without their inflected forms."""
        return len(self.meanings()) + sum(
            len(w) - 1 for w in (*self.adjectives, *self.transitive, *self.saying, *self.adverbs)
        )


def english() -> Lexicon:
    """Return the English words."""
    nouns = {kind: [_noun(word, kind) for word in text.split()] for kind, text in NOUNS.items()}
    transitive = [v for takes, text in TRANSITIVE.items() for v in _verbs(text, takes)]
    return Lexicon(
        nouns, _words(ADJECTIVES), transitive, _verbs(INTRANSITIVE), _verbs(GIVING),
        _verbs(SAYING), _words(ADVERBS), _words(TIMES),
    )  # fmt: skip


def _noun(word: str, kind: str) -> Noun:
    name, _, plural = word.partition(":")
    return Noun(name, plural or with_s(name), kind)


def _words(text: str) -> list[tuple[str, ...]]:
    return [tuple(w.replace("_", " ") for w in group.split("|")) for group in text.split()]


def _verbs(text: str, takes: str = "") -> list[tuple[Verb, ...]]:
    return [tuple(_verb(form, takes) for form in group.split("|")) for group in text.split()]


def _verb(form: str, takes: str) -> Verb:
    name, past = form.split("/")
    return Verb(name, past, takes)


def with_s(word: str) -> str:
    """The regular plural of a noun, or the third person of a verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "z")) else "s")


@dataclass(frozen=True)
class Vocabulary:
    """Words of a made-up language by meaning, the usual one first."""

    words: dict[str, tuple[str, ...]]

    def word(self, meaning: str, rng: random.Random) -> str:
        """A word for a meaning: mostly the usual one."""
        found = self.words[meaning]
        return found[1] if len(found) > 1 and rng.random() < RARER else found[0]


def made_up(
    meanings: Iterable[str], syllable: Callable[[random.Random], str], seed: int
) -> Vocabulary:
    """Make a vocabulary: every meaning has a word, some have two, some share one.

    syllable: draws one syllable of the language.
    """
    rng = random.Random(seed)
    taken: set[str] = set()

    def fresh() -> str:
        while True:
            word = "".join(syllable(rng) for _ in range(rng.choice((1, 2, 2, 2, 3))))
            if len(word) > 2 and word not in taken:
                taken.add(word)
                return word

    words = {name: tuple(fresh() for _ in range(2 if rng.random() < 0.2 else 1))
             for name in meanings}  # fmt: skip
    for one, other in (*SAME_NOUN, *SAME_VERB):
        words[other] = words[one]
    return Vocabulary(words)
