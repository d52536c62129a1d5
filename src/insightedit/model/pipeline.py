"""`InsightEditPipeline`: picture and instruction in, edited picture of the same size out, the diffusers way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerAncestralDiscreteScheduler,
    SchedulerMixin,
    UNet2DConditionModel,
)
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from transformers import PreTrainedTokenizerBase

from insightedit.core.errors import BackendError
from insightedit.model.assembly import assemble
from insightedit.model.bridging import Bridge, Conditions
from insightedit.model.comprehension import Comprehension
from insightedit.model.generation import ImageAttention, guidance_rows, guide
from insightedit.model.pixels import pictures, source_pixels, vision_pixels, working_size
from insightedit.model.presets import preset
from insightedit.model.request import Callback, Generators, Guidance, Pictures, StepEnd, pair, per_picture, require
from insightedit.model.sampling import keeping, plain
from insightedit.model.tokens import TokenSequence, collate, sequence
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
        vae: AutoencoderKL,
        scheduler: SchedulerMixin,
        resolution: int = 512,
        square: bool = False,
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
        self.register_to_config(resolution=resolution, square=square)

    @property
    def multiple(self) -> int:
        """Sides of the working picture are multiples of this: 8 px a latent, halved by the UNet three times."""
        return 2 ** (len(self.vae.config.block_out_channels) + len(self.unet.config.block_out_channels) - 2)

    @torch.no_grad()
    def __call__(
        self,
        image: Pictures,
        instruction: str | Sequence[str],
        *,
        num_inference_steps: int = 100,
        text_guidance_scale: float = 7.5,
        image_guidance_scale: float = 1.5,
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
        """Edit one picture or several; one picture may meet many instructions, one instruction many pictures.

        Args:
            image: PIL (EXIF orientation is applied; see-through ones are refused) or uint8 (H, W, 3), any size.
            instruction: what should change.
            num_inference_steps: of the scheduler; 100 is SmartEdit's.
            text_guidance_scale, image_guidance_scale: s_T and s_I of `generation.guide`; 7.5 and 1.5 are SmartEdit's.
            image_branch_scale: weight of f_img's cross-attention; 0 leaves the text stream alone.
            resolution: px, over the one of the configuration.
            generator: one, or one per picture. Every picture draws its own noise from a copy, so one seed gives one
                image, alone or in a batch.
            output_type: "pil"; "np" and "pt": float [0, 1] at the working size; "latent".
            callback_on_step_end: as in diffusers: (pipeline, step, timestep, {"latents": ...}) -> what to replace.
            check_mm: also say whether greedy decoding would emit the [MM] tokens.
            keep_constants: False computes everything anew in every step, with diffusers' own processors; for tests.

        Raises:
            InputError: pictures or instructions that cannot be used, before any weight moves.
            BackendError: the model gave numbers that are not finite.
        """
        # 1. Refuse what cannot work
        images, instructions = pair(image, instruction)
        side = resolution or self.config.resolution
        require(output_type, num_inference_steps=num_inference_steps, resolution=side)
        guidance = Guidance(text_guidance_scale, image_guidance_scale, image_branch_scale)
        generators, finish = per_picture(generator, len(images), self._execution_device)
        tokens = [self._sequence(text) for text in instructions]

        # 2. Pictures of one working size go through together
        sizes = [working_size(*one.size, side, self.multiple, self.config.square) for one in images]
        groups = [[place for place, own in enumerate(sizes) if own == size] for size in dict.fromkeys(sizes)]
        out: dict[int, Any] = {}
        emits: dict[int, bool] = {}
        with self.progress_bar(total=num_inference_steps * len(groups)) as bar:
            step_end = StepEnd(bar, callback_on_step_end, callback_on_step_end_tensor_inputs)
            for group in groups:
                chosen, size = [images[place] for place in group], sizes[group[0]]
                # 3. Understand, once
                conditions, said = self.comprehend(chosen, [tokens[place] for place in group], size, check_mm)
                # 4. Denoise
                own = [generators[place] for place in group]
                latents = self.sample(
                    chosen, size, conditions, guidance, num_inference_steps, own, step_end, keep_constants
                )
                # 5. Decode, to the sizes that came in
                decoded = self._decode(latents, [one.size for one in chosen], output_type)
                out.update(zip(group, decoded, strict=True))
                emits.update(zip(group, said, strict=False))
        finish()
        self.maybe_free_model_hooks()
        results = [out[place] for place in range(len(images))]
        if not return_dict:
            return (results,)
        return InsightEditOutput(results, [emits[place] for place in range(len(images))] if check_mm else None)

    def _sequence(self, instruction: str) -> TokenSequence:
        mllm = self.comprehension
        return sequence(self.tokenizer, instruction, mllm.special, mllm.eye.grid**2, mllm.sizes.max_text, mllm.prompt)

    def comprehend(
        self,
        images: Sequence[Image.Image],
        tokens: Sequence[TokenSequence],
        size: tuple[int, int],
        check_mm: bool = False,
    ) -> tuple[Conditions, list[bool]]:
        """B pictures and sequences, working (width, height) -> conditions: one prefill of the MLLM, then the bridge."""
        device, mllm = self._execution_device, self.comprehension
        batch = collate(tokens).to(device)
        seen = mllm(batch, vision_pixels(images, mllm.eye.size).to(device), check_mm)
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        conditions = self.bridge(mllm.mm_states(seen.states, batch), seen.v, (size[1] // factor, size[0] // factor))
        return conditions, seen.emits_mm or []

    def sample(
        self,
        images: Sequence[Image.Image],
        size: tuple[int, int],
        conditions: Conditions,
        guidance: Guidance,
        steps: int,
        generators: list[torch.Generator],
        step_end: StepEnd,
        keep_constants: bool = True,
    ) -> torch.Tensor:
        """Noise -> latents (B, 4, h, w) of the edited pictures."""
        device, dtype = self._execution_device, self.unet.dtype
        pixels = source_pixels(images, size).to(device, self.vae.dtype)  # (B, 3, H, W)
        z = self.vae.encode(pixels).latent_dist.mode().to(dtype)  # (B, 4, h, w); not scaled, as InstructPix2Pix trains
        rows, source = conditions, z
        if guidance.needed:  # words and image, image, none
            rows = guidance_rows(conditions, self.bridge.interaction.unconditional)
            source = torch.cat([z, z, torch.zeros_like(z)])
        self.scheduler.set_timesteps(steps, device=device)
        latents = randn_tensor(z.shape, generator=generators, device=device, dtype=dtype)
        latents = latents * self.scheduler.init_noise_sigma
        extra = {"generator": generators} if "generator" in signature(self.scheduler.step).parameters else {}
        stays = not self.unet.conv_in.weight.is_meta  # sequential offload lends weights to one layer at a time
        prepare = keeping if keep_constants and stays else plain
        with prepare(self.unet, source, rows, self.image_attention, guidance.branch) as predict:
            for place, t in enumerate(self.scheduler.timesteps):
                noisy = self.scheduler.scale_model_input(latents, t)
                eps = predict(noisy.repeat(len(source) // len(z), 1, 1, 1), t)  # (3 B, 4, h, w)
                if guidance.needed:
                    full, alone, none = eps.chunk(3)
                    eps = guide(full, alone, none, guidance.text, guidance.image)
                latents = self.scheduler.step(eps, t, latents, **extra, return_dict=False)[0]
                latents = step_end(self, place, t, latents)
        return latents

    def _decode(self, latents: torch.Tensor, sizes: Sequence[tuple[int, int]], output_type: str) -> list[Any]:
        if not torch.isfinite(latents).all():
            raise BackendError("the model gave numbers that are not finite", f"it runs in {self.unet.dtype}",
                               "Load it with torch_dtype=torch.bfloat16 or float32")  # fmt: skip
        if output_type == "latent":
            return list(latents)
        scaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        pixels = self.vae.decode(scaled, return_dict=False)[0]  # (B, 3, H, W)
        if output_type == "pil":
            return pictures(pixels, sizes)
        unit = (pixels.float().clamp(-1, 1) + 1) / 2
        return list(unit) if output_type == "pt" else list(unit.permute(0, 2, 3, 1).cpu().numpy())


def from_preset(name: str, seed: int = 0) -> InsightEditPipeline:
    """A pipeline of that preset with random weights; the tokenizer is a toy one."""
    config = preset(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = assemble(config)
        parts.bridge.null_text.normal_()
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    pipeline = InsightEditPipeline(
        **vars(parts),
        tokenizer=toy_tokenizer(config.language.vocabulary),
        scheduler=scheduler,
        resolution=config.resolution,
        square=config.square,
    )
    for module in (parts.comprehension, parts.bridge, parts.unet, parts.vae):
        module.eval()
    return pipeline
