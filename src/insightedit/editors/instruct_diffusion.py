"""InstructDiffusion (Geng et al., CVPR 2024): InstructPix2Pix's network under another guidance.

Its sampler guides by   0.5 (e_I + e_T) + T (e_TI - e_I) + I (e_TI - e_T)
with e_I: picture only, e_T: words only, e_TI: both. Collected by terms this is
                        e_T + (T + I) (e_TI - e_I) + (I + 0.5) (e_I - e_T) ,
the stock InstructPix2Pix loop at scales T + I and I + 0.5 whose unguided row has the words.
`tests/editors/test_instruct_diffusion.py` checks it in float64.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from insightedit.editors import sizes
from insightedit.editors.diffusion import Scale
from insightedit.editors.instruct_pix2pix import InstructPix2Pix, InstructPix2PixSettings


class InstructDiffusionSettings(InstructPix2PixSettings):
    """Defaults of the authors' command line: 100 steps, text 5.0, image 1.25."""

    model: str | None = None
    text_guidance_scale: Annotated[Scale, Field(gt=0.5)] = (
        5.0  # with image >= 0.5 the stock loop's scales are > 1, >= 1
    )
    image_guidance_scale: Annotated[Scale, Field(ge=0.5)] = 1.25


class InstructDiffusion(InstructPix2Pix):
    """Same network and size rule as InstructPix2Pix; the result goes back by `ImageOps.fit`, as the authors do."""

    name = "instruct_diffusion"
    size_rule = "longer side about 512 px, sides multiples of 64 (fit), result fitted back"
    no_model = (
        "Convert the authors' .ckpt (`insightedit convert instruct-diffusion --from FILE --to FOLDER`), "
        "then --model FOLDER"
    )
    Settings = InstructDiffusionSettings

    def _pipeline(self) -> type[Any]:
        from insightedit.editors.instruct_diffusion_pipeline import InstructDiffusionPipeline

        return InstructDiffusionPipeline

    def _scales(self) -> tuple[float, float]:
        text, image = self.settings.text_guidance_scale, self.settings.image_guidance_scale
        return text + image, image + 0.5

    def _back(self, edited: np.ndarray, size: sizes.Size) -> np.ndarray:
        return sizes.fit(edited, size)
