"""English for short names: articles, plurals, pronouns, adjectives in their order, sentences.

A name is what records hold: a noun phrase without article, "wine bottle", "second fir", "cup of coffee", "sunglasses".
Its core is what stands before the first preposition, and the last word of the core is its head.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml

Number = Literal["one", "many", "mass"]
LEXICON = Path(__file__).with_name("lexicon.yaml")

PLURALS = {  # irregular: one -> many
    "man": "men", "woman": "women", "child": "children", "person": "people", "mouse": "mice", "goose": "geese",
    "foot": "feet", "tooth": "teeth", "leaf": "leaves", "knife": "knives", "shelf": "shelves", "wolf": "wolves",
    "calf": "calves", "loaf": "loaves", "half": "halves", "scarf": "scarves", "thief": "thieves", "cactus": "cacti",
    "sheep": "sheep", "fish": "fish", "deer": "deer", "aircraft": "aircraft", "ox": "oxen", "piano": "pianos",
    "photo": "photos", "tomato": "tomatoes", "potato": "potatoes", "mango": "mangoes", "hero": "heroes", "bus": "buses",
    "gas": "gases", "quiz": "quizzes", "life": "lives", "wife": "wives", "axe": "axes", "reindeer": "reindeer",
    "taxi": "taxis", "zucchini": "zucchinis", "kiwi": "kiwis",
}  # fmt: skip
SPELLED = {"tv": "TV", "dvd": "DVD", "cd": "CD", "suv": "SUV", "led": "LED", "grey": "gray"}  # names come in lower case
SAME = frozenset(one for one, many in PLURALS.items() if one == many)
SINGULARS = {many: one for one, many in PLURALS.items() if one != many}


@dataclass(frozen=True)
class Words:
    """The word lists of lexicon.yaml that grammar needs; what each is for stands there."""

    prepositions: frozenset[str]
    deictic: frozenset[str]
    paired: frozenset[str]
    pairs: frozenset[str]
    mass: frozenset[str]
    one_in_s: frozenset[str]
    female: frozenset[str]
    male: frozenset[str]
    clothes: frozenset[str]
    colours: frozenset[str]
    materials: frozenset[str]
    patterns: frozenset[str]
    stuffs: frozenset[str]
    before_colour: frozenset[str]

    @property
    def looks(self) -> frozenset[str]:
        """Adjectives that tell two looks of a thing apart."""
        return self.colours | self.materials | self.patterns | self.stuffs


def _words() -> Words:
    raw: dict[str, list[str]] = yaml.safe_load(LEXICON.read_text(encoding="utf-8"))["words"]
    return Words(**{name: frozenset(words) for name, words in raw.items()})


WORDS = _words()

# --- nouns -----------------------------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """Lower-case words, hyphens kept inside a word."""
    return re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())


@lru_cache(maxsize=8192)
def core(name: str) -> tuple[str, ...]:
    """The words before the first preposition: what the thing is."""
    words = words_of(name)
    end = next((at for at, word in enumerate(words) if at and word in WORDS.prepositions), len(words))
    return tuple(words[:end])


def head(name: str) -> str:
    """The noun of a name: "cup" of "coffee cup with saucer"."""
    return (core(name) or ("",))[-1]


def number(name: str) -> Number:
    """Whether a name speaks of one thing, of many, or of stuff that is not counted."""
    noun = head(name)
    if noun in WORDS.mass:
        return "mass"
    return "many" if is_plural(noun) else "one"


def is_plural(noun: str) -> bool:
    """Whether a single word is a plural form."""
    if noun in SINGULARS or noun in WORDS.pairs or noun in ("cattle", "police") or _men(noun):
        return True
    if noun in SAME or noun in WORDS.one_in_s:
        return False
    return len(noun) > 2 and noun.endswith("s") and not noun.endswith(("ss", "us", "is"))


def _men(noun: str) -> bool:
    return noun.endswith(("men", "women")) and noun not in ("specimen", "abdomen", "omen", "regimen")


def plural(name: str) -> str:
    """The plural of a name: its head is what changes."""
    words, noun = name.split(), head(name)
    at = next((at for at, word in reversed(list(enumerate(words))) if word.lower() == noun), len(words) - 1)
    at = min(at, len(core(name)) - 1)
    words[at] = _many(words[at])
    return " ".join(words)


def _many(noun: str) -> str:
    low = noun.lower()
    if is_plural(low) or low in WORDS.mass:
        return noun
    for one, many in PLURALS.items():
        if low == one or (one in ("man", "woman") and low.endswith(one) and low != "human"):
            return noun[: len(noun) - len(one)] + many
    if low.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if low.endswith("y") and low[-2:-1] not in tuple("aeiou"):
        return noun[:-1] + "ies"
    return noun + "s"


def singular(noun: str) -> str:
    """The singular of one word; a word that is not plural, or has no singular, stays."""
    if not is_plural(noun) or noun in WORDS.pairs:
        return noun
    if noun in SINGULARS:
        return SINGULARS[noun]
    if _men(noun):
        return noun[:-2] + "an"
    if noun.endswith("ies") and len(noun) > 4 and noun not in ("cookies", "pies", "ties"):
        return noun[:-3] + "y"
    hissing = noun.endswith(("ches", "shes", "xes", "sses", "zes")) or noun.removesuffix("es") in WORDS.one_in_s
    return noun.removesuffix("es" if hissing else "s")


# --- articles and pronouns -------------------------------------------------------------------------------------------


def article(phrase: str) -> str:
    """ "a" or "an", by sound."""
    first = phrase.split()[0] if phrase.split() else ""
    low = first.lower()
    letters = re.match(r"[A-Z0-9]{2,}|[A-Za-z](?=-)", first)
    if letters and not first.isdigit():  # spelled out: an LED, an X-ray, a U-turn
        return "an" if first[0] in "AEFHILMNORSXaefhilmnorsx8" else "a"
    if re.match(r"8|11\b|18\b", low):
        return "an"
    if re.match(r"hour|honest|honou?r|heir|herb", low):
        return "an"
    if re.match(r"one\b|once\b|one-|eu|ewe|uni(?![dnm])|us[aeiu]|ut[ei]|uku|uk\b|ub|ur[aeio]|ufo", low):
        return "a"
    return "an" if low[:1] in tuple("aeiou") else "a"


def a(name: str) -> str:
    """With the indefinite article, or what stands for it: some water, a pair of sunglasses, some curtains."""
    name = dressed(name)
    match number(name):
        case "one":
            return f"{article(name)} {name}"
        case "many" if head(name) in WORDS.pairs:
            return f"a pair of {name}"
        case _:
            return f"some {name}"


def the(name: str) -> str:
    """With the definite article."""
    return f"the {dressed(name)}"


def dressed(name: str) -> str:
    """Names leave articles out; inside a phrase English wants them: man in beige coat -> man in a beige coat."""
    words = [SPELLED.get(word, word) for word in name.split()]
    for at, word in enumerate(words[1:], 1):
        if word in ("in", "wearing") and words[-1].lower() in WORDS.clothes and at < len(words) - 1:
            rest = " ".join(words[at + 1 :])
            if words[at + 1] not in ("a", "an", "the", "his", "her"):
                return " ".join([*words[: at + 1], article(rest), rest])
    return " ".join(words)


def pronoun(name: str, person: bool = False) -> str:
    """it or them; him or her for people whose noun tells."""
    noun = head(name)
    if number(name) == "many":
        return "them"
    if noun in WORDS.female:
        return "her"
    if noun in WORDS.male:
        return "him"
    return "them" if person else "it"


def its(name: str, person: bool = False) -> str:
    """The possessive that goes with `pronoun`."""
    return {"it": "its", "him": "his", "her": "her", "them": "their"}[pronoun(name, person)]


# --- adjectives ------------------------------------------------------------------------------------------------------


def with_look(name: str, look: str | None) -> str:
    """The name with a colour or material in its place: "small car", blue -> "small blue car"; never twice."""
    words = name.split()
    if not look or look in {SPELLED.get(word, word) for word in core(name)}:
        return name
    # a blue left eye, but a small blue car: the side of a paired part belongs to its noun
    bound = {"left", "right"} if singular(head(name)) in WORDS.paired else set()
    limit, at = len(core(name)) - 1, 0
    while at < limit and words[at].lower() in WORDS.before_colour - bound:
        at += 1
    return " ".join([*words[:at], look, *words[at:]])


def without_look(name: str) -> str:
    """The name without words of colour, material or pattern; a head stays ("orange" the fruit)."""
    words, limit = name.split(), len(core(name)) - 1
    kept = [word for at, word in enumerate(words) if at >= limit or word.lower() not in WORDS.looks]
    return " ".join(kept)


def looks_in(name: str) -> set[str]:
    """The words of colour, material or pattern that a name holds before its head."""
    return set(core(name)[:-1]) & WORDS.looks


def without_deixis(name: str) -> str:
    """The name of a thing that is not there yet: neither left nor second. Paired parts of a body keep their side."""
    words = name.split()
    if singular(head(name)) in WORDS.paired:
        return name
    while len(words) > 1 and words[0].lower() in WORDS.deictic:
        words = words[1:]
    return " ".join(words)


# --- sentences -------------------------------------------------------------------------------------------------------


def listing(items: Sequence[str], joint: str = "and") -> str:
    """a; a and b; a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}"


NUMERALS = ("zero", "one", "two", "three", "four", "five", "six")
ORDINALS = ("zeroth", "first", "second", "third", "fourth", "fifth", "sixth")


def sentence(text: str) -> str:
    """Capital first letter, single spaces, an end mark."""
    text = re.sub(r"\s+([.,?!])", r"\1", " ".join(text.split()))
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else text + "."


def lower_first(text: str) -> str:
    """A sentence put behind a comma."""
    return text[:1].lower() + text[1:]
