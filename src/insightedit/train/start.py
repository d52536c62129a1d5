"""What a stage begins with: a preset, with trained parts where they are given, or the folder of a pipeline."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import AutoTokenizer

from insightedit.core.errors import ConfigError, InputError
from insightedit.model.bridging import Bridge
from insightedit.model.comprehension import Comprehension
from insightedit.model.generation import ImageAttention, cross_attentions, schedule
from insightedit.model.pipeline import InsightEditPipeline, from_preset
from insightedit.model.presets import PRESETS, preset
from insightedit.train.config import PartsKnobs, TrainConfig
from insightedit.train.plan import pipeline_folder

LARGE = 4096  # width of a language model that comes trained or not at all


def start(config: TrainConfig) -> InsightEditPipeline:
    """The pipeline that a stage begins with.

    Raises:
        ConfigError: seven billion random weights, or parts for what has its own.
        InputError: a folder is not there, or not as expected.
    """
    if config.start not in PRESETS:
        folder = pipeline_folder(config.start)
        if config.parts != PartsKnobs():
            raise ConfigError("parts do not belong to a pipeline's folder", f"{config.start} has its own",
                              "Leave them out, or start from a preset")  # fmt: skip
        return InsightEditPipeline.from_pretrained(folder)
    if config.parts != PartsKnobs():
        return _from_parts(config)
    if preset(config.start).language.width >= LARGE:
        raise ConfigError(f"start: {config.start} has random weights", "so large a language model is not trained here",
                          "Name trained parts, or start=FOLDER, see docs/training.md")  # fmt: skip
    return from_preset(config.start, config.seed)


def _from_parts(config: TrainConfig) -> InsightEditPipeline:
    """MLLM, UNet and VAE as they are; bridge and image branch of the preset's sizes, fresh; K copied, V zero."""
    sizes, seen, painted = preset(config.start), Path(config.parts.language), Path(config.parts.diffusion)
    _need(seen, "comprehension", "tokenizer", kind="insightedit convert llava")
    _need(painted, "unet", "vae", kind="insightedit convert instruct-pix2pix, or diffusers'")
    mllm = Comprehension.from_pretrained(seen / "comprehension")
    unet = UNet2DConditionModel.from_pretrained(painted, subfolder="unet")
    latents = unet.config.out_channels
    if unet.config.in_channels != 2 * latents:
        raise InputError(f"the UNet of {painted} sees no source", f"{unet.config.in_channels} channels come in, "
                         f"wanted {2 * latents}", "Use InstructPix2Pix or its kin")  # fmt: skip
    context = unet.config.cross_attention_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        bridge = Bridge(
            language_width=mllm.sizes.width,
            vision_width=mllm.eye.width,
            context=context,
            channels=unet.config.block_out_channels[0],
            qformer_config=asdict(sizes.qformer),
            bim_config=asdict(sizes.bim),
            iaa_config=None if sizes.iaa is None else asdict(sizes.iaa),
        )
        attention = None
        if sizes.iaa is not None:
            attention = ImageAttention(tuple(cross_attentions(unet).values()), context, sizes.iaa.tokens)
            attention.start_silent(unet)
    return InsightEditPipeline(
        comprehension=mllm,
        tokenizer=AutoTokenizer.from_pretrained(seen / "tokenizer"),
        bridge=bridge,
        image_attention=attention,
        unet=unet,
        vae=AutoencoderKL.from_pretrained(painted, subfolder="vae"),
        scheduler=schedule(sizes.prediction),
        resolution=sizes.resolution,
        square=sizes.square,
        residual=sizes.prediction == "residual",
    )


def _need(folder: Path, *parts: str, kind: str) -> None:
    for part in parts:
        if not (folder / part).is_dir():
            raise InputError(f"cannot start from the parts in {folder}", f"there is no {part}/",
                             f"Both are wanted; this one: a folder of {kind}")  # fmt: skip
