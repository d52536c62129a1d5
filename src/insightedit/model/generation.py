"""Generation: a stock Stable Diffusion UNet with 8 input channels, spatial residual, decoupled attention, guidance.

B samples, T text and V visual tokens, C the context width, h x w latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import (
    AutoencoderKL,
    ConfigMixin,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    ModelMixin,
    SchedulerMixin,
    UNet2DConditionModel,
)
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from torch import nn

from insightedit.model.bridging import Conditions, Nulls
from insightedit.model.codec import Codec, PixelCodec
from insightedit.model.config import PixelConfig, UNetConfig, VaeConfig


def build_unet(config: UNetConfig) -> UNet2DConditionModel:
    """Stable Diffusion 1.5's UNet; attention everywhere but at the lowest resolution. Channels 4-7 are the source."""
    attends = config.attention or (True,) * (len(config.channels) - 1) + (False,)
    return UNet2DConditionModel(
        sample_size=64,
        in_channels=2 * config.latent_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.channels,
        layers_per_block=config.resnets,
        attention_head_dim=config.heads,  # diffusers' old name: for these blocks it is the number of heads
        cross_attention_dim=config.context,
        norm_num_groups=config.groups,
        down_block_types=tuple("CrossAttnDownBlock2D" if level else "DownBlock2D" for level in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if level else "UpBlock2D" for level in reversed(attends)),
    )


def build_vae(config: VaeConfig | PixelConfig, latent_channels: int = 4) -> Codec:
    """Stable Diffusion's autoencoder, frozen; or pixels."""
    if isinstance(config, PixelConfig):
        return PixelCodec(config.factor)
    levels = len(config.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.channels,
        layers_per_block=config.resnets,
        latent_channels=latent_channels,
        norm_num_groups=config.groups,
        scaling_factor=config.scaling,
        sample_size=512,
    )


def schedule(prediction: str) -> SchedulerMixin:
    """Stable Diffusion 1.5's noise schedule: Euler ancestral for "noise", as SmartEdit samples.

    A model that says the "residual" has DDIM without noise of its own, over a schedule that ends in nothing but noise
    (Lin et al. 2023): what it learned at the first step is then what it is asked there.
    """
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    if prediction == "noise":
        return EulerAncestralDiscreteScheduler(**betas, steps_offset=1)
    return DDIMScheduler(
        **betas,
        prediction_type="sample",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def cross_attentions(unet: UNet2DConditionModel) -> dict[str, int]:
    """Processor name -> width of each cross-attention, in IP-Adapter's order (down, up, mid): 16 in SD-1.5."""
    names = [name for name in unet.attn_processors if "attn2" in name]
    return {name: unet.get_submodule(name.removesuffix(".processor")).to_q.out_features for name in names}


class ImageAttention(ModelMixin, ConfigMixin):
    """The second stream of decoupled cross-attention: per layer K and V of the visual tokens (IP-Adapter).

    Its layers are diffusers' own IP-Adapter processors; `decoupled` puts them into a UNet and takes them out again, so
    the UNet on disk stays a stock one.

    Args:
        widths: of the UNet's cross-attentions, in `cross_attentions` order.
        context: C. tokens: V.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, widths: tuple[int, ...] = (320,) * 16, context: int = 768, tokens: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(IPAdapterAttnProcessor2_0(width, context, num_tokens=(tokens,)) for width in widths)

    @torch.no_grad()
    def start_silent(self, unet: UNet2DConditionModel) -> None:
        """K copied from the text stream, V zero: the model starts exactly where it is without the image branch."""
        for (k, v), name in zip(self.projections(), cross_attentions(unet), strict=True):
            k.weight.copy_(unet.get_submodule(name.removesuffix(".processor")).to_k.weight)
            v.weight.zero_()

    def projections(self) -> Iterator[tuple[nn.Linear, nn.Linear]]:
        """K and V of each layer, Linear C -> width without bias."""
        for layer in self.layers:
            yield layer.to_k_ip[0], layer.to_v_ip[0]  # type: ignore[index,misc]

    def set_scale(self, scale: float) -> None:
        """Weight of the image stream in every layer; 0 skips it."""
        for layer in self.layers:
            layer.scale = [scale]  # type: ignore[assignment]


@contextmanager
def decoupled(unet: UNet2DConditionModel, attention: ImageAttention | None, scale: float = 1.0) -> Iterator[None]:
    """Both streams in the UNet's cross-attentions, for as long as the context lasts."""
    if attention is None:
        yield
        return
    before = unet.attn_processors
    install(unet, attention)
    attention.set_scale(scale)
    try:
        yield
    finally:
        attention.set_scale(1.0)  # training may go on with the same layers
        unet.set_attn_processor(dict(before))  # it empties the dict that it gets


def install(unet: UNet2DConditionModel, attention: ImageAttention) -> None:
    """Put the image stream into the UNet for good, at weight 1, as training does."""
    attention.set_scale(1.0)
    layers = iter(attention.layers)
    processors = unet.attn_processors.items()
    unet.set_attn_processor({name: next(layers) if "attn2" in name else old for name, old in processors})


@contextmanager
def residual_after_conv_in(unet: UNet2DConditionModel, residual: torch.Tensor) -> Iterator[None]:
    """`v_t` (B, 320, h, w) on the output of the first convolution, so also on the first skip connection (SmartEdit)."""
    hook = unet.conv_in.register_forward_hook(lambda module, inputs, out: out + residual.to(out.dtype))
    try:
        yield
    finally:
        hook.remove()


def denoise(
    unet: UNet2DConditionModel, latents: torch.Tensor, source: torch.Tensor, t: torch.Tensor, conditions: Conditions
) -> torch.Tensor:
    """One prediction of the noise, nothing cached; the image stream must be installed if `conditions.image` is given.

    Noisy and source latents (B, 4, h, w), timesteps (B,) or () -> eps (B, 4, h, w).
    """
    text: object = conditions.text.to(latents.dtype)
    if conditions.image is not None:
        text = (text, [conditions.image.to(latents.dtype)])
    with residual_after_conv_in(unet, conditions.residual):
        return unet(torch.cat([latents, source], dim=1), t, encoder_hidden_states=text).sample


def guide(
    eps_full: torch.Tensor, eps_image: torch.Tensor, eps_none: torch.Tensor, text_scale: float, image_scale: float
) -> torch.Tensor:
    """Two-condition guidance, Brooks et al. (2023) eq. 3: nothing -> image -> image and words. All (B, 4, h, w)."""
    return eps_none + image_scale * (eps_image - eps_none) + text_scale * (eps_full - eps_image)


def guidance_rows(conditions: Conditions, everywhere: bool = True) -> Conditions:
    """Conditions of B samples -> of the 3 B rows [words and image, image, none] that `guide` combines.

    f_img carries the instruction, so it is hidden with the text. The spatial residual stays on all three rows as in
    SmartEdit; `everywhere=False` keeps it off the last two.
    """
    count, nulls = len(conditions.text), _nulls(conditions)
    none = nulls.text.to(conditions.text).expand(count, -1, -1)  # (B, T, C)
    residual, image = conditions.residual, conditions.image
    blank = residual if everywhere else torch.zeros_like(residual)
    if image is not None and nulls.image is not None:
        nothing = nulls.image.to(image).expand(count, -1, -1)
        image = torch.cat([image, nothing, nothing])  # (3 B, V, C)
    return Conditions(torch.cat([conditions.text, none, none]), torch.cat([residual, blank, blank]), image)


def _nulls(conditions: Conditions) -> Nulls:
    if conditions.nulls is None:
        raise ValueError("these conditions carry no nulls: nothing can be hidden from them")
    return conditions.nulls


@dataclass(frozen=True)
class DropRates:
    """How often training hides: text with f_img; text, f_img and source; the source; f_img alone."""

    text: float = 0.05
    both: float = 0.05
    image: float = 0.05
    branch: float = 0.05


@dataclass
class Drops:
    """bool (B,) each: what is hidden from a sample."""

    text: torch.Tensor
    source: torch.Tensor
    branch: torch.Tensor


def drop(conditions: Conditions, source: torch.Tensor, drops: Drops) -> tuple[Conditions, torch.Tensor]:
    """Hide conditions from samples: text becomes CLIP(""), f_img its null, source latents (B, 4, h, w) zero.

    The spatial residual is never dropped (SmartEdit).
    """
    nulls, image = _nulls(conditions), conditions.image
    text = torch.where(drops.text.view(-1, 1, 1), nulls.text.to(conditions.text), conditions.text)
    if image is not None and nulls.image is not None:
        image = torch.where(drops.branch.view(-1, 1, 1), nulls.image.to(image), image)
    kept = source.masked_fill(drops.source.view(-1, 1, 1, 1), 0)
    return Conditions(text, conditions.residual, image, conditions.embedding, nulls), kept
