"""The judge of scenes on answers whose worth is known: how many right ones pass, how many wrong ones.

Right: the exact answer; it blurred a little; additions put in the middle of where such sentences put things. Wrong: the
exact answer with a thing besides that also changed its colour, its material or its shape, or with a new thing of
another material. Shadows that stay are in `benchmarks.meta`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from insightedit.scenes.exam import Question, questions
from insightedit.scenes.render import render, render_pair
from insightedit.scenes.sampling import SIDES, is_free
from insightedit.scenes.scene import COLOURS, MATERIALS, SHAPES, Scene
from insightedit.scenes.truth import judge

COUNT, SEED, SIZE = 240, 11, 64
BLURS = (0.7, 1.0, 1.4)  # px, sd
USUAL = 0.5  # units between two things beside each other, beyond both radii: the middle of what sampling draws


def answers(question: Question) -> Iterator[tuple[str, np.ndarray]]:
    """(kind, picture uint8 (S, S, 3)) for each kind that this question allows."""
    pair, draw = question.pair, random.Random(question.key)
    exact = render_pair(pair, SIZE).after.image
    yield "right: exact", exact
    for sd in BLURS:
        yield f"right: blurred by {sd} px", cv2.GaussianBlur(exact, (0, 0), sd)
    if pair.task == "add":
        place = middle(question)
        if place is not None:
            yield "right: added in the middle of the usual places", render(place, SIZE).image
        other = next(name for name in MATERIALS if name != pair.thing.material)
        yield (
            "wrong: new thing of another material",
            render(pair.after.having(pair.subject, replace(pair.thing, material=other)), SIZE).image,
        )
    spared = [index for index in range(len(pair.after.things)) if pair.result is None or index != pair.subject]
    if spared:
        index = draw.choice(spared)
        thing = pair.after.things[index]
        for look, known in (("colour", COLOURS), ("material", MATERIALS), ("shape", SHAPES)):
            new = draw.choice([name for name in known if name != getattr(thing, look)])
            scene = pair.after.having(index, replace(thing, **{look: new}))
            yield f"wrong: another thing's {look} changed too", render(scene, SIZE).image


def middle(question: Question) -> Scene | None:
    """The scene with the new thing straight beside its anchor, at the usual distance; None where something stands."""
    pair = question.pair
    rest = (*pair.after.things[: pair.subject], *pair.after.things[pair.subject + 1 :])
    new = pair.after.things[pair.subject]
    near = min(rest, key=lambda one: (one.right - new.right) ** 2 + (one.away - new.away) ** 2)
    east, north = max(
        SIDES.values(), key=lambda way: way[0] * (new.right - near.right) + way[1] * (new.away - near.away)
    )
    apart = max(new.radius + near.radius + USUAL, 2.35 if north else 0.0)
    place = replace(new, right=near.right + east * apart, away=near.away + north * apart)
    return pair.after.having(pair.subject, place) if is_free(place, rest) else None


def main() -> None:
    """Print how many pass."""
    passed: dict[str, list[bool]] = {}
    for question in questions(COUNT, SEED):
        for kind, picture in answers(question):
            passed.setdefault(kind, []).append(judge(question.pair, picture).success)
    print(f"| answer | of {COUNT} questions | pass |\n|---|---|---|")
    for kind, found in sorted(passed.items()):
        print(f"| {kind} | {len(found)} | {np.mean(found):.0%} |")


if __name__ == "__main__":
    main()
