"""The published row: one undirected edit with both images, its instructions, its scores and where it came from.

Its Arrow schema carries the features that Hugging Face `datasets` looks for, so that images are `Image()` and a column
of nulls, or a file without rows, keeps its type.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

import pyarrow as pa

from insightedit import __version__
from insightedit.construct.work import Description, Verdict, Wording, Work
from insightedit.core.errors import InputError
from insightedit.core.image import encode_mask_png
from insightedit.core.mask import Mask
from insightedit.core.record import (
    SCHEMA_VERSION,
    Direction,
    Edit,
    Instruction,
    Judgement,
    Object,
    Photo,
    Record,
    Reject,
    Rle,
    Small,
    Task,
    arrow_schema,
)

Float = Annotated[float, pa.float32()]  # what is published needs no more digits
UNKNOWN_LICENCE = "unknown"  # said aloud, because a null licence reads as "none needed"


class Embedded(Record):
    """An image inside the row, as `datasets.Image()` stores it."""

    bytes: bytes
    path: str | None = None


class Sentence(Record):
    """One instruction and how it was verified."""

    text: str
    direction: Direction
    kind: Literal["simple", "advanced"]
    form: str
    query: str  # the description as a formula over `objects`
    picks: list[str]  # object ids that the formula selects
    n_words: Small


class Thing(Record):
    """One object of the photograph, with what the instructions say about it: enough to verify them again."""

    object_id: str
    category: str
    supercategory: str
    name: str
    detail: str
    box: list[Small]  # xyxy, half-open
    mask: Rle | None
    area: Small
    colour: str | None
    size_rank: Small | None
    across: str | None
    down: str | None


class Row(Record):
    """One undirected edit. Forward is source -> edited, reverse the way back. None = not known or not scored."""

    # ids
    edit_id: str
    image_id: str  # of the photograph
    source_cluster: str  # near-duplicates share it, and it lies in one split only
    split: str
    shard: Small  # number of the file, within its split
    schema_version: Annotated[int, pa.int16()] = SCHEMA_VERSION
    # images
    source_image: Embedded
    edited_image: Embedded
    mask: Embedded  # 8-bit PNG; white = pixels that the edit may have touched
    width: Small
    height: Small
    source_orig_width: Small
    source_orig_height: Small
    source_sha256: str
    edited_sha256: str
    phash: Annotated[int, pa.uint64()]
    # edit
    task: Task
    method: str
    object_id: str
    object_before: str
    object_after: str | None = None  # None for remove_add
    category: str
    category_after: str | None = None
    desc_before: str = ""
    desc_after: str | None = None
    look_before: str | None = None
    look_after: str | None = None
    caption_source: str = ""
    bbox_xywh: list[Small]  # of the mask, px of the stored image
    mask_area: Float  # share of the image
    border_touch: Float  # share of the box's outline where the mask meets the frame
    natural_direction: str  # which side is the real photograph: source, edited, neither
    # instructions
    instr_fwd_simple: list[str]
    instr_fwd_advanced: list[str]
    instr_rev_simple: list[str]
    instr_rev_advanced: list[str]
    instr_meta: list[Sentence]
    objects: list[Thing]
    # scores
    changed: Float | None = None  # mean absolute difference inside the mask, levels of 255
    outside_equal: bool | None = None
    outside_psnr: Float | None = None  # dB; None where bit-equal, that is infinite
    quality: Float | None = None
    residue: Float | None = None
    seam: Float | None = None
    texture: Float | None = None
    det_score: Float | None = None
    mask_score: Float | None = None
    sc_fwd_follow: Float | None = None
    sc_fwd_overedit: Float | None = None
    sc_rev_follow: Float | None = None
    sc_rev_overedit: Float | None = None
    pq_natural: Float | None = None
    pq_artifact: Float | None = None
    o_fwd: Float | None = None
    o_rev: Float | None = None
    # filters
    keep_fwd: bool
    keep_rev: bool
    reject_reasons: list[str]
    # provenance
    source_url: str
    source_dataset: str
    author: str
    license: str
    license_url: str
    seed: int
    engine: str
    code_version: str
    parents: list[str]


class FunnelLine(Record):
    """What one step was given, kept and rejected, counted in `what`."""

    step: str
    what: str  # photos | objects | edits | directed pairs
    came_in: int
    kept: int
    rejected: int
    reasons: dict[str, int] = {}  # reason -> count


# --- schema ----------------------------------------------------------------------------------------------------------

_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_VALUE_NAMES = {pa.float32(): "float32", pa.float64(): "float64"}


def published_schema(record: type[Record]) -> pa.Schema:
    """The record's Arrow schema with the `huggingface` metadata that `datasets` reads its features from."""
    schema = arrow_schema(record)
    features = {field.name: _feature(field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """An Arrow type as `datasets.Features` writes it in JSON."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": _VALUE_NAMES.get(kind, str(kind)), "_type": "Value"}


def card_features(record: type[Record]) -> list[dict[str, Any]]:
    """The features as the YAML head of a dataset card lists them (`dataset_info`)."""
    return [{"name": field.name, **_card_type(field.type)} for field in arrow_schema(record)]


def _card_type(kind: pa.DataType) -> dict[str, Any]:
    if kind == _IMAGE:
        return {"dtype": "image"}
    if pa.types.is_list(kind):
        inner = _card_type(kind.value_type)
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_card_type(field.type)} for field in kind]}
    return {"dtype": _VALUE_NAMES.get(kind, str(kind))}


ROW_SCHEMA = published_schema(Row)
REJECT_SCHEMA = published_schema(Reject)


# --- Work -> rows ----------------------------------------------------------------------------------------------------


def split_of(cluster: str, shares: dict[str, float]) -> str:
    """The split of a cluster: a hash of its name alone, so that a dataset that grows moves nothing that it had."""
    draw = int.from_bytes(hashlib.sha256(f"split:{cluster}".encode()).digest()[:8], "big") / 2**64
    for name, share in shares.items():
        draw -= share
        if draw < 0:
            return name
    return list(shares)[-1]  # the shares sum to 1 only up to rounding


def rows_of(work: Work, shares: dict[str, float]) -> tuple[list[Row], list[tuple[Edit, Reject]]]:
    """The rows of one photograph, and the edits that were judged out, each with its reject.

    An edit is published if the judge keeps a direction and that direction has an instruction.

    Raises:
        InputError: a picture that an edit names is not among the photograph's.
    """
    worded = {item.edit_id: item.instructions for item in work.value("instruct", Wording).edits}
    judged = {item.edit_id: item for item in work.value("judge", Verdict).edits}
    rows: list[Row] = []
    out: list[tuple[Edit, Reject]] = []
    for edit in work.edits:
        verdict, sentences = judged.get(edit.edit_id), worded.get(edit.edit_id, [])
        keep = {way: _keeps(verdict, way) and _says(sentences, way) for way in ("forward", "reverse")}
        if any(keep.values()) and verdict is not None:
            rows.append(_row(work, edit, sentences, verdict, keep, split_of(work.photo.cluster, shares)))
        else:
            out.append((edit, _reject(work, edit, verdict)))
    return rows, out


def _keeps(verdict: Judgement | None, way: str) -> bool:
    return verdict is not None and bool(getattr(verdict, f"keep_{way}"))


def _says(sentences: list[Instruction], way: str) -> bool:
    return any(sentence.direction == way and sentence.text.strip() for sentence in sentences)


# what a reject tells of its edit, where it is known
_SEEN = (
    "quality", "residue", "seam", "texture", "changed", "sc_fwd_follow", "sc_fwd_overedit", "sc_rev_follow",
    "sc_rev_overedit", "pq_natural", "pq_artifact", "clip_dir", "residual_det",
)  # fmt: skip


def _reject(work: Work, edit: Edit, verdict: Judgement | None) -> Reject:
    ids = {"photo_id": edit.photo_id, "object_id": edit.object_id, "edit_id": edit.edit_id, "uri": work.photo.uri}
    if verdict is None:
        return Reject(step="judge", reason="not_judged", seen="no verdict", wanted="one verdict per edit", **ids)
    if verdict.keep_forward or verdict.keep_reverse:
        return Reject(step="publish", reason="no_instruction", seen="0 in the kept direction", wanted="1", **ids)
    reasons = verdict.reasons or ["not_kept"]
    scores = {name: getattr(verdict, name, None) for name in _SEEN}
    seen = ", ".join(f"{name} {value:.3g}" for name, value in scores.items() if value is not None)
    also = f"; also {', '.join(reasons[1:])}" if reasons[1:] else ""
    return Reject(step="judge", reason=reasons[0], seen=seen + also, **ids)


def pictures_of(work: Work, edit: Edit) -> tuple[bytes, bytes]:
    """The JPEGs of an edit's two sides, source and edited.

    Raises:
        InputError: one of them is not among the photograph's pictures.
    """
    try:
        return work.picture(edit.source_sha256), work.picture(edit.edited_sha256)
    except StopIteration as error:
        raise InputError(
            f"edit {edit.edit_id} names a picture that is not there",
            f"photograph {edit.photo_id} was painted without it, or was read without its pictures",
            "Run the paint step again",
        ) from error


def _row(
    work: Work, edit: Edit, sentences: list[Instruction], verdict: Judgement, keep: dict[str, bool], split: str
) -> Row:
    source, edited = pictures_of(work, edit)
    photo, mask = work.photo, Mask.from_rle(edit.mask.model_dump())
    thing = next((thing for thing in work.objects if thing.object_id == edit.object_id), None)
    x0, y0, x1, y1 = mask.box
    return Row(
        split=split,
        shard=0,  # known when a file takes the row
        source_image=Embedded(bytes=source),
        edited_image=Embedded(bytes=edited),
        mask=Embedded(bytes=encode_mask_png(mask.full())),
        desc_before=edit.detail_before,
        desc_after=edit.detail_after or None,
        category_after=edit.category_after or None,
        caption_source=work.value("describe", Description).caption,
        bbox_xywh=[x0, y0, x1 - x0, y1 - y0],
        mask_area=mask.share,
        border_touch=mask.border_share,
        natural_direction=edit.natural,
        det_score=thing.det_score if thing else None,
        mask_score=thing.mask_score if thing else None,
        keep_fwd=keep["forward"],
        keep_rev=keep["reverse"],
        reject_reasons=verdict.reasons,
        code_version=__version__,
        objects=[_thing(item) for item in work.objects],
        **edit.model_dump(include=_SAME_IN_EDIT),
        **verdict.model_dump(include=_SAME_IN_VERDICT),
        **_words(sentences),
        **_of_photo(photo),
    )


_SAME_IN_EDIT = {
    "edit_id", "task", "method", "object_id", "object_before", "object_after", "category", "look_before", "look_after",
    "source_sha256", "edited_sha256", "seed", "engine", "parents",
}  # fmt: skip
_VIE = {
    "sc_fwd_follow", "sc_fwd_overedit", "sc_rev_follow", "sc_rev_overedit", "pq_natural", "pq_artifact",
    "o_fwd", "o_rev",
}  # fmt: skip
_SAME_IN_VERDICT = {"changed", "outside_equal", "outside_psnr", "quality", "residue", "seam", "texture"} | _VIE


def _words(sentences: list[Instruction]) -> dict[str, Any]:
    said = [sentence for sentence in sentences if sentence.text.strip()]
    lists = {
        f"instr_{short}_{kind}": [item.text for item in said if (item.direction, item.kind) == (way, kind)]
        for short, way in (("fwd", "forward"), ("rev", "reverse"))
        for kind in ("simple", "advanced")
    }
    return {**lists, "instr_meta": [Sentence(**item.model_dump()) for item in said]}


def _thing(item: Object) -> Thing:
    return Thing(**item.model_dump(include=set(Thing.model_fields)))


def _of_photo(photo: Photo) -> dict[str, Any]:
    return {
        "image_id": photo.photo_id,
        "source_cluster": photo.cluster,
        "width": photo.width,
        "height": photo.height,
        "source_orig_width": photo.orig_width,
        "source_orig_height": photo.orig_height,
        "phash": photo.phash,
        "source_url": photo.source_url,
        "source_dataset": photo.source_dataset,
        "author": photo.author,
        "license": photo.licence or UNKNOWN_LICENCE,
        "license_url": photo.licence_url,
    }
