"""The editors by name, imported when asked for."""

from __future__ import annotations

from typing import Any

from insightedit.core.lookup import pick
from insightedit.editors.editor import Editor

EDITORS = {
    "scenes": "insightedit.editors.scenes:Scenes",  # the small model that comes along
    "insightedit": "insightedit.editors.insightedit:InsightEdit",
    "smartedit": "insightedit.editors.insightedit:SmartEdit",
    "instruct_pix2pix": "insightedit.editors.instruct_pix2pix:InstructPix2Pix",
    "magicbrush": "insightedit.editors.instruct_pix2pix:MagicBrush",
    "instruct_diffusion": "insightedit.editors.instruct_diffusion:InstructDiffusion",
    "mgie": "insightedit.editors.mgie:MGIE",
    "diffusers": "insightedit.editors.any_pipeline:AnyPipeline",
    "command": "insightedit.editors.command:Command",
    "identity": "insightedit.editors.identity:Identity",  # the floor that every editor must beat
}


def make(name: str, **values: Any) -> Editor:
    """The editor of that name with its defaults, but for `values`. Nothing is loaded yet.

    Raises:
        UnknownName: no such editor; the nearest is suggested.
        ConfigError: an unknown setting (with a suggestion) or a wrong value.
    """
    editor: type[Editor] = pick(EDITORS, name, "editor")
    return editor(**values)
