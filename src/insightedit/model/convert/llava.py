"""LLaVA folders of both generations -> `Comprehension`, new rows and LoRA as training starts with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from insightedit.core.errors import InputError
from insightedit.core.files import read_json
from insightedit.model.config import LanguageConfig, LoraConfig, VisionConfig
from insightedit.model.convert.folder import Component, Conversion, building, finish, write_component
from insightedit.model.convert.keys import clip_vision_key, llava_hf_key, llava_original_key
from insightedit.model.convert.lora import add_fresh_lora
from insightedit.model.convert.match import Part, rename
from insightedit.model.convert.read import Source, need, read_folder, resolve

LAYOUT = (
    "Expected a LLaVA folder: config.json, weights (model*.safetensors or pytorch_model*.bin, with their .index.json "
    "if there are several) and the tokenizer (tokenizer.model or tokenizer.json)"
)
CLIP_LAYOUT = "Expected a CLIP folder: config.json and model.safetensors or pytorch_model.bin"
PATTERNS = ("*.json", "*.safetensors", "*.model", "pytorch_model*.bin")
LLAMA_FIELDS = (  # of a LLaVA's own config.json; what it leaves out has LLaMA's default
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "hidden_act",
    "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "rope_theta", "rope_scaling",
)  # fmt: skip
EMBED, HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"


@dataclass
class Llava:
    """What a LLaVA folder gives `Comprehension`: sizes and tensors (without LoRA, base vocabulary only)."""

    folder: Path
    language: LanguageConfig
    vision: VisionConfig
    depth: int  # of the projector: 1 LLaVA-1.1, 2 LLaVA-1.5
    part: Part
    sources: list[Source]
    notes: list[str] = field(default_factory=list)


def convert_llava(
    source: str | Path, to: Path, vision: str | None = None, seed: int = 0, dtype: str | None = None
) -> Conversion:
    """A LLaVA as the start of training: new rows are the mean of the old ones, LoRA changes nothing yet.

    Args:
        source: folder or hub id; `llava-hf/llava-1.5-7b-hf`, or the original layout of LLaVA-1.1.
        to: folder to make, with `comprehension/` and `tokenizer/`.
        vision: folder or hub id of the CLIP that LLaVA-1.1 does not contain; by default the one its config.json names.
        seed: of the fresh LoRA.
        dtype: cast everything.

    Raises:
        InputError: not such a folder; every missing, unexpected or wrongly shaped tensor is named.
        OutputError: `to` is not empty or cannot be written.
    """
    conversion = Conversion("llava")
    with building(to) as folder:
        llava = read_llava(source, vision)
        add_new_rows(llava.part, llava.language)
        add_fresh_lora(llava.part, LoraConfig(), seed)
        conversion.components = [
            write_comprehension(folder, llava, LoraConfig(), llava.folder.name, None, dtype),
            write_tokenizer(folder, llava.folder),
        ]
        conversion.read(*llava.sources)
        conversion.drop(llava.part)
        conversion.notes = [*llava.notes, "new rows: mean of the old ones; LoRA: fresh, B = 0: train before use"]
        finish(folder, conversion)
    return conversion


def read_llava(folder_or_id: str | Path, vision: str | None, base: LanguageConfig | None = None) -> Llava:
    """Read either generation.

    Args:
        folder_or_id: local folder or hub id.
        vision: CLIP for the original layout.
        base: what LLaVA's configuration does not say: vocabulary, [MM] tokens, longest text.

    Raises:
        InputError: neither layout, or something that `Comprehension` does not compute.
    """
    folder = resolve(folder_or_id, *PATTERNS)
    need(folder, LAYOUT, "config.json")
    raw = read_json(folder / "config.json")
    base = base or LanguageConfig()
    if isinstance(raw, dict) and "text_config" in raw and "vision_config" in raw:
        llava = _read_hf(folder, base, vision)
    elif isinstance(raw, dict) and ("mm_vision_tower" in raw or "mm_hidden_size" in raw):
        llava = _read_original(folder, raw, base, vision)
    else:
        raise InputError(f"{folder} is not a LLaVA", "its config.json names neither text_config and vision_config "
                         "(llava-hf) nor mm_vision_tower (LLaVA's own)", LAYOUT)  # fmt: skip
    for name in (EMBED, HEAD):
        _cut(llava, name, base.vocabulary)
    return llava


def _read_hf(folder: Path, base: LanguageConfig, vision: str | None) -> Llava:
    from transformers import LlavaConfig

    if vision is not None:
        raise InputError(f"{folder} has a vision tower of its own", "this layout contains it", "Leave --vision out")
    config = LlavaConfig.from_pretrained(folder)
    _require(folder, "projector_hidden_act", config.projector_hidden_act, "gelu")
    _require(folder, "vision_feature_select_strategy", config.vision_feature_select_strategy, "default")
    tensors, sources = read_folder(folder, LAYOUT)
    return Llava(
        folder,
        _language(folder, config.text_config.to_dict(), base),
        _eye(folder, config.vision_config, config.vision_feature_layer),
        2,
        rename(tensors, llava_hf_key, folder.name),
        sources,
    )


def _read_original(folder: Path, raw: dict[str, Any], base: LanguageConfig, vision: str | None) -> Llava:
    from transformers import CLIPVisionConfig, LlamaConfig

    _require(folder, "mm_projector_type", raw.get("mm_projector_type", "linear"), "linear")
    _require(folder, "mm_vision_select_feature", raw.get("mm_vision_select_feature", "patch"), "patch")
    layer = raw.get("mm_vision_select_layer", -1)  # LLaVA's code takes the last where the configuration is silent
    tower = vision or raw.get("mm_vision_tower")
    if not isinstance(tower, str):
        raise InputError(f"{folder} names no vision tower", "its config.json has no mm_vision_tower", "Give --vision")
    tensors, sources = read_folder(folder, LAYOUT)
    part = rename(tensors, llava_original_key, folder.name)
    clip = resolve(tower, "*.json", "model.safetensors", "pytorch_model.bin")
    need(clip, CLIP_LAYOUT, "config.json")
    seen, more = read_folder(clip, CLIP_LAYOUT)
    eye = rename(seen, clip_vision_key, clip.name)
    part.add(Part(eye.tensors, eye.origin))  # what a CLIPModel holds besides is not worth a record
    return Llava(
        folder,
        _language(folder, LlamaConfig(**{name: raw[name] for name in LLAMA_FIELDS if name in raw}).to_dict(), base),
        _eye(clip, CLIPVisionConfig.from_pretrained(clip), layer),
        1,
        part,
        [*sources, *more],
        [f"vision tower: {Path(tower).name if Path(tower).exists() else tower}, hidden state {layer}"],
    )


def _language(folder: Path, config: dict[str, Any], base: LanguageConfig) -> LanguageConfig:
    heads = config["num_attention_heads"]
    _require(folder, "num_key_value_heads", config.get("num_key_value_heads") or heads, heads)
    _require(folder, "hidden_act", config["hidden_act"], "silu")
    _require(folder, "tie_word_embeddings", config.get("tie_word_embeddings", False), False)
    rope = config.get("rope_parameters") or {}
    _require(folder, "rope_scaling", config.get("rope_scaling") or rope.get("rope_type", "default"), "default")
    _require(folder, "rope_theta", float(config.get("rope_theta") or rope.get("rope_theta", 10000)), 10000.0)
    return LanguageConfig(
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        ffn=config["intermediate_size"],
        max_positions=config["max_position_embeddings"],
        norm_eps=config["rms_norm_eps"],
        vocabulary=base.vocabulary,
        mm_tokens=base.mm_tokens,
        max_text=base.max_text,
    )


def _eye(folder: Path, config: Any, layer: Any) -> VisionConfig:
    _require(folder, "hidden_act", config.hidden_act, "quick_gelu")
    if not isinstance(layer, int):
        raise InputError(f"{folder} reads vision layers {layer}", "one layer is read here", "Use LLaVA-1.1 or 1.5")
    return VisionConfig(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        ffn=config.intermediate_size,
        patch=config.patch_size,
        size=config.image_size,
        layer=layer,
    )


def _require(folder: Path, name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise InputError(f"{folder} is another kind of model", f"{name} is {found}, wanted {wanted}",
                         "Use LLaVA-1.1 or LLaVA-1.5")  # fmt: skip


def _cut(llava: Llava, name: str, vocabulary: int) -> None:
    """Keep the base vocabulary: LLaVA-1.1 has 3 rows more (its own image tokens), llava-hf up to 64 (and padding)."""
    table = llava.part.tensors.get(name)
    if table is None or len(table) <= vocabulary:
        return  # the check against the module says what is wrong, if anything is
    llava.part.tensors[name] = table[:vocabulary]
    llava.part.dropped.append(f"{llava.part.origin[name]}[{vocabulary}:{len(table)}]")


def add_new_rows(part: Part, language: LanguageConfig) -> None:
    """Every new row of embedding and head as the mean of the old ones (SmartEdit)."""
    for name, table in (("new_input", EMBED), ("new_output", HEAD)):
        if table in part.tensors:
            old = part.tensors[table]
            part.tensors[name] = old.float().mean(0).to(old.dtype).expand(language.new_tokens, -1).contiguous()


def write_comprehension(
    folder: Path,
    llava: Llava,
    lora: LoraConfig | None,
    origin: str,
    prompt: dict[str, str] | None,
    dtype: str | None,
) -> Component:
    """Check the tensors against `Comprehension` and write `comprehension/`."""
    import torch

    from insightedit.model.comprehension import Comprehension

    with torch.device("meta"):
        module = Comprehension(
            asdict(llava.language), asdict(llava.vision), llava.depth, None if lora is None else asdict(lora), prompt
        )
    return write_component(folder / "comprehension", module, llava.part, origin, dtype)


def write_tokenizer(folder: Path, llava: Path) -> Component:
    """The base model's tokenizer, as it is.

    Raises:
        InputError: there is none, or it is not readable.
    """
    from transformers import AutoTokenizer

    if not any((llava / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise InputError(f"{llava} is not complete", "tokenizer.model or tokenizer.json is missing", LAYOUT)
    try:
        tokenizer = AutoTokenizer.from_pretrained(llava, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"the tokenizer of {llava} cannot be read", str(error).strip().splitlines()[0][:160],
                         "Download its tokenizer files again") from error  # fmt: skip
    tokenizer.save_pretrained(folder / "tokenizer")
    return Component("tokenizer", 0, 0, "", llava.name)
