"""`InsightEditPipeline`: picture and instruction in, edited picture of the same size out, the diffusers way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DiffusionPipeline,
    SchedulerMixin,
    UNet2DConditionModel,
)
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from transformers import PreTrainedTokenizerBase

from insightedit.core.errors import BackendError, InputError
from insightedit.model.assembly import assemble
from insightedit.model.bridging import Bridge, Conditions
from insightedit.model.codec import Codec, factor_of
from insightedit.model.comprehension import Comprehension
from insightedit.model.config import InsightEditConfig, SamplingConfig
from insightedit.model.generation import ImageAttention, guidance_rows, guide, schedule
from insightedit.model.pixels import pictures, source_pixels, vision_pixels, working_size
from insightedit.model.presets import preset
from insightedit.model.request import (
    Callback,
    Generators,
    Group,
    Guidance,
    Pictures,
    Settings,
    StepEnd,
    grouped,
    pair,
    per_picture,
    require,
)
from insightedit.model.sampling import keeping, plain
from insightedit.model.tokens import collate, sequence
from insightedit.model.toy_tokenizer import toy_tokenizer


@dataclass
class InsightEditOutput(BaseOutput):
    """`images`: PIL images of the sizes that came in (or arrays, tensors, latents: see `output_type`).

    `emits_mm`: per image, whether greedy decoding would emit the [MM] tokens; None unless it was asked for.
    """

    images: list[Any]
    emits_mm: list[bool] | None = None


class InsightEditPipeline(DiffusionPipeline):
    """InsightEdit, or SmartEdit where `image_attention` is None.

    Args:
        comprehension, tokenizer: the MLLM and the tokenizer of its base model.
        bridge: Q-Former, BIM, IAA.
        image_attention: the second stream of decoupled cross-attention.
        unet, vae, scheduler: stock diffusers; the UNet has 8 input channels.
        resolution: px; it works on about resolution x resolution pixels, whatever the aspect ratio.
        square: squash to a square, as SmartEdit does.
        residual: the UNet says what to add to the source latents; the scheduler's prediction_type is "sample" then.
        sampling: fields of `SamplingConfig`: steps and guidance of a call that names none.
    """

    model_cpu_offload_seq = "comprehension->bridge->unet->vae"
    _optional_components = ["image_attention"]
    _exclude_from_cpu_offload = ["image_attention"]  # small, and used inside the UNet
    _callback_tensor_inputs = ["latents"]

    def __init__(
        self,
        comprehension: Comprehension,
        tokenizer: PreTrainedTokenizerBase,
        bridge: Bridge,
        image_attention: ImageAttention | None,
        unet: UNet2DConditionModel,
        vae: Codec,
        scheduler: SchedulerMixin,
        resolution: int = 512,
        square: bool = False,
        residual: bool = False,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            comprehension=comprehension,
            tokenizer=tokenizer,
            bridge=bridge,
            image_attention=image_attention,
            unet=unet,
            vae=vae,
            scheduler=scheduler,
        )
        self.register_to_config(resolution=resolution, square=square, residual=residual)
        self.register_to_config(sampling=asdict(SamplingConfig(**(sampling or {}))))

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> InsightEditPipeline:
        """As diffusers', from a folder or hub id, but with every weight or not at all.

        Raises:
            InputError: a component's file lacks weights; diffusers would only warn and leave them empty.
        """
        pipeline = super().from_pretrained(folder, **options)
        if options.get("device_map") is None:  # which leaves weights empty on purpose
            for name, component in pipeline.components.items():
                _require_whole(name, component, folder)
        return pipeline

    @property
    def multiple(self) -> int:
        """Sides of the working picture are multiples of this: 8 px a latent, halved by the UNet three times."""
        return factor_of(self.vae) * 2 ** (len(self.unet.config.block_out_channels) - 1)

    @torch.no_grad()
    def __call__(
        self,
        image: Pictures,
        instruction: str | Sequence[str],
        *,
        num_inference_steps: int | None = None,
        text_guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        image_branch_scale: float = 1.0,
        resolution: int | None = None,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_mm: bool = False,
        keep_constants: bool = True,
    ) -> InsightEditOutput | tuple[list[Any]]:
        """Edit pictures; one picture may meet many instructions, one instruction many pictures.

        Args:
            image: PIL (EXIF orientation is applied; see-through ones are refused) or uint8 (H, W, 3), any size.
            num_inference_steps, text_guidance_scale, image_guidance_scale: s_T and s_I of `guide`; None: what the
                checkpoint's `sampling` says, which is SmartEdit's 100, 7.5 and 1.5 for all but small models.
            image_branch_scale: weight of f_img's cross-attention; 0 leaves the text stream alone.
            resolution: px, over the one of the configuration.
            generator: one, or one per picture. Pictures draw from copies: one seed, one image, alone or in a batch.
            output_type: "pil"; "np" and "pt": float [0, 1] at the working size; "latent".
            check_mm: also say whether greedy decoding would emit the [MM] tokens.
            keep_constants: False computes everything anew in every step, for tests.

        Raises:
            InputError: what was given cannot be used; no weight has moved.
            BackendError: the model gave numbers that are not finite.
        """
        steps, text, picture = self._usual(num_inference_steps, text_guidance_scale, image_guidance_scale)
        guidance = Guidance(text, picture, image_branch_scale)
        settings = Settings(steps, guidance, output_type, check_mm, keep_constants)
        groups, finish = self._groups(image, instruction, resolution or self.config.resolution, generator)
        edited: dict[int, tuple[Any, bool | None]] = {}
        with self.progress_bar(total=steps * len(groups)) as bar:
            step_end = StepEnd(bar, callback_on_step_end, callback_on_step_end_tensor_inputs)
            for group in groups:
                edited.update(zip(group.places, self._edit(group, settings, step_end), strict=True))
        finish()
        self.maybe_free_model_hooks()
        images, emits = zip(*(edited[place] for place in sorted(edited)), strict=True)
        return InsightEditOutput(list(images), list(emits) if check_mm else None) if return_dict else (list(images),)

    def _usual(self, steps: int | None, text: float | None, picture: float | None) -> tuple[int, float, float]:
        usual = SamplingConfig(**self.config.sampling)
        return (
            usual.steps if steps is None else steps,
            usual.text_guidance if text is None else text,
            usual.image_guidance if picture is None else picture,
        )

    def _groups(
        self, image: Pictures, instruction: str | Sequence[str], side: int, generator: Generators
    ) -> tuple[list[Group], Callable[[], None]]:
        """1. Refuse what cannot work, and put pictures of one working size together."""
        images, instructions = pair(image, instruction)
        require(resolution=side)
        generators, finish = per_picture(generator, len(images), self._execution_device)
        mllm = self.comprehension
        layout = (mllm.special, mllm.eye.grid**2, mllm.sizes.max_text, mllm.prompt)
        tokens = [sequence(self.tokenizer, text, *layout) for text in instructions]
        sizes = [working_size(*one.size, side, self.multiple, self.config.square) for one in images]
        return grouped(images, tokens, generators, sizes), finish

    def _edit(self, group: Group, settings: Settings, step_end: StepEnd) -> list[tuple[Any, bool | None]]:
        conditions, emits = self.comprehend(group, settings.check_mm)  # 2. understand, once
        latents = self.sample(group, conditions, settings, step_end)  # 3. denoise
        images = self._decode(latents, group, settings.output_type)  # 4. decode, to the sizes that came in
        return [(image, emits[place] if emits else None) for place, image in enumerate(images)]

    def comprehend(self, group: Group, check_mm: bool = False) -> tuple[Conditions, list[bool] | None]:
        """B pictures and instructions -> conditions: one prefill of the MLLM, then the bridge."""
        device, mllm = self._execution_device, self.comprehension
        batch = collate(group.tokens).to(device)
        seen = mllm(batch, vision_pixels(group.images, mllm.eye.size).to(device), check_mm)
        factor = factor_of(self.vae)
        latent_size = (group.size[1] // factor, group.size[0] // factor)
        return self.bridge(mllm.mm_states(seen.states, batch), seen.v, latent_size), seen.emits_mm

    def sample(self, group: Group, conditions: Conditions, settings: Settings, step_end: StepEnd) -> torch.Tensor:
        """Noise -> latents (B, 4, h, w) of the edited pictures."""
        device, dtype, guidance = self._execution_device, self.unet.dtype, settings.guidance
        pixels = source_pixels(group.images, group.size).to(device, self.vae.dtype)  # (B, 3, H, W)
        z = self.vae.encode(pixels).latent_dist.mode().to(dtype)  # (B, 4, h, w); not scaled, as InstructPix2Pix trains
        rows, source = conditions, z
        if guidance.needed:  # words and image, image, none
            rows = guidance_rows(conditions, self.bridge.interaction.unconditional)
            source = torch.cat([z, z, torch.zeros_like(z)])
        self.scheduler.set_timesteps(settings.steps, device=device)
        latents = randn_tensor(z.shape, generator=group.generators, device=device, dtype=dtype)
        latents = latents * self.scheduler.init_noise_sigma
        extra = {"generator": group.generators} if "generator" in signature(self.scheduler.step).parameters else {}
        stays = not self.unet.conv_in.weight.is_meta  # sequential offload lends weights to one layer at a time
        prepare = keeping if settings.keep_constants and stays else plain
        with prepare(self.unet, source, rows, self.image_attention, guidance.branch) as predict:
            for place, t in enumerate(self.scheduler.timesteps):
                noisy = self.scheduler.scale_model_input(latents, t)
                eps = predict(noisy.repeat(len(source) // len(z), 1, 1, 1), t)  # (3 B, 4, h, w)
                if self.config.residual:
                    eps = eps + source  # the edited latents, which this scheduler takes in place of noise
                if guidance.needed:
                    full, alone, none = eps.chunk(3)
                    eps = guide(full, alone, none, guidance.text, guidance.image)
                latents = self.scheduler.step(eps, t, latents, **extra, return_dict=False)[0]
                latents = step_end(self, place, t, latents)
        return latents

    def _decode(self, latents: torch.Tensor, group: Group, output_type: str) -> list[Any]:
        if not torch.isfinite(latents).all():
            raise BackendError("the model gave numbers that are not finite", f"it runs in {self.unet.dtype}",
                               "Load it with dtype=torch.bfloat16 or float32")  # fmt: skip
        if output_type == "latent":
            return list(latents)
        scaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        pixels = self.vae.decode(scaled, return_dict=False)[0]  # (B, 3, H, W)
        if output_type == "pil":
            return pictures(pixels, [one.size for one in group.images])
        unit = (pixels.float().clamp(-1, 1) + 1) / 2
        return list(unit) if output_type == "pt" else list(unit.permute(0, 2, 3, 1).cpu().numpy())


def _require_whole(name: str, component: Any, folder: str | Path) -> None:
    if not isinstance(component, torch.nn.Module):
        return
    empty = [key for key, tensor in component.state_dict().items() if tensor.is_meta]
    if empty:
        why = f"{name} lacks {len(empty)} weights, among them {', '.join(empty[:3])}"
        raise InputError(f"{folder} is partial", why, "Download or convert it again")


def from_preset(name: str, seed: int = 0) -> InsightEditPipeline:
    """A pipeline of that preset with random weights; see `from_config`."""
    return from_config(preset(name), seed)


def from_config(config: InsightEditConfig, seed: int = 0) -> InsightEditPipeline:
    """A pipeline of that configuration with random weights; the tokenizer is a toy one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = assemble(config)
        parts.bridge.null_text.normal_()
    pipeline = InsightEditPipeline(
        **vars(parts),
        tokenizer=toy_tokenizer(config.language.vocabulary),
        scheduler=schedule(config.prediction),
        resolution=config.resolution,
        square=config.square,
        residual=config.prediction == "residual",
        sampling=asdict(config.sampling),
    )
    for module in (parts.comprehension, parts.bridge, parts.unet, parts.vae):
        module.eval()
    return pipeline
