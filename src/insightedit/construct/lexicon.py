"""What common things are and what they are for, from lexicon.yaml: true, false, or doubtful (None), never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from insightedit.construct.grammar import LEXICON, WORDS, core, singular
from insightedit.core.record import Object

Truth = bool | None
Tags = dict[str, Truth]  # a tag that is absent is false


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Words and their tags."""

    kinds: dict[str, str]  # tag -> noun phrase
    uses: dict[str, str]  # tag -> relative clause
    broad: frozenset[str]  # tags that things nobody annotated are likely to have too
    nouns: dict[str, Tags]
    supercategories: dict[str, Tags]
    doubtful_before: frozenset[str]
    containers: frozenset[str]
    surfaces: frozenset[str]
    portable: frozenset[str]

    def tag(self, thing: Object, tag: str) -> Truth:
        """Whether the thing has the tag; None where the lexicon cannot tell."""
        tags = self.tags(thing)
        return None if tags is None else tags.get(tag, False)

    def tags(self, thing: Object) -> Tags | None:
        """The tags of a thing by its name, else its category, else what its supercategory tells; None if unknown."""
        return _tags_of(thing.name, thing.category, thing.supercategory)

    def noun(self, phrase: str) -> str | None:
        """The lexicon's word for a name: the longest ending that it knows, unless a word before it casts doubt."""
        words = [*core(phrase.lower())]
        if not words:
            return None
        words[-1] = singular(words[-1]) if " ".join(words) not in self.nouns else words[-1]
        for start in range(len(words)):
            if (ending := " ".join(words[start:])) in self.nouns:
                return None if self.doubtful_before & set(words[:start]) else ending
        return None

    def is_person(self, phrase: str) -> bool:
        """Whether a name is, or may be, that of a person."""
        noun = self.noun(phrase)
        return noun is not None and self.nouns[noun].get("person", False) is not False

    def is_container(self, thing: Object) -> bool:
        return any(_ends_in(phrase, self.containers) for phrase in (thing.name, thing.category))

    def is_surface(self, thing: Object) -> bool:
        return any(_ends_in(phrase, self.surfaces) for phrase in (thing.name, thing.category))

    def is_portable(self, thing: Object) -> Truth:
        """Whether it is something that lies or stands on a table rather than on the floor."""
        tags = self.tags(thing)
        return None if tags is None or not any(tags.get(tag) for tag in self.portable) else True


def _ends_in(phrase: str, words: frozenset[str]) -> bool:
    tokens = core(phrase.lower())
    return any(" ".join(tokens[start:]) in words for start in range(len(tokens)))


@lru_cache(maxsize=8192)
def _tags_of(name: str, category: str, supercategory: str) -> Tags | None:
    known = lexicon()
    for phrase in (name, category):
        if (noun := known.noun(phrase)) is not None:
            return known.nouns[noun]
    if any(known.doubtful_before & set(core(phrase.lower())[:-1]) for phrase in (name, category)):
        return None
    return known.supercategories.get(supercategory.lower())


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that ships with the package."""
    raw: dict[str, Any] = yaml.safe_load(LEXICON.read_text(encoding="utf-8"))
    implies: dict[str, str] = raw["implies"]
    return Lexicon(
        kinds=raw["kinds"],
        uses=raw["uses"],
        broad=frozenset(raw["broad"]),
        nouns={noun: _tags(text, implies) for noun, text in raw["nouns"].items()},
        supercategories={name: _tags(text, implies) for name, text in raw["supercategories"].items()},
        # a golden fig cannot be eaten
        doubtful_before=frozenset([*raw["doubtful_before"], *WORDS.materials, *WORDS.stuffs, "golden"]),
        **{name: frozenset(raw[name]) for name in ("containers", "surfaces", "portable")},
    )


def _tags(text: str, implies: dict[str, str]) -> Tags:
    """ "fruit ?plant" -> {fruit: True, eat: True, plant: None}; what is said outright wins over what is implied."""
    said: Tags = {word.lstrip("?"): None if word.startswith("?") else True for word in text.split()}
    for tag, sure in list(said.items()):
        if sure and tag in implies:
            said = {**_tags(implies[tag], implies), **said}
    return said
