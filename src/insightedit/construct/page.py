"""The static page of a dataset: a fair sample of its edits and of what was left out. No request leaves the folder.

The sample is the smallest hashes of the ids seen so far, so it is drawn while rows stream by, any row has the same
chance, and the same dataset gives the same page.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from insightedit import __version__
from insightedit.construct.grammar import looks_in, without_look
from insightedit.construct.row import FunnelLine, Row
from insightedit.construct.tally import SCORES, Tally
from insightedit.core.files import write_text
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.core.page import filled, outline
from insightedit.core.record import Edit, Reject

SIDE = 1024  # px, longer side of an edit's pictures
REJECT_SIDE = 480
REJECTS = 40  # shown at most, in turn from every reason
PER_REASON = 8
REASON_KINDS = 200  # reasons beyond these are counted in the funnel but not shown
MARK = '<meta name="generator" content="insightedit">'  # by which `publish` knows its own page again


@dataclass
class Draw:
    """The `size` items with the smallest hashes of their keys."""

    size: int
    _heap: list[tuple[int, int, Any]] = field(default_factory=list)  # the largest hash on top
    _offered: int = 0  # breaks ties between equal keys, so that items are never compared

    def offer(self, key: str, make: Callable[[], Any]) -> Any | None:
        """Take `make()` if the key is drawn; what had to leave for it, if anything did."""
        rank = -int.from_bytes(hashlib.sha256(f"page:{key}".encode()).digest()[:8], "big")
        if self.size <= 0 or (len(self._heap) >= self.size and rank <= self._heap[0][0]):
            return None
        self._offered += 1
        entry = (rank, -self._offered, make())
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
            return None
        return heapq.heappushpop(self._heap, entry)[2]

    def items(self) -> list[Any]:
        """What was drawn, smallest hash first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]


@dataclass
class Gallery:
    """Collects what the page shows; its pictures go to `folder` as they are drawn."""

    folder: Path
    edits: int

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._edits = Draw(self.edits)
        self._rejects: dict[tuple[str, str], Draw] = {}

    def offer(self, row: Row) -> None:
        """Show this row, perhaps."""
        left = self._edits.offer(row.edit_id, lambda: self._edit(row))
        if left:
            self._forget(left)

    def offer_reject(self, reject: Reject, edit: Edit | None = None, sides: Sequence[bytes] = ()) -> None:
        """Show this reject, perhaps; with small pictures if it is an edit that was judged out."""
        kind = (reject.step, reject.reason)
        if kind not in self._rejects and len(self._rejects) >= REASON_KINDS:
            return
        draw = self._rejects.setdefault(kind, Draw(PER_REASON))
        key = reject.edit_id or reject.object_id or reject.photo_id or reject.uri
        left = draw.offer(key, lambda: self._reject(reject, edit, sides))
        if left:
            self._forget(left)

    def shown(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The drawn edits, and rejects in turn from every reason; the pictures of others are removed."""
        queues = [draw.items() for _, draw in sorted(self._rejects.items())]
        turns = [queue[turn] for turn in range(PER_REASON) for queue in queues if turn < len(queue)]
        edits, rejects = self._edits.items(), turns[:REJECTS]
        named = {name for item in (*edits, *rejects) for name in item["images"]}
        for path in self.folder.glob("*.jpg"):
            if path.name not in named:
                path.unlink()
        return edits, rejects

    def _forget(self, left: dict[str, Any]) -> None:
        """Remove the pictures of an item that left, unless another one shows them too."""
        drawn = [item for draw in (self._edits, *self._rejects.values()) for item in draw.items()]
        kept = {name for item in drawn for name in item["images"]}
        for name in left["images"]:
            if name not in kept:
                (self.folder / name).unlink(missing_ok=True)

    def _picture(self, jpeg: bytes, sha256: str, side: int) -> tuple[str, int, int]:
        """Store a small copy under the name of its content; name, width, height."""
        image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
        image.thumbnail((side, side), reducing_gap=1.0)  # the decoder itself halves, several times faster than a resize
        name = f"{re.sub('[^0-9a-f]', '', sha256)[:16]}-{side}.jpg"
        if not (self.folder / name).exists():  # edits of one photograph share its source
            image.save(self.folder / name, "JPEG", quality=85)
        return name, image.width, image.height

    def _edit(self, row: Row) -> dict[str, Any]:
        source, width, height = self._picture(row.source_image.bytes, row.source_sha256, SIDE)
        edited, _, _ = self._picture(row.edited_image.bytes, row.edited_sha256, SIDE)
        ways = {
            way: [item.model_dump() for item in row.instr_meta if item.direction == way]
            for way in ("forward", "reverse")
        }
        same = ("edit_id", "task", "method", "split", "category", "author", "license", "source_dataset", "engine")
        scores = {name: value for name in SCORES if (value := getattr(row, name, None)) is not None}
        return {
            **{name: getattr(row, name) for name in same},
            "images": [source, edited],
            "size": [width, height],
            "stored": [row.width, row.height],
            "outline": outline(decode_own(row.mask.bytes) > 0, width, height),
            **_names(row),
            "natural": row.natural_direction,
            "keep": {"forward": row.keep_fwd, "reverse": row.keep_rev},
            "objects": len(row.objects),
            "scores": {name: round(value, 4) for name, value in scores.items()},
            "reasons": row.reject_reasons,
            "license_url": _web(row.license_url),
            "source_url": _web(row.source_url),
            **ways,
        }

    def _reject(self, reject: Reject, edit: Edit | None, sides: Sequence[bytes]) -> dict[str, Any]:
        shown: dict[str, Any] = {**reject.model_dump(), "images": []}
        if edit is None or len(sides) != 2:
            return shown
        source, width, height = self._picture(sides[0], edit.source_sha256, REJECT_SIDE)
        edited, _, _ = self._picture(sides[1], edit.edited_sha256, REJECT_SIDE)
        mask = Mask.from_rle(edit.mask.model_dump()).full()
        shown.update(images=[source, edited], size=[width, height], outline=outline(mask, width, height))
        shown.update(task=edit.task, method=edit.method, before=edit.object_before, after=edit.object_after or "")
        return shown


def _names(row: Row) -> dict[str, str]:
    """What each side is called: by its object, by its caption where the edit is of none; "" is nothing at all."""
    if row.task == "free":
        return {"before": row.desc_before, "after": row.desc_after or ""}
    return {
        "before": _called(row.object_before, row.look_before, row.natural_direction == "source"),
        "after": _called(row.object_after, row.look_after, False) if row.object_after else "",
    }


def _called(name: str, look: str | None, real: bool) -> str:
    """Name and look of one side; a real thing keeps the look that its name says, a painted one takes the new look."""
    if not look or (real and looks_in(name)):
        return name
    return f"{look} {without_look(name) if looks_in(name) else name}"


def _web(url: str) -> str:
    """A link that may stand on the page: nothing but http and https."""
    return url if re.match(r"https?://", url) else ""


def write_page(
    path: Path,
    folder: str,
    gallery: Gallery,
    tally: Tally,
    funnel: Sequence[FunnelLine],
    title: str,
    note: str,
    things: str = "photographs",
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        folder: name of the folder with the gallery's pictures, beside the file.
        gallery: what was drawn.
        tally: the counts of the whole dataset.
        funnel: what every step kept.
        title: heading.
        note: how it was made, in one line.
        things: what the sources are called.
    """
    edits, rejects = gallery.shown()
    data = {
        "folder": folder,
        "counts": {
            "edits": tally.rows,
            "directed pairs": tally.pairs,
            things: tally.photos,
            "simple instructions": tally.simple,
            "advanced instructions": tally.advanced,
        },
        "splits": dict(tally.splits),
        "funnel": [line.model_dump() for line in funnel],
        "edits": edits,
        "rejects": rejects,
    }
    words = {"TITLE": title, "NOTE": note, "VERSION": __version__}
    write_text(path, filled(Path(__file__).with_name("page.html"), words, data, MARK))
