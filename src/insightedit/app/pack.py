"""The last step of the small model's recipe: what was trained -> a folder that edits, with torch and without.

Adapters are merged, weights halved (16 bits; arithmetic stays in 32), graphs written, and the domain measured: what the
eye makes of the scenes, and which words the instructions use.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from insightedit.core.files import write_text
from insightedit.core.seed import derive
from insightedit.editors.light import LightPipeline
from insightedit.editors.scenes import DOMAIN, Domain, words_of
from insightedit.scenes.grammar import instruct
from insightedit.scenes.sampling import pair_seed, sample
from insightedit.scenes.spread import rendered

if TYPE_CHECKING:
    from insightedit.model.comprehension import Comprehension
    from insightedit.model.pipeline import InsightEditPipeline

SEED = 21  # of the scenes that measure the domain: the recipe trains on 20
SCENES, WORDED = 1500, 4000  # pairs looked at; pairs whose instructions are read
SPARE = 1.1  # beyond the farthest of scenes that the mean does not know


def pack(trained: Path, out: Path, tell: Callable[[str], None], scenes: int = SCENES, worded: int = WORDED) -> Path:
    """A trained pipeline's folder -> `out`, complete or not at all.

    Raises:
        InputError: the pipeline is of another kind than `model.graphs` can express.
        BackendError: the ONNX exporter is not installed.
    """
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    _save(trained, part)
    tell("packed: weights and graphs; measuring the domain")
    light = LightPipeline(part)
    (part / DOMAIN).mkdir()
    write_domain(measured(light, scenes, worded), part / DOMAIN)
    if out.exists():
        shutil.rmtree(out)
    part.rename(out)
    return out


def _save(trained: Path, folder: Path) -> None:
    import torch

    from insightedit.model.graphs import FOLDER, export
    from insightedit.model.pipeline import InsightEditPipeline

    pipeline = InsightEditPipeline.from_pretrained(trained)
    pipeline.register_modules(comprehension=merged(pipeline.comprehension))
    export(pipeline, folder / FOLDER)
    _taken_out(pipeline).to(torch.float16).save_pretrained(folder)


def _taken_out(pipeline: InsightEditPipeline) -> InsightEditPipeline:
    """The UNet with stock processors, as it goes on disk."""
    pipeline.unet.set_default_attn_processor()
    return pipeline


def merged(mllm: Comprehension) -> Comprehension:
    """The same network with its adapters inside its weights: W + alpha / r * B A (Hu et al. 2022)."""
    from insightedit.model.comprehension import Comprehension
    from insightedit.model.config import LoraConfig
    from insightedit.model.convert.lora import merge
    from insightedit.model.convert.match import Part

    config = dict(mllm.config)
    part = Part(dict(mllm.state_dict()))
    if config["lora_config"] is not None:
        merge(part, LoraConfig(**config["lora_config"]))
    names = ("language_config", "vision_config", "projector_depth", "prompt")
    plain: Comprehension = Comprehension(lora_config=None, **{name: config[name] for name in names})
    plain.load_state_dict(part.tensors)
    plain.eval()
    return plain


def measured(light: LightPipeline, scenes: int, worded: int) -> Domain:
    """Two thirds of the scenes give mean and spread of the features, the last third the limit."""
    seen = np.stack(list(_features(light, scenes)))  # (2 scenes, W)
    known, new = seen[: len(seen) * 2 // 3], seen[len(seen) * 2 // 3 :]
    mean = known.mean(0)
    spread, axes = np.linalg.eigh(np.cov(known.T))
    whitening = axes / np.sqrt(spread.clip(1e-4 * spread.max()))  # (W, W); directions without spread do not explode
    words = {word for text in _instructions(worded) for word in words_of(text)}
    domain = Domain(mean.astype(np.float32), whitening.astype(np.float32), 0.0, frozenset(words))
    limit = SPARE * max(map(domain.distance, new))
    return Domain(domain.mean, domain.whitening, round(limit, 3), domain.words)


def _features(light: LightPipeline, scenes: int) -> Iterable[np.ndarray]:
    for one in rendered(scenes, light.eye.size, SEED, 1):
        for side in (one.before, one.after):
            yield light.comprehend(Image.fromarray(side.image), "look")[1]


def _instructions(count: int) -> Iterable[str]:
    """As training words them."""
    for number in range(count):
        pair, draw = sample(pair_seed(SEED, number)), random.Random(derive(SEED, "words", number))
        for way in (pair, pair.reversed()):
            said = instruct(way, draw, part="train")
            if said is not None:
                yield said.text


def write_domain(domain: Domain, folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"mean": domain.mean, "whitening": domain.whitening}, folder / "features.safetensors")
    about = {"limit": domain.limit, "words": sorted(domain.words)}
    write_text(folder / "domain.json", json.dumps(about, indent=1) + "\n")
