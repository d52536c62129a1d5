"""IP-Adapter for Stable Diffusion 1.5 -> the image branch of an existing pipeline folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insightedit.core.errors import InputError
from insightedit.core.files import read_json, write_json
from insightedit.model.config import IaaConfig
from insightedit.model.convert.folder import RECORD, Component, Conversion, building, finish, write_component
from insightedit.model.convert.keys import image_attention_key, image_projection_key
from insightedit.model.convert.match import Part, rename, route
from insightedit.model.convert.read import Source, need, read_folder, read_tensors

if TYPE_CHECKING:
    from insightedit.model.bridging import Bridge
    from insightedit.model.generation import ImageAttention

LAYOUT = "Expected an InsightEdit pipeline folder: model_index.json, comprehension/, bridge/, unet/, vae/, ..."
START = (
    "the branch does not start silent: it was fitted to plain Stable Diffusion, so the model no longer equals the one "
    "without it; raise its scale from 0 in training"
)
ENTRY = ["insightedit.model.generation", "ImageAttention"]  # of model_index.json: where the class lives


def convert_ip_adapter(
    source: Path, to: Path, into: Path, tokens: int = 4, seed: int = 0, dtype: str | None = None
) -> Conversion:
    """`ip-adapter_sd15` and its kin: Linear, LayerNorm and the 16 layers' K and V; its own Mapper is not part of it.

    Args:
        source: .bin or .safetensors.
        to: folder to make: a copy of `into` with the branch.
        into: pipeline folder whose image branch is added or replaced.
        tokens: V; 4 in every base IP-Adapter of SD-1.5.
        seed: of the fresh Mapper, where `into` has none of the same size.
        dtype: of the image attention; by default the file's.

    Raises:
        InputError: not such a file (IP-Adapter Plus and FaceID have other parts) or folder, or they do not fit.
        OutputError: `to` is not empty or cannot be written.
    """
    conversion = Conversion("ip-adapter")
    with building(to) as folder:
        both = route(projection=image_projection_key, attention=image_attention_key)
        found = rename(read_tensors(source), both, source.name)
        index = _read_index(into)
        need(into, LAYOUT, "bridge/config.json", "unet/config.json")
        bridge = _bridge(into, found, tokens)
        part = _bridge_part(into, bridge, found, seed, conversion)
        attention = _attention(into, bridge)
        conversion.components = [
            write_component(folder / "bridge", bridge, part, f"{into.name}/bridge, {source.name}"),
            write_component(folder / "image_attention", attention, found.under("attention."), source.name, dtype),
        ]
        conversion.components += _copy_rest(into, folder, index)
        write_json(folder / "model_index.json", {**index, "image_attention": ENTRY})
        conversion.read(Source(source, source.name))
        conversion.notes.append(START)
        finish(folder, conversion)
    return conversion


def _read_index(into: Path) -> dict[str, Any]:
    need(into, LAYOUT, "model_index.json")
    index = read_json(into / "model_index.json")
    if not isinstance(index, dict) or index.get("_class_name") != "InsightEditPipeline":
        raise InputError(f"{into} is not an InsightEdit pipeline", "its model_index.json names another class", LAYOUT)
    return index


def _bridge(into: Path, found: Part, tokens: int) -> Bridge:
    """The folder's bridge with an IAA of the file's sizes, on the meta device."""
    import torch

    from insightedit.model.bridging import Bridge

    config = {name: value for name, value in Bridge.load_config(into / "bridge").items() if name[0] != "_"}
    weight = found.tensors.get("projection.image_embeds.weight")  # (V * C, dim)
    if weight is None:
        raise InputError("the IP-Adapter is not complete", "image_proj.proj.weight is missing", "Use ip-adapter_sd15")
    before = config.get("iaa_config") or {}
    config["iaa_config"] = {**vars(IaaConfig()), **before, "dim": weight.shape[1], "tokens": tokens}
    with torch.device("meta"):
        return Bridge.from_config(config)


def _bridge_part(into: Path, bridge: Bridge, found: Part, seed: int, conversion: Conversion) -> Part:
    """The folder's Q-Former and BIM, the file's projection, and the folder's Mapper where its size is kept."""
    tensors, sources = read_folder(into / "bridge", LAYOUT)
    conversion.read(*(Source(source.path, f"{into.name}/{source.name}") for source in sources))
    part = Part({name: tensor for name, tensor in tensors.items() if not name.startswith("iaa.")})
    wanted = {name: tensor.shape for name, tensor in bridge.state_dict().items() if name.startswith("iaa.mapper.")}
    if all(name in tensors and tensors[name].shape == shape for name, shape in wanted.items()):
        part.tensors |= {name: tensors[name] for name in wanted}
        conversion.notes.append("Mapper: kept")
    else:
        part.tensors |= _fresh_mapper(bridge, seed)
        conversion.notes.append(f"Mapper: newly initialised (seed {seed}), train it before use")
    part.add(found.under("projection."), "iaa.projection.")
    return part


def _fresh_mapper(bridge: Bridge, seed: int) -> dict[str, Any]:
    import torch

    from insightedit.model.bridging import MAPPERS

    settings = IaaConfig(**bridge.config.iaa_config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mapper = MAPPERS[settings.mapper](settings, bridge.config.language_width)
    return {f"iaa.mapper.{name}": tensor for name, tensor in mapper.state_dict().items()}


def _attention(into: Path, bridge: Bridge) -> ImageAttention:
    import torch
    from diffusers import UNet2DConditionModel

    from insightedit.model.generation import ImageAttention, cross_attentions

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(into, subfolder="unet"))
        widths = tuple(cross_attentions(unet).values())
        return ImageAttention(widths, bridge.config.context, bridge.config.iaa_config["tokens"])


def _copy_rest(into: Path, folder: Path, index: dict[str, Any]) -> list[Component]:
    """The components that the branch does not touch, as they are."""
    copied = []
    for name, entry in index.items():
        stays = isinstance(entry, list) and entry[:1] != [None] and name.isidentifier() and name[0] != "_"
        if not stays or name in ("bridge", "image_attention"):
            continue
        need(into, LAYOUT, *([] if (into / name).is_dir() else [f"{name}/"]))
        shutil.copytree(into / name, folder / name, ignore=shutil.ignore_patterns(RECORD, "*.unfinished"))
        copied.append(Component(name, 0, 0, "", f"{into.name}/{name}, copied"))
    return copied
