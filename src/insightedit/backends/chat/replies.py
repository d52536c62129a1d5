"""What each prompt's reply holds. Descriptions are sent with the schema: they speak to the model.

Only what makes a reply unusable as a whole is refused here. Whether one object of a list or one wording is good enough
is for the step to say (`Thing.fault`, `words`), so that one of them can be left out without losing the others.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST_NAME, LONGEST_DETAIL = 6, 49  # words


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return " ".join(text.split())


def _within(most: int) -> AfterValidator:
    def check(score: float) -> float:
        if not 0 <= score <= most:
            raise ValueError(f"must be from 0 to {most}")
        return score

    return AfterValidator(check)


Line = Annotated[str, AfterValidator(_filled)]  # one line, not empty


class Reply(BaseModel):
    """Base of all replies: types as written ("0" is no bool)."""

    model_config = ConfigDict(frozen=True, strict=True)


class Thing(Reply):
    """One object."""

    category: Line = Field(description="singular noun, such as 'bottle'")
    name: Line = Field(description="short caption of 1 to 6 words without article or parentheses")
    detail: Line = Field(description="detailed caption: look, material, place; fewer than 50 words")
    reason: str = Field(description="why it can or cannot be removed or replaced")
    removable: bool
    replaceable: bool

    @property
    def fault(self) -> str:
        """Why this object cannot be used, as a word for the funnel; "" where it can."""
        if any(mark in self.name for mark in "()[]{}"):
            return "parentheses_in_name"
        if words(self.name) > LONGEST_NAME:
            return "name_too_long"
        return "detail_too_long" if words(self.detail) > LONGEST_DETAIL else ""


class Described(Reply):
    """An image and its objects."""

    caption: Line = Field(description="one or two sentences about the whole image")
    objects: list[Thing]


class Caption(Reply):
    """An image in words."""

    caption: Line


class Extracted(Reply):
    """The objects that a caption speaks of."""

    objects: list[Thing]


class Target(Reply):
    """Something that could stand in an object's place."""

    name: Line = Field(description="short caption of 1 to 6 words without article or parentheses")
    detail: Line = Field(description="how it looks in this image; fewer than 50 words")
    reason: str = Field(description="why it fits the place, its size and the light")


class Targets(Reply):
    """What could replace an object, the best first."""

    targets: list[Target]


Says = Literal[
    "name", "kind", "use", "colour", "left_of", "right_of", "above", "below", "inside", "on", "between", "nearest_to",
    "leftmost", "rightmost", "highest", "lowest", "largest", "smallest", "tallest",
    "at_left", "at_right", "at_top", "at_bottom", "in_middle",
    "nth_from_left", "nth_from_right", "nth_from_top", "nth_from_bottom", "one_of", "other",
]  # fmt: skip


class Clue(Reply):
    """One thing that an instruction says of the object that it means, so that it can be measured."""

    says: Says = Field(
        description="left_of ... nearest_to: how it lies to `others`; leftmost ... tallest: first among its group; "
        "at_left ... in_middle: its part of the image; nth_from_...: its number in a row; one_of: how many there are"
    )
    others: list[int] = Field(description="numbers of the listed objects that it is compared with; empty if none")
    word: str = Field(description="the name, kind, use or colour as written; of a group, a row or a number, its noun")
    count: int = Field(description="nth_from_...: which one, from 1; one_of: how many; otherwise 0")


class Sentence(Reply):
    """One instruction and what it says of its object."""

    text: Line
    clues: list[Clue] = Field(description="all that it says to tell its object from the others")


class Wordings(Reply):
    """Instructions for one direction of an edit."""

    simple: list[Sentence] = Field(description="direct commands")
    advanced: list[Sentence] = Field(description="wordings that take understanding to follow")


class Instructed(Reply):
    """Instructions for both directions of an edit."""

    forward: Wordings = Field(description="from the first image to the second")
    reverse: Wordings = Field(description="from the second image to the first")


class PointedBack(Reply):
    """Which of the numbered objects an instruction means."""

    reason: str = Field(description="one sentence")
    numbers: list[int] = Field(description="every object that it could mean; empty if none")


class Rewritten(Reply):
    """A better instruction."""

    instruction: Sentence


class Consistency(Reply):
    """VIEScore's semantic consistency, 0 to 10."""

    reasoning: str
    instruction_followed: Annotated[float, _within(10)]
    nothing_else_changed: Annotated[float, _within(10)]


class Consistency5(Consistency):
    """Semantic consistency, 0 to 5."""

    instruction_followed: Annotated[float, _within(5)]
    nothing_else_changed: Annotated[float, _within(5)]


class Quality(Reply):
    """VIEScore's perceptual quality, 0 to 10."""

    reasoning: str
    naturalness: Annotated[float, _within(10)]
    freedom_from_artifacts: Annotated[float, _within(10)]


class Quality5(Quality):
    """Perceptual quality, 0 to 5."""

    naturalness: Annotated[float, _within(5)]
    freedom_from_artifacts: Annotated[float, _within(5)]


class Triple(Reply):
    """An edit in words."""

    number: int = Field(description="of the caption")
    instruction: Line
    edited_caption: Line


class Triples(Reply):
    """One edit for each caption."""

    triples: list[Triple]


REPLIES: dict[str, type[Reply]] = {  # prompt -> its reply
    "describe": Described,
    "caption": Caption,
    "extract": Extracted,
    "targets": Targets,
    "instruct_remove": Instructed,
    "instruct_replace": Instructed,
    "point_back": PointedBack,
    "point_back_added": PointedBack,
    "rewrite": Rewritten,
    "sc": Consistency,
    "pq": Quality,
    "triples": Triples,
}
ON_FIVE: dict[str, type[Reply]] = {"sc": Consistency5, "pq": Quality5}  # the paper's variant, 0 to 5


def words(text: str) -> int:
    """How many words a text has, counted at blanks."""
    return len(text.split())
