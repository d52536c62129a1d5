"""Segmentation as editing: "colour the dog green", and the target has the dog under half-transparent green.

From InstructDiffusion (Geng et al., 2023), as SmartEdit trains it: inside the mask 0.5 * image + 0.5 * colour, cut to
whole numbers; eight colours. The sentences are this project's own.
"""

from __future__ import annotations

import numpy as np

from insightedit.core.image import Colour
from insightedit.datasets import choice, pictures
from insightedit.datasets.example import EditExample

OPACITY = 0.5
COLOURS: dict[str, Colour] = {
    "red": (255, 0, 0),
    "purple": (128, 0, 128),
    "blue": (0, 0, 255),
    "green": (0, 128, 0),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
}
TEMPLATES = (
    "tint the area of {object} in {color}",
    "lay a see-through {color} layer over {object}",
    "show where {object} is by shading it {color}",
    "find {object} and color it {color}, keeping everything else",
    "give {object} a {color} overlay",
    "highlight {object} with {color}",
    "every pixel of {object} should turn {color}ish",
    "put a translucent {color} mask on {object}",
    "mark out {object} in {color} and touch nothing else",
    "{object}: cover it with a thin {color} film",
    "use {color} to segment {object}",
)
PRONOUN_TEMPLATES = (  # where the object has no name: they follow a question or a description that tells it
    "Tint it in {color}.",
    "Show where it is by shading it {color}.",
    "Lay a see-through {color} layer over it.",
    "Highlight it with {color}.",
    "Mark it out in {color} and touch nothing else.",
)
KEEP = ("keep the picture as it is", "change nothing", "this picture should stay the same")


def painted(image: np.ndarray, mask: np.ndarray, colour: Colour) -> np.ndarray:
    """`image` (H, W, 3) uint8 with `colour` over `mask` (h, w) bool, which is resized by nearest neighbour."""
    inside = pictures.mask_at(mask, image)
    target = image.copy()
    target[inside] = (OPACITY * image[inside] + (1 - OPACITY) * np.array(colour)).astype(np.uint8)
    return target


def example(
    dataset: str, id: str, image: np.ndarray, mask: np.ndarray, named: str, seed: int, before: str = ""
) -> EditExample:
    """An overlay edit whose colour and sentence are drawn; an empty mask makes the target the source.

    Args:
        dataset: name of the reader.
        id: of the record.
        image: (H, W, 3) uint8.
        mask: (h, w) bool of the same frame, of any size.
        named: what the object is called; "" takes a sentence with a pronoun.
        seed: of the draw.
        before: a sentence that comes first, such as a question whose answer is the object.
    """
    colour = choice.one_of(sorted(COLOURS), seed, dataset, id, "colour")
    template = choice.one_of(TEMPLATES if named else PRONOUN_TEMPLATES, seed, dataset, id, "template")
    said = template.format(object=named.lower(), color=colour)
    inside = pictures.mask_at(mask, image)
    return EditExample(
        id=id,
        dataset=dataset,
        task="overlay",
        source=image,
        target=painted(image, inside, COLOURS[colour]),
        instruction=f"{before} {said}".strip(),
        mask=inside,
    )


def unchanged(dataset: str, id: str, image: np.ndarray, seed: int) -> EditExample:
    """An edit that asks to leave everything as it is."""
    said = choice.one_of(KEEP, seed, dataset, id, "keep")
    return EditExample(id, dataset, "keep", image, image, said, np.zeros(image.shape[:2], bool))
