"""The three stages as a table: which groups learn, which losses count, whether the UNet is fed the image stream.

SmartEdit trains Q-Former and new rows on captions, then the UNet and LoRA, then BIM. InsightEdit's paper names three
stages without their contents; that its Mapper joins in the second and its head and K/V in the third is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage. `groups` of `model.editor.GROUPS`; `losses` of `InsightEdit.forward` with their weights, beside which
    a run may weigh others.
    """

    groups: tuple[str, ...]
    losses: dict[str, float]
    image_stream: bool = False


STAGES = {
    # Ours, for models that start from nothing: what is asked and where, before any picture is painted
    "comprehend": Stage(
        ("new_rows", "qformer", "bim", "mapper"),
        {"language": 1.0, "answer": 1.0, "mask": 1.0, "image": 1.0},
    ),
    "align": Stage(("new_rows", "qformer"), {"language": 1.0, "caption": 1.0}),
    "image_align": Stage(
        ("new_rows", "lora", "qformer", "mapper", "unet"), {"language": 1.0, "diffusion": 1.0, "image": 1.0}
    ),
    "joint": Stage(
        ("new_rows", "lora", "qformer", "bim", "mapper", "image_head", "image_attention", "unet"),
        {"language": 1.0, "diffusion": 1.0, "image": 1.0},
        image_stream=True,
    ),
}
