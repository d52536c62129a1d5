"""Named sizes: functions in a dict, so that asking for one builds nothing else."""

from __future__ import annotations

from collections.abc import Callable

from insightedit.core.errors import UnknownName
from insightedit.core.lookup import suggest
from insightedit.model.config import (
    BimConfig,
    IaaConfig,
    InsightEditConfig,
    LanguageConfig,
    LoraConfig,
    PixelConfig,
    QFormerConfig,
    SamplingConfig,
    UNetConfig,
    VaeConfig,
    VisionConfig,
)
from insightedit.model.tokens import Prompt

LLAMA_7B = LanguageConfig()
LLAMA_13B = LanguageConfig(width=5120, layers=40, heads=40, ffn=13824)


def insightedit(language: LanguageConfig) -> InsightEditConfig:
    """LLaVA-1.5 at 336 px, 24 x 24 patches, two-layer projector; both streams. The working resolution is our choice."""
    positions = LanguageConfig(**{**vars(language), "max_positions": 4096, "norm_eps": 1e-5})
    return InsightEditConfig(language=positions, vision=VisionConfig(size=336), projector_depth=2, resolution=512)


def smartedit(language: LanguageConfig) -> InsightEditConfig:
    """LLaVA-1.1 at 224 px, 16 x 16 patches, one Linear; no image branch; pictures squashed to 256 x 256."""
    return InsightEditConfig(language=language, iaa=None, square=True)


def tiny() -> InsightEditConfig:
    """Every part, small enough for a test: 16 px patches on 64 px, widths of 16 to 64."""
    return InsightEditConfig(
        language=LanguageConfig(width=64, layers=2, heads=4, ffn=128, vocabulary=1024, max_positions=512),
        vision=VisionConfig(width=32, layers=3, heads=2, ffn=64, patch=16, size=64),
        projector_depth=2,
        lora=LoraConfig(rank=4, alpha=8),
        qformer=QFormerConfig(layers=2, width=32, heads=4, ffn=64, queries=16),
        bim=BimConfig(heads=2, ffn=64),
        iaa=IaaConfig(dim=24, width=32, layers=1, heads=2, ffn=64),
        unet=UNetConfig(channels=(32, 64), resnets=1, heads=4, context=32, groups=8),
        vae=VaeConfig(channels=(8, 8, 16, 16), resnets=1, groups=4),
        resolution=64,
    )


def scenes() -> InsightEditConfig:
    """The small model that is trained on rendered scenes and comes with the package: 64 px, pixels for latents.

    It learns everything from nothing, so its prompt is short and its UNet says the change, not the noise.
    """
    return InsightEditConfig(
        language=LanguageConfig(
            width=128, layers=3, heads=4, ffn=384, vocabulary=1024, mm_tokens=8, max_positions=256, max_text=96
        ),
        vision=VisionConfig(width=128, layers=4, heads=4, ffn=512, patch=8, size=64),
        projector_depth=2,
        qformer=QFormerConfig(layers=2, width=128, heads=4, ffn=384, queries=32, dropout=0.0),
        lora=LoraConfig(dropout=0.0),
        bim=BimConfig(heads=4, ffn=256, mask=True),
        iaa=IaaConfig(dim=128, width=128, layers=1, heads=4, ffn=256),
        unet=UNetConfig(
            channels=(64, 128), resnets=1, heads=4, context=128, groups=8, latent_channels=48, attention=(False, True)
        ),
        vae=PixelConfig(factor=4),
        prediction="residual",
        prompt=Prompt(system="", question="[cap]", answer="[img]"),
        sampling=SamplingConfig(steps=10, text_guidance=1.0, image_guidance=1.0),
        resolution=64,
        square=True,
    )


PRESETS: dict[str, Callable[[], InsightEditConfig]] = {
    "insightedit-7b": lambda: insightedit(LLAMA_7B),
    "insightedit-13b": lambda: insightedit(LLAMA_13B),
    "smartedit-7b": lambda: smartedit(LLAMA_7B),
    "smartedit-13b": lambda: smartedit(LLAMA_13B),
    "scenes": scenes,
    "tiny": tiny,
}


def preset(name: str) -> InsightEditConfig:
    """The configuration of that name.

    Raises:
        UnknownName: no such preset; the nearest is suggested.
    """
    if name not in PRESETS:
        raise UnknownName(f"no model preset '{name}'", "it is not in the table", suggest(name, PRESETS))
    return PRESETS[name]()
