"""CompVis .ckpt of the InstructPix2Pix family -> a folder of diffusers' `StableDiffusionInstructPix2PixPipeline`.

Not diffusers' `from_single_file`: that takes the raw weights where the file also holds the running average (EMA) that
the authors sample with, and ignores names that it does not know.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import InputError
from insightedit.model.convert.folder import Component, Conversion, building, finish, write_component
from insightedit.model.convert.ldm_keys import EMA, SCHEDULE, UNET, ema_name, text_names, unet_names, vae_names
from insightedit.model.convert.match import SHOWN, Part
from insightedit.model.convert.read import Source, Tensors, need, read_tensors, resolve

if TYPE_CHECKING:
    from torch import nn

CONFIG = "timbrooks/instruct-pix2pix"
CONFIG_FILES = (
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
)
LAYOUT = "Expected a diffusers folder of Stable Diffusion 1.x: " + ", ".join(CONFIG_FILES)


def convert_instruct_pix2pix(source: Path, to: Path, config: str = CONFIG, dtype: str | None = None) -> Conversion:
    """InstructPix2Pix, MagicBrush and their kin.

    Args:
        source: .ckpt or .safetensors with LDM names; Lightning's own files too. EMA weights are taken if there are any.
        to: folder to make.
        config: diffusers folder or hub id whose configurations, tokenizer and scheduler are used, not its weights.
        dtype: cast everything.

    Raises:
        InputError: not such a checkpoint; every missing, unexpected or wrongly shaped tensor is named.
        OutputError: `to` is not empty or cannot be written.
    """
    return _convert("instruct-pix2pix", source, to, config, dtype)


def convert_instruct_diffusion(source: Path, to: Path, config: str = CONFIG, dtype: str | None = None) -> Conversion:
    """InstructDiffusion: the same names, parameters only, the EMA already written back by its authors. As above."""
    return _convert("instruct-diffusion", source, to, config, dtype)


def _convert(kind: str, source: Path, to: Path, config: str, dtype: str | None) -> Conversion:
    conversion = Conversion(kind)
    with building(to) as folder:
        found = read_tensors(source)
        layout = resolve(config, "*.json", "tokenizer/*")
        need(layout, LAYOUT, *CONFIG_FILES)
        modules = _modules(layout)
        names = _names(modules)
        averaged = _refuse_strangers(found, names, source.name)
        conversion.dropped = sorted(set(found) & SCHEDULE)
        if averaged:
            conversion.notes.append("UNet: the running average (EMA) was taken, the raw weights were left out")
        for name, module in modules.items():
            part = _part(found, names[name], module, averaged)
            prefix = "text_model." if name == "text_encoder" and not hasattr(module, "text_model") else ""
            origin = f"{source.name} (EMA)" if averaged and name == "unet" else source.name
            conversion.components.append(write_component(folder / name, module, part, origin, dtype, prefix))
        conversion.components += _copy_rest(layout, folder, modules)
        conversion.read(Source(source, source.name))
        finish(folder, conversion)
    return conversion


def _modules(layout: Path) -> dict[str, nn.Module]:
    """UNet, VAE and text encoder of the configurations, on the meta device."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        modules: dict[str, nn.Module] = {
            "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(layout, subfolder="unet")),
            "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(layout, subfolder="vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(layout / "text_encoder")),
        }
    return modules


def _names(modules: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Component -> name in the module -> name in the file."""
    unet, vae, text = modules["unet"], modules["vae"], modules["text_encoder"]
    return {
        "unet": unet_names(unet.state_dict(), unet.config.layers_per_block),
        "vae": vae_names(vae.state_dict(), len(vae.config.block_out_channels)),
        "text_encoder": text_names(text.state_dict()),
    }


def _refuse_strangers(found: Tensors, names: dict[str, dict[str, str]], source: str) -> bool:
    """True if the file holds the running average of the UNet; every name must be known.

    Raises:
        InputError: names that belong to nothing, or a running average of a part of the UNet only.
    """
    known = {name for part in names.values() for name in part.values()}
    averages = {ema_name(name) for name in names["unet"].values()}
    if not any(name.startswith(UNET) for name in found):
        raise InputError(f"{source} is not a CompVis checkpoint", f"it has no tensor named {UNET}...",
                         "diffusers folders and LoRA files need no conversion of this kind")  # fmt: skip
    strangers = [name for name in found if name not in known | averages | SCHEDULE]
    held = averages & set(found)
    lacking = sorted(averages - held) if held else []
    for kind, faults in (("unexpected", strangers), ("missing from the running average", lacking)):
        if faults:
            raise InputError(f"{source} does not hold what was expected",
                             f"{len(faults)} {kind} ({', '.join(faults[:SHOWN])})",
                             "Check the kind, and that --config is of the same size")  # fmt: skip
    return any(name.startswith(EMA) for name in held)


def _part(found: Tensors, names: dict[str, str], module: nn.Module, averaged: bool) -> Part:
    """The component's tensors under diffusers' names; what is missing stays missing, for the check to say so."""
    part = Part()
    for name, wanted in module.state_dict().items():
        source = names[name]
        if averaged and source.startswith(UNET):
            source = ema_name(source)
        part.origin[name] = source
        if source in found:
            tensor = found[source]
            # LDM's VAE attends by 1 x 1 convolutions (C, C, 1, 1), diffusers' by Linear layers (C, C)
            convolved = wanted.dim() == 2 and tensor.shape == (*wanted.shape, 1, 1)
            part.tensors[name] = tensor[:, :, 0, 0] if convolved else tensor
    return part


def _copy_rest(layout: Path, folder: Path, modules: dict[str, Any]) -> list[Component]:
    """Tokenizer and scheduler as they are, and the index that names the pipeline's class."""
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(layout / "tokenizer")
    scheduler = EulerAncestralDiscreteScheduler.from_pretrained(layout, subfolder="scheduler")
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    pipeline = StableDiffusionInstructPix2PixPipeline(
        **modules,
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_config(folder)
    origin = layout.name
    return [Component(name, 0, 0, "", origin) for name in ("tokenizer", "scheduler")]
