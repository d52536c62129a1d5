"""FLUX.1 Fill [dev] (Black Forest Labs, 2024): a rectified flow that reads the masked picture and the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.stock import PipelinePainter, PipelineSettings


class FluxFillSettings(PipelineSettings):
    """The model card's: guidance 30 (distilled into the network), 50 steps, sides multiples of 16.

    `max_tokens` is the longest prompt of its T5.
    """

    model: str | None = "black-forest-labs/FLUX.1-Fill-dev"
    side: int = Field(default=1024, ge=64, le=4096)
    multiple: int = Field(default=16, ge=16, le=256, multiple_of=16)
    guidance: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    max_tokens: int = Field(default=512, ge=1, le=512)


class FluxFill(PipelinePainter):
    """Gated weights of a non-commercial licence: `hf auth login` first. It knows no negative prompt."""

    name = "flux_fill"
    Settings = FluxFillSettings
    settings: FluxFillSettings
    pipeline_name = "FluxFillPipeline"
    takes_negative = False

    def _arguments(self, canvases: Sequence[Canvas]) -> dict[str, Any]:
        return super()._arguments(canvases) | {"max_sequence_length": self.settings.max_tokens}
