"""Verifying a published instruction again, from its row alone: does its formula still pick out the edited object?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from insightedit.construct.instruct import scene_of
from insightedit.construct.referring import parse, picks
from insightedit.core.errors import InsightEditError
from insightedit.core.record import Edit, Object, Rle

# Why a formula of another language does not hold in one direction of a row, or None: (row, formula, direction).
Verifier = Callable[[Mapping[str, Any], str, str], str | None]
_LANGUAGE = re.compile(r"([a-z]+): (.*)", re.DOTALL)  # "scenes: leftmost(anything())"


def unverified(row: dict[str, Any], languages: Mapping[str, Verifier]) -> str | None:
    """Why an advanced instruction of a published row does not hold, or None.

    Sentences without a formula are passed over: another tool may have verified them another way.

    Args:
        row: as read from parquet, see `construct.row.Row`.
        languages: who verifies formulas that begin with the name of another language and a colon.
    """
    sentences = [one for one in row["instr_meta"] or () if one["kind"] == "advanced" and one["query"]]
    if not sentences:
        return None
    own = []
    for one in sentences:
        foreign = _LANGUAGE.fullmatch(one["query"])
        if not foreign:
            own.append(one)
            continue
        if foreign[1] not in languages:
            return f"nobody here reads formulas of '{foreign[1]}': {one['query'][:80]}"
        if why := languages[foreign[1]](row, foreign[2], one["direction"]):
            return f"{why[:120]}: {one['text'][:80]}"
    return _unpicked(row, own) if own else None


def _unpicked(row: dict[str, Any], sentences: list[dict[str, Any]]) -> str | None:
    """Which sentence in this package's own language of formulas does not pick the edited object."""
    try:
        objects = [_object(thing) for thing in row["objects"]]
        scenes = {way: scene_of(_edit(row), objects, way).objects for way in ("forward", "reverse")}
        for one in sentences:
            found = picks(parse(one["query"]), scenes[one["direction"]])
            if found != [row["object_id"]]:
                return f"{one['query']} picks {found or 'nothing for certain'}: {one['text'][:80]}"
    except (InsightEditError, ValidationError, ValueError, KeyError, TypeError, StopIteration) as error:
        return f"cannot be evaluated: {type(error).__name__}: {str(error)[:120]}"
    return None


def _object(thing: dict[str, Any]) -> Object:
    known = {name: thing[name] for name in Object.model_fields if thing.get(name) is not None}
    return Object.model_validate(known)


def _edit(row: dict[str, Any]) -> Edit:
    """The edit as `instruct` saw it; its mask only hides landmarks while words are chosen, so the object's will do."""
    edited = next(thing for thing in row["objects"] if thing["object_id"] == row["object_id"])
    shared = ("edit_id", "object_id", "task", "method", "category", "object_before", "look_before", "look_after")
    return Edit(
        **{name: row[name] for name in shared},
        photo_id=row["image_id"],
        natural=row["natural_direction"],
        category_after=row["category_after"] or "",
        object_after=row["object_after"],
        source_sha256=row["source_sha256"],
        edited_sha256=row["edited_sha256"],
        mask=Rle(**edited["mask"]),
        box=edited["box"],
    )
