"""What is shown to who writes and to who points back: each picture once, things in numbered frames."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
from scenery import HEIGHT, WIDTH, edit, thing

from insightedit.construct.instruct_knobs import InstructMllmKnobs
from insightedit.construct.pointing import framed, in_percent, pictured, sides_of
from insightedit.construct.work import Painting, Work
from insightedit.core.image import encode_jpeg
from insightedit.core.record import Photo, Picture

MUG = thing(0, "red mug", (10, 100, 60, 160), category="mug")


def picture(level: int) -> Picture:
    data = encode_jpeg(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    return Picture(sha256=hashlib.sha256(data).hexdigest(), jpeg=data)


def test_pictures_are_made_in_a_worker_and_an_addition_is_pointed_at_in_the_source():
    before, gone, swapped = picture(40), picture(90), picture(140)
    size = {"width": WIDTH, "height": HEIGHT, "orig_width": WIDTH, "orig_height": HEIGHT}
    edits = [
        edit(MUG, edit_id="removal").but(source_sha256=before.sha256, edited_sha256=gone.sha256),
        edit(MUG, task="replace", object_after="jug").but(source_sha256=before.sha256, edited_sha256=swapped.sha256),
    ]
    painting = Painting(photo_id="p", edits=edits, pictures=[before, gone, swapped])
    work = Work(Photo(photo_id="p", uri="p", sha256="0", phash=0, cluster="p", **size), {"paint": painting})
    frames = [(((1, (10, 10, 50, 50)),), ()), ((), ((2, (60, 60, 90, 90)),))]
    sent = (pictured, work, frames, InstructMllmKnobs(max_side_px=120))
    function, *arguments = pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own bytes
    removal, swap = function(*arguments)
    assert (removal.source.width, removal.source.height) == (120, 90)
    assert removal.forward[0] == removal.reverse[0] == removal.source == swap.source == swap.forward[1]
    assert removal.forward[1] != removal.source and swap.reverse[0] == swap.edited != swap.reverse[1]


def test_frames_leave_the_picture_alone_elsewhere_and_stay_within_it():
    image = np.full((120, 160, 3), 200, np.uint8)
    image.flags.writeable = False
    shown = framed(image, ((1, (40, 40, 240, 200)), (12, (300, 220, 320, 240))), scale=0.5)
    changed = (shown != image).any(axis=-1)  # (H, W)
    assert shown.shape == image.shape and changed[20, 60:115].all() and changed[50:95, 20].all(), "its frame"
    assert not changed[50:90, 50:100].any() and not changed[:15].any(), "what it frames, and what lies beyond"
    assert changed[100:, 130:].any(), "the number of what lies in the corner"


def test_a_look_is_said_where_it_is_all_that_tells_the_sides_apart():
    mug = edit(MUG, look_before="red")
    assert sides_of(mug) == (("red mug", ""), ("red mug", ""))
    painted = edit(MUG, task="replace", object_before="mug", object_after="mug", look_before="red", look_after="blue")
    assert [name for name, _ in sides_of(painted)] == ["red mug", "blue mug"]
    swapped = edit(
        MUG, task="replace", object_before="mug", object_after="jug", look_before="red", detail_after="A jug."
    )
    assert sides_of(swapped) == (("mug", ""), ("jug", "A jug."))


def test_places_are_said_in_per_cent_of_the_picture():
    assert in_percent(MUG, (240, 200)) == "left 4, top 50, right 25, bottom 80"
