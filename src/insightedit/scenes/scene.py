"""A scene and a pair of scenes: things on a textured ground, a light, a camera. Nothing here draws.

Lengths are in units of the scene; a thing stands at (`right`, `away`) as the camera sees the ground. A pair is two
scenes that differ in one thing only, so whatever differs between their pictures was caused by that thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from insightedit.core.seed import derive

Task = Literal["remove", "add", "replace", "recolour"]

SHAPES = ("sphere", "cube", "cylinder", "cone")
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan", "orange", "gray")
SIZES = ("small", "big")
MATERIALS = ("matte", "metal")
PATTERNS = ("plain", "checks", "stripes", "waves")
TASKS: tuple[Task, ...] = ("remove", "add", "replace", "recolour")
BACKWARDS: dict[Task, Task] = {"remove": "add", "add": "remove", "replace": "replace", "recolour": "recolour"}

RADIUS = {"small": 0.5, "big": 0.82}
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Thing:
    """An object: what it is and where on the ground it stands; `turn` in radians about the upright axis."""

    shape: str
    colour: str
    size: str
    material: str
    right: float
    away: float
    turn: float = 0.0

    @property
    def radius(self) -> float:
        return RADIUS[self.size]


@dataclass(frozen=True)
class Camera:
    """Looks at (`right`, `away`) on the ground from `distance`, `elevation` radians above it; `view` = full angle."""

    elevation: float
    distance: float
    view: float
    right: float = 0.0
    away: float = 0.0


@dataclass(frozen=True)
class Light:
    """`towards`: unit vector (right, away, up) to the light; `ambient` and `key` are brightnesses, about 0..1."""

    towards: Vector
    ambient: float
    key: float


@dataclass(frozen=True)
class Ground:
    """`colour` RGB 0..1; `along` a unit vector (right, away) that the pattern follows, `repeats` a unit of length."""

    colour: Vector
    pattern: str
    along: tuple[float, float]
    repeats: float
    phase: float
    contrast: float


@dataclass(frozen=True)
class Scene:
    """Things in an order that means nothing, and what surrounds them."""

    things: tuple[Thing, ...]
    camera: Camera
    light: Light
    ground: Ground

    def mirrored(self) -> Scene:
        """Left and right exchanged, in all but the ground's phase, which instructions never speak of."""
        things = tuple(replace(thing, right=-thing.right, turn=-thing.turn) for thing in self.things)
        light = replace(self.light, towards=(-self.light.towards[0], *self.light.towards[1:]))
        ground = replace(self.ground, along=(-self.ground.along[0], self.ground.along[1]))
        return Scene(things, replace(self.camera, right=-self.camera.right), light, ground)

    def without(self, index: int) -> Scene:
        """The scene without one thing."""
        return replace(self, things=self.things[:index] + self.things[index + 1 :])

    def having(self, index: int, thing: Thing) -> Scene:
        """The scene with another thing at that index."""
        return replace(self, things=(*self.things[:index], thing, *self.things[index + 1 :]))

    def plus(self, index: int, thing: Thing) -> Scene:
        """The scene with one thing more, at that index."""
        return replace(self, things=(*self.things[:index], thing, *self.things[index:]))


@dataclass(frozen=True)
class Pair:
    """One directed edit: `before` becomes `after` by `task` done to the thing number `subject`.

    `subject` counts in the scene that has the thing: `after` for an addition, `before` else. `seed` is what
    `sampling.sample` made the pair from.
    """

    before: Scene
    after: Scene
    task: Task
    subject: int
    seed: int = 0

    @property
    def full(self) -> Scene:
        """The scene that has the subject: `after` for an addition, `before` else."""
        return self.after if self.task == "add" else self.before

    @property
    def thing(self) -> Thing:
        """The subject, as the instruction speaks of it: before the edit, or as it is added."""
        return self.full.things[self.subject]

    @property
    def result(self) -> Thing | None:
        """The subject after the edit; None where it was removed."""
        return None if self.task == "remove" else self.after.things[self.subject]

    @property
    def index_before(self) -> int | None:
        """Where the subject is in `before`; None where it is not."""
        return None if self.task == "add" else self.subject

    @property
    def index_after(self) -> int | None:
        """Where the subject is in `after`; None where it is not."""
        return None if self.task == "remove" else self.subject

    @cached_property
    def scene_id(self) -> str:
        """16 hex digits that depend on what the two scenes hold, and are those of the reversed pair."""
        return _identity(*sorted((repr(self.before), repr(self.after))))

    def mirrored(self) -> Pair:
        """Left and right exchanged: its pictures are those of this pair, flipped."""
        return replace(self, before=self.before.mirrored(), after=self.after.mirrored())

    def reversed(self) -> Pair:
        """The way back: removal becomes addition, replacement and recolouring run the other way."""
        return replace(self, before=self.after, after=self.before, task=BACKWARDS[self.task])


def _identity(*content: str) -> str:
    return f"{derive(0, 'high', *content):08x}{derive(0, 'low', *content):08x}"
