"""What may be edited: rules of the paper's step 1.3 (no body parts, worn clothing, scenery, viewpoints) as word lists.

Rules on words are blunt: a network that looks at the image decides better, through the same two flags.
"""

from __future__ import annotations

from pathlib import Path

import yaml

KINDS: dict[str, frozenset[str]] = {
    kind: frozenset(words.split())
    for kind, words in yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text(encoding="utf-8")).items()
}
NOUNS: frozenset[str] = frozenset().union(*KINDS.values())
NEVER = {
    "body part": "a body part",
    "scenery": "scenery",
    "clothing": "worn by somebody",
    "light": "its glow would stay",
}
KEEPS_ITS_LOOK = {"person": "a person", "animal": "an animal", "sky": "part of the sky", "foliage": "foliage"}
GROWN = frozenset(("plant", "food"))  # may have another colour; of gold or marble one would not believe it
# A toy bear or a bird statue is no animal: the word before the category says what a thing is made of.
EFFIGY = frozenset("carved ceramic figurine model painted plastic plush sculpture statue stuffed toy".split(" "))
# Nouns that end like a kind and are none.
NO_SUCH_KIND = (
    "bottle cap", "computer mouse", "drinking glasses", "hot dog", "light bulb", "street light", "teddy bear",
    "traffic light", "wine glasses",
)  # fmt: skip
THINGS = frozenset(("appliance", "electronic", "furniture", "kitchen", "vehicle"))  # supercategories


def suitability(category: str, supercategory: str, name: str) -> tuple[bool, bool, str]:
    """May it be removed, may it be recoloured or replaced, and if not why.

    Args:
        category: singular noun.
        supercategory: as annotated, or "".
        name: short caption; its last word is taken as the noun.
    """
    kind = kind_of(category, supercategory, name)
    if kind in NEVER:
        return False, False, NEVER[kind]
    if kind in KEEPS_ITS_LOOK:
        return True, False, KEEPS_ITS_LOOK[kind]
    return True, True, ""


def kind_of(category: str, supercategory: str, name: str) -> str:
    """One of the kinds above, or "thing"."""
    if EFFIGY & set(name.split()) or EFFIGY & set(category.split()):
        return "thing"
    if supercategory.lower() in THINGS or any(phrase.endswith(NO_SUCH_KIND) for phrase in (category.lower(), name)):
        return "thing"
    if supercategory.lower() == "accessory":  # COCO's: umbrella, handbag, tie, suitcase
        return "clothing" if _noun(category) in KINDS["clothing"] else "thing"
    for closer in ("light", "foliage"):  # the sun is annotated as sky, a tree as a plant
        if {_noun(category), _noun(name)} & KINDS[closer]:
            return closer
    if supercategory.lower() in KINDS:
        return supercategory.lower()
    for kind, words in KINDS.items():
        if {_noun(category), _noun(name)} & words:
            return kind
    return "thing"


def _noun(phrase: str) -> str:
    """The head of a short English noun phrase: the last word before any "of", "with", "in"; plural s dropped."""
    words = phrase.lower().split()
    for at, word in enumerate(words[1:], 1):
        if word in ("of", "with", "in", "on", "for", "from", "at", "by"):
            words = words[:at]
            break
    last = words[-1] if words else ""
    singular = last[:-1] if last.endswith("s") and not last.endswith("ss") else last
    return last if last in NOUNS else singular
