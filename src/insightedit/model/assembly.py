"""Configuration -> modules: every part of a preset, with random weights or on the meta device."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from diffusers import UNet2DConditionModel

from insightedit.model.bridging import Bridge
from insightedit.model.codec import Codec
from insightedit.model.comprehension import Comprehension
from insightedit.model.config import InsightEditConfig
from insightedit.model.generation import ImageAttention, build_unet, build_vae, cross_attentions


@dataclass
class Parts:
    """The components of the model; `image_attention` is None where the image branch is off."""

    comprehension: Comprehension
    bridge: Bridge
    image_attention: ImageAttention | None
    unet: UNet2DConditionModel
    vae: Codec


def assemble(config: InsightEditConfig) -> Parts:
    """Build all parts. Within `torch.device("meta")` nothing is allocated: 13B takes a second."""
    unet = build_unet(config.unet)
    return Parts(
        comprehension=Comprehension(
            asdict(config.language),
            asdict(config.vision),
            config.projector_depth,
            asdict(config.lora),
            asdict(config.prompt),
        ),
        bridge=Bridge(
            language_width=config.language.width,
            vision_width=config.vision.width,
            context=config.unet.context,
            channels=config.unet.channels[0],
            qformer_config=asdict(config.qformer),
            bim_config=asdict(config.bim),
            iaa_config=None if config.iaa is None else asdict(config.iaa),
        ),
        image_attention=None if config.iaa is None else _image_attention(unet, config.iaa.tokens, config.unet.context),
        unet=unet,
        vae=build_vae(config.vae, config.unet.latent_channels),
    )


def _image_attention(unet: UNet2DConditionModel, tokens: int, context: int) -> ImageAttention:
    attention = ImageAttention(tuple(cross_attentions(unet).values()), context, tokens)
    attention.start_silent(unet)
    return attention
