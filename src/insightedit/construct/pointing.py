"""What is shown to who writes about an edit and to who points back: pictures, things by number, places in words."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from insightedit.backends.chat.images import ImagePart, encode_part
from insightedit.construct.claims import Seen
from insightedit.construct.grammar import with_look, without_look
from insightedit.construct.instruct_knobs import InstructMllmKnobs
from insightedit.construct.work import Work
from insightedit.core.image import decode_own, fit_within
from insightedit.core.record import Direction, Edit, Object

Frames = tuple[tuple[int, tuple[int, ...]], ...]  # number and box (xyxy px) of each thing that can be pointed at
INKS = ((230, 25, 75), (0, 110, 200), (40, 140, 40), (200, 90, 0), (130, 30, 160), (0, 130, 130))  # RGB of frames
LINE_PX, LETTER = 2, 0.6  # of a frame; of its number, in sizes of the font


@dataclass(frozen=True)
class Pictures:
    """An edit as it is sent: each side, and where each direction is pointed back.

    Pointing back takes two pictures, one as it is and one with numbered frames. What is to be added can be pointed at
    only where it stands already: in the source.
    """

    source: ImagePart
    edited: ImagePart
    forward: tuple[ImagePart, ImagePart]
    reverse: tuple[ImagePart, ImagePart]


def frames_of(seen: Seen) -> Frames:
    """What one direction can be pointed at: everything, but what the edit covers where it is covered."""
    gone = frozenset[str]() if seen.adding else seen.scene.hidden
    return tuple((number, tuple(thing.box)) for number, thing in seen.numbered() if thing.object_id not in gone)


def pictured(work: Work, frames: list[tuple[Frames, Frames]], knobs: InstructMllmKnobs) -> list[Pictures]:
    """Every edit of a photograph, sized and encoded. Runs in a worker: it decodes pictures.

    Args:
        work: with pictures.
        frames: of each edit, forward and reverse.
        knobs: how large.
    """
    sized: dict[str, tuple[np.ndarray, float]] = {}
    parts: dict[tuple[str, Frames], ImagePart] = {}  # edits of one photograph share its own picture

    def part(sha256: str, marks: Frames = ()) -> ImagePart:
        if sha256 not in sized:
            whole = decode_own(work.picture(sha256))  # (H, W, 3)
            small = fit_within(whole, knobs.max_side_px)
            sized[sha256] = small, small.shape[1] / whole.shape[1]
        if (sha256, marks) not in parts:
            pixels, scale = sized[sha256]
            shown = framed(pixels, marks, scale) if marks else pixels
            parts[sha256, marks] = encode_part(shown, 0, knobs.detail)
        return parts[sha256, marks]

    made: list[Pictures] = []
    for edit, (forward, reverse) in zip(work.edits, frames, strict=True):
        source, edited = edit.source_sha256, edit.edited_sha256
        there = source if edit.task == "remove_add" else edited
        made.append(
            Pictures(
                source=part(source),
                edited=part(edited),
                forward=(part(source), part(source, forward)),
                reverse=(part(there), part(there, reverse)),
            )
        )
    return made


def framed(image: np.ndarray, frames: Frames, scale: float = 1.0) -> np.ndarray:
    """A copy with a numbered frame around each box.

    Args:
        image: uint8 RGB (H, W, 3).
        frames: in px of the image before it was shrunk.
        scale: by how much it was shrunk.
    """
    canvas = np.array(image)
    height, width = canvas.shape[:2]
    for at, (number, box) in enumerate(frames):
        x0, y0, x1, y1 = (round(edge * scale) for edge in box)
        ink, text = INKS[at % len(INKS)], str(number)
        cv2.rectangle(canvas, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), ink, LINE_PX)
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, LETTER, LINE_PX)
        left, top = max(0, min(x0, width - wide - 6)), max(0, min(y0, height - high - 8))
        cv2.rectangle(canvas, (left, top), (left + wide + 5, top + high + 7), ink, cv2.FILLED)
        at_foot = (left + 3, top + high + 3)
        cv2.putText(canvas, text, at_foot, cv2.FONT_HERSHEY_SIMPLEX, LETTER, (255, 255, 255), LINE_PX, cv2.LINE_AA)
    return canvas


# --- in words --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One direction of an edit, as it is told to a model.

    Args:
        seen: what its reader sees.
        size: width and height of the pictures, px.
        name, detail: of the thing that is meant.
        deed: what is done to it.
        start: the picture that the reader sees.
        pointed: where it is pointed back: as it is, and with numbered frames.
    """

    direction: Direction
    seen: Seen
    size: tuple[int, int]
    name: str
    detail: str
    deed: str
    start: ImagePart
    pointed: tuple[ImagePart, ImagePart]

    @property
    def place(self) -> str:
        """Where the thing is."""
        return in_percent(self.seen.target, self.size)

    @property
    def objects(self) -> str:
        """All things that can be pointed at, one a line."""
        can_be = {number for number, _ in frames_of(self.seen)}
        return "\n".join(self._line(number, thing) for number, thing in self.seen.numbered() if number in can_be)

    def others(self, covered: frozenset[str] = frozenset()) -> str:
        """The things beside which the meant one can be told, one a line.

        Args:
            covered: ids of those that the second picture does not show.
        """
        ids = {thing.object_id for thing in self.seen.others}
        lines = [
            self._line(number, thing) + ("; not in the second image" if thing.object_id in covered else "")
            for number, thing in self.seen.numbered()
            if thing.object_id in ids
        ]
        return "\n".join(lines) or "none"

    def _line(self, number: int, thing: Object) -> str:
        return f"{number}. {thing.name}: {in_percent(thing, self.size)}"


def ways_of(edit: Edit, seen: tuple[Seen, Seen], pictures: Pictures) -> tuple[Way, Way]:
    """Both directions of an edit, forward first."""
    height, width = edit.mask.size
    (before, old), (after, new) = sides_of(edit)
    forth, back = "the object is removed", "the object is added; it is not in the image yet"
    if edit.task == "replace":
        becomes = (f"the object becomes: {name}. {detail}".rstrip() for name, detail in ((after, new), (before, old)))
        forth, back = becomes
    forward, reverse = seen
    return (
        Way("forward", forward, (width, height), before, old, forth, pictures.source, pictures.forward),
        Way("reverse", reverse, (width, height), after, new, back, pictures.edited, pictures.reverse),
    )


def sides_of(edit: Edit) -> tuple[tuple[str, str], tuple[str, str]]:
    """Name and detail of the edited thing in each direction's first picture; of a removal it is the same thing.

    A look is said where it is all that tells the two apart.
    """
    before, after = edit.object_before, edit.object_after or edit.object_before
    if edit.task == "remove_add":
        return (before, edit.detail_before), (before, edit.detail_before)
    if without_look(before) == without_look(after):
        before, after = with_look(before, edit.look_before), with_look(after, edit.look_after)
    return (before, edit.detail_before), (after, edit.detail_after)


def in_percent(thing: Object, size: tuple[int, int]) -> str:
    """The box of a thing, in words; `size` is width and height of the picture, px."""
    width, height = size
    x0, y0, x1, y1 = thing.box
    shares = (100 * x0 / width, 100 * y0 / height, 100 * x1 / width, 100 * y1 / height)
    return "left {:.0f}, top {:.0f}, right {:.0f}, bottom {:.0f}".format(*shares)
