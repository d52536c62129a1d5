"""What may be edited: rules of the paper's step 1.3 (no body parts, worn clothing, scenery, viewpoints) as word lists.

Rules on words are blunt: a network that looks at the image decides better, through the same two flags.
"""

from __future__ import annotations

BODY = frozenset(
    ["arm", "back", "beard", "beak", "body", "cheek", "chin", "ear", "eye", "eyebrow", "face", "feather", "finger", "foot", "fur", "hair", "hand", "head", "horn", "knee", "leg", "lip", "mouth", "mustache", "nail", "neck", "nose", "paw", "shoulder", "skin", "snout", "tail", "thumb", "toe", "tongue", "tooth", "torso", "whisker", "wing", "wrist"]
)
PEOPLE = frozenset(
    ["adult", "astronaut", "baby", "biker", "boy", "bride", "child", "climber", "crowd", "cyclist", "dancer", "driver", "farmer", "fisherman", "girl", "groom", "hiker", "kid", "lady", "man", "men", "musician", "passenger", "pedestrian", "people", "person", "player", "policeman", "rider", "runner", "singer", "skater", "skier", "soldier", "surfer", "swimmer", "tourist", "woman", "women", "worker"]
)
ANIMALS = frozenset(
    ["animal", "ant", "bear", "bee", "beetle", "bird", "bull", "butterfly", "calf", "camel", "cat", "cheetah", "chicken", "cow", "crab", "crocodile", "deer", "dog", "dolphin", "donkey", "dragonfly", "duck", "eagle", "elephant", "fish", "fly", "fox", "frog", "giraffe", "goat", "goose", "hen", "horse", "insect", "kangaroo", "kitten", "ladybird", "ladybug", "lamb", "leopard", "lion", "lizard", "monkey", "mouse", "nuthatch", "ostrich", "owl", "panda", "parrot", "penguin", "pig", "pigeon", "pony", "puppy", "rabbit", "rooster", "seal", "shark", "sheep", "snail", "snake", "spider", "squirrel", "swan", "tiger", "turtle", "whale", "wolf", "zebra"]
)
SCENERY = frozenset(
    ["air", "background", "beach", "canyon", "ceiling", "city", "cliff", "coast", "desert", "dirt", "field", "floor", "foam", "fog", "foreground", "forest", "garden", "glacier", "grass", "ground", "hill", "hillside", "horizon", "island", "lake", "landscape", "lawn", "light", "meadow", "mist", "mountain", "ocean", "path", "pavement", "peak", "rain", "reflection", "river", "road", "room", "sand", "scene", "scenery", "sea", "shadow", "shore", "sidewalk", "sky", "slope", "snow", "soil", "street", "sunlight", "sunset", "surface", "terrain", "town", "trail", "valley", "view", "village", "wall", "water", "waterfall", "wave", "wood", "woods"]
)
WORN = frozenset(
    ["apron", "belt", "blouse", "boot", "cap", "cloak", "clothing", "coat", "dress", "earring", "gloves", "glasses", "gown", "hat", "headband", "helmet", "hood", "jacket", "jeans", "jersey", "jumper", "necklace", "pants", "patch", "robe", "scarf", "shirt", "shoe", "shorts", "skirt", "sleeve", "sneaker", "sock", "suit", "sunglasses", "sweater", "swimsuit", "tag", "tie", "trousers", "uniform", "veil", "vest", "watch"]
)
SKYBORN = frozenset(["cloud", "moon", "rainbow", "star", "sun"])
FOLIAGE = frozenset(["branch", "bush", "fern", "foliage", "hedge", "ivy", "leaf", "leaves", "moss", "shrub", "tree", "trees", "trunk", "twig"])
KINDS = {
    "body part": BODY,
    "person": PEOPLE,
    "animal": ANIMALS,
    "scenery": SCENERY,
    "clothing": WORN,
    "sky": SKYBORN,
    "plant": FOLIAGE,
}
NEVER = {"body part": "a body part", "scenery": "scenery", "clothing": "worn by somebody"}
KEEPS_ITS_LOOK = {"person": "a person", "animal": "an animal", "sky": "part of the sky"}
# A toy bear or a bird statue is no animal: the word before the category says what a thing is made of.
EFFIGY = frozenset(["toy", "model", "statue", "sculpture", "figurine", "plush", "stuffed", "carved", "painted", "ceramic", "plastic"])

# Nouns that end like a kind and are none; what COCO calls food or electronic is a thing, a "mouse" and a "hot dog" too.
NO_SUCH_KIND = (
    "bottle cap", "computer mouse", "drinking glasses", "hot dog", "light bulb", "street light", "teddy bear",
    "traffic light", "wine glasses",
)  # fmt: skip
THINGS = frozenset(["appliance", "electronic", "food", "furniture", "kitchen", "vehicle"])


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
    if kind == "plant" and (_noun(category) in FOLIAGE or _noun(name) in FOLIAGE):
        return True, False, "foliage"
    return True, True, ""


def kind_of(category: str, supercategory: str, name: str) -> str:
    """One of the kinds above, or "thing"."""
    if EFFIGY & set(name.split()) or EFFIGY & set(category.split()):
        return "thing"
    if supercategory.lower() in THINGS or any(phrase.endswith(NO_SUCH_KIND) for phrase in (category.lower(), name)):
        return "thing"
    if supercategory.lower() in KINDS:
        return supercategory.lower()
    if supercategory.lower() == "accessory":  # COCO's: umbrella, handbag, tie, suitcase
        return "clothing" if _noun(category) in WORN else "thing"
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
    known = set().union(*KINDS.values())
    return last if last in known else singular
