"""The readers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from insightedit.core.config import validate
from insightedit.core.lookup import pick
from insightedit.datasets.example import Reader

READERS = {
    "advanced_edit": "insightedit.datasets.advanced_edit:AdvancedEdit",
    "cc12m": "insightedit.datasets.cc12m:CC12M",
    "coco_stuff": "insightedit.datasets.coco_stuff:COCOStuff",
    "grefcoco": "insightedit.datasets.grefcoco:GRefCOCO",
    "instruct_pix2pix": "insightedit.datasets.instruct_pix2pix:InstructPix2Pix",
    "llava": "insightedit.datasets.llava_instruct:LLaVAInstruct",
    "magicbrush": "insightedit.datasets.magicbrush:MagicBrush",
    "published": "insightedit.datasets.published:Published",
    "reason_edit": "insightedit.datasets.reason_edit:ReasonEdit",
    "reason_seg": "insightedit.datasets.reason_seg:ReasonSeg",
    "refcoco": "insightedit.datasets.refcoco:RefCOCO",
    "scene_captions": "insightedit.datasets.rendered:RenderedCaptions",
    "scenes": "insightedit.datasets.rendered:Rendered",
}


def reader(kind: str, knobs: Mapping[str, Any], name: str = "") -> Reader:
    """A reader, built.

    Args:
        kind: of `READERS`.
        knobs: as written in a configuration.
        name: what it is called in the mixture; the kind if it is left out.

    Raises:
        UnknownName: there is no such reader.
        ConfigError: a knob is unknown or wrong.
        InputError: the data are not there, or not as expected.
    """
    chosen = pick(READERS, kind, "reader")
    settings = validate(chosen.Knobs, dict(knobs), f"datasets.{name or kind}")
    return cast(Reader, chosen(settings, name or kind))
