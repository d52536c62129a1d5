"""The records that jobs and steps hand on: photo, object, edit, instruction, reject. Their one Arrow schema is theirs.

A record is a frozen pydantic model; `arrow_schema` turns its annotations into Arrow types, so a column exists in one
place only. Units: px of the working image, boxes xyxy half-open, shares 0..1, None = not known or not scored.
"""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1

Small = Annotated[int, pa.int32()]
# 64 bits, so that a value read back is the value that was written: a resumed run must decide as an unbroken one does
Float = Annotated[float, pa.float64()]
Task = Literal["remove_add", "replace", "free"]  # free: of no object that could be named
Direction = Literal["forward", "reverse"]


class Record(BaseModel):
    """Base of all records: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    heavy: ClassVar[frozenset[str]] = frozenset()  # fields that a reader may leave out: encoded images

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return self.model_copy(update=changes)


class Reject(Record):
    """Something that was left out: where, why, and how far off. Kept, counted, never swallowed."""

    step: str
    reason: str
    photo_id: str = ""
    object_id: str = ""
    edit_id: str = ""
    uri: str = ""
    seen: str = ""
    wanted: str = ""


class Rle(Record):
    """COCO run-length code of a mask."""

    size: list[Small]  # [height, width]
    counts: str


class Note(Record):
    """One object as somebody annotated it, in px of the annotated frame (`Photo.note_width` x `note_height`)."""

    note_id: str
    category: str
    supercategory: str = ""
    name: str = ""
    detail: str = ""
    box: list[Float] = []  # xyxy, empty where none was given
    polygons: list[list[Float]] = []
    rle: Rle | None = None
    is_crowd: bool = False


class Photo(Record):
    """A photograph: where its bytes are, what it is, whose it is, and what somebody noted about it."""

    photo_id: str  # first 16 hex digits of the SHA-256 of the file
    uri: str  # place below the source's root; "#" parts address a member of a tar or parquet file
    sha256: str
    phash: Annotated[int, pa.uint64()]
    cluster: str  # near-duplicates share it: the smallest photo_id among them
    width: Small  # working size, upright
    height: Small
    orig_width: Small
    orig_height: Small
    author: str = ""
    licence: str = ""
    licence_url: str = ""
    source_url: str = ""
    source_dataset: str = ""
    caption: str = ""
    note_width: Small = 0
    note_height: Small = 0
    notes: list[Note] = []


class Replacement(Record):
    """What could stand in an object's place, as somebody who looked at the photograph proposes."""

    name: str  # short caption without article
    detail: str = ""  # how it would look there


class Object(Record):
    """A thing in a photograph: what it is called, where it is, what it looks like."""

    object_id: str
    category: str
    supercategory: str = ""
    name: str  # short caption without article, "wine bottle"
    detail: str = ""  # detailed caption
    box: list[Small]  # xyxy; empty where it is only named, until `segment` finds it
    mask: Rle | None = None
    mask_from: str = ""  # polygon | rle | box | network
    mask_score: Float | None = None
    det_score: Float | None = None  # of the detector that found it by its name, 0..1
    rim: Float | None = None  # how well the mask's border separates two colour distributions, 0..1
    area: Small = 0
    colour: str | None = None
    colour_share: Float | None = None
    size_rank: Small | None = None  # 1 = largest of the photo's objects; None where a near tie makes it doubtful
    across: Literal["left", "middle", "right"] | None = None
    down: Literal["top", "middle", "bottom"] | None = None
    removable: bool = True
    replaceable: bool = True
    unfit_because: str = ""
    targets: list[Replacement] = []  # the most believable first


class Instruction(Record):
    """One sentence for one direction of an edit, and how it was verified."""

    text: str
    direction: Direction
    kind: Literal["simple", "advanced"]
    form: str  # the pattern it came from: template, description, question, reasoning
    query: str = ""  # the description as a formula over objects, see construct/referring.py
    picks: list[str] = []  # object ids that the formula selects: exactly the edited one, or it is not written
    n_words: Small = 0


class Picture(Record):
    """An encoded image, addressed by its content."""

    sha256: str
    jpeg: bytes


class Edit(Record):
    """One undirected edit: two images that differ inside a mask. Forward is source -> edited, reverse the way back."""

    edit_id: str
    photo_id: str
    object_id: str  # "" where the task is free
    task: Task
    method: str  # removal | recolour | material | transplant | replacement | composed | prompt_to_prompt
    natural: Literal["source", "edited", "neither"]  # which side is the real photograph
    category: str
    category_after: str = ""
    object_before: str  # short names without article and without `look`; "" where the task is free
    object_after: str | None = None  # None for remove_add
    detail_before: str = ""  # of the object; of the whole picture where the task is free
    detail_after: str = ""
    look_before: str | None = None  # the adjective that tells the two sides apart: a colour or a material
    look_after: str | None = None
    source_sha256: str
    edited_sha256: str
    mask: Rle  # feathered mask: every pixel that the edit may have touched
    box: list[Small]  # xyxy of that mask
    mask_share: Float = 0.0
    border_share: Float = 0.0
    seed: int = 0
    engine: str = ""
    parents: list[str] = []  # the two edits that a composed one is made of
    hints: dict[str, float] = {}  # what the painter measured about its own work, for the judge


class Judgement(Record):
    """What is known about an edit's quality without asking a model. None = not scored, never guessed."""

    edit_id: str
    changed: Float | None = None  # mean absolute difference inside the mask, levels of 255
    outside_psnr: Float | None = None  # dB outside the mask (block grid); None = bit-equal, that is infinite
    outside_equal: bool | None = None
    quality: Float | None = None  # calibrated probability, 0..1, that a person calls the edit at least usable
    residue: Float | None = None  # share of ring pixels that look like the removed object, 0..1
    seam: Float | None = None
    texture: Float | None = None
    keep_forward: bool = False
    keep_reverse: bool = False
    reasons: list[str] = []


# --- Arrow -----------------------------------------------------------------------------------------------------------


def arrow_schema(record: type[BaseModel], skip: frozenset[str] = frozenset()) -> pa.Schema:
    """The Arrow schema of a record class, one field per annotation."""
    return pa.schema([pa.field(name, _arrow_type(hint)) for name, hint in _hints(record).items() if name not in skip])


def _hints(record: type[BaseModel]) -> dict[str, Any]:
    hints = typing.get_type_hints(record, include_extras=True)
    return {name: hints[name] for name in record.model_fields}


def _arrow_type(hint: Any) -> pa.DataType:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return args[1]
    if origin in (typing.Union, types.UnionType):
        return _arrow_type(next(arg for arg in args if arg is not type(None)))
    if origin is Literal:
        return pa.string()
    if origin is list:
        return pa.list_(_arrow_type(args[0]))
    if origin is dict:
        return pa.map_(_arrow_type(args[0]), _arrow_type(args[1]))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return pa.struct([pa.field(name, _arrow_type(inner)) for name, inner in _hints(hint).items()])
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bytes: pa.binary()}[hint]


def to_table(records: typing.Sequence[BaseModel], record: type[BaseModel]) -> pa.Table:
    """Records -> table under the class's own schema, so that an empty or all-null column keeps its type."""
    return pa.Table.from_pylist([_plain(item) for item in records], schema=arrow_schema(record))


def _plain(item: BaseModel) -> dict[str, Any]:
    return item.model_dump()


R = TypeVar("R", bound=BaseModel)


def from_table(table: pa.Table, record: type[R]) -> list[R]:
    """Table -> records; columns that were not read keep their defaults."""
    return [record.model_validate(_without_none(row, record)) for row in table.to_pylist(maps_as_pydicts="strict")]


def _without_none(row: dict[str, Any], record: type[BaseModel]) -> dict[str, Any]:
    """Arrow gives None for a null list; the record's default stands for it."""
    return {
        name: value for name, value in row.items() if value is not None or record.model_fields[name].default is None
    }
