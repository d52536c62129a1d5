"""A small CLIP from nothing, for models whose pictures are rendered scenes: the towers that stand for public weights.

Contrast, as CLIP (Radford et al. 2021): a picture and its caption find each other in the batch. And, because the
renderer knows: every patch must tell what thing it shows (size, colour, material, shape), and the picture's embedding
which colours and shapes are there together. That makes patches useful for a model that has to find things, and the
embedding a goal worth predicting, within minutes. Captions join late: they are a third of the work.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from PIL import Image
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerBase,
)

from insightedit.core.config import Knobs
from insightedit.core.seed import derive
from insightedit.datasets.drawn import LOOKS, Drawn, seen
from insightedit.model.comprehension import clip_config
from insightedit.model.config import InsightEditConfig
from insightedit.model.pixels import vision_pixels
from insightedit.model.tokens import BOS, EOS, IGNORE, PAD
from insightedit.train.config import OptimKnobs, Rate, Share
from insightedit.train.muon import MuonAdamW, is_inner
from insightedit.train.optim import set_rates, share_of_peak

PRESENCE = 5.0  # weight of what is there: most of 32 answers are no, so the loss is small
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class EyeConfig(Knobs):
    """How the small CLIP learns. `batch` counts pictures of one process."""

    updates: int = 3000
    batch: int = 32
    rate: Rate = 2e-3
    warmup: int = 100
    seed: int = 42
    contrast: float = 0.1  # weight of the contrastive loss beside the patches' and the picture's
    captions_from: Share = 0.6  # of the updates, when captions join


class Eye(nn.Module):
    """Vision tower with projection, text tower, and heads over patches that only training uses."""

    def __init__(self, config: InsightEditConfig) -> None:
        super().__init__()
        eye, words = config.vision, config.qformer
        dim = config.iaa.dim if config.iaa else eye.width
        settings = clip_config(eye).to_dict() | {"projection_dim": dim}
        self.image = CLIPVisionModelWithProjection(CLIPVisionConfig(**settings))
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=config.language.vocabulary,
                hidden_size=words.width,
                intermediate_size=2 * words.width,
                num_hidden_layers=2,
                num_attention_heads=words.heads,
                max_position_embeddings=words.queries,
                pad_token_id=PAD,
                bos_token_id=BOS,
                eos_token_id=EOS,
            )
        )
        self.words = nn.Linear(words.width, dim, bias=False)
        self.heads = nn.ModuleList(nn.Linear(eye.width, len(known) + 1) for known in LOOKS.values())
        self.presence = nn.Linear(dim, len(LOOKS["colour"]) * len(LOOKS["shape"]))
        self.layer = eye.layer
        self.temperature = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: Batch, captions: bool) -> dict[str, torch.Tensor]:
        """Pictures (B, 3, S, S), captions (B, T), what is there (B, 32), patches (B, N, 4) -> losses, and the share of
        patches with a thing that are `right` in every look.
        """
        pixels, ids, there, labels = batch
        told = self.image(pixels, output_hidden_states=True)
        patches = told.hidden_states[self.layer][:, 1:]  # (B, N, W), what the model will read
        logits = [head(patches).flatten(0, 1) for head in self.heads]  # (B N, classes) each
        aims = labels.flatten(0, 1).unbind(1)  # (B N,) each
        losses = [F.cross_entropy(said, aim, ignore_index=IGNORE) for said, aim in zip(logits, aims, strict=True)]
        right = torch.stack([said.argmax(-1) == aim for said, aim in zip(logits, aims, strict=True)]).all(0)
        found = {
            "patches": torch.stack(losses).mean(),
            "presence": F.binary_cross_entropy_with_logits(self.presence(told.image_embeds), there),
            "right": right[aims[0] > 0].float().mean(),
        }
        return found | {"contrast": self._contrast(told.image_embeds, ids)} if captions else found

    def _contrast(self, embeds: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        images = F.normalize(embeds, dim=-1)
        texts = F.normalize(self.words(self.text(ids).pooler_output), dim=-1)  # (B, dim)
        likeness = self.temperature.exp() * images @ texts.T  # (B, B)
        own = torch.arange(len(ids), device=ids.device)
        return (F.cross_entropy(likeness, own) + F.cross_entropy(likeness.T, own)) / 2


class Scenery:
    """Batches out of drawn pictures."""

    def __init__(self, drawn: Drawn, config: InsightEditConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self.drawn, self.tokenizer = drawn, tokenizer
        self.side, self.patch, self.longest = config.vision.size, config.vision.patch, config.qformer.queries

    def batch(self, chance: random.Random, size: int, device: torch.device) -> Batch:
        """Pixels (B, 3, S, S), caption ids (B, T), what is there (B, 32), patches (B, N, 4)."""
        found = [seen(self.drawn, self.patch, chance) for _ in range(size)]
        tensors = (
            vision_pixels([Image.fromarray(one.image) for one in found], self.side),
            torch.tensor([self.ids(one.caption) for one in found]),
            torch.from_numpy(np.stack([one.there for one in found])),
            torch.from_numpy(np.stack([one.patches for one in found])),
        )
        pixels, ids, there, patches = (tensor.to(device) for tensor in tensors)
        return pixels, ids, there, patches

    def ids(self, text: str) -> list[int]:
        """[BOS] words [EOS] [PAD] ..., as long as the Q-Former has queries."""
        words = self.tokenizer(text, add_special_tokens=False).input_ids[: self.longest - 2]
        return [BOS, *words, EOS, *[PAD] * (self.longest - 2 - len(words))]


def train_eye(
    model: InsightEditConfig,
    scenery: Scenery,
    settings: EyeConfig,
    out: Path,
    advance: Callable[[dict[str, float]], None] = lambda values: None,
) -> None:
    """Learn, in one process of possibly many, and leave `image_encoder` and `text_encoder` in `out` in the layouts that
    transformers loads.
    """
    accelerator = Accelerator()
    torch.manual_seed(settings.seed)
    eye = Eye(model)
    named = dict(eye.named_parameters())
    inner = {id(p) for name, p in named.items() if is_inner(name, p)}
    table = [{"params": list(named.values()), "lr": settings.rate, "peak": settings.rate}]
    optimiser = MuonAdamW(table, inner, weight_decay=0.01)
    eye.to(accelerator.device)
    shape = OptimKnobs(warmup=settings.warmup, floor=0.02)
    for update in range(settings.updates):
        set_rates(optimiser, share_of_peak(update, settings.updates, shape))
        chance = random.Random(derive(settings.seed, "eye", update, accelerator.process_index))
        batch = scenery.batch(chance, settings.batch, accelerator.device)
        values = eye(batch, update >= settings.captions_from * settings.updates)
        optimiser.zero_grad(set_to_none=True)
        (values["patches"] + PRESENCE * values["presence"] + settings.contrast * values.get("contrast", 0)).backward()
        _average(accelerator, list(named.values()))
        optimiser.step()
        advance({name: value.item() for name, value in values.items()})
    if accelerator.is_main_process:
        eye.eval().image.save_pretrained(out / "image_encoder")
        eye.text.save_pretrained(out / "text_encoder")
        reading(scenery.tokenizer).save_pretrained(out / "text_encoder")
    accelerator.end_training()


def reading(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The same tokenizer as a text encoder wants it: [BOS] words [EOS]."""
    found = copy.deepcopy(tokenizer)
    found.add_bos_token = found.add_eos_token = True
    found.update_post_processor()
    return found


def _average(accelerator: Accelerator, parameters: list[nn.Parameter]) -> None:
    """Gradients over all processes. By hand: which parameters have one changes when captions join."""
    if accelerator.num_processes == 1:
        return
    learning = [p.grad for p in parameters if p.grad is not None]
    flat = accelerator.reduce(torch.cat([grad.flatten() for grad in learning]), "mean")
    for grad, part in zip(learning, flat.split([grad.numel() for grad in learning]), strict=True):
        grad.copy_(part.view_as(grad))
