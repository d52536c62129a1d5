"""What frozen encoders say of a batch: the goals of training, and with a cache what the model's own frozen parts say.

CLIP's embedding of the target is what IAA's Mapper learns, CLIP's text states of a caption what the Q-Former learns.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator, DistributedType
from PIL import Image
from torch import nn
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection, PreTrainedTokenizerBase

from insightedit.core.errors import ConfigError, InputError
from insightedit.core.files import read_json, write_json
from insightedit.datasets.example import EditExample
from insightedit.model.bridging import Bridge
from insightedit.model.config import CLIP_MEAN, CLIP_STD
from insightedit.model.editor import EditBatch, moments
from insightedit.model.pipeline import InsightEditPipeline
from insightedit.model.pixels import source_pixels
from insightedit.train.cache import Encode, Kept, fingerprint
from insightedit.train.config import TrainConfig
from insightedit.train.data import Source
from insightedit.train.stages import STAGES

DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AT_ONCE = 16  # pictures, when the variance is measured
SEARCH = 100  # draws for one edit, before a mixture counts as one without


class ImageEncoder:
    """CLIP's vision encoder with projection, frozen. OpenCLIP ViT-H/14 is the one of IP-Adapter.

    Args:
        name: a folder, or "owner/name[/subfolder]" of the hub.

    Raises:
        ConfigError: there is no such encoder.
    """

    def __init__(self, name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.model = _loaded(CLIPVisionModelWithProjection, name, device, dtype)

    @property
    def dim(self) -> int:
        """Of an embedding."""
        return int(self.model.config.projection_dim)

    @torch.no_grad()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) in [-1, 1] -> un-normalised embeddings (n, dim), fp32."""
        asked = clip_pixels(pixels, self.model.config.image_size).to(self.model.dtype)
        return self.model(asked).image_embeds.float()


class TextEncoder:
    """CLIP's text encoder, frozen, with its tokenizer: beside the weights, or in a sibling folder `tokenizer`.

    Args:
        name: as `ImageEncoder`'s; a Stable Diffusion folder's `text_encoder` is found by itself.
        length: T, tokens that each text is cut or padded to.

    Raises:
        ConfigError: there is no such encoder, or it cannot read T tokens.
    """

    def __init__(self, name: str, length: int, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        if (Path(name) / "text_encoder").is_dir():
            name = str(Path(name) / "text_encoder")
        self.model, self.length = _loaded(CLIPTextModel, name, device, dtype), length
        most = self.model.config.max_position_embeddings
        if length > most:
            raise ConfigError(f"goals.text_encoder {name} does not fit", f"it reads {most} tokens, the Q-Former has "
                              f"{length} queries", "Name the text encoder of the UNet's model")  # fmt: skip
        self.tokenizer = _tokenizer(name)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """n texts -> last hidden states (n, T, C), fp32, padding included, as Stable Diffusion's UNet reads them."""
        ids = self.tokenizer(
            list(texts),
            padding="max_length",
            padding_side="right",
            truncation=True,
            max_length=self.length,
            return_tensors="pt",
        ).input_ids
        return self.model(ids.to(self.model.device)).last_hidden_state.float()


def _located(name: str) -> tuple[str, str]:
    """(folder or hub id, subfolder)."""
    if Path(name).is_dir():
        return name, ""
    parts = name.split("/")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _loaded(kind: Any, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    place, subfolder = _located(name)
    try:
        model, told = kind.from_pretrained(place, subfolder=subfolder, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"cannot load the encoder '{name}'", str(error).splitlines()[0][:200],
                          "Name a folder of CLIP weights, or owner/name/subfolder of the hub") from error  # fmt: skip
    if missing := sorted(told["missing_keys"]):
        raise ConfigError(f"cannot use the encoder '{name}'", f"it lacks {len(missing)} weights, such as {missing[0]}",
                          f"Name weights of a {kind.__name__}")  # fmt: skip
    return model.to(device).eval().requires_grad_(False)


def _tokenizer(name: str) -> PreTrainedTokenizerBase:
    place, subfolder = _located(name)
    beside = Path(place) / "tokenizer_config.json"
    if Path(place).is_dir() and not beside.exists():
        place = str(Path(place).parent / "tokenizer")
    elif subfolder.endswith("text_encoder"):
        subfolder = subfolder.removesuffix("text_encoder") + "tokenizer"
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, subfolder=subfolder)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"cannot load the tokenizer of '{name}'", str(error).splitlines()[0][:200],
                          "Put it beside the weights, or into a sibling folder 'tokenizer'") from error  # fmt: skip
    return found


def clip_pixels(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """(n, 3, H, W) in [-1, 1] -> CLIP-normalised (n, 3, side, side): bicubic, the whole picture squashed, no crop."""
    unit = (pixels.float() + 1) / 2
    if unit.shape[2:] != (side, side):
        unit = F.interpolate(unit, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, std = (torch.tensor(values, device=unit.device).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (unit - mean) / std


@dataclass
class Frozen:
    """The `goals` of a run; each part may be missing. Takes a batch in the host's memory, adds tensors of `device`."""

    device: torch.device
    words: TextEncoder | None = None
    image: Kept | Encode | None = None
    moments: Kept | None = None
    features: Kept | None = None

    @torch.no_grad()
    def __call__(self, batch: EditBatch) -> EditBatch:
        """`caption` of captions; `embedding`, moments and `features` of the others."""
        if batch.vision is None:
            return batch if self.words is None else replace(batch, caption=self.words(batch.texts))
        added: dict[str, Any] = {}
        if self.features is not None:
            added["features"] = self.features(batch.vision, self.device)  # (B, N, W)
        if len(batch.target) and self.image is not None:
            added["embedding"] = self.embed(batch.target)  # (E, dim)
        if len(batch.target) and self.moments is not None:
            both = self.moments(torch.cat([batch.source, batch.target]), self.device)  # (2 E, 2 * 4, h, w)
            added["moments_source"], added["moments_target"] = both.chunk(2)
        return replace(batch, **added)

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) in [-1, 1] -> (n, dim)."""
        if self.image is None:
            raise ConfigError("goals.image_encoder is not named", "the variance is that of its embeddings", "Name it")
        return self.image(pixels, self.device) if isinstance(self.image, Kept) else self.image(pixels.to(self.device))

    def told(self) -> dict[str, Any]:
        """For the log, by kind of cache: values found and made so far by this process, and whether its file is full."""
        parts = {"moments": self.moments, "embeddings": self.image, "features": self.features}
        kept = {kind: part for kind, part in parts.items() if isinstance(part, Kept)}
        told = {kind: {"found": one.found, "made": one.made, "full": one.shelf.full} for kind, one in kept.items()}
        return {"cache": told} if told else {}


def goals(config: TrainConfig, pipeline: InsightEditPipeline, accelerator: Accelerator) -> Frozen:
    """Encoders and caches that the configuration names; the pipeline's null text is set where a text encoder is named.

    Raises:
        ConfigError: the stage needs an encoder that is not named, or one does not fit the model.
    """
    found, bridge = Frozen(accelerator.device), pipeline.bridge
    wanted = {name for name, weight in (STAGES[config.stage].losses | config.losses).items() if weight}
    dtype = DTYPES[config.precision]
    if config.goals.text_encoder:
        found.words = TextEncoder(config.goals.text_encoder, bridge.null_text.shape[1], accelerator.device, dtype)
        set_null_text(bridge, found.words)
    elif "caption" in wanted:
        raise ConfigError(f"stage {config.stage} needs goals.text_encoder", "its loss compares with CLIP's text states",
                          "Name a folder or hub id of CLIP's text encoder")  # fmt: skip
    if bridge.iaa is not None and "image" in wanted:
        found.image = _image(config, bridge, accelerator, dtype)
    if config.cache.folder:
        _keep(found, config, pipeline, accelerator)
    return found


def _image(config: TrainConfig, bridge: Bridge, accelerator: Accelerator, dtype: torch.dtype) -> Kept | Encode:
    name = config.goals.image_encoder
    if not name:
        raise ConfigError(f"stage {config.stage} needs goals.image_encoder", "IAA learns its embedding of the target",
                          "Name CLIP's vision encoder, or set losses.image=0")  # fmt: skip
    encoder, dim = ImageEncoder(name, accelerator.device, dtype), bridge.config.iaa_config["dim"]
    if encoder.dim != dim:
        raise ConfigError(f"goals.image_encoder {name} does not fit", f"it gives {encoder.dim} numbers, IAA {dim}",
                          f"Name one that gives {dim}")  # fmt: skip
    return encoder


def _keep(found: Frozen, config: TrainConfig, pipeline: InsightEditPipeline, accelerator: Accelerator) -> None:
    """Caches around the encoders. What depends on mixed precision is encoded in it, as the model itself would."""

    def kept(kind: str, module: nn.Module, encode: Encode, *more: object) -> Kept:
        def run(pictures: torch.Tensor) -> torch.Tensor:
            with torch.no_grad(), accelerator.autocast():
                return encode(pictures)

        mark = fingerprint(module, config.precision, config.resolution, _sizes(module), *more)
        limit = int(config.cache.limit_gb * 1e9)
        return Kept(Path(config.cache.folder), kind, mark, run, limit)

    def own(module: nn.Module) -> nn.Module:
        """FSDP cuts the model's parts into pieces, which only the model's own forward puts together."""
        if accelerator.distributed_type == DistributedType.FSDP:
            return copy.deepcopy(module).to(accelerator.device)
        return module

    if isinstance(found.image, ImageEncoder):
        found.image = kept("embeddings", found.image.model, found.image)
    if "diffusion" in STAGES[config.stage].losses and any(True for _ in pipeline.vae.parameters()):  # pixels: no need
        vae = own(pipeline.vae)
        found.moments = kept("moments", vae, lambda pictures: moments(vae, pictures))
    if config.cache.features and config.stage != "align":
        mllm = pipeline.comprehension
        vision, layer = own(mllm.vision), mllm.eye.layer
        found.features = kept("features", vision, lambda pictures: seen(vision, pictures, layer), layer)


def _sizes(module: nn.Module) -> list[tuple[str, object]]:
    """An encoder's configuration, without where it lay and which version of a library wrote it."""
    config: Any = module.config
    told = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return sorted((key, value) for key, value in told.items() if key[0] != "_" and not key.endswith("version"))


def seen(vision: Any, pictures: torch.Tensor, layer: int) -> torch.Tensor:
    """As `Comprehension.see`: CLIP-normalised (n, 3, S, S) -> (n, N, W)."""
    states = vision(pictures.to(vision.dtype), output_hidden_states=True).hidden_states
    return states[layer][:, 1:]


def set_null_text(bridge: Bridge, words: TextEncoder) -> None:
    """CLIP's states of the empty prompt, which guidance and dropped conditions read.

    Raises:
        ConfigError: the encoder has another width than the UNet's context.
    """
    null = words([""])  # (1, T, C)
    if null.shape != bridge.null_text.shape:
        why = f"its states are {tuple(null.shape[1:])}, the UNet reads {tuple(bridge.null_text.shape[1:])}"
        raise ConfigError("goals.text_encoder does not fit", why, "Name the text encoder of the UNet's model")
    bridge.null_text.copy_(null)


def write_null_text(folder: Path, text_encoder: str) -> None:
    """Set the null text of a pipeline's folder on disk.

    Raises:
        InputError: it is no pipeline's folder.
        ConfigError: the encoder cannot be used.
    """
    if not (folder / "bridge").is_dir():
        raise InputError(f"cannot open {folder}", "it has no bridge", "Use a folder of `insightedit convert`")
    bridge = Bridge.from_pretrained(folder / "bridge")
    set_null_text(bridge, TextEncoder(text_encoder, bridge.null_text.shape[1], torch.device("cpu")))
    bridge.save_pretrained(folder / "bridge")


def edits(source: Source) -> Iterator[EditExample]:
    """The edits of a mixture, from its first place on.

    Raises:
        InputError: there are none in many places.
    """
    place = last = 0
    while place - last < SEARCH:
        example = source.at(place).example
        place += 1
        if isinstance(example, EditExample):
            last = place
            yield example
    raise InputError("the mixture holds no edits", f"none in {SEARCH} places", "Check its weights")


@torch.no_grad()
def embedding_variance(
    embed: Callable[[torch.Tensor], torch.Tensor], source: Source, count: int, resolution: int
) -> float:
    """Mean over dimensions of the embeddings' variance over the first `count` targets.

    It is the mean squared error of always predicting the mean, so that "scaled" alignment starts near 1.
    """
    found: list[torch.Tensor] = []
    examples = edits(source)
    for start in range(0, count, AT_ONCE):
        pictures = [Image.fromarray(one.target) for one in islice(examples, min(AT_ONCE, count - start))]
        found.append(embed(source_pixels(pictures, (resolution, resolution))).cpu())
    return float(torch.cat(found).double().var(0, unbiased=False).mean())  # of (count, dim)


def fix_variance(
    found: Frozen, config: TrainConfig, pipeline: InsightEditPipeline, accelerator: Accelerator, source: Source,
    out: Path,
) -> None:  # fmt: skip
    """Measure `iaa.variance` once in a run, note it in `out`/variance.json, and set it in the pipeline's configuration.

    A resumed run reads the note; the saved pipeline carries the number to the next stage.
    """
    bridge, count = pipeline.bridge, config.goals.variance
    if not count or bridge.iaa is None or "image" not in STAGES[config.stage].losses:
        return
    note = out / "variance.json"
    with accelerator.main_process_first():
        if not note.exists():
            value = embedding_variance(found.embed, source, count, config.resolution)
            write_json(note, {"variance": value, "targets": count, "encoder": config.goals.image_encoder})
    value = float(read_json(note)["variance"])
    bridge.iaa.variance = value
    bridge.register_to_config(iaa_config={**bridge.config.iaa_config, "variance": value})
