"""Drawing pairs of scenes from a seed: things apart, in the picture, and not hidden; the same pair for every size.

What is drawn is the way that has an object to speak of first: a removal, a replacement or a recolouring. An addition is
a removal read backwards (`Pair.reversed`), so the removed thing stands close to another one on one side of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace

from insightedit.core.seed import derive
from insightedit.scenes.rays import View, framed, look, view
from insightedit.scenes.scene import (
    COLOURS,
    MATERIALS,
    PATTERNS,
    SHAPES,
    SIZES,
    Camera,
    Ground,
    Light,
    Pair,
    Scene,
    Task,
    Thing,
    Vector,
)

DRAWN: tuple[tuple[Task, float], ...] = (("remove", 0.44), ("replace", 0.28), ("recolour", 0.28))
RIGHT, FRONT, BACK = 2.5, -2.1, 2.8  # where on the ground things stand
GAP = 0.2  # between two things, at least
COLUMN, ROW = 0.5, 2.2  # two things nearer than both (right, away) would stand one behind the other
SEEN = 0.6  # share of a thing that may not be hidden, in both scenes
LEAST = {"small": 8, "big": 20}  # rays of the coarse grid that see it, at least
COARSE = 48  # side of the grid on which that is counted
TRIES = 40
SIDES = {"left_of": (-1, 0), "right_of": (1, 0), "in_front_of": (0, -1), "behind": (0, 1)}


def pair_seed(run_seed: int, index: int) -> int:
    """The seed of pair number `index` of a run: 62 bits, so that no two of millions meet."""
    return derive(run_seed, "scene", index, "high") << 31 | derive(run_seed, "scene", index, "low")


def sample(seed: int) -> Pair:
    """The pair of a seed; always the same one. Task remove, replace or recolour; `reversed()` gives the way back."""
    draw = random.Random(seed)
    while True:
        pair = _attempt(draw, seed)
        if pair is not None and _visible(pair):
            return pair


def samples(run_seed: int, start: int = 0) -> Iterator[Pair]:
    """The pairs of a run from number `start` on, without end."""
    while True:
        yield sample(pair_seed(run_seed, start))
        start += 1


def _attempt(draw: random.Random, seed: int) -> Pair | None:
    task = draw.choices([name for name, _ in DRAWN], [weight for _, weight in DRAWN])[0]
    things = _things(draw, draw.choice((1, 2, 2, 3, 3, 4) if task == "remove" else (2, 3, 3, 4, 4, 5)))
    if things is None:
        return None
    surroundings = (_camera(draw), _light(draw), _ground(draw))
    if task == "remove":
        beside = _beside(draw, things)
        if beside is None:
            return None
        subject = draw.randrange(len(things) + 1)
        before = Scene((*things[:subject], beside, *things[subject:]), *surroundings)
        return Pair(before, before.without(subject), task, subject, seed)
    before = Scene(things, *surroundings)
    subject = draw.randrange(len(things))
    return Pair(before, before.having(subject, _other(draw, things[subject], task)), task, subject, seed)


def _other(draw: random.Random, thing: Thing, task: Task) -> Thing:
    """The same place, size and material; another colour, or another shape and mostly another colour."""
    colour = draw.choice([name for name in COLOURS if name != thing.colour])
    if task == "recolour":
        return replace(thing, colour=colour)
    shape = draw.choice([name for name in SHAPES if name != thing.shape])
    return replace(thing, shape=shape, colour=colour if draw.random() < 0.7 else thing.colour)


# --- things ----------------------------------------------------------------------------------------------------------


def _thing(draw: random.Random, right: float, away: float) -> Thing:
    kind = (draw.choice(SHAPES), draw.choice(COLOURS), draw.choice(SIZES), draw.choice(MATERIALS))
    return Thing(*kind, round(right, 3), round(away, 3), round(draw.uniform(0, math.pi / 2), 3))


def _things(draw: random.Random, count: int) -> tuple[Thing, ...] | None:
    found: tuple[Thing, ...] = ()
    for _ in range(TRIES):
        thing = _thing(draw, draw.uniform(-RIGHT, RIGHT), draw.uniform(FRONT, BACK))
        if is_free(thing, found):
            found = (*found, thing)
        if len(found) == count:
            return found
    return None


def _beside(draw: random.Random, things: tuple[Thing, ...]) -> Thing | None:
    """A thing to the left or right of one of them, in front of it or behind it, near and well in line."""
    for _ in range(TRIES // 2):
        anchor, (east, north) = draw.choice(things), draw.choice(list(SIDES.values()))
        thing = _thing(draw, 0, 0)
        apart = thing.radius + anchor.radius + draw.uniform(0.3, 0.7)
        if north:  # else one would hide the other
            apart = max(apart, ROW) + draw.uniform(0, 0.3)
        slip = draw.uniform(-0.25, 0.25)
        right, away = anchor.right + east * apart + slip * abs(north), anchor.away + north * apart + slip * abs(east)
        thing = replace(thing, right=round(right, 3), away=round(away, 3))
        if abs(right) <= RIGHT and FRONT <= away <= BACK and is_free(thing, things):
            return thing
    return None


def is_free(thing: Thing, others: tuple[Thing, ...]) -> bool:
    """Whether a thing may stand among others: apart from them, and none behind another."""
    for other in others:
        right, away = abs(thing.right - other.right), abs(thing.away - other.away)
        if math.hypot(right, away) < thing.radius + other.radius + GAP or (right < COLUMN and away < ROW - 1e-3):
            return False
    return True


def _visible(pair: Pair) -> bool:
    """Whether every thing of both scenes is in the picture and seen well enough."""
    seen = view(pair.before.camera, COARSE)
    return all(_all_seen(scene, seen) for scene in (pair.before, pair.after))


def _all_seen(scene: Scene, seen: View) -> bool:
    if not all(framed(thing, seen) for thing in scene.things):
        return False
    sight = look(scene.things, seen)
    return all(
        sight.alone[index] >= LEAST[thing.size] and sight.share(index) >= SEEN
        for index, thing in enumerate(scene.things)
    )


# --- surroundings ----------------------------------------------------------------------------------------------------


def _camera(draw: random.Random) -> Camera:
    spans = ((0.54, 0.72), (9.2, 10.4), (0.61, 0.67), (-0.15, 0.15), (-0.15, 0.15))
    return Camera(*(round(draw.uniform(*span), 4) for span in spans))


def _light(draw: random.Random) -> Light:
    around, height = draw.uniform(0, 2 * math.pi), draw.uniform(0.85, 1.15)
    towards = (math.cos(around) * math.cos(height), math.sin(around) * math.cos(height), math.sin(height))
    return Light(_rounded(towards), round(draw.uniform(0.36, 0.48), 3), round(draw.uniform(0.52, 0.68), 3))


def _ground(draw: random.Random) -> Ground:
    base, along = draw.uniform(0.42, 0.74), draw.uniform(0, math.pi)
    colour = tuple(min(0.85, max(0.25, base + draw.uniform(-0.1, 0.1))) for _ in range(3))
    return Ground(
        colour=_rounded((colour[0], colour[1], colour[2])),
        pattern=draw.choice(PATTERNS),
        along=(round(math.cos(along), 4), round(math.sin(along), 4)),
        repeats=round(draw.uniform(0.25, 0.55), 3),
        phase=round(draw.uniform(0, 1), 3),
        contrast=round(draw.uniform(0.05, 0.16), 3),
    )


def _rounded(vector: Vector) -> Vector:
    """Four digits, so that what the trigonometry of two machines may differ by is gone."""
    return round(vector[0], 4), round(vector[1], 4), round(vector[2], 4)
