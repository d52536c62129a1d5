"""Parts that come from a stock Stable Diffusion folder: VAE, scheduler and the text states of the empty prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import InputError
from insightedit.model.convert.folder import Component, Conversion
from insightedit.model.convert.match import SHOWN
from insightedit.model.convert.read import Source, need, resolve

if TYPE_CHECKING:
    import torch

LAYOUT = "Expected a diffusers folder of Stable Diffusion 1.5 or InstructPix2Pix, with "


def write_vae_and_scheduler(folder: Path, stock: str | Path, conversion: Conversion) -> None:
    """Copy VAE and noise schedule, the sampler being the reference's ancestral Euler.

    Raises:
        InputError: the folder lacks them, or tensors do not fit.
    """
    from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler

    source = resolve(stock, "vae/*", "scheduler/*")
    wanted = ("vae/config.json", "scheduler/scheduler_config.json")
    need(source, LAYOUT + " and ".join(wanted), *wanted)
    vae, info = _load(AutoencoderKL, source, "vae")
    _complete(source / "vae", info)
    vae.save_pretrained(folder / "vae")
    EulerAncestralDiscreteScheduler.from_pretrained(source, subfolder="scheduler").save_pretrained(folder / "scheduler")
    state = vae.state_dict()
    values = sum(tensor.numel() for tensor in state.values())
    conversion.components.append(Component("vae", len(state), values, _dtype(state), f"{source.name}/vae"))
    conversion.components.append(Component("scheduler", 0, 0, "", f"{source.name}/scheduler"))
    conversion.read(*_weights(source / "vae"))


def null_text(stock: str | Path, conversion: Conversion) -> torch.Tensor:
    """CLIP's text states of the empty prompt, (1, 77, 768) float32: what stands for "no instruction".

    Raises:
        InputError: the folder lacks text encoder or tokenizer, or tensors do not fit.
    """
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    source = resolve(stock, "text_encoder/*", "tokenizer/*")
    wanted = ("text_encoder/config.json", "tokenizer/tokenizer_config.json")
    need(source, LAYOUT + " and ".join(wanted), *wanted)
    encoder, info = _load(CLIPTextModel, source, "text_encoder")
    _complete(source / "text_encoder", info)
    tokenizer = CLIPTokenizer.from_pretrained(source / "tokenizer")
    length = encoder.config.max_position_embeddings  # 77
    ids = tokenizer("", padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    conversion.read(*_weights(source / "text_encoder"))
    with torch.no_grad():
        states: torch.Tensor = encoder.eval().float()(ids)[0]  # (1, 77, 768)
    return states


def _load(kind: Any, source: Path, part: str) -> tuple[Any, dict[str, Any]]:
    try:
        loaded: tuple[Any, dict[str, Any]] = kind.from_pretrained(
            source, subfolder=part, output_loading_info=True, local_files_only=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()
        raise InputError(f"{source / part} cannot be read", said[0][:160] if said else type(error).__name__,
                         LAYOUT + f"{part}/ and its weights") from error  # fmt: skip
    return loaded


def _complete(folder: Path, info: dict[str, Any]) -> None:
    """transformers and diffusers only warn about these."""
    faults = {
        "missing": info.get("missing_keys"),
        "unexpected": [name for name in info.get("unexpected_keys") or () if not name.endswith("position_ids")],
        "of another shape": [str(name) for name in info.get("mismatched_keys") or ()],
    }
    said = [f"{len(names)} {kind} ({', '.join(sorted(names)[:SHOWN])})" for kind, names in faults.items() if names]
    if said:
        raise InputError(f"{folder} does not hold what was expected", "; ".join(said), "Download it again")


def _weights(folder: Path) -> list[Source]:
    found = sorted({*folder.glob("*.safetensors")} or {*folder.glob("*.bin")})
    return [Source(path, f"{folder.parent.name}/{folder.name}/{path.name}") for path in found]


def _dtype(state: dict[str, Any]) -> str:
    return str(next(iter(state.values())).dtype).removeprefix("torch.")
