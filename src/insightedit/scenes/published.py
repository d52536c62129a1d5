"""Scenes as rows of a published dataset: verifying an instruction from its row alone, and getting the scene back.

The row says what it holds: `objects[].detail` and `desc_after` are things as text (`formula.Seen`),
`instr_meta[].query` is "scenes: " and a formula, `seed` is the seed of the pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insightedit.core.errors import InputError
from insightedit.scenes.formula import parse, read_seen, selects
from insightedit.scenes.sampling import sample
from insightedit.scenes.scene import Pair

LANGUAGE = "scenes"
ENGINE = "insightedit scenes 1"  # the number grows when a seed means another scene, or a scene other pixels


def unverified(row: Mapping[str, Any], formula: str, direction: str) -> str | None:
    """Why an instruction of a published row does not pick out the edited thing, or None.

    Args:
        row: as read from parquet.
        formula: of the instruction, without "scenes: ".
        direction: "forward" or "reverse".
    """
    try:
        things = [read_seen(thing["detail"]) for thing in row["objects"]]
        subject = [thing["object_id"] for thing in row["objects"]].index(row["object_id"])
        if direction == "reverse" and row["task"] == "replace":
            things[subject] = read_seen(row["desc_after"])
        adding = direction == "reverse" and row["task"] == "remove_add"
        holds = selects(parse(formula), things, subject, adding)
    except (ValueError, KeyError, TypeError) as error:
        return f"cannot be evaluated: {str(error)[:120]}"
    return None if holds else f"{formula} does not pick {row['object_id']}"


def pair_of(row: Mapping[str, Any]) -> Pair:
    """The pair that a published row shows, read forward; `reversed()` is the other direction.

    Raises:
        InputError: the row is not of rendered scenes, or of a version that drew other ones.
    """
    if row["engine"] == ENGINE:
        pair = sample(int(row["seed"]))
        if pair.scene_id == row["image_id"]:
            return pair
    raise InputError(
        f"row {row['edit_id']} is no scene that can be drawn again",
        f"its engine is '{row['engine']}' and its seed {row['seed']}",
        f"Use rows of this version ('{ENGINE}'), or run `insightedit scenes` again",
    )
