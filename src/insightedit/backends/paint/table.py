"""The painters by name; a module is imported when one of its names is asked for."""

from __future__ import annotations

from typing import Any

from insightedit.backends.paint.painter import Painter
from insightedit.core.lookup import pick

PAINT = "insightedit.backends.paint"

PAINTERS: dict[str, str] = {
    "powerpaint_v1": f"{PAINT}.powerpaint:PowerPaintV1",
    "powerpaint_v2": f"{PAINT}.powerpaint:PowerPaintV2",
    "brushnet": f"{PAINT}.brushnet_painter:BrushNetPainter",
    "sd_inpaint": f"{PAINT}.stock:StableDiffusionInpaint",
    "sdxl_inpaint": f"{PAINT}.stock:StableDiffusionXLInpaint",
    "blended": f"{PAINT}.blended:BlendedLatentDiffusion",
    "flux_fill": f"{PAINT}.flux_fill:FluxFill",
    "qwen_edit": f"{PAINT}.qwen_edit:QwenEdit",
    "lama": f"{PAINT}.lama:LaMa",
    "diffusers": f"{PAINT}.stock:AnyInpaint",
}


def make(name: str, **values: Any) -> Painter:
    """A painter by name, not yet loaded.

    Args:
        name: a key of `PAINTERS`.
        values: its settings.

    Raises:
        UnknownName: no painter of that name.
        ConfigError: an unknown setting or a value of the wrong kind.
    """
    painter: Painter = pick(PAINTERS, name, "painter")(**values)
    return painter
