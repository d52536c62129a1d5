"""Released SmartEdit-7B and 13B -> a folder that `InsightEditPipeline` loads, its image branch off."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from insightedit.core.errors import InputError
from insightedit.model.config import InsightEditConfig
from insightedit.model.convert.folder import Conversion, building, finish, write_component
from insightedit.model.convert.keys import bim_key, heads_key, language_key, qformer_key, unet_key
from insightedit.model.convert.llava import EMBED, read_llava, write_comprehension, write_tokenizer
from insightedit.model.convert.lora import merge, read_lora
from insightedit.model.convert.match import Part, rename, route
from insightedit.model.convert.read import Source, need, read_tensors
from insightedit.model.convert.splice import splice
from insightedit.model.convert.stock import null_text, write_vae_and_scheduler
from insightedit.model.presets import preset as named
from insightedit.model.tokens import Prompt

if TYPE_CHECKING:
    from insightedit.model.assembly import Parts

FILES = {
    "LLM": "LLM-*/adapter_model.bin",
    "embeddings_qformer": "embeddings_qformer/checkpoint-*_embeddings_qformer.bin",
    "unet": "unet-*/adapter_model.bin",
    "modulate": "modulate-*/adapter_model.bin",
}
LAYOUT = "Expected a SmartEdit folder: adapter_config.json, " + ", ".join(FILES.values())
PRESET_BY_WIDTH = {4096: "smartedit-7b", 5120: "smartedit-13b"}
STOCK = "timbrooks/instruct-pix2pix"  # the reference edits with this VAE and scheduler
PROMPT_FIELDS = {"system", "question", "answer"}


@dataclass
class Job:
    """One conversion on its way."""

    folder: Path  # where it is written
    files: dict[str, Source]
    config: InsightEditConfig
    conversion: Conversion
    dtype: str | None

    @cached_property
    def parts(self) -> Parts:
        """The model on the meta device; ask for it when the configuration is known."""
        import torch

        from insightedit.model.assembly import assemble

        with torch.device("meta"):
            return assemble(self.config)


def convert_smartedit(
    source: Path,
    to: Path,
    llava: str,
    vision: str | None = None,
    vae: str = STOCK,
    text_encoder: str | None = None,
    prompt: Path | None = None,
    merge_lora: bool = False,
    preset: str | None = None,
    dtype: str | None = None,
) -> Conversion:
    """Released weights, component by component; files stay on disk until a component is written.

    Args:
        source: folder with LLM-N, embeddings_qformer, unet-N, modulate-N and adapter_config.json.
        to: folder to make.
        llava: LLaVA-1.1, folder or hub id. The base vocabulary's rows of embedding and head are its own, as the
            reference's loader restores them; its other weights are compared.
        vision: CLIP ViT-L/14; by default the one that LLaVA's config.json names.
        vae, text_encoder: Stable Diffusion 1.5 or InstructPix2Pix; the second defaults to the first.
        prompt: YAML with the sentences that the weights were trained on: system, question, answer.
        merge_lora: W + alpha / r * B A instead of adapters kept apart.
        preset: sizes; by default by the width of the language model.
        dtype: cast everything.

    Raises:
        InputError: not such a folder; every missing, unexpected or wrongly shaped tensor is named.
        OutputError: `to` is not empty or cannot be written.
    """
    conversion = Conversion("smartedit")
    with building(to) as folder:
        files = find_files(source)
        wording = read_prompt(prompt, conversion)
        language = rename(read_tensors(files["LLM"].path), language_key, files["LLM"].name)
        job = Job(folder, files, named(preset or _preset(language)), conversion, dtype)
        job.config = replace(job.config, lora=read_lora(source / "adapter_config.json"))
        both = route(qformer=qformer_key, mllm=heads_key)
        gathered = rename(read_tensors(files["embeddings_qformer"].path), both, files["embeddings_qformer"].name)
        conversion.drop(gathered)
        language.add(gathered.under("mllm."))
        _write_comprehension(job, language, llava, vision, wording, merge_lora)
        _write_bridge(job, gathered, text_encoder or vae)
        _write_unet(job)
        write_vae_and_scheduler(folder, vae, conversion)
        _write_index(job)
        conversion.read(*files.values(), Source(source / "adapter_config.json", "adapter_config.json"))
        conversion.notes.append("image branch: off, as in SmartEdit")
        finish(folder, conversion)
    return conversion


def find_files(folder: Path) -> dict[str, Source]:
    """The four weight files of one training step.

    Raises:
        InputError: one is missing, or several steps lie there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "there is none of that name", LAYOUT)
    need(folder, LAYOUT, "adapter_config.json")
    found: dict[str, Source] = {}
    for part, pattern in FILES.items():
        paths = sorted(folder.glob(pattern))
        if len(paths) != 1:
            why = f"{pattern} is missing" if not paths else f"{len(paths)} files match {pattern}"
            raise InputError(f"{folder} is not one SmartEdit checkpoint", why, f"{LAYOUT}; of one training step")
        found[part] = Source(paths[0], paths[0].relative_to(folder).as_posix())
    names = [source.name for source in found.values()]
    if len({re.sub(r".*-(\d+).*", r"\1", name) for name in names}) > 1:
        raise InputError(f"{folder} is not one SmartEdit checkpoint", f"several training steps: {', '.join(names)}",
                         f"{LAYOUT}; of one training step")  # fmt: skip
    return found


def read_prompt(path: Path | None, conversion: Conversion) -> dict[str, str] | None:
    """The sentences of the training, from YAML: `system`, `question` with [cap] in it, `answer` with [img] in it.

    Raises:
        InputError: not such a file.
    """
    if path is None:
        conversion.notes.append("prompt: ours; the released weights were trained on another wording, see --prompt")
        return None
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path}", str(error).replace("\n", " ")[:200], "Check --prompt") from error
    if not isinstance(told, dict) or set(told) != PROMPT_FIELDS or not all(isinstance(v, str) for v in told.values()):
        raise InputError(f"{path} is not a prompt", "it must hold the texts system, question and answer",
                         "Write system: ..., question: ... [cap] ..., answer: ... [img].")  # fmt: skip
    clean = {name: " ".join(text.split()) for name, text in told.items()}  # the reference deletes line breaks
    Prompt(**clean)
    conversion.notes.append(f"prompt: from {path.name}")
    return clean


def _preset(language: Part) -> str:
    """By the width of the embedding."""
    width = language.tensors[EMBED].shape[-1] if EMBED in language.tensors else None
    if width not in PRESET_BY_WIDTH:
        raise InputError(f"no SmartEdit of width {width} is known", "7B has 4096, 13B 5120", "Give --preset")
    return PRESET_BY_WIDTH[width]


def _write_comprehension(
    job: Job, language: Part, llava: str, vision: str | None, prompt: dict[str, str] | None, merge_lora: bool
) -> None:
    """SmartEdit's language model in LLaVA's frame: vision tower, rows of the base vocabulary, sizes, tokenizer."""
    frame = read_llava(llava, vision, job.config.language)
    conversion, lora = job.conversion, job.config.lora
    conversion.compared += splice(frame, language, lora, job.files["LLM"].name)
    if merge_lora:
        conversion.merged += merge(frame.part, lora)
    conversion.drop(frame.part)
    conversion.notes += frame.notes
    origin = f"{job.files['LLM'].name}, {job.files['embeddings_qformer'].name}, {frame.folder.name}"
    adapters = None if merge_lora else lora
    conversion.components.append(write_comprehension(job.folder, frame, adapters, origin, prompt, job.dtype))
    conversion.components.append(write_tokenizer(job.folder, frame.folder))
    conversion.read(*frame.sources)
    job.config = replace(job.config, language=frame.language, vision=frame.vision, projector_depth=frame.depth)


def _write_bridge(job: Job, gathered: Part, text_encoder: str) -> None:
    """Q-Former and BIM as they are, and the empty prompt's text states."""
    source = job.files["modulate"]
    part = Part()
    part.add(gathered.under("qformer."), "qformer.")
    part.add(rename(read_tensors(source.path), bim_key, source.name), "bim.")
    part.tensors["null_text"], part.origin["null_text"] = null_text(text_encoder, job.conversion), 'CLIP("")'
    origin = f"{job.files['embeddings_qformer'].name}, {source.name}"
    written = write_component(job.folder / "bridge", job.parts.bridge, part, origin, job.dtype)
    job.conversion.components.append(written)


def _write_unet(job: Job) -> None:
    source = job.files["unet"]
    part = rename(read_tensors(source.path), unet_key, source.name)
    job.conversion.components.append(write_component(job.folder / "unet", job.parts.unet, part, source.name, job.dtype))


def _write_index(job: Job) -> None:
    """`model_index.json`, by the pipeline's own hand: classes of the components, resolution."""
    from diffusers import EulerAncestralDiscreteScheduler
    from transformers import AutoTokenizer

    from insightedit.model.pipeline import InsightEditPipeline

    pipeline = InsightEditPipeline(
        **vars(job.parts),
        tokenizer=AutoTokenizer.from_pretrained(job.folder / "tokenizer", local_files_only=True),
        scheduler=EulerAncestralDiscreteScheduler.from_pretrained(job.folder, subfolder="scheduler"),
        resolution=job.config.resolution,
        square=job.config.square,
    )
    pipeline.save_config(job.folder)
