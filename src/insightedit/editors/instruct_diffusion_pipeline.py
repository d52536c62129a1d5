"""The stock InstructPix2Pix pipeline with its unguided row given the words; see `instruct_diffusion`. Needs torch."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusionInstructPix2PixPipeline


class InstructDiffusionPipeline(StableDiffusionInstructPix2PixPipeline):
    """Rows (words, picture), ("", picture), (words, nothing) instead of the last being ("", nothing)."""

    def _encode_prompt(self, *arguments: Any, **named: Any) -> torch.Tensor:
        rows = super()._encode_prompt(*arguments, **named)  # (3B, 77, C): words, "", ""
        if not self.do_classifier_free_guidance:
            return rows
        words, nothing, _ = rows.chunk(3)
        return torch.cat([words, nothing, words])
