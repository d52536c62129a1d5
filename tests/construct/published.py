"""Small synthetic photographs with the values of all five steps, as `publish` gets them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from insightedit.construct.publish import FunnelLine, Published, PublishKnobs, publish
from insightedit.construct.work import Description, Painting, Segmentation, Verdict, Worded, Wording, Work
from insightedit.core.image import encode_jpeg
from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Instruction, Judgement, Object, Photo, Picture, Reject, Rle

WIDTH, HEIGHT = 230, 170  # no multiples of the JPEG block, so that the rim of the frame is tried too
KINDS = (("remove_add", "removal"), ("replace", "recolour"), ("replace", "transplant"))


def work_of(seed: int, *, kept: bool = True, licence: str = "CC BY 4.0", name: str = "", author: str = "Ann") -> Work:
    """One photograph with three edits; the last one is judged out, or all of them if not `kept`."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (6, 8, 3), dtype=np.uint8)
    source = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    photo_id = hashlib.sha256(f"photo {seed}".encode()).hexdigest()[:16]
    photo = Photo(
        photo_id=photo_id, uri=f"album/{seed}.jpg", sha256="0" * 64, phash=2**64 - 1 - seed, cluster=photo_id,
        width=WIDTH, height=HEIGHT, orig_width=2 * WIDTH, orig_height=2 * HEIGHT, author=author, licence=licence,
        licence_url="https://creativecommons.org/licenses/by/4.0/" if licence else "", source_dataset="synthetic",
    )  # fmt: skip
    names = ["wine bottle", "cup", "lamp"]
    edits, pictures, things = [], {_sha(encode_jpeg(source)): encode_jpeg(source)}, []
    for index, (task, method) in enumerate(KINDS):
        mask = _mask(rng, index)
        things.append(_thing(photo_id, index, name or names[index], mask))
        edit, jpeg = _edit(photo, things[-1], task, method, source, mask, rng)
        edits.append(edit)
        pictures[edit.edited_sha256] = jpeg
    judged = [_judged(edit, kept and index < 2, rng) for index, edit in enumerate(edits)]
    work = Work(photo, {"describe": Description(photo_id=photo_id, caption="things on a table", objects=things)})
    work = work.with_value("segment", Segmentation(photo_id=photo_id, objects=things))
    held = [Picture(sha256=sha, jpeg=jpeg) for sha, jpeg in pictures.items()]
    work = work.with_value("paint", Painting(photo_id=photo_id, edits=edits, pictures=held))
    worded = [Worded(edit_id=edit.edit_id, instructions=_sentences(edit)) for edit in edits]
    work = work.with_value("instruct", Wording(photo_id=photo_id, edits=worded))
    return work.with_value("judge", Verdict(photo_id=photo_id, edits=judged))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _mask(rng: np.random.Generator, index: int) -> np.ndarray:
    full = np.zeros((HEIGHT, WIDTH), np.uint8)
    centre = (40 + 70 * index, int(rng.integers(40, HEIGHT - 20)))
    cv2.ellipse(full, centre, (int(rng.integers(15, 35)), int(rng.integers(15, 40))), 20, 0, 360, 1, -1)
    return full.astype(bool)


def _thing(photo_id: str, index: int, name: str, mask: np.ndarray) -> Object:
    found = Mask.of(mask)
    return Object(
        object_id=f"{photo_id}-{index}", category="thing", name=name, detail=f"a {name} on the table",
        box=list(found.box), mask=Rle(**found.rle()), mask_score=0.8, area=found.area, colour="red" if index else None,
    )  # fmt: skip


def _edit(
    photo: Photo, thing: Object, task: str, method: str, source: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[Edit, bytes]:
    painted = source.copy()
    painted[mask] = 255 - painted[mask] // 2 + rng.integers(0, 9, (int(mask.sum()), 3), dtype=np.uint8)
    jpeg, found = encode_jpeg(painted), Mask.of(mask)
    edit_id = _sha(f"{thing.object_id} {method}".encode())[:16]
    edit = Edit(
        edit_id=edit_id, photo_id=photo.photo_id, object_id=thing.object_id, task=task, method=method,
        natural="source", category=thing.category, object_before=thing.name,
        object_after=None if task == "remove_add" else thing.name,
        look_before="red" if method == "recolour" else None, look_after="blue" if method == "recolour" else None,
        source_sha256=_sha(encode_jpeg(source)), edited_sha256=_sha(jpeg), mask=Rle(**found.rle()),
        box=list(found.box), seed=7, engine="synthetic", hints={"far": 1.0},
    )  # fmt: skip
    return edit, jpeg


def _judged(edit: Edit, keep: bool, rng: np.random.Generator) -> Judgement:
    quality = float(rng.uniform(0.5, 1.0)) if keep else 0.2
    reasons = [] if keep else ["low_quality"]
    return Judgement(
        edit_id=edit.edit_id, changed=40.0, outside_equal=True, quality=quality, residue=0.1,
        keep_forward=keep, keep_reverse=keep and edit.method != "transplant", reasons=reasons,
    )  # fmt: skip


def _sentences(edit: Edit) -> list[Instruction]:
    simple = {"forward": f"Take away the {edit.object_before}", "reverse": f"Put a {edit.object_before} back"}
    picks = [edit.object_id]
    return [
        item
        for way in ("forward", "reverse")
        for item in (
            Instruction(text=simple[way], direction=way, kind="simple", form="template", n_words=4),
            Instruction(
                text=f"What stands left of the lamp should change, {way}", direction=way, kind="advanced",
                form="reasoning", query=f'name("{edit.object_before}")', picks=picks, n_words=9,
            ),
        )
    ]  # fmt: skip


def works(count: int = 12, **how: Any) -> Iterator[Work]:
    """That many photographs."""
    return (work_of(seed, **how) for seed in range(count))


REJECTS = [
    Reject(step="read", reason="too_small", uri="album/tiny.jpg", seen="90 x 60", wanted="a shorter side of 200 px"),
    Reject(step="segment", reason="no_mask", photo_id="p", object_id="o", seen="score 0.1", wanted="at least 0.3"),
]
FUNNEL = [
    FunnelLine(step="read", what="photos", came_in=13, kept=12, rejected=1, reasons={"too_small": 1}),
    FunnelLine(step="judge", what="directed pairs", came_in=72, kept=48, rejected=24, reasons={"low_quality": 24}),
]


def publish_small(out: Path, count: int = 12, **how: Any) -> Published:
    """Publish that many photographs into `out`; half of the clusters in train, so that all splits have rows."""
    knobs = PublishKnobs(
        name=str(out / "dataset"), splits={"train": 0.5, "validation": 0.25, "test": 0.25}, rows_per_file=7
    )
    return publish(works(count, **how), REJECTS, FUNNEL, knobs, out, "offline", 0, "0123456789ab")
